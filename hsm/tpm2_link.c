/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_link.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#include "base/ed25519.h"
#include "hsm/tpm2_ek.h"
#include "hsm/tpm2_slots.h"
#include "hsm/tpm2_tabrmd.h"

#define RETRY_FIRST_MS 20

static const TPMT_SYM_DEF session_symmetric = {
    .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};

/*
 * The storage primary of the TCG's provisioning guidance, which others derive too: the seed of the
 * owner hierarchy and this template always give the same key, so nothing of it has to be kept.
 */
static const TPM2B_PUBLIC primary_template = {
    .publicArea =
        {
            .type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
            .parameters.eccDetail =
                {
                    .symmetric = {.algorithm = TPM2_ALG_AES,
                                  .keyBits.aes = 128,
                                  .mode.aes = TPM2_ALG_CFB},
                    .scheme.scheme = TPM2_ALG_NULL,
                    .curveID = TPM2_ECC_NIST_P256,
                    .kdf.scheme = TPM2_ALG_NULL,
                },
            .unique.ecc = {.x.size = 32, .y.size = 32},
        },
};

void
tpm2_link_beat(struct tpm2_link *link, bool command_starts)
{
    if (link->config.beat)
        link->config.beat(link->config.beat_ctx, command_starts);
}

TPM2_RC
tpm2_rc_base(TSS2_RC rv)
{
    uint32_t layer = rv & TSS2_RC_LAYER_MASK;
    if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
        return 0;
    rv &= ~TSS2_RC_LAYER_MASK;
    /* Format one: the low six bits are the error, the rest says whose parameter it is about. */
    return rv & TPM2_RC_FMT1 ? rv & (TPM2_RC_FMT1 | 0x3f) : rv;
}

static TSS2_RC
set_encrypting(struct tpm2_link *link, ESYS_TR session)
{
    const TPMA_SESSION both = TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT;
    return Esys_TRSess_SetAttributes(link->esys, session, both, both);
}

/*
 * For a command that has nothing to encrypt one way, ESAPI takes that attribute from the session
 * and gives it back only when the command succeeds: after another the next would send its secret as
 * it is. A session that audits has neither, and is put right by whoever asked for it.
 */
static void
go_on_encrypting(struct tpm2_link *link)
{
    TPMA_SESSION attributes;
    if (link->session != ESYS_TR_NONE &&
        Esys_TRSess_GetAttributes(link->esys, link->session, &attributes) == TSS2_RC_SUCCESS &&
        !(attributes & TPMA_SESSION_AUDIT))
        (void)set_encrypting(link, link->session);
}

static bool
rc_is_one_of(TSS2_RC rv, const TPM2_RC *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (tpm2_rc_base(rv) == list[i])
            return true;
    }
    return false;
}

bool
tpm2_link_again(struct tpm2_link *link, TSS2_RC rv, unsigned tried)
{
    static const TPM2_RC no_room[] = {TPM2_RC_OBJECT_MEMORY, TPM2_RC_SESSION_MEMORY,
                                      TPM2_RC_OBJECT_HANDLES};
    static const TPM2_RC later[] = {TPM2_RC_RETRY, TPM2_RC_YIELDED, TPM2_RC_TESTING,
                                    TPM2_RC_NV_RATE};
    if (rv == TSS2_RC_SUCCESS)
        return false;
    go_on_encrypting(link);
    if ((rv & TSS2_RC_LAYER_MASK) == TSS2_TCTI_RC_LAYER)
        link->broken = true;
    bool full = rc_is_one_of(rv, no_room, ARRAY_LEN(no_room));
    /* Who was in the way had the time to go: once more without what is left behind. */
    if (full && tried == TPM2_TRIES)
        return tpm2_slots_clear(link);
    if (tried >= TPM2_TRIES || (!full && !rc_is_one_of(rv, later, ARRAY_LEN(later))))
        return false;
    long ms = (long)RETRY_FIRST_MS << (tried - 1);
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
    return true;
}

enum attest_rc
tpm2_error(struct attest_error *err, const char *command, TSS2_RC rv)
{
    switch (tpm2_rc_base(rv)) {
    case TPM2_RC_AUTH_FAIL:
    case TPM2_RC_BAD_AUTH:
        return error_set(err, ATTEST_E_PIN,
                         "%s: the TPM refuses the authorization value (PIN); it counts wrong ones",
                         command);
    case TPM2_RC_LOCKOUT:
        return error_set(err, ATTEST_E_PIN,
                         "%s: the TPM is in lockout after wrong authorization values; it has to be "
                         "waited for or reset by its lockout authority",
                         command);
    case TPM2_RC_POLICY:
    case TPM2_RC_POLICY_FAIL:
    case TPM2_RC_PCR_CHANGED:
        return error_set(err, ATTEST_E_DENIED, "%s: the policy is not met: %s", command,
                         Tss2_RC_Decode(rv));
    case TPM2_RC_INTEGRITY:
        return error_set(err, ATTEST_E_CORRUPT, "%s: not sealed by this TPM, or damaged", command);
    case TPM2_RC_INITIALIZE:
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "%s: the TPM has not been started",
                         command);
    default:
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "%s: %s", command, Tss2_RC_Decode(rv));
    }
}

