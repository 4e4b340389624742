/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_UNLOCK_H
#define HSM_TPM2_UNLOCK_H

#include "hsm/tpm2_approvals.h"
#include "hsm/tpm2_file.h"
#include "hsm/tpm2_intent.h"

/* By what sealed keys are to be unsealed now, and what follows from it. */

struct tpm2_unlock {
    uint64_t shown; /* by the approval counter, where there is an approver */
    tpm2_pcr_values now;
    uint32_t moved;                       /* of the policy's PCRs */
    struct tpm2_approvals *approvals;     /* judged; NULL: no approver */
    const struct tpm2_approval *approval; /* to unseal by; NULL: by what was recorded */
    bool opens;                           /* as far as PCRs and approvals say */
};

void tpm2_unlock_done(struct tpm2_unlock *u); /* a zeroed one too */

static inline void
tpm2_unlock_auto(struct tpm2_unlock *u)
{
    tpm2_unlock_done(u);
}

/*
 * Looks at PCRs, approval counter and PATH.approvals. What was recorded comes first, as long as it
 * is so and was not revoked; then the approval that fits with the highest serial.
 */
enum attest_rc tpm2_unlock_look(struct tpm2_link *link, const struct tpm2_file *file,
                                const char *path, struct tpm2_unlock *ret,
                                struct attest_error *err);

/* ATTEST_OK, or why not: ATTEST_E_DENIED, with the PCRs that moved. */
enum attest_rc tpm2_unlock_error(const struct tpm2_unlock *u, struct attest_error *err);

/* What the approval counter is to show after unsealing like this; 0 without an approver. */
uint64_t tpm2_unlock_serial(const struct tpm2_unlock *u, const struct tpm2_file *file);

/*
 * After unsealing, when it is known that this is the newest file: raises the approval counter to
 * this serial, which revokes what has a lower one. Only upwards; 0 does nothing. May be interrupted
 * anywhere: what opened stays good, and the next start goes on.
 */
enum attest_rc tpm2_unlock_accept(struct tpm2_link *link, const struct tpm2_file *file,
                                  const struct secret *authority, uint64_t serial,
                                  struct attest_error *err);

/* A new approval counter, raised by who knows the authority, and a new line; into policy, with what
   it shows. */
enum attest_rc tpm2_unlock_counter(struct tpm2_link *link, const struct secret *authority,
                                   struct tpm2_intent *intent, struct tpm2_policy *policy,
                                   struct attest_error *err);

#endif
