/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_MEET_H
#define HSM_TPM2_MEET_H

#include "hsm/tpm2_approval.h"
#include "hsm/tpm2_link.h"

/* The commands that meet a policy (tpm2_policy.h) in a session, by what was recorded or by an
   approval. */

struct tpm2_meeting {
    const struct tpm2_approval *approval; /* NULL: by what was recorded */
    TPMT_TK_VERIFIED ticket;              /* of the TPM, that the approver has signed it */
};

/*
 * Has the TPM check the approver's signature; nothing to do without an approval. It needs room for
 * one object more. ATTEST_E_DENIED when it is not his.
 */
enum attest_rc tpm2_meet_prepare(struct tpm2_link *link, const struct tpm2_policy *policy,
                                 const struct tpm2_approval *approval, struct tpm2_meeting *ret,
                                 struct attest_error *err);

/* TPM2_RC_POLICY or TPM2_RC_POLICY_FAIL when the policy is not met, as far as it shows here. */
TSS2_RC tpm2_meet(struct tpm2_link *link, const struct tpm2_policy *policy,
                  const struct tpm2_meeting *meeting, ESYS_TR session);

TPML_PCR_SELECTION tpm2_pcrs_selection(uint32_t pcrs);

#endif
