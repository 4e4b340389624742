/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_meet.h"

#include <string.h>

#include "base/ed25519.h"
#include "hsm/tpm2_counter.h"

TPML_PCR_SELECTION
tpm2_pcrs_selection(uint32_t pcrs)
{
    return (TPML_PCR_SELECTION){
        .count = 1,
        .pcrSelections = {{.hash = TPM2_ALG_SHA256,
                           .sizeofSelect = 3,
                           .pcrSelect = {(BYTE)pcrs, (BYTE)(pcrs >> 8), (BYTE)(pcrs >> 16)}}}};
}

/* ---- the approver ---- */

/* As tpm2_approver_name() has it. */
static TPM2B_PUBLIC
public_of(const uint8_t point[ES256_POINT_LEN])
{
    TPM2B_PUBLIC p = {
        .publicArea = {
            .type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_SIGN_ENCRYPT,
            .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
                                     .scheme = {.scheme = TPM2_ALG_ECDSA,
                                                .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
                                     .curveID = TPM2_ECC_NIST_P256,
                                     .kdf.scheme = TPM2_ALG_NULL},
            .unique.ecc = {.x.size = 32, .y.size = 32},
        }};
    memcpy(p.publicArea.unique.ecc.x.buffer, point, 32);
    memcpy(p.publicArea.unique.ecc.y.buffer, point + 32, 32);
    return p;
}

static TSS2_RC
verify(struct tpm2_link *link, ESYS_TR key, const struct tpm2_approval *approval,
       TPMT_TK_VERIFIED *ticket)
{
    uint8_t message[TPM2_APPROVAL_MESSAGE_LEN];
    TPM2B_DIGEST digest = {.size = SHA256_LEN};
    TPMT_SIGNATURE signature = {
        .sigAlg = TPM2_ALG_ECDSA,
        .signature.ecdsa = {.hash = TPM2_ALG_SHA256, .signatureR.size = 32, .signatureS.size = 32}};
    TPMT_TK_VERIFIED *got = NULL;
    tpm2_approval_message(approval, message);
    sha256(digest.buffer, message, sizeof(message));
    memcpy(signature.signature.ecdsa.signatureR.buffer, approval->signature, 32);
    memcpy(signature.signature.ecdsa.signatureS.buffer, approval->signature + 32, 32);
    TSS2_RC rv = TPM2_CALL(link, Esys_VerifySignature(link->esys, key, ESYS_TR_NONE, ESYS_TR_NONE,
                                                      ESYS_TR_NONE, &digest, &signature, &got));
    if (rv == TSS2_RC_SUCCESS)
        *ticket = *got;
    Esys_Free(got);
    return rv;
}

enum attest_rc
tpm2_meet_prepare(struct tpm2_link *link, const struct tpm2_policy *policy,
                  const struct tpm2_approval *approval, struct tpm2_meeting *ret,
                  struct attest_error *err)
{
    *ret = (struct tpm2_meeting){.approval = approval};
    if (!approval)
        return ATTEST_OK;
    const TPM2B_PUBLIC public_part = public_of(policy->approver.point);
    ESYS_TR key = ESYS_TR_NONE;
    TSS2_RC rv =
        TPM2_CALL(link, Esys_LoadExternal(link->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                          NULL, &public_part, ESYS_TR_RH_OWNER, &key));
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_LoadExternal (approver)", rv);
    tpm2_link_keep(link, key);
    rv = verify(link, key, approval, &ret->ticket);
    tpm2_link_drop(link, &key);
    if (tpm2_rc_base(rv) == TPM2_RC_SIGNATURE)
        return error_set(err, ATTEST_E_DENIED,
                         "TPM2_VerifySignature: the approval is not signed by the approver");
    return rv == TSS2_RC_SUCCESS ? ATTEST_OK : tpm2_error(err, "TPM2_VerifySignature", rv);
}

/* ---- the commands ---- */

static TSS2_RC
policy_pcr(struct tpm2_link *link, uint32_t pcrs, ESYS_TR session)
{
    const TPML_PCR_SELECTION selection = tpm2_pcrs_selection(pcrs);
    const TPM2B_DIGEST as_they_are = {0}; /* compared later, by who says better what is wrong */
    return TPM2_CALL(link, Esys_PolicyPCR(link->esys, session, ESYS_TR_NONE, ESYS_TR_NONE,
                                          ESYS_TR_NONE, &as_they_are, &selection));
}

