/* SPDX-License-Identifier: MIT */
#ifndef HSM_KEYSTORE_H
#define HSM_KEYSTORE_H

#include "base/pubkey.h"
#include "base/secret.h"

/*
 * Where private keys live. A keystore generates keys and signs with them; it knows nothing of
 * claims, key states or logs. One implementation a file, chosen by the URI:
 *
 *   pkcs11:token=attestd     (RFC 7512) the keys never leave the token
 *   tpm2:device:/dev/tpmrm0  (any TCTI behind the colon; "tpm2:" is this one) the seeds are sealed
 * by a TPM, which knows no Ed25519, and unsealed into guarded memory of this process, which signs:
 * hardware-sealed, not hardware-resident
 *
 * It runs a pool of worker threads, each with a session of its own. Every call but
 * keystore_sign() blocks. All calls are thread-safe.
 */

#define KEYSTORE_ID_LEN 16 /* CKA_ID: random, ours */

/* Enough to find a key again after a lost session: the id alone may by then name another. */
struct key_ref {
    uint8_t id[KEYSTORE_ID_LEN];
    struct pubkey public_key;
};

enum keystore_state {
    KEYSTORE_READY,
    KEYSTORE_OUT_OF_REACH, /* token gone or sessions lost; reconnecting with back-off */
    KEYSTORE_PIN_REFUSED,  /* the PIN was wrong; not tried again before a restart */
    KEYSTORE_LOST,         /* every worker hangs in the module, or it must be reloaded: exit and
                              let the service manager start us again. Final. */
};

/* "ready", "key out of reach", "PIN refused", "lost". */
const char *keystore_state_name(enum keystore_state state);

struct keystore_config {
    const char *uri;          /* never holds a pin-value (refused) */
    const char *module_path;  /* PKCS#11. NULL: the URI's module-path, else SoftHSM's usual place */
    const char *sealed_path;  /* TPM: the file of sealed keys */
    const char *pcrs;         /* TPM: "sha256:0,2,7,11"; the file's have to be these. NULL: any */
    const char *ek_ca;        /* TPM, when the keys are made: CA of its EK certificate; NULL: any */
    const uint8_t *approver;  /* TPM: x and y of his P-256 key, as the file's has to be; NULL: when
                                 the keys are sealed none, else any */
    const uint8_t *sealed_id; /* TPM: SHA256_LEN, of the file that it has to be; NULL: any */
    const struct secret *pin; /* copied into guarded memory, may be freed after the call */
    const struct secret *owner_auth; /* TPM: its owner hierarchy's password; NULL or empty: none.
                                        Copied as the PIN is */
    unsigned workers;                /* sessions signing in parallel, 1 to 64 */
    unsigned queue_max;              /* signatures that may wait, beyond which E_BUSY */
    unsigned call_timeout_ms;        /* a module call longer than this marks its worker lost */
    bool ec_params_name_first;       /* try PrintableString "edwards25519" before the OID */
    /* Called from any thread, without a lock of the keystore held, when the state changes. */
    void (*on_state)(void *ctx, enum keystore_state state, const char *why);
    void *ctx;
};

struct keystore;

/*
 * Opens, logs in once, starts the workers. On success the state is KEYSTORE_READY. Errors:
 * ATTEST_E_KEY_OUT_OF_REACH (no such token now), ATTEST_E_PIN, ATTEST_E_CONFIG (bad URI, no
 * module). With a TPM also ATTEST_E_DENIED (its policy is not met: the text names the PCRs; or it
 * is another TPM), ATTEST_E_NOT_FOUND (nothing sealed yet: keystore_create()), ATTEST_E_BUSY
 * (another process has the keys open) and ATTEST_E_CORRUPT.
 */
enum attest_rc keystore_open(const struct keystore_config *config, struct keystore **ret,
                             struct attest_error *err);
