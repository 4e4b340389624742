/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_BOX_H
#define HSM_TPM2_BOX_H

#include "hsm/tpm2_counter.h"
#include "hsm/tpm2_file.h"

/*
 * What is secret in a file of sealed keys, and the file as a whole, under the wrapping key:
 * AES-256-GCM with a random nonce each time. What belongs to a seed is bound to it as associated
 * data:
 *
 *   "attestd-tpm2-seed/1" NUL, serial (8), id (16), public key (32), purpose NUL, label NUL
 *
 * to the authority "attestd-tpm2-authority/1" NUL, serial (8), to the PIN of a token
 * "attestd-tpm2-pin/1" NUL, and the box at the end, of nothing, has "attestd-tpm2-file/1" NUL and
 * all bytes before it. A change of the file makes at most 258 boxes, and there is another wrapping
 * key with each destroyed key: the 2^32 boxes that random nonces allow under one key are far away.
 *
 * Pure but for the random nonces.
 */

struct tpm2_secrets {
    struct secret wrapping;  /* TPM2_WRAPPING_LEN bytes: what the TPM seals */
    struct secret authority; /* TPM2_AUTHORITY_LEN: what tpm2_auth_value() goes by */
    struct secret seeds;     /* ED25519_SEED_LEN bytes a key, in the order of file->keys; zeros for
                                a key that has none */
};

void tpm2_secrets_free(struct tpm2_secrets *secrets); /* a zeroed one too */

/* Puts all secrets in new boxes, and the whole file with its seal into out. ATTEST_E_NOMEM, _LIMIT.
 */
enum attest_rc tpm2_box_close(struct tpm2_file *file, const struct tpm2_secrets *secrets,
                              struct buf *out, struct attest_error *err);

/*
 * By secrets->wrapping: checks the seal over the bytes that `file` was read from, opens all boxes
 * and checks each seed against its public key. Sets authority, and seeds with room for one key
 * more. ATTEST_E_CORRUPT.
 */
enum attest_rc tpm2_box_open(const struct tpm2_file *file, struct slice bytes,
                             struct tpm2_secrets *secrets, struct attest_error *err);

/*
 * The authorization value of what we keep in the TPM beside the wrapping key: HMAC-SHA256 by the
 * authority of "attestd-tpm2-auth/1" NUL and the name that it has among us, with the highest bit of
 * the last byte set. Only who could unseal knows it. False when out of memory.
 */
#define TPM2_AUTH_ID "id" /* nothing in the TPM: what the file is known by (tpm2_expect.h) */
#define TPM2_AUTH_COUNTER "counter"
#define TPM2_AUTH_AK "ak"
bool tpm2_auth_value(const struct secret *authority, const char *name,
                     uint8_t value[TPM2_AUTH_VALUE_LEN]);

/*
 * The PIN of a token, 1 to TPM2_PIN_MAX bytes, into the file's box for it, and out of it. With
 * another wrapping key it has to be put in again. ATTEST_E_ARGUMENT, ATTEST_E_NOMEM;
 * ATTEST_E_NOT_FOUND when the file has none, ATTEST_E_CORRUPT.
 */
enum attest_rc tpm2_box_pin(struct tpm2_file *file, const struct secret *wrapping,
                            const struct secret *pin, struct attest_error *err);
enum attest_rc tpm2_unbox_pin(const struct tpm2_file *file, const struct secret *wrapping,
                              struct secret *ret, struct attest_error *err);

#endif
