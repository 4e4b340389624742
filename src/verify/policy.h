/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_POLICY_H
#define VERIFY_POLICY_H

#include <attest/policy.h>

#include "token/claims.h"

/* The inside of <attest/policy.h>. */

struct name_list {
    struct slice *items; /* each on the heap, with NUL behind */
    size_t n;
};

struct issuer_policy {
    struct slice issuer;
    enum attest_trust greatest;
    struct name_list trust_domains, providers; /* empty: any */
    unsigned algs;                             /* bits 1 << enum jwk_alg; 0: those of Ed25519 */
    struct subject_names names;
};

/* What policy_required_present() looks for, as bits. */
enum required_claim {
    REQUIRE_CNF,
    REQUIRE_INTEGRITY,
    REQUIRE_CONFIG_HASH,
    REQUIRE_PROMPT_HASH,
    REQUIRE_DEPLOYMENT_ID,
    REQUIRE_ENTERPRISE,
    REQUIRE_NESTED,
};

/* Once frozen, read by all threads. */
const struct issuer_policy *policy_issuer(const struct attest_policy *policy, struct slice issuer);
bool policy_frozen(const struct attest_policy *policy);
enum attest_mode policy_mode(const struct attest_policy *policy);
bool policy_loopback_http(const struct attest_policy *policy);
int64_t policy_skew_s(const struct attest_policy *policy);
size_t policy_issuer_count(const struct attest_policy *policy);
const struct issuer_policy *policy_issuer_at(const struct attest_policy *policy, size_t i);

/* ES256 only where it was asked for by name. */
bool policy_allows_alg(const struct issuer_policy *issuer, enum jwk_alg alg);

/* Which of the token's audiences is ours: its index, or -1. */
int policy_match_audience(const struct attest_policy *policy, const struct claims *claims);

/* The demanded claim that is not there, or NULL. nested: one of another issuer
 * is there and verified. */
const char *policy_missing_claim(const struct attest_policy *policy, const struct claims *claims,
                                 bool nested);

enum attest_trust policy_trust(const struct issuer_policy *issuer, const struct claims *claims);

/*
 * What the issuer may speak for, and how long its tokens live: ATTEST_E_POLICY. For a nested token
 * too.
 */
enum attest_rc policy_check_issuer(const struct attest_policy *policy,
                                   const struct issuer_policy *issuer, const struct claims *claims,
                                   int64_t now_s, struct attest_error *err);

/* Trust, safety, model: ATTEST_E_POLICY. */
enum attest_rc policy_check_agent(const struct attest_policy *policy,
                                  const struct issuer_policy *issuer, const struct claims *claims,
                                  struct attest_error *err);

/* One more holder of a frozen policy. */
struct attest_policy *policy_hold(struct attest_policy *policy);

DEFINE_AUTO(attest_policy, struct attest_policy *, attest_policy_free);

#endif
