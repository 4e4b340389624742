/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_FILE_H
#define HSM_TPM2_FILE_H

#include "hsm/keystore.h"
#include "hsm/tpm2_seal.h"

/*
 * The file that a TPM keystore keeps: a wrapping key that the TPM has sealed, and under it the
 * seeds of the keys. Pure: bytes in and out, no I/O, no TPM, no key. Big-endian, nothing optional
 * but approver, lease and attestation key, no room for a byte more or less:
 *
 *   16  "attestd-tpm2/1", newline, NUL
 *    8  serial: 1 or more, what the TPM's counter shows; one more with each change of the keys
 *   34  name of the TPM's primary key
 *    4  handle of the counter (tpm2_counter.h)
 *    1  policy: 1 when an authorization value has to be known, 2 more when there is an approver,
 *       4 more when the TPM's EK certificate was checked
 *    4  PCRs of the SHA-256 bank: bit n for PCR n; then 32 bytes for each, as it was
 *       with an approver: 64 his P-256 key, x and y, 4 handle of the approval counter, 8 what that
 *       showed, 16 the line of its approvals
 *       with a certificate: 32 its SHA-256
 *    2  length, and the TPM2B_PUBLIC of the sealed wrapping key
 *    2  length, and its TPM2B_PRIVATE
 *   60  the authority in a box
 *    1  1 when there is a lease, else 0; then: 1 length and instance, 1 length and host, 8 since_s
 *    2  number of keys, each:
 *        16  id
 *         1  0 for an Ed25519 key, 1 for a P-256 key of the TPM itself
 *        32  public key; 64, x and y, of P-256
 *         1  length, and purpose
 *         1  length, and label
 *        60  Ed25519: the seed in a box: 12 nonce, 32 ciphertext, 16 tag (tpm2_box.h)
 *         2  P-256: length, and the TPM2B_PUBLIC; 2 length, and the TPM2B_PRIVATE, which the TPM
 *            has encrypted
 *    1  what follows: 1 for an attestation key, 2 for a PIN, 3 for both, 0 for neither
 *       of the attestation key: 2 length and TPM2B_PUBLIC, 2 length and TPM2B_PRIVATE, which the
 *       TPM has encrypted
 *       of the PIN: 2 length, and it in a box: 12 nonce, ciphertext, 16 tag
 *   28  the box of nothing that covers all bytes before: 12 nonce, 16 tag
 */

#define TPM2_FILE_MAX 131072 /* bytes */
#define TPM2_KEYS_MAX 256
#define TPM2_LABEL_MAX 127
#define TPM2_PURPOSE_MAX 15
#define TPM2_BOX_LEN 60
#define TPM2_SEAL_LEN 28
#define TPM2_AUTHORITY_LEN 32
#define TPM2_PIN_MAX 255 /* of a PKCS#11 token, that is; what a TPM counts tries of is shorter */
#define TPM2_PIN_BOX_MAX (TPM2_PIN_MAX + 28)
#define TPM2_NV_FIRST 0x01000000U /* handles of non-volatile memory are from here to … */
#define TPM2_NV_LAST 0x01ffffffU

struct tpm2_file_key {
    struct key_ref ref;
    char purpose[TPM2_PURPOSE_MAX + 1]; /* a to z */
    char label[TPM2_LABEL_MAX + 1];     /* no NUL within; any other byte */
    uint8_t box[TPM2_BOX_LEN];          /* Ed25519 */
    struct tpm2_sealed kept;            /* P-256: tpm2_key.h */
};

/* Whether its seed is in a box; else the TPM itself has the key. */
static inline bool
tpm2_file_key_sealed(const struct tpm2_file_key *key)
{
    return key->ref.public_key.type == PUBKEY_ED25519;
}

struct tpm2_file {
    uint64_t serial;
    uint8_t primary_name[TPM2_NAME_LEN];
    uint32_t counter;
    bool ek_checked; /* when it was sealed first, with this certificate */
    uint8_t ek_certificate[SHA256_LEN];
    struct tpm2_policy policy;
    struct tpm2_sealed sealed;
    uint8_t authority_box[TPM2_BOX_LEN];
    bool leased;
    struct keystore_lease lease;
    size_t n_keys;
    struct tpm2_file_key *keys; /* TPM2_KEYS_MAX places */
    bool has_ak;
    struct tpm2_sealed ak; /* tpm2_ak.h */
    size_t pin_box_len;    /* 0: no PIN */
    uint8_t pin_box[TPM2_PIN_BOX_MAX];
    uint8_t seal[TPM2_SEAL_LEN];
};

/* Without keys or lease, serial 0; NULL when out of memory. */
struct tpm2_file *tpm2_file_new(void);
void tpm2_file_free(struct tpm2_file *file);
DEFINE_AUTO(tpm2_file, struct tpm2_file *, tpm2_file_free);

/* ATTEST_E_CORRUPT says what is wrong; ATTEST_E_UNSUPPORTED: a version that we do not know. */
enum attest_rc tpm2_file_read(struct slice bytes, struct tpm2_file **ret, struct attest_error *err);

/* All but the seal at the end, which is made of these bytes. What was read gives the same again. */
void tpm2_file_write(const struct tpm2_file *file, struct buf *out);

/* Position of the key with this id, n_keys when there is none. */
size_t tpm2_file_find(const struct tpm2_file *file, const uint8_t id[KEYSTORE_ID_LEN]);

/* 1 to TPM2_PURPOSE_MAX letters a to z. */
bool tpm2_purpose_ok(const char *purpose);

/* Whether a lease keeps the rules of hsm/keystore.h. */
bool tpm2_lease_ok(const struct keystore_lease *lease);

#endif
