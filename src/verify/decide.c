/* SPDX-License-Identifier: MIT */
#include "verify/policy.h"

#include <string.h>

#include "verify/policy_data.h"

/* What a frozen policy says of a token. Pure. */

_Static_assert((int)SAFETY_MINIMAL == (int)ATTEST_SAFETY_MINIMAL &&
                   (int)SAFETY_STANDARD == (int)ATTEST_SAFETY_STANDARD &&
                   (int)SAFETY_ENHANCED == (int)ATTEST_SAFETY_ENHANCED,
               "the token's safety levels are those of the interface");

const char *
attest_trust_name(enum attest_trust trust)
{
    static const char *const names[] = {"none", "enterprise", "provider"};
    return (unsigned)trust < ARRAY_LEN(names) ? names[trust] : "none";
}

const char *
attest_safety_name(enum attest_safety safety)
{
    static const char *const names[] = {"minimal", "standard", "enhanced"};
    return (unsigned)safety < ARRAY_LEN(names) ? names[safety] : "minimal";
}

const char *
attest_mode_name(enum attest_mode mode)
{
    static const char *const names[] = {"required", "preferred", "optional"};
    return (unsigned)mode < ARRAY_LEN(names) ? names[mode] : "required";
}

bool
policy_frozen(const struct attest_policy *policy)
{
    return policy->frozen;
}

enum attest_mode
policy_mode(const struct attest_policy *policy)
{
    return policy->mode;
}

bool
policy_loopback_http(const struct attest_policy *policy)
{
    return policy->loopback_http;
}

int64_t
policy_skew_s(const struct attest_policy *policy)
{
    return policy->skew_s;
}

size_t
policy_issuer_count(const struct attest_policy *policy)
{
    return policy->n_issuers;
}

const struct issuer_policy *
policy_issuer_at(const struct attest_policy *policy, size_t i)
{
    return &policy->issuers[i];
}

const struct issuer_policy *
policy_issuer(const struct attest_policy *policy, struct slice issuer)
{
    for (size_t i = 0; i < policy->n_issuers; i++) {
        if (slice_eq(policy->issuers[i].issuer, issuer))
            return &policy->issuers[i];
    }
    return NULL;
}

static bool
list_has(const struct name_list *list, struct slice name)
{
    for (size_t i = 0; i < list->n; i++) {
        if (slice_eq(list->items[i], name))
            return true;
    }
    return false;
}

int
policy_match_audience(const struct attest_policy *policy, const struct claims *claims)
{
    for (size_t i = 0; i < claims->n_aud; i++) {
        if (list_has(&policy->audiences, claims->aud[i]))
            return (int)i;
    }
    return -1;
}

const char *
policy_missing_claim(const struct attest_policy *policy, const struct claims *claims, bool nested)
{
    const struct {
        enum required_claim bit;
        bool there;
        const char *name;
    } claim[] = {
        {REQUIRE_CNF, claims->bound, "cnf"},
        {REQUIRE_INTEGRITY, claims->at[CLAIM_AGENT_INTEGRITY] != NULL, "agent_integrity"},
        {REQUIRE_CONFIG_HASH, claims->config_hash.p != NULL, "agent_integrity.config_hash"},
        {REQUIRE_PROMPT_HASH, claims->system_prompt_hash.p != NULL,
         "agent_integrity.system_prompt_hash"},
        {REQUIRE_DEPLOYMENT_ID, claims->deployment_id.p != NULL, "agent_identity.deployment_id"},
        {REQUIRE_ENTERPRISE, claims->enterprise, "agent_identity.enterprise"},
        {REQUIRE_NESTED, nested, "attestation_metadata.nested_attestation"},
    };
    for (size_t i = 0; i < ARRAY_LEN(claim); i++) {
        if (policy->required & (1U << claim[i].bit) && !claim[i].there)
            return claim[i].name;
    }
    return NULL;
}

enum attest_trust
policy_trust(const struct issuer_policy *issuer, const struct claims *claims)
{
    enum attest_trust type =
        claims->type == ATTESTATION_PROVIDER ? ATTEST_TRUST_PROVIDER : ATTEST_TRUST_ENTERPRISE;
    return type < issuer->greatest ? type : issuer->greatest;
}

enum attest_rc
policy_check_issuer(const struct attest_policy *policy, const struct issuer_policy *issuer,
                    const struct claims *claims, int64_t now_s, struct attest_error *err)
{
    if (claims->exp - claims->iat > policy->lifetime_max_s)
        return error_set(err, ATTEST_E_POLICY, "lives %lld s, at most %lld s are accepted",
                         (long long)(claims->exp - claims->iat), (long long)policy->lifetime_max_s);
    if (policy->age_max_s && now_s - claims->iat > policy->age_max_s + policy->skew_s)
        return error_set(err, ATTEST_E_POLICY, "issued %lld s ago, at most %lld s are accepted",
                         (long long)(now_s - claims->iat), (long long)policy->age_max_s);
    if (issuer->trust_domains.n && !list_has(&issuer->trust_domains, claims->subject.trust_domain))
        return error_set(err, ATTEST_E_POLICY, "issuer may not speak for trust domain %.*s",
                         SLICE_ARG(claims->subject.trust_domain));
    if (issuer->providers.n && !list_has(&issuer->providers, claims->provider))
        return error_set(err, ATTEST_E_POLICY, "issuer may not speak for provider %.*s",
                         SLICE_ARG(claims->provider));
    return ATTEST_OK;
}

enum attest_rc
policy_check_agent(const struct attest_policy *policy, const struct issuer_policy *issuer,
                   const struct claims *claims, struct attest_error *err)
{
    enum attest_trust trust = policy_trust(issuer, claims);
    if (trust < policy->trust_min)
        return error_set(err, ATTEST_E_POLICY, "trust level %s, at least %s is demanded",
                         attest_trust_name(trust), attest_trust_name(policy->trust_min));
    if ((int)claims->safety < (int)policy->safety_min)
        return error_set(err, ATTEST_E_POLICY, "safety level %s, at least %s is demanded",
                         safety_level_name(claims->safety), attest_safety_name(policy->safety_min));
    if (policy->model_families.n && !list_has(&policy->model_families, claims->model_family))
        return error_set(err, ATTEST_E_POLICY, "model family %.*s is not accepted here",
                         SLICE_ARG(claims->model_family));
    return ATTEST_OK;
}
