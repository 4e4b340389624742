/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_seal.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#include "base/ed25519.h"
#include "hsm/tpm2_lockout.h"
#include "hsm/tpm2_meet.h"

/* ---- PCRs ---- */

static uint32_t
pcrs_of(const TPML_PCR_SELECTION *s)
{
    if (s->count != 1 || s->pcrSelections[0].hash != TPM2_ALG_SHA256 ||
        s->pcrSelections[0].sizeofSelect != 3)
        return 0;
    const BYTE *p = s->pcrSelections[0].pcrSelect;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

/* Takes what one TPM2_PCR_Read gave, which may be fewer than were asked for; returns which. */
static uint32_t
take_values(uint32_t got, const TPML_DIGEST *digests, tpm2_pcr_values values)
{
    uint32_t at = 0;
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        if (!(got >> i & 1))
            continue;
        if (at >= digests->count || digests->digests[at].size != SHA256_LEN)
            return 0;
        memcpy(values[i], digests->digests[at++].buffer, SHA256_LEN);
    }
    return at == digests->count ? got : 0;
}

static TSS2_RC
read_pcrs(struct tpm2_link *link, uint32_t pcrs, tpm2_pcr_values values, bool *all)
{
    TSS2_RC rv = TSS2_RC_SUCCESS;
    *all = true;
    while (rv == TSS2_RC_SUCCESS && pcrs && *all) {
        TPML_PCR_SELECTION in = tpm2_pcrs_selection(pcrs), *out = NULL;
        TPML_DIGEST *digests = NULL;
        UINT32 counter;
        rv = TPM2_CALL(link, Esys_PCR_Read(link->esys, link->session, ESYS_TR_NONE, ESYS_TR_NONE,
                                           &in, &counter, &out, &digests));
        if (rv != TSS2_RC_SUCCESS)
            break;
        uint32_t got = take_values(pcrs_of(out) & pcrs, digests, values);
        Esys_Free(out);
        Esys_Free(digests);
        *all = got != 0;
        pcrs &= ~got;
    }
    return rv;
}

enum attest_rc
tpm2_pcrs_read(struct tpm2_link *link, uint32_t pcrs, tpm2_pcr_values values,
               struct attest_error *err)
{
    /* Nothing of this command can be encrypted; as audit session it still gets a MAC. */
    const TPMA_SESSION both = TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT;
    const TPMA_SESSION mask = both | TPMA_SESSION_AUDIT;
    bool all = true;
    TSS2_RC rv = Esys_TRSess_SetAttributes(link->esys, link->session, TPMA_SESSION_AUDIT, mask);
    if (rv == TSS2_RC_SUCCESS)
        rv = read_pcrs(link, pcrs, values, &all);
    TSS2_RC back = Esys_TRSess_SetAttributes(link->esys, link->session, both, mask);
    if (!all)
        return error_set(err, ATTEST_E_CONFIG,
                         "pcrs: this TPM has no SHA-256 bank, or not all of these PCRs");
    if (rv == TSS2_RC_SUCCESS)
        rv = back;
    return rv == TSS2_RC_SUCCESS ? ATTEST_OK : tpm2_error(err, "TPM2_PCR_Read", rv);
}

/* ---- policy ---- */

static enum attest_rc
check_policy(const struct tpm2_policy *policy, const struct secret *auth, struct attest_error *err)
{
    if (policy->approved && !policy->pcrs)
        return error_set(err, ATTEST_E_CONFIG, "an approver needs PCRs to approve values of");
    if (!policy->auth && !policy->pcrs)
        return error_set(err, ATTEST_E_ARGUMENT,
                         "a TPM policy needs PCRs, an authorization value (PIN), or both");
    if (policy->auth && (!auth || auth->len == 0))
        return error_set(err, ATTEST_E_PIN, "sealed with an authorization value: a PIN is needed");
    if (policy->auth && auth->len > TPM2_AUTH_MAX)
        return error_set(err, ATTEST_E_CONFIG, "PIN: at most %d bytes with a TPM", TPM2_AUTH_MAX);
    if (policy->auth && auth->p[auth->len - 1] == 0)
        return error_set(err, ATTEST_E_CONFIG, "PIN: ends in NUL, which a TPM does not keep");
    return ATTEST_OK;
}

/* ---- sealing ---- */

static TPM2B_PUBLIC
template_of(const struct tpm2_policy *policy)
{
    /* noDA is clear too: wrong authorization values count towards lockout. */
    TPM2B_PUBLIC t = {.publicArea = {
                          .type = TPM2_ALG_KEYEDHASH,
                          .nameAlg = TPM2_ALG_SHA256,
                          .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT,
                          .authPolicy.size = SHA256_LEN,
                          .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
                      }};
    tpm2_policy_digest(policy, t.publicArea.authPolicy.buffer);
    return t;
}

/*
 * ESAPI keeps what it was given in its context and frees that without wiping. A second command of
 * the same kind, with nothing in it, is written over it.
 */
