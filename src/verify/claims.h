/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_CLAIMS_H
#define VERIFY_CLAIMS_H

#include <attest/claims.h>

#include <stdatomic.h>

#include "token/claims.h"
#include "verify/keys.h"
#include "verify/policy.h"

/* Who signed the token, and behind that who signed those nested in it. */
#define CLAIMS_SIGNERS_MAX (1 + ATTEST_NESTED_DEPTH_MAX)
struct claims_signer {
    struct slice issuer, kid;
    struct found_key key;
};

/*
 * The inside of <attest/claims.h>: one block of memory that holds all strings. Verdicts on one
 * token may share it.
 */
struct attest_claims {
    atomic_uint holders;
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
    char cnf_thumbprint[JWK_THUMBPRINT_LEN + 1]; /* "" unless bound */
    /* What to ask again when the token is shown again. */
    struct slice trust_domain;
    unsigned there; /* as in struct claims_view */
    struct claims_times times;
    struct claims_signer *signers;
    size_t n_signers;
};

/* What the pipeline found out beyond the claims themselves. */
struct claims_findings {
    size_t aud_matched;
    enum attest_trust trust;
    bool nested_verified;
    unsigned there;
    struct claims_times times;
    size_t n_signers;
    struct {
        struct slice issuer; /* the policy's: a nested token is gone by the time of claims_keep() */
        char kid[JWK_KID_MAX];
        size_t kid_len;
        struct found_key key;
    } signers[CLAIMS_SIGNERS_MAX];
};

/* Copies what was verified. NULL when out of memory. */
struct attest_claims *claims_keep(const struct claims *claims,
                                  const struct claims_findings *findings);

/* One more holder; attest_claims_free() gives a hold up. */
struct attest_claims *claims_hold(struct attest_claims *claims);

/* The slices borrow from the claims. */
void claims_view(const struct attest_claims *claims, struct claims_view *ret);

/* Appends the claims as a JSON object. */
void claims_put_json(const struct attest_claims *claims, struct buf *out);

#define CLAIMS_JSON_MAX 65536 /* of 8 KiB, even if every byte is escaped */

DEFINE_AUTO(attest_claims, struct attest_claims *, attest_claims_free);

#endif
