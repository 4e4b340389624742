/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_LOCKOUT_H
#define HSM_TPM2_LOCKOUT_H

#include "hsm/tpm2_link.h"

/* How the TPM stands with wrong authorization values, for those who have to wait for it. */
struct tpm2_lockout {
    bool locked;
    uint32_t failed, failed_max; /* from failed_max on it is locked */
    uint32_t interval_s;         /* until one failed try is forgotten */
};

enum attest_rc tpm2_lockout_read(struct tpm2_link *link, struct tpm2_lockout *ret,
                                 struct attest_error *err);

/* ATTEST_E_PIN, with the seconds to wait, for a command that was refused in lockout. */
enum attest_rc tpm2_lockout_error(struct tpm2_link *link, const char *command,
                                  struct attest_error *err);

#endif
