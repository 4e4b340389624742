/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_STORE_H
#define HSM_TPM2_STORE_H

#include <pthread.h>

#include "hsm/tpm2_box.h"
#include "hsm/tpm2_intent.h"
#include "hsm/tpm2_resident.h"

/*
 * A file of sealed keys and what is open of it: the seeds in guarded memory, unsealed once. Every
 * change makes a new file and a new table first (tpm2_draft.h), and a counter in the TPM says which
 * file is the newest: a crash or a TPM that is gone leaves what was there, and an older copy is
 * refused.
 *
 * One process at a time: PATH.lock is locked from tpm2_store_open() on. One thread at a time, but
 * for tpm2_store_sign() and tpm2_store_lease_held(), which any thread may call meanwhile.
 */

#define TPM2_FILE_MODE 0600

struct tpm2_store_config {
    struct tpm2_link_config link; /* primary_name is the file's */
    const char *path;
    const struct secret *pin; /* the authorization value; NULL or empty: none */
    /* x and y of the approver's P-256 key: the file's has to be this one, or becomes it. NULL: at
       create and reseal no approver, else any. Approvals are taken from PATH.approvals
       (tpm2_approvals.h). */
    const uint8_t *approver;
    /* Of the file that the one made is to take the place of; NULL: it is made in its own place. */
    struct tpm2_intent *intent;
    const uint8_t *sealed_id; /* SHA256_LEN: the file has to be this one (tpm2_expect.h); or NULL */
    /* For sealing anew: what the file may ask for else than is configured. */
    enum tpm2_change {
        TPM2_CHANGE_NONE,
        TPM2_CHANGE_APPROVER, /* when it has the PIN that is configured */
        TPM2_CHANGE_ANY,
    } change;
};

struct tpm2_store {
    struct tpm2_store_config config; /* paths and secrets are the caller's and have to last */
    int lock_fd;
    struct tpm2_resident resident;
    bool opened; /* there is a resident to be closed */
    struct secret wrapping;
    struct tpm2_draft *pending; /* NULL, or a change of which nobody knows whether it happened */
    pthread_rwlock_t lock;      /* of what is below, which the changing thread alone replaces */
    struct tpm2_file *file;
    struct secret pairs; /* seed and public key of each key: ED25519_PAIR_LEN; of one that the
                            TPM has, nothing that counts */
    struct secret authority;
};

/*
 * Makes a file without keys: a new wrapping key, sealed to what these PCRs hold now and to the PIN
 * where there is one. ATTEST_E_EXISTS when there is a file; else as tpm2_link_open() and
 * tpm2_seal().
 */
enum attest_rc tpm2_store_create(const struct tpm2_store_config *config, const char *pcrs,
                                 struct attest_error *err);

/*
 * Reads and unseals, and completes a change that a crash has interrupted. Besides what
 * tpm2_unseal() says: ATTEST_E_NOT_FOUND (no file), ATTEST_E_BUSY (another process has it open),
 * ATTEST_E_CORRUPT, ATTEST_E_DENIED (an older copy, by the TPM's counter), ATTEST_E_CONFIG
 * (not the file that is configured: tpm2_expect.h).
 */
enum attest_rc tpm2_store_open(struct tpm2_store *store, const struct tpm2_store_config *config,
                               struct attest_error *err);
void tpm2_store_close(struct tpm2_store *store); /* a zeroed one too, lock_fd excepted */

/* A new key; ATTEST_E_EXISTS, ATTEST_E_LIMIT (TPM2_KEYS_MAX). Asks the TPM for random bytes. */
enum attest_rc tpm2_store_add(struct tpm2_store *store, const uint8_t id[KEYSTORE_ID_LEN],
                              const char *purpose, const char *label, struct key_ref *ret,
                              struct attest_error *err);

/* The same in the TPM itself, where it stays: P-256. */
enum attest_rc tpm2_store_add_resident(struct tpm2_store *store, const uint8_t id[KEYSTORE_ID_LEN],
                                       const char *purpose, const char *label, struct key_ref *ret,
                                       struct attest_error *err);

/*
 * Removes the key with this id, and with this public key unless that is NULL, and puts the others
 * under a new wrapping key. ATTEST_E_NOT_FOUND. Who kept an older file and meets the policy can
 * still have the TPM unseal it: that we refuse older files keeps us from using it, not him.
 */
enum attest_rc tpm2_store_remove(struct tpm2_store *store, const uint8_t id[KEYSTORE_ID_LEN],
                                 const struct pubkey *public_key, struct attest_error *err);

/*
 * Puts all keys under a new wrapping key, sealed to what these PCRs hold now (NULL: the same ones
 * as before), to the PIN where there is one, and to the approver. ATTEST_E_ARGUMENT when that asks
 * for nothing.
 */
enum attest_rc tpm2_store_reseal(struct tpm2_store *store, const char *pcrs,
                                 struct attest_error *err);

/* Puts the PIN of a token, 1 to TPM2_PIN_MAX bytes, beside the keys, in place of another. */
enum attest_rc tpm2_store_set_pin(struct tpm2_store *store, const struct secret *pin,
                                  struct attest_error *err);

/* As keystore_lease_set(). */
enum attest_rc tpm2_store_lease(struct tpm2_store *store, const struct keystore_lease *expected,
                                const struct keystore_lease *lease, struct attest_error *err);

/* As keystore_lease_get(); any thread may call it, and waits for no TPM. */
enum attest_rc tpm2_store_lease_held(struct tpm2_store *store, struct keystore_lease *ret,
                                     struct attest_error *err);

/* As keystore_quote(). */
enum attest_rc tpm2_store_quote(struct tpm2_store *store, const uint8_t qualifying[SHA256_LEN],
                                struct keystore_quote *ret, struct attest_error *err);

/*
 * ATTEST_E_NOT_FOUND; for a key that the TPM has also what tpm2_resident_sign() says. watch: NULL,
 * or for the commands that this takes.
 */
enum attest_rc tpm2_store_sign(struct tpm2_store *store, const struct key_ref *key,
                               const struct tpm2_watch *watch, struct slice msg,
                               uint8_t sig[PUBKEY_SIG_LEN]);

#endif