/*
 * For a TPM: makes the file of sealed keys, empty, sealed to what config->pcrs hold now and to the
 * PIN, if there is one. Uses uri, sealed_path, pcrs and pin. ATTEST_E_EXISTS when there is one,
 * ATTEST_E_UNSUPPORTED for a PKCS#11 token, else as keystore_open().
 */
enum attest_rc keystore_create(const struct keystore_config *config, struct attest_error *err);
/*
 * No other call of this keystore may run or follow, done callbacks excepted. Waits for the calls
 * that run (at most call_timeout_ms), answers what still waits with
 * ATTEST_E_KEY_OUT_OF_REACH, ends the threads that are not lost, C_Finalize.
 */
void keystore_close(struct keystore *ks);
DEFINE_AUTO(keystore, struct keystore *, keystore_close);

/*
 * Makes an Ed25519 key pair on the token: private part sensitive, never extractable, sign only.
 * Serialised against signing. purpose: 1 to 15 letters a to z; bound to a sealed seed, of no
 * concern to a token. label is CKA_LABEL, for people. With a TPM: a new seed, sealed. id becomes
 * CKA_ID: random, and from the caller, so that it can be written down before the key is there.
 * ATTEST_E_EXISTS, and nothing was made, when the token holds a key or half of one with this id.
 */
enum attest_rc keystore_generate(struct keystore *ks, const uint8_t id[KEYSTORE_ID_LEN],
                                 const char *purpose, const char *label, struct key_ref *ret,
                                 struct attest_error *err);

/*
 * The same in a TPM that makes and keeps the key itself: P-256, which signs by ES256. Each
 * signature waits for the TPM, and there is one at a time; when the TPM is gone it ends with
 * ATTEST_E_KEY_OUT_OF_REACH, and the next one tries again. ATTEST_E_UNSUPPORTED for a PKCS#11
 * token, whose keys stay in it anyway.
 */
enum attest_rc keystore_generate_resident(struct keystore *ks, const uint8_t id[KEYSTORE_ID_LEN],
                                          const char *purpose, const char *label,
                                          struct key_ref *ret, struct attest_error *err);

/*
 * Every private key of ours on the token, whatever record knows it. free() *ret. A private key
 * whose public object is gone is listed only by tokens that tell the public part from it; others,
 * SoftHSM among them, leave it out: it is nobody's key then, and keystore_discard() removes it.
 */
enum attest_rc keystore_list(struct keystore *ks, struct key_ref **ret, size_t *n,
                             struct attest_error *err);

/*
 * ATTEST_E_NOT_FOUND when no key has this id and this public key; then nothing was destroyed. A
 * public half that was left when a crash came between the two counts as the key.
 */
enum attest_rc keystore_destroy(struct keystore *ks, const struct key_ref *key,
                                struct attest_error *err);

/*
 * Destroys every key object with this id, whatever its public part, halves of a pair too: what a
 * crash left behind. ATTEST_E_NOT_FOUND when there is none. Never for a key that a record knows:
 * that is keystore_destroy()'s, which looks at the public part.
 */
enum attest_rc keystore_discard(struct keystore *ks, const uint8_t id[KEYSTORE_ID_LEN],
                                struct attest_error *err);

/*
 * Who may change the keys of this token: one small object on it that every signer looks at before
 * it starts. It guards against two signers by mistake, not against someone who knows the PIN.
 */
struct keystore_lease {
    char instance[37]; /* a UUID, or any name of 1 to 36 printable ASCII characters */
    char host[65];     /* for people; 0 to 64 of the same */
    int64_t since_s;   /* epoch seconds; at least 1 */
};

/*
 * ATTEST_E_NOT_FOUND when there is none, ATTEST_E_CORRUPT when there is one that we cannot read.
 */
enum attest_rc keystore_lease_get(struct keystore *ks, struct keystore_lease *ret,
                                  struct attest_error *err);

