/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_EXPECT_H
#define HSM_TPM2_EXPECT_H

#include "hsm/tpm2_store.h"

/*
 * Whether a file that opened is the one that the configuration means. That the TPM unseals it says
 * only that somebody with this TPM sealed it: who can write where it lies and use the TPM can make
 * one under a wrapping key that he knows, with the right PCRs, and have keys put into it. What he
 * cannot make is one that asks for a PIN that he does not know, one with the approver's key that
 * some approval opens, or one with the authority that a configured id goes by.
 *
 * Pure; thread-safe.
 */

/* ATTEST_E_CONFIG: asks for no PIN although there is one, names another approver than the
   configured one, or has another id. store->change decides what may differ. */
enum attest_rc tpm2_expect(const struct tpm2_store_config *config, const struct tpm2_file *file,
                           const struct secret *authority, struct attest_error *err);

/* What a file goes by from its making on, sealed anew or not. False when out of memory. */
bool tpm2_sealed_id(const struct secret *authority, uint8_t id[SHA256_LEN]);

#endif
