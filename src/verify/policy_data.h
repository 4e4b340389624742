/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_POLICY_DATA_H
#define VERIFY_POLICY_DATA_H

#include <stdatomic.h>

#include "verify/policy.h"

/* Shared by policy.c, which builds, and policy_check.c, which asks; by nobody else. */

#define POLICY_LIST_MAX 64

struct attest_policy {
    atomic_uint holders;
    bool frozen;
    bool loopback_http;
    enum attest_mode mode;
    int64_t skew_s, lifetime_max_s, age_max_s; /* age 0: no limit of its own */
    enum attest_safety safety_min;
    enum attest_trust trust_min;
    unsigned nested_depth;
    unsigned required; /* bits 1 << enum required_claim */
    bool no_enterprise;
    struct name_list audiences, providers, model_families, model_versions;
    struct issuer_policy issuers[POLICY_LIST_MAX];
    size_t n_issuers;
    const struct issuer_policy *only; /* of those; NULL: all */
};

/* In policy_check.c: what attest_policy_require_claim() calls each, and a refusal. */
extern const char *const required_claim_names[REQUIRED_CLAIMS];
bool name_list_has(const struct name_list *list, struct slice name);

#endif