static void
overwrite_input(struct tpm2_link *link, const TPM2B_PUBLIC *template)
{
    const TPM2B_SENSITIVE_CREATE nothing = {
        .sensitive = {.userAuth.size = TPM2_AUTH_MAX, .data.size = TPM2_WRAPPING_LEN}};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION creation = {0};
    (void)TPM2_CALL(link, Esys_Create(link->esys, link->primary, link->session, ESYS_TR_NONE,
                                      ESYS_TR_NONE, &nothing, template, &outside, &creation, NULL,
                                      NULL, NULL, NULL, NULL));
}

static TSS2_RC
marshal(const TPM2B_PUBLIC *public_part, const TPM2B_PRIVATE *private_part, struct tpm2_sealed *ret)
{
    TSS2_RC rv = Tss2_MU_TPM2B_PUBLIC_Marshal(public_part, ret->public_part,
                                              sizeof(ret->public_part), &ret->public_len);
    if (rv == TSS2_RC_SUCCESS)
        rv = Tss2_MU_TPM2B_PRIVATE_Marshal(private_part, ret->private_part,
                                           sizeof(ret->private_part), &ret->private_len);
    return rv;
}

/* Whoever sits in the bus could have changed what we asked for. */
static bool
same_template(const TPM2B_PUBLIC *got, const TPM2B_PUBLIC *asked)
{
    const TPMT_PUBLIC *a = &got->publicArea, *b = &asked->publicArea;
    return a->type == b->type && a->nameAlg == b->nameAlg &&
           a->objectAttributes == b->objectAttributes && a->authPolicy.size == SHA256_LEN &&
           !memcmp(a->authPolicy.buffer, b->authPolicy.buffer, SHA256_LEN) &&
           a->parameters.keyedHashDetail.scheme.scheme == TPM2_ALG_NULL;
}

enum attest_rc
tpm2_seal(struct tpm2_link *link, const struct tpm2_policy *policy, const struct secret *auth,
          const struct secret *secret, struct tpm2_sealed *ret, struct attest_error *err)
{
    enum attest_rc rc = check_policy(policy, auth, err);
    if (rc)
        return rc;
    if (secret->len != TPM2_WRAPPING_LEN)
        return error_set(err, ATTEST_E_ARGUMENT, "sealing: %d bytes expected", TPM2_WRAPPING_LEN);
    AUTO(secret) struct secret room = secret_new(sizeof(TPM2B_SENSITIVE_CREATE));
    TPM2B_SENSITIVE_CREATE *in = memset(room.p, 0, room.len);
    in->sensitive.data.size = TPM2_WRAPPING_LEN;
    memcpy(in->sensitive.data.buffer, secret->p, secret->len);
    if (policy->auth) {
        in->sensitive.userAuth.size = (UINT16)auth->len;
        memcpy(in->sensitive.userAuth.buffer, auth->p, auth->len);
    }
    const TPM2B_PUBLIC template = template_of(policy);
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION creation = {0};
    TPM2B_PRIVATE *private_part = NULL;
    TPM2B_PUBLIC *public_part = NULL;
    /* Whatever was done with the session before: the secret must not go without these. */
    const TPMA_SESSION both = TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT;
    TSS2_RC rv = Esys_TRSess_SetAttributes(link->esys, link->session, both, both);
    if (rv == TSS2_RC_SUCCESS)
        rv = TPM2_CALL(link, Esys_Create(link->esys, link->primary, link->session, ESYS_TR_NONE,
                                         ESYS_TR_NONE, in, &template, &outside, &creation,
                                         &private_part, &public_part, NULL, NULL, NULL));
    overwrite_input(link, &template);
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_Create", rv);
    struct tpm2_sealed sealed = {0};
    if (!same_template(public_part, &template))
        rc = error_set(err, ATTEST_E_DENIED, "TPM2_Create: made another object than we asked for");
    else if ((rv = marshal(public_part, private_part, &sealed)) != TSS2_RC_SUCCESS)
        rc = tpm2_error(err, "sealed object", rv);
    Esys_Free(public_part);
    Esys_Free(private_part);
    if (!rc)
        *ret = sealed;
    return rc;
}

/* ---- unsealing ---- */

static bool
unmarshal(const struct tpm2_sealed *sealed, const struct tpm2_policy *policy,
          TPM2B_PUBLIC *public_part, TPM2B_PRIVATE *private_part)
{
    size_t at = 0, end = 0;
    const TPM2B_PUBLIC wanted = template_of(policy);
    return Tss2_MU_TPM2B_PUBLIC_Unmarshal(sealed->public_part, sealed->public_len, &at,
                                          public_part) == TSS2_RC_SUCCESS &&
           at == sealed->public_len &&
           Tss2_MU_TPM2B_PRIVATE_Unmarshal(sealed->private_part, sealed->private_len, &end,
                                           private_part) == TSS2_RC_SUCCESS &&
           end == sealed->private_len && same_template(public_part, &wanted);
}

