/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_APPROVALS_H
#define HSM_TPM2_APPROVALS_H

#include "hsm/tpm2_approval.h"

/*
 * The directory beside a file of sealed keys, PATH.approvals, that approvals are put into: each
 * file of it whose name ends in .json. Put one there by rename, so that none is read half.
 */

#define TPM2_APPROVALS_MAX 32
#define TPM2_APPROVAL_NAME_MAX 63

struct tpm2_approvals {
    size_t n;
    struct tpm2_approvals_entry {
        char name[TPM2_APPROVAL_NAME_MAX + 1];
        bool readable;
        struct tpm2_approval approval;
        enum tpm2_approval_verdict verdict; /* of tpm2_approvals_judge() */
    } list[TPM2_APPROVALS_MAX];             /* by name */
};

/* No directory: none. ATTEST_E_IO; ATTEST_E_LIMIT for more than TPM2_APPROVALS_MAX. free() *ret. */
enum attest_rc tpm2_approvals_read(const char *sealed_path, struct tpm2_approvals **ret,
                                   struct attest_error *err);

/* Judges all, and returns the one that fits with the highest serial, or NULL. */
const struct tpm2_approval *tpm2_approvals_judge(struct tpm2_approvals *approvals,
                                                 const struct tpm2_policy *policy,
                                                 const uint8_t tpm_name[TPM2_NAME_LEN],
                                                 uint64_t shown, const tpm2_pcr_values now);

/* Has all that are readable on the disk, and the directory too. ATTEST_E_IO. */
enum attest_rc tpm2_approvals_sync(const char *sealed_path, const struct tpm2_approvals *approvals,
                                   struct attest_error *err);

/* Makes the directory, for its owner alone, unless it is there. */
enum attest_rc tpm2_approvals_mkdir(const char *sealed_path, struct attest_error *err);

#endif
