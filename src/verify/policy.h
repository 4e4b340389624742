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
    struct slice issuer; /* with NUL behind */
    enum attest_trust greatest;
    struct name_list trust_domains, providers; /* empty: any */
    unsigned algs;                             /* bits 1 << enum jwk_alg; 0: those of Ed25519 */
    struct subject_names names;
};

/* What a policy may demand beyond the format, as bits. */
enum required_claim {
    REQUIRE_CNF,
    REQUIRE_INTEGRITY,
    REQUIRE_CONFIG_HASH,
    REQUIRE_PROMPT_HASH,
    REQUIRE_DEPLOYMENT_ID,
    REQUIRE_ENTERPRISE,
    REQUIRE_NESTED,
    REQUIRED_CLAIMS /* how many */
};

/* Once frozen, read by all threads. */
const struct issuer_policy *policy_issuer(const struct attest_policy *policy, struct slice issuer);
/* The one whose tokens alone are accepted; NULL: those of all. */
const struct issuer_policy *policy_only_issuer(const struct attest_policy *policy);
bool policy_frozen(const struct attest_policy *policy);
enum attest_mode policy_mode(const struct attest_policy *policy);
bool policy_loopback_http(const struct attest_policy *policy);
int64_t policy_skew_s(const struct attest_policy *policy);
size_t policy_issuer_count(const struct attest_policy *policy);
const struct issuer_policy *policy_issuer_at(const struct attest_policy *policy, size_t i);

/* ES256 only where it was asked for by name. */
bool policy_allows_alg(const struct issuer_policy *issuer, enum jwk_alg alg);

/*
 * What a policy looks at, of a token that is being read (policy_view()) as of one that was verified
 * before (claims_view()): one judge for both.
 */
struct claims_view {
    struct slice aud[CLAIMS_AUDIENCES_MAX];
    size_t n_aud;
    struct slice trust_domain, provider, model_family, model_version;
    int64_t iat, exp;
    enum attestation_type type;
    enum safety_level safety;
    unsigned there; /* bits 1 << enum required_claim */
};

/* The audiences of claims_read_audience(), and with `whole` what claims_read_rest() found. */
void policy_view(const struct claims *claims, bool whole, struct claims_view *ret);

/* Which of the token's audiences is ours: its index, or -1. */
int policy_match_audience(const struct attest_policy *policy, const struct claims_view *view);

/* The demanded claim that is not there, or NULL. */
const char *policy_missing_claim(const struct attest_policy *policy,
                                 const struct claims_view *view);

enum attest_trust policy_trust(const struct issuer_policy *issuer, const struct claims_view *view);

/*
 * What the issuer may speak for, and how long its tokens live: ATTEST_E_POLICY. For a nested token
 * too.
 */
enum attest_rc policy_check_issuer(const struct attest_policy *policy,
                                   const struct issuer_policy *issuer,
                                   const struct claims_view *view, int64_t now_s,
                                   struct attest_error *err);

/* The narrowest bounds of a token and of those nested in it. Seconds since the epoch. */
struct claims_times {
    int64_t issued_s;        /* the least iat */
    int64_t from_s, until_s; /* the greatest iat or nbf, the least exp */
};

void claims_times_narrow(struct claims_times *times, const struct claims *claims);
/* What claims_read_times() and policy_check_issuer() let through now, all of them still do. */
bool policy_times_hold(const struct attest_policy *policy, const struct claims_times *times,
                       int64_t now_s);

/* How many levels of nested attestations are followed: 0 to ATTEST_NESTED_DEPTH_MAX. */
unsigned policy_nested_depth(const struct attest_policy *policy);

/* Trust, safety, model: ATTEST_E_POLICY. */
enum attest_rc policy_check_agent(const struct attest_policy *policy,
                                  const struct issuer_policy *issuer,
                                  const struct claims_view *view, struct attest_error *err);

/* One more holder of a frozen policy. */
struct attest_policy *policy_hold(struct attest_policy *policy);

DEFINE_AUTO(attest_policy, struct attest_policy *, attest_policy_free);

#endif
