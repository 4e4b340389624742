/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_RESIDENT_H
#define HSM_TPM2_RESIDENT_H

#include "hsm/keystore.h"
#include "hsm/tpm2_gate.h"
#include "hsm/tpm2_key.h"

/*
 * Signing with keys that stay in the TPM: one connection for all of them and for all threads, kept
 * open while there is something to sign. A connection that breaks, or that a TPM has forgotten
 * since it was reset, is made anew once; then the key is out of reach, until the next signature
 * tries again.
 */

#define TPM2_RESIDENT_IDLE_MS 5000 /* an unused connection is closed after that */

/* Around each command: who watches that the TPM does not hang. */
struct tpm2_watch {
    void (*beat)(void *ctx, bool command_starts); /* NULL: nobody */
    void *ctx;
};

struct tpm2_resident {
    struct tpm2_gate gate;
    struct tpm2_link_config config;
    uint8_t primary_name[TPM2_NAME_LEN];
    /* Of who is in the gate: */
    struct tpm2_link *link;             /* NULL: closed */
    uint8_t loaded_id[KEYSTORE_ID_LEN]; /* of the key that is loaded */
    ESYS_TR loaded;                     /* ESYS_TR_NONE: none */
    int64_t used_ms;
};

/*
 * config's strings and secrets are the caller's and have to last; its beat is that of the thread
 * that changes keys, which alone may call the two functions below this one. ATTEST_E_NOMEM.
 */
enum attest_rc tpm2_resident_init(struct tpm2_resident *r, const struct tpm2_link_config *config,
                                  struct attest_error *err);
/* Nobody signs; should somebody hang in the TPM, all is left as it is for him. */
void tpm2_resident_done(struct tpm2_resident *r);

/*
 * Closes a connection that nobody used for so long; clock_mono_ms() of when to ask again,
 * INT64_MAX when none is open.
 */
int64_t tpm2_resident_rest(struct tpm2_resident *r, int64_t now_ms);

/* What is kept of a key, its authorization value and its public key. */
struct tpm2_resident_key {
    struct key_ref ref;
    struct tpm2_sealed kept;
    const uint8_t *auth; /* TPM2_AUTH_VALUE_LEN */
};

/*
 * ATTEST_E_KEY_OUT_OF_REACH, ATTEST_E_CORRUPT, ATTEST_E_DENIED. Any thread; ends, though the TPM
 * may hang, after TPM2_GATE_WAIT_MS for all who do not hang in it themselves.
 */
enum attest_rc tpm2_resident_sign(struct tpm2_resident *r, const struct tpm2_resident_key *key,
                                  const struct tpm2_watch *watch, struct slice msg,
                                  uint8_t sig[PUBKEY_SIG_LEN], struct attest_error *err);

#endif
