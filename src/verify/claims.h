/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_CLAIMS_H
#define VERIFY_CLAIMS_H

#include <attest/claims.h>

#include "token/claims.h"

/* The inside of <attest/claims.h>: one block of memory that holds all strings. */
struct attest_claims {
    const char *kid;
    const char *iss, *sub, *jti;
    const char *model_family, *model_version, *provider, *deployment_id;
    const char *org_id, *workload_id, *deployment_env;
    const char *config_hash, *system_prompt_hash;
    const char *nested_attestation; /* NULL unless verified */
    const char **aud, **capabilities;
    size_t n_aud, n_capabilities, aud_matched;
    bool aud_is_array, enterprise, bound;
    int64_t iat, nbf, exp;
    enum attestation_type type;
    enum attest_safety safety;
    enum attest_trust trust;
    uint32_t verified; /* CLAIM_BIT()s of the claims that were there and checked */
    uint8_t cnf_key[ED25519_PUBLIC_LEN];
};

/* What the pipeline found out beyond the claims themselves. */
struct claims_findings {
    struct slice kid;
    size_t aud_matched;
    enum attest_trust trust;
    bool nested_verified;
};

/* Copies what was verified. NULL when out of memory. */
struct attest_claims *claims_keep(const struct claims *claims,
                                  const struct claims_findings *findings);

/* Appends the claims as a JSON object. */
void claims_put_json(const struct attest_claims *claims, struct buf *out);

#define CLAIMS_JSON_MAX 65536 /* of 8 KiB, even if every byte is escaped */

DEFINE_AUTO(attest_claims, struct attest_claims *, attest_claims_free);

#endif