/* Before the TPM says no more than that: which of them are not what they were. */
static enum attest_rc
check_pcrs(struct tpm2_link *link, const struct tpm2_policy *policy,
           const struct tpm2_approval *approval, struct attest_error *err)
{
    uint32_t pcrs = approval ? approval->pcrs : policy->pcrs;
    tpm2_pcr_values now;
    char names[TPM2_PCRS_TEXT_MAX];
    enum attest_rc rc = tpm2_pcrs_read(link, pcrs, now, err);
    if (rc)
        return rc;
    uint32_t moved = tpm2_pcrs_moved(pcrs, approval ? approval->values : policy->values, now);
    if (!moved)
        return ATTEST_OK;
    tpm2_pcrs_names(moved, names);
    return error_set(err, ATTEST_E_DENIED, "PCR %s (sha256) moved since the keys were %s", names,
                     approval ? "approved to be unsealed" : "sealed");
}

static TSS2_RC
give_auth(struct tpm2_link *link, ESYS_TR object, const struct secret *auth)
{
    TPM2B_AUTH value = {.size = (UINT16)auth->len};
    memcpy(value.buffer, auth->p, auth->len);
    TSS2_RC rv = Esys_TR_SetAuth(link->esys, object, &value);
    secret_wipe(&value, sizeof(value));
    return rv;
}

/*
 * The answer stays in ESAPI's buffer, decrypted, until another one is written over it: 48 random
 * bytes, as long as what was unsealed and the length before it.
 */
static void
overwrite_answer(struct tpm2_link *link)
{
    TPM2B_DIGEST *random = NULL;
    if (TPM2_CALL(link, Esys_GetRandom(link->esys, link->session, ESYS_TR_NONE, ESYS_TR_NONE, 48,
                                       &random)) == TSS2_RC_SUCCESS)
        Esys_Free(random);
}

static TSS2_RC
unseal_object(struct tpm2_link *link, const struct tpm2_policy *policy,
              const struct tpm2_meeting *meeting, const struct secret *auth, ESYS_TR object,
              struct secret *ret)
{
    ESYS_TR session = ESYS_TR_NONE;
    TPM2B_SENSITIVE_DATA *data = NULL;
    TSS2_RC rv = tpm2_link_session(link, TPM2_SE_POLICY, &session);
    if (rv == TSS2_RC_SUCCESS)
        rv = tpm2_meet(link, policy, meeting, session);
    if (rv == TSS2_RC_SUCCESS && policy->auth)
        rv = give_auth(link, object, auth);
    if (rv == TSS2_RC_SUCCESS)
        rv = TPM2_CALL(link,
                       Esys_Unseal(link->esys, object, session, ESYS_TR_NONE, ESYS_TR_NONE, &data));
    if (rv == TSS2_RC_SUCCESS) {
        *ret = secret_copy(data->buffer, data->size <= TPM2_WRAPPING_LEN ? data->size : 0);
        secret_wipe(data, sizeof(*data));
        Esys_Free(data);
        overwrite_answer(link);
    }
    tpm2_link_forget(link, session);
    tpm2_link_drop(link, &session);
    return rv;
}

enum attest_rc
tpm2_unseal_approved(struct tpm2_link *link, const struct tpm2_policy *policy,
                     const struct tpm2_approval *approval, const struct secret *auth,
                     const struct tpm2_sealed *sealed, struct secret *ret, struct attest_error *err)
{
    struct tpm2_meeting meeting;
    TPM2B_PUBLIC public_part = {0};
    TPM2B_PRIVATE private_part = {0};
    enum attest_rc rc = check_policy(policy, auth, err);
    if (rc)
        return rc;
    if (!unmarshal(sealed, policy, &public_part, &private_part))
        return error_set(err, ATTEST_E_CORRUPT, "the sealed key is not one under this policy");
    if ((policy->pcrs && (rc = check_pcrs(link, policy, approval, err))) ||
        (rc = tpm2_meet_prepare(link, policy, approval, &meeting, err)))
        return rc;
    ESYS_TR object = ESYS_TR_NONE;
    TSS2_RC rv = TPM2_CALL(link, Esys_Load(link->esys, link->primary, link->session, ESYS_TR_NONE,
                                           ESYS_TR_NONE, &private_part, &public_part, &object));
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_Load", rv);
    tpm2_link_keep(link, object);
    struct secret secret = {0};
    rv = unseal_object(link, policy, &meeting, auth, object, &secret);
    tpm2_link_drop(link, &object);
    if (tpm2_rc_base(rv) == TPM2_RC_LOCKOUT)
        return tpm2_lockout_error(link, "TPM2_Unseal", err);
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_Unseal", rv);
    if (secret.len != TPM2_WRAPPING_LEN) {
        secret_free(&secret);
        return error_set(err, ATTEST_E_CORRUPT, "what was unsealed is no wrapping key");
    }
    *ret = secret;
    return ATTEST_OK;
}

enum attest_rc
tpm2_unseal(struct tpm2_link *link, const struct tpm2_policy *policy, const struct secret *auth,
            const struct tpm2_sealed *sealed, struct secret *ret, struct attest_error *err)
{
    return tpm2_unseal_approved(link, policy, NULL, auth, sealed, ret, err);
}
