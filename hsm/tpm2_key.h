/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_KEY_H
#define HSM_TPM2_KEY_H

#include "base/pubkey.h"
#include "hsm/tpm2_counter.h"
#include "hsm/tpm2_seal.h"

/*
 * Signing keys that the TPM makes itself and that never leave it: P-256, ECDSA with SHA-256,
 * fixedTPM, fixedParent, sensitiveDataOrigin. What is kept of one is its public part and a private
 * part that this TPM alone can read. Its authorization value (tpm2_auth_value()) is known only to
 * who could unseal, so the policy stands before these keys too, once for each start and not once
 * for each signature. noDA: that value cannot be guessed, and a broken line must not lock the TPM.
 */

enum tpm2_key_use {
    TPM2_KEY_ATTESTS, /* restricted: signs what the TPM itself says and nothing else */
    TPM2_KEY_SIGNS,   /* any digest: who has its authorization value decides */
    TPM2_KEY_USES,
};

/*
 * Errors as tpm2_error(), and ATTEST_E_DENIED when the TPM, or something before it, made another
 * key than we asked for.
 */
enum attest_rc tpm2_key_create(struct tpm2_link *link, enum tpm2_key_use use,
                               const uint8_t auth[TPM2_AUTH_VALUE_LEN], struct tpm2_sealed *ret,
                               struct attest_error *err);

/* Its public key; false when what is kept is no such key. */
bool tpm2_key_public(enum tpm2_key_use use, const struct tpm2_sealed *kept, struct pubkey *ret);

/* Loads it; listed with the link. ATTEST_E_CORRUPT also when it is no key of this TPM. */
enum attest_rc tpm2_key_load(struct tpm2_link *link, enum tpm2_key_use use,
                             const struct tpm2_sealed *kept, ESYS_TR *ret,
                             struct attest_error *err);

/* Before each use, and after it: ESAPI is not to keep the value in the meantime. */
TSS2_RC tpm2_key_give_auth(struct tpm2_link *link, ESYS_TR key,
                           const uint8_t auth[TPM2_AUTH_VALUE_LEN]);
void tpm2_key_forget_auth(struct tpm2_link *link, ESYS_TR key);

/* Signs a digest with a loaded key whose value was given: r and s, RFC 7518 section 3.4. */
TSS2_RC tpm2_key_sign(struct tpm2_link *link, ESYS_TR key, const uint8_t digest[SHA256_LEN],
                      uint8_t sig[PUBKEY_SIG_LEN]);

#endif