/*
 * Puts a lease in the place of the one that is expected there (NULL: none). Of several processes
 * that do so at once exactly one succeeds. ATTEST_E_EXISTS, and nothing has changed, when the token
 * holds another than expected or another process won; ATTEST_E_ARGUMENT for a lease that breaks
 * the rules above; ATTEST_E_CORRUPT as above; ATTEST_E_BUSY when the token is so slow that nothing
 * can be said. Takes most of a second, and up to three more when what a crash left has to go.
 */
enum attest_rc keystore_lease_set(struct keystore *ks, const struct keystore_lease *expected,
                                  const struct keystore_lease *lease, struct attest_error *err);

/*
 * Called once for each accepted keystore_sign(), from a worker thread. sig is valid during the call
 * and has already been verified against the key's public part. rc: ATTEST_OK,
 * ATTEST_E_KEY_OUT_OF_REACH, ATTEST_E_TIMEOUT, ATTEST_E_NOT_FOUND, ATTEST_E_SIGNATURE (the module
 * returned a signature that does not verify).
 */
typedef void keystore_signed(void *ctx, enum attest_rc rc, const uint8_t sig[PUBKEY_SIG_LEN]);

/*
 * Queues one signature. msg is borrowed until `done` has been called. deadline_ms is in
 * clock_mono_ms(); what is still queued then ends with ATTEST_E_TIMEOUT. Returns ATTEST_OK when
 * accepted, else `done` is never called: ATTEST_E_BUSY, ATTEST_E_KEY_OUT_OF_REACH, or
 * ATTEST_E_LIMIT for more than 256 KiB. done runs on a stack of 256 KiB and may call
 * keystore_sign().
 */
enum attest_rc keystore_sign(struct keystore *ks, const struct key_ref *key, struct slice msg,
                             int64_t deadline_ms, keystore_signed *done, void *ctx);

/* The same, waiting for the answer; for rare operations. */
enum attest_rc keystore_sign_wait(struct keystore *ks, const struct key_ref *key, struct slice msg,
                                  int64_t deadline_ms, uint8_t sig[PUBKEY_SIG_LEN],
                                  struct attest_error *err);

/* Whether there is a TPM that keystore_quote() can ask. */
bool keystore_quotes(const struct keystore *ks);

#define KEYSTORE_PCRS 24

/* What a TPM said of its state; src/evidence reads it. */
struct keystore_quote {
    uint8_t quote[512], signature[128],
        ak_public[256]; /* TPMS_ATTEST, TPMT_SIGNATURE, TPM2B_PUBLIC */
    size_t quote_len, signature_len, ak_public_len;
    uint32_t pcrs; /* bit n: PCR n of the SHA-256 bank; the values are those that were quoted */
    uint8_t pcr_values[KEYSTORE_PCRS][SHA256_LEN];
};

/*
 * Has the TPM quote the PCRs that the keys are sealed to (0 to 7 when they are sealed to none) with
 * this qualifying data, by an attestation key that the first call makes. Blocks like the other
 * rare operations. Nothing of it is verified here. ATTEST_E_UNSUPPORTED for a PKCS#11 token;
 * ATTEST_E_KEY_OUT_OF_REACH, ATTEST_E_DENIED (another TPM), ATTEST_E_BUSY (the PCRs keep moving).
 */
enum attest_rc keystore_quote(struct keystore *ks, const uint8_t qualifying[SHA256_LEN],
                              struct keystore_quote *ret, struct attest_error *err);

struct keystore_stats {
    enum keystore_state state;
    unsigned workers, workers_lost, queued;
    uint64_t signatures, failures, reconnects;
    uint64_t sign_cpu_ns;   /* CPU spent inside the module's signing call */
    uint64_t verify_cpu_ns; /* CPU spent checking what came back */
};
void keystore_stats(struct keystore *ks, struct keystore_stats *ret);

/* What the token says of itself, for `status` and the log: "SoftHSM project SoftHSM v2 …". */
void keystore_describe(struct keystore *ks, char *out, size_t out_size);

#endif