/* ---- handles ---- */

void
tpm2_link_keep(struct tpm2_link *link, ESYS_TR handle)
{
    for (size_t i = 0; i < TPM2_HANDLES_MAX; i++) {
        if (link->handles[i] == ESYS_TR_NONE) {
            link->handles[i] = handle;
            link->tpm_handles[i] = 0;
            (void)Esys_TR_GetTpmHandle(link->esys, handle, &link->tpm_handles[i]);
            return;
        }
    }
    abort(); /* a place is missing in the array, which no input can bring about */
}

static void
flush(struct tpm2_link *link, ESYS_TR handle, TPM2_HANDLE tpm_handle)
{
    TSS2_RC rv = TPM2_CALL(link, Esys_FlushContext(link->esys, handle));
    if ((rv & TSS2_RC_LAYER_MASK) != TSS2_ESAPI_RC_LAYER || tpm_handle == 0)
        return;
    (void)TPM2_CALL(link, tpm2_slots_flush(link, tpm_handle));
}

void
tpm2_link_drop(struct tpm2_link *link, ESYS_TR *handle)
{
    TPM2_HANDLE tpm_handle = 0;
    if (*handle == ESYS_TR_NONE)
        return;
    for (size_t i = 0; i < TPM2_HANDLES_MAX; i++) {
        if (link->handles[i] != *handle)
            continue;
        tpm_handle = link->tpm_handles[i];
        link->handles[i] = ESYS_TR_NONE;
    }
    if (!link->broken)
        flush(link, *handle, tpm_handle);
    *handle = ESYS_TR_NONE;
}

TSS2_RC
tpm2_link_session(struct tpm2_link *link, TPM2_SE type, ESYS_TR *ret)
{
    return tpm2_link_session_to(link, link->primary, type, ret);
}

TSS2_RC
tpm2_link_session_to(struct tpm2_link *link, ESYS_TR key, TPM2_SE type, ESYS_TR *ret)
{
    ESYS_TR session = ESYS_TR_NONE;
    TSS2_RC rv =
        TPM2_CALL(link, Esys_StartAuthSession(link->esys, key, ESYS_TR_NONE, ESYS_TR_NONE,
                                              ESYS_TR_NONE, ESYS_TR_NONE, NULL, type,
                                              &session_symmetric, TPM2_ALG_SHA256, &session));
    if (rv != TSS2_RC_SUCCESS)
        return rv;
    tpm2_link_keep(link, session);
    const TPMA_SESSION attributes =
        TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT;
    rv = Esys_TRSess_SetAttributes(link->esys, session, attributes, 0xff);
    *ret = session;
    return rv;
}

/* ---- opening ---- */

static TSS2_RC
set_auth(struct tpm2_link *link, ESYS_TR handle, const struct secret *auth)
{
    TPM2B_AUTH value = {0};
    if (auth && auth->len <= sizeof(value.buffer)) {
        value.size = (UINT16)auth->len;
        memcpy(value.buffer, auth->p, auth->len);
    }
    TSS2_RC rv = Esys_TR_SetAuth(link->esys, handle, &value);
    secret_wipe(&value, sizeof(value));
    return rv;
}

TSS2_RC
tpm2_link_owner(struct tpm2_link *link)
{
    return set_auth(link, ESYS_TR_RH_OWNER, link->config.owner_auth);
}

/*
 * ESAPI appends the authorization value to the key of the session, and leaves both there, beyond
 * the session's end. Two sessions that would both encrypt are refused by ESAPI itself, after it has
 * put the value of now, nothing but zeros, over the other one.
 */
void
tpm2_link_forget(struct tpm2_link *link, ESYS_TR session)
{
    uint8_t zeros[SHA256_LEN] = {0};
    const struct secret nothing = {zeros, sizeof(zeros)};
    if (session != ESYS_TR_NONE && session != ESYS_TR_PASSWORD &&
        set_auth(link, ESYS_TR_RH_OWNER, &nothing) == TSS2_RC_SUCCESS &&
        set_encrypting(link, session) == TSS2_RC_SUCCESS) {
        TSS2_RC rv =
            Esys_Unseal_Async(link->esys, ESYS_TR_RH_OWNER, session, session, ESYS_TR_NONE);
        if (rv == TSS2_RC_SUCCESS) /* it is not refused: it must not stay under way */
            (void)Esys_Unseal_Finish(link->esys, &(TPM2B_SENSITIVE_DATA *){NULL});
        (void)set_encrypting(link, session);
    }
    (void)set_auth(link, ESYS_TR_RH_OWNER, NULL);
}

