/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_EK_H
#define HSM_TPM2_EK_H

#include "hsm/tpm2_link.h"

/*
 * The endorsement key that the TPM's maker has certified (TCG EK Credential Profile 2.x, low range:
 * RSA 2048 and ECC P-256). A session salted to it is one with that TPM and nobody between, so that
 * what the primary key's CreatePrimary answers in it is the TPM's own word.
 *
 * Reads the certificate from the TPM. With ca_path, PEM certificates: there has to be one, and a
 * chain from it to one of them that is self-signed, and neither basic constraints nor key usage nor
 * extended key usage, where they are there, may be those of something else. Without: one that is
 * there still has to be that of the TPM's key. *session is ESYS_TR_NONE when there is none and need
 * be none; else listed. Errors: ATTEST_E_DENIED says what is wrong with it; ATTEST_E_CONFIG,
 * ATTEST_E_IO about ca_path; else as tpm2_error().
 */
enum attest_rc tpm2_ek_session(struct tpm2_link *link, const char *ca_path, ESYS_TR *session,
                               uint8_t certificate_sha256[SHA256_LEN], struct attest_error *err);

#endif