static TSS2_RC
policy_nv(struct tpm2_link *link, uint32_t counter, uint64_t most, ESYS_TR session)
{
    ESYS_TR nv = ESYS_TR_NONE;
    TPM2B_OPERAND operand = {.size = 8};
    be32_put(operand.buffer, (uint32_t)(most >> 32));
    be32_put(operand.buffer + 4, (uint32_t)most);
    TSS2_RC rv = tpm2_counter_open(link, counter, &nv);
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_rc_base(rv) == TPM2_RC_HANDLE ? TPM2_RC_POLICY_FAIL : rv;
    rv = tpm2_link_owner(link);
    if (rv == TSS2_RC_SUCCESS)
        rv = TPM2_CALL(link,
                       Esys_PolicyNV(link->esys, ESYS_TR_RH_OWNER, nv, session, link->session,
                                     ESYS_TR_NONE, ESYS_TR_NONE, &operand, 0, TPM2_EO_UNSIGNED_LE));
    tpm2_link_forget(link, link->session);
    (void)Esys_TR_Close(link->esys, &nv);
    return rv;
}

static TSS2_RC
policy_authorize(struct tpm2_link *link, const struct tpm2_policy *policy,
                 const struct tpm2_meeting *meeting, ESYS_TR session)
{
    const struct tpm2_approval *a = meeting->approval;
    TPM2B_DIGEST state = {.size = SHA256_LEN};
    TPM2B_NONCE ref = {.size = SHA256_LEN};
    TPM2B_NAME name = {.size = TPM2_NAME_LEN};
    tpm2_policy_state(a->pcrs, a->values, a->counter, a->serial, state.buffer);
    memcpy(ref.buffer, policy->approver.ref, SHA256_LEN);
    tpm2_approver_name(policy->approver.point, name.name);
    return TPM2_CALL(link,
                     Esys_PolicyAuthorize(link->esys, session, ESYS_TR_NONE, ESYS_TR_NONE,
                                          ESYS_TR_NONE, &state, &ref, &name, &meeting->ticket));
}

static TSS2_RC
policy_or(struct tpm2_link *link, const struct tpm2_policy *policy, ESYS_TR session)
{
    uint8_t ways[2][SHA256_LEN];
    TPML_DIGEST list = {.count = 2, .digests = {{.size = SHA256_LEN}, {.size = SHA256_LEN}}};
    tpm2_policy_ways(policy, ways);
    memcpy(list.digests[0].buffer, ways[0], SHA256_LEN);
    memcpy(list.digests[1].buffer, ways[1], SHA256_LEN);
    return TPM2_CALL(
        link, Esys_PolicyOR(link->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &list));
}

static TSS2_RC
meet_approved(struct tpm2_link *link, const struct tpm2_policy *policy,
              const struct tpm2_meeting *meeting, ESYS_TR session)
{
    const struct tpm2_approval *a = meeting->approval;
    TSS2_RC rv = policy_pcr(link, a ? a->pcrs : policy->pcrs, session);
    if (rv == TSS2_RC_SUCCESS)
        rv = policy_nv(link, policy->approver.counter, a ? a->serial : policy->approver.serial,
                       session);
    if (rv != TSS2_RC_SUCCESS)
        return rv;
    if (a)
        rv = policy_authorize(link, policy, meeting, session);
    if (rv == TSS2_RC_SUCCESS)
        rv = policy_or(link, policy, session);
    /* The digest that the session has come to is none of those that are asked for. */
    return tpm2_rc_base(rv) == TPM2_RC_VALUE ? TPM2_RC_POLICY_FAIL : rv;
}

TSS2_RC
tpm2_meet(struct tpm2_link *link, const struct tpm2_policy *policy,
          const struct tpm2_meeting *meeting, ESYS_TR session)
{
    TSS2_RC rv = TSS2_RC_SUCCESS;
    if (policy->approved)
        rv = meet_approved(link, policy, meeting, session);
    else if (policy->pcrs)
        rv = policy_pcr(link, policy->pcrs, session);
    if (rv == TSS2_RC_SUCCESS && policy->auth)
        rv = TPM2_CALL(link, Esys_PolicyAuthValue(link->esys, session, ESYS_TR_NONE, ESYS_TR_NONE,
                                                  ESYS_TR_NONE));
    return rv;
}