/*
 * A password would cross the bus as it is; in a session only a MAC made with it does. That session
 * has no salt yet, there being no key that we know: listening, one may try passwords against it.
 */
static TSS2_RC
owner_session(struct tpm2_link *link, ESYS_TR *ret)
{
    if (*ret != ESYS_TR_NONE)
        return tpm2_link_owner(link); /* one with the certified TPM */
    if (!link->config.owner_auth || link->config.owner_auth->len == 0) {
        *ret = ESYS_TR_PASSWORD;
        return TSS2_RC_SUCCESS;
    }
    TSS2_RC rv = tpm2_link_owner(link);
    if (rv == TSS2_RC_SUCCESS)
        rv = TPM2_CALL(link,
                       Esys_StartAuthSession(link->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                             ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_HMAC,
                                             &session_symmetric, TPM2_ALG_SHA256, ret));
    if (rv != TSS2_RC_SUCCESS)
        return rv;
    tpm2_link_keep(link, *ret);
    return Esys_TRSess_SetAttributes(link->esys, *ret,
                                     TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_ENCRYPT, 0xff);
}

static enum attest_rc
create_primary(struct tpm2_link *link, struct attest_error *err)
{
    const TPM2B_SENSITIVE_CREATE sensitive = {0};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    ESYS_TR session = ESYS_TR_NONE, primary = ESYS_TR_NONE;
    enum attest_rc rc = link->config.sealing ? tpm2_ek_session(link, link->config.ek_ca, &session,
                                                               link->ek_certificate, err)
                                             : ATTEST_OK;
    if (rc)
        return rc;
    link->ek_checked = session != ESYS_TR_NONE;
    TSS2_RC rv = owner_session(link, &session);
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_StartAuthSession", rv);
    rv = TPM2_CALL(link, Esys_CreatePrimary(link->esys, ESYS_TR_RH_OWNER, session, ESYS_TR_NONE,
                                            ESYS_TR_NONE, &sensitive, &primary_template, &outside,
                                            &pcrs, &primary, NULL, NULL, NULL, NULL));
    tpm2_link_forget(link, session);
    if (session != ESYS_TR_PASSWORD)
        tpm2_link_drop(link, &session);
    if (rv != TSS2_RC_SUCCESS && tpm2_error(NULL, "", rv) == ATTEST_E_PIN &&
        tpm2_rc_base(rv) != TPM2_RC_LOCKOUT)
        return error_set(err, ATTEST_E_PIN, "the TPM's owner hierarchy has %s",
                         link->config.owner_auth ? "another password than owner_auth.file"
                                                 : "a password: set owner_auth.file");
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_CreatePrimary (owner hierarchy)", rv);
    tpm2_link_keep(link, primary);
    link->primary = primary;
    return ATTEST_OK;
}

/* The name is what ESAPI computed from the public area that it got, and encrypts salts to. */
static enum attest_rc
check_primary(struct tpm2_link *link, struct attest_error *err)
{
    TPM2B_NAME *name = NULL;
    TSS2_RC rv = Esys_TR_GetName(link->esys, link->primary, &name);
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "name of the primary key", rv);
    bool fits = name->size == TPM2_NAME_LEN;
    if (fits)
        memcpy(link->primary_name, name->name, TPM2_NAME_LEN);
    Esys_Free(name);
    if (!fits)
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH,
                         "the TPM gave the primary key a name of another form");
    if (link->config.primary_name &&
        memcmp(link->primary_name, link->config.primary_name, TPM2_NAME_LEN) != 0)
        return error_set(err, ATTEST_E_DENIED,
                         "not the TPM that sealed the keys, or it was cleared since, or something "
                         "stands between: its primary key has another name");
    return ATTEST_OK;
}

