/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_LINK_H
#define HSM_TPM2_LINK_H

#include <tss2/tss2_esys.h>

#include "base/secret.h"
#include "hsm/tpm2_gate.h"
#include "hsm/tpm2_policy.h"

/*
 * One connection to a TPM 2.0: the primary storage key and a session that is salted to it, so that
 * whoever listens on the bus or sits in it sees neither what is sealed nor what is unsealed. Made
 * for a few commands and closed again: without a resource manager the TPM is nobody else's
 * meanwhile. Used by one thread at a time.
 *
 * Every object and session that it loads is listed, and tpm2_link_close() flushes what is still
 * there, whatever failed before.
 */

#define TPM2_HANDLES_MAX 4

struct tpm2_link_config {
    /* As Tss2_TctiLdr_Initialize() takes it: "device:/dev/tpmrm0", "swtpm:port=2321". Never empty:
       the library would then go on to look for a simulator on a port that anyone may hold. */
    const char *tcti;
    const struct secret
        *owner_auth;             /* NULL: the owner hierarchy has none. Lasts as the link does */
    const uint8_t *primary_name; /* TPM2_NAME_LEN; NULL: not known yet */
    bool sealing;      /* for keys that are sealed first: look at the EK certificate (tpm2_ek.h) */
    const char *ek_ca; /* and have it be of this CA; NULL: of any */
    void (*beat)(void *beat_ctx, bool command_starts); /* around each command; NULL: none */
    void *beat_ctx;
    struct tpm2_gate *gate; /* entered and left with the connection; NULL: none */
};

struct tpm2_link {
    struct tpm2_link_config config;
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR handles[TPM2_HANDLES_MAX];         /* ESYS_TR_NONE where free */
    TPM2_HANDLE tpm_handles[TPM2_HANDLES_MAX]; /* the same as the TPM knows them */
    ESYS_TR primary, session;
    uint8_t primary_name[TPM2_NAME_LEN];
    bool ek_checked; /* the name is the word of the TPM with this certificate */
    uint8_t ek_certificate[SHA256_LEN];
    bool broken; /* the connection is, and flushing would only wait for it */
};

/*
 * Connects, derives the primary key from the standard ECC P-256 storage template, compares its name
 * with the one that is expected, starts the salted session. Errors: ATTEST_E_CONFIG (no such TCTI),
 * ATTEST_E_KEY_OUT_OF_REACH (no TPM there, or it does not answer as it should), ATTEST_E_PIN (the
 * owner hierarchy's password, or lockout), ATTEST_E_DENIED (another TPM than the expected one, its
 * owner hierarchy was cleared, or someone sits between).
 */
enum attest_rc tpm2_link_open(const struct tpm2_link_config *config, struct tpm2_link **ret,
                              struct attest_error *err);
void tpm2_link_close(struct tpm2_link *link);
DEFINE_AUTO(tpm2_link, struct tpm2_link *, tpm2_link_close);

/*
 * Lists a handle that a command gave; tpm2_link_drop() flushes it, also when ESAPI does no more:
 * after an answer whose MAC is wrong it refuses everything, and the link is good for nothing but
 * closing.
 */
void tpm2_link_keep(struct tpm2_link *link, ESYS_TR handle);
void tpm2_link_drop(struct tpm2_link *link, ESYS_TR *handle);

/* A session of this type, salted to the primary; SHA-256, AES-128-CFB both ways. Listed. */
TSS2_RC tpm2_link_session(struct tpm2_link *link, TPM2_SE type, ESYS_TR *ret);

/*
 * Before a command of the owner's: gives ESAPI the owner's password. After it, and after any other
 * that had an authorization value: tpm2_link_forget() takes it back, and overwrites the copy that
 * the session (an HMAC or policy session, with the attribute ENCRYPT) keeps of it.
 */
TSS2_RC tpm2_link_owner(struct tpm2_link *link);
void tpm2_link_forget(struct tpm2_link *link, ESYS_TR session);

/* The same, salted to another key. */
TSS2_RC tpm2_link_session_to(struct tpm2_link *link, ESYS_TR key, TPM2_SE type, ESYS_TR *ret);

/*
 * One command, again when the TPM says that it will do later, at most TPM2_TRIES times within about
 * three seconds: busy with itself, or its few slots taken by someone else (0x902, 0x903). Then once
 * more, when what nobody has any more could be flushed (tpm2_slots.h).
 */
#define TPM2_TRIES 8
#define TPM2_CALL(link, call)                                                                      \
    ({                                                                                             \
        TSS2_RC rv_;                                                                               \
        unsigned try_ = 0;                                                                         \
        do {                                                                                       \
            tpm2_link_beat(link, true);                                                            \
            rv_ = (call);                                                                          \
            tpm2_link_beat(link, false);                                                           \
        } while (tpm2_link_again(link, rv_, ++try_));                                              \
        rv_;                                                                                       \
    })
void tpm2_link_beat(struct tpm2_link *link, bool command_starts);
/* Waits, and says whether to try again. */
bool tpm2_link_again(struct tpm2_link *link, TSS2_RC rv, unsigned tried);

/* The response code of the TPM without layer, parameter, handle or session number; 0 if not one. */
TPM2_RC tpm2_rc_base(TSS2_RC rv);

/* What a failed command means for us, with tss2-rc's text: "TPM2_Unseal: tpm:…". */
enum attest_rc tpm2_error(struct attest_error *err, const char *command, TSS2_RC rv);

/*
 * n bytes that the TPM's generator and the kernel's made together: whoever knows one alone knows
 * nothing. n is at most SHA256_LEN.
 */
enum attest_rc tpm2_random(struct tpm2_link *link, struct secret *ret, size_t n,
                           struct attest_error *err);

/* How it does: what the TPM gave, and behind it as much from the kernel. */
void tpm2_random_mix(const uint8_t both[2 * SHA256_LEN], uint8_t ret[SHA256_LEN]);

#endif
