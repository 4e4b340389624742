/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_SEAL_H
#define HSM_TPM2_SEAL_H

#include "hsm/tpm2_approval.h"
#include "hsm/tpm2_link.h"

/*
 * A secret sealed by the TPM: it gives it back only to who meets the policy, and only on the same
 * TPM. Sealed, not resident: what was unsealed is in our memory and works without the TPM.
 *
 * There is no other way to the object than its policy: userWithAuth and adminWithPolicy are clear.
 * The digest of the policy is computed by us (tpm2_policy.h) and compared by the TPM.
 */

#define TPM2_SEALED_MAX 512 /* bytes of either part, marshalled */
#define TPM2_WRAPPING_LEN 32

struct tpm2_sealed {
    uint8_t public_part[TPM2_SEALED_MAX];  /* TPM2B_PUBLIC, marshalled */
    uint8_t private_part[TPM2_SEALED_MAX]; /* TPM2B_PRIVATE: encrypted by the TPM */
    size_t public_len, private_len;
};

/* Reads the chosen PCRs as they are now. */
enum attest_rc tpm2_pcrs_read(struct tpm2_link *link, uint32_t pcrs, tpm2_pcr_values values,
                              struct attest_error *err);

/*
 * Seals a secret of TPM2_WRAPPING_LEN bytes. auth: needed exactly when policy->auth, 1 to
 * TPM2_AUTH_MAX bytes. ATTEST_E_ARGUMENT for a policy that asks for nothing, and errors as of
 * tpm2_link_open().
 */
enum attest_rc tpm2_seal(struct tpm2_link *link, const struct tpm2_policy *policy,
                         const struct secret *auth, const struct secret *secret,
                         struct tpm2_sealed *ret, struct attest_error *err);

/*
 * ATTEST_E_DENIED names the PCRs that are not what they were; ATTEST_E_PIN for a wrong
 * authorization value, which the TPM counts, and for lockout: do not call again by yourself.
 * ATTEST_E_CORRUPT when it is not a sealed secret of this TPM under this policy.
 */
enum attest_rc tpm2_unseal(struct tpm2_link *link, const struct tpm2_policy *policy,
                           const struct secret *auth, const struct tpm2_sealed *sealed,
                           struct secret *ret, struct attest_error *err);

/*
 * The same by an approval, for a policy with an approver; NULL: by what was recorded. Also
 * ATTEST_E_DENIED: not his, not for this state, or revoked by one with a higher serial.
 */
enum attest_rc tpm2_unseal_approved(struct tpm2_link *link, const struct tpm2_policy *policy,
                                    const struct tpm2_approval *approval, const struct secret *auth,
                                    const struct tpm2_sealed *sealed, struct secret *ret,
                                    struct attest_error *err);

#endif