static enum attest_rc
connect_tcti(struct tpm2_link *link, const char *tcti, struct attest_error *err)
{
    if (!tcti || !tcti[0])
        return error_set(err, ATTEST_E_CONFIG, "no TCTI: device:/dev/tpmrm0 is the usual one");
    /* The libraries print to stderr, at their trace level secrets too, whatever the caller's
       environment asks of them. They look at this once. */
    setenv("TSS2_LOG", "all+NONE", 1);
    tpm2_link_beat(link, true); /* most TCTIs wait for an answer in here, without end */
    TSS2_RC rv = Tss2_TctiLdr_Initialize(tcti, &link->tcti);
    tpm2_link_beat(link, false);
    if (rv != TSS2_RC_SUCCESS) {
        link->tcti = NULL;
        bool unknown = (rv & ~TSS2_RC_LAYER_MASK) == TSS2_BASE_RC_NOT_SUPPORTED ||
                       (rv & ~TSS2_RC_LAYER_MASK) == TSS2_BASE_RC_BAD_VALUE;
        return error_set(err, unknown ? ATTEST_E_CONFIG : ATTEST_E_KEY_OUT_OF_REACH,
                         "no TPM by TCTI '%.60s': %s", tcti, Tss2_RC_Decode(rv));
    }
    rv = Esys_Initialize(&link->esys, link->tcti, NULL);
    if (rv != TSS2_RC_SUCCESS) {
        link->esys = NULL;
        return tpm2_error(err, "Esys_Initialize", rv);
    }
    return ATTEST_OK;
}

enum attest_rc
tpm2_link_open(const struct tpm2_link_config *config, struct tpm2_link **ret,
               struct attest_error *err)
{
    if (config->owner_auth && config->owner_auth->len > SHA256_LEN)
        return error_set(err, ATTEST_E_CONFIG, "owner password: at most %d bytes", SHA256_LEN);
    AUTO(tpm2_link) struct tpm2_link *link = calloc(1, sizeof(*link));
    if (!link)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    if (config->gate && tpm2_gate_enter(config->gate, TPM2_GATE_CHANGES, err)) {
        free(STEAL(link));
        return ATTEST_E_KEY_OUT_OF_REACH;
    }
    link->config = *config;
    link->primary = link->session = ESYS_TR_NONE;
    for (size_t i = 0; i < TPM2_HANDLES_MAX; i++)
        link->handles[i] = ESYS_TR_NONE;
    enum attest_rc rc = connect_tcti(link, config->tcti, err);
    if (rc || (rc = create_primary(link, err)) || (rc = check_primary(link, err)))
        return rc;
    TSS2_RC rv = tpm2_link_session(link, TPM2_SE_HMAC, &link->session);
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_StartAuthSession", rv);
    link->config.primary_name = NULL; /* the caller's, and done with */
    *ret = STEAL(link);
    return ATTEST_OK;
}

void
tpm2_link_close(struct tpm2_link *link)
{
    if (!link)
        return;
    /* The last first: what was loaded under a key goes before it. */
    for (size_t i = TPM2_HANDLES_MAX; i-- > 0;) {
        ESYS_TR handle = link->handles[i];
        tpm2_link_drop(link, &handle);
    }
    Esys_Finalize(&link->esys);
    Tss2_TctiLdr_Finalize(&link->tcti);
    if (link->config.tcti && tpm2_tabrmd_is(link->config.tcti))
        tpm2_tabrmd_tidy();
    if (link->config.gate)
        tpm2_gate_leave(link->config.gate);
    free(link);
}

/* ---- random ---- */

static enum attest_rc
tpm_random(struct tpm2_link *link, uint8_t *out, size_t n, struct attest_error *err)
{
    while (n > 0) {
        TPM2B_DIGEST *got = NULL;
        TSS2_RC rv = TPM2_CALL(link, Esys_GetRandom(link->esys, link->session, ESYS_TR_NONE,
                                                    ESYS_TR_NONE, (UINT16)n, &got));
        if (rv != TSS2_RC_SUCCESS)
            return tpm2_error(err, "TPM2_GetRandom", rv);
        size_t take = got->size < n ? got->size : n;
        memcpy(out, got->buffer, take);
        secret_wipe(got, sizeof(*got));
        Esys_Free(got);
        if (take == 0)
            return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "TPM2_GetRandom: gave nothing");
        out += take;
        n -= take;
    }
    return ATTEST_OK;
}

void
tpm2_random_mix(const uint8_t both[2 * SHA256_LEN], uint8_t ret[SHA256_LEN])
{
    sha256(ret, both, 2 * SHA256_LEN);
}

enum attest_rc
tpm2_random(struct tpm2_link *link, struct secret *ret, size_t n, struct attest_error *err)
{
    if (n > SHA256_LEN)
        return error_set(err, ATTEST_E_ARGUMENT, "random: at most %d bytes", SHA256_LEN);
    AUTO(secret) struct secret both = secret_new(2 * SHA256_LEN);
    AUTO(secret) struct secret digest = secret_new(SHA256_LEN);
    enum attest_rc rc = tpm_random(link, both.p, SHA256_LEN, err);
    if (rc)
        return rc;
    random_bytes(both.p + SHA256_LEN, SHA256_LEN);
    tpm2_random_mix(both.p, digest.p);
    *ret = secret_copy(digest.p, n);
    return ATTEST_OK;
}
