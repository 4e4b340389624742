/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_AK_H
#define HSM_TPM2_AK_H

#include "hsm/keystore.h"
#include "hsm/tpm2_counter.h"
#include "hsm/tpm2_seal.h"

/*
 * The attestation key: a P-256 key of the TPM's own making that never leaves it and signs nothing
 * but what the TPM itself says (restricted). Its authorization value is known only to who could
 * unseal; the TPM loads it for one quote at a time from the two parts kept in the file of sealed
 * keys. Errors of both: as tpm2_error(), and ATTEST_E_DENIED when the TPM, or something before it,
 * made another key than we asked for.
 */
enum attest_rc tpm2_ak_create(struct tpm2_link *link, const uint8_t auth[TPM2_AUTH_VALUE_LEN],
                              struct tpm2_sealed *ret, struct attest_error *err);

/*
 * Quotes these PCRs, and reads their values, which are those that the quote is about.
 * ATTEST_E_CORRUPT also when it is no key of this TPM, ATTEST_E_BUSY when the PCRs kept moving
 * meanwhile.
 */
enum attest_rc tpm2_ak_quote(struct tpm2_link *link, const struct tpm2_sealed *ak,
                             const uint8_t auth[TPM2_AUTH_VALUE_LEN], uint32_t pcrs,
                             const uint8_t qualifying[SHA256_LEN], struct keystore_quote *ret,
                             struct attest_error *err);

#endif
