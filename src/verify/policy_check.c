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
    return (unsigned)trust < ARRAY_LEN(names) ? names[trust] : "unknown";
}

const char *
attest_safety_name(enum attest_safety safety)
{
    static const char *const names[] = {"minimal", "standard", "enhanced"};
    return (unsigned)safety < ARRAY_LEN(names) ? names[safety] : "unknown";
}

const char *
attest_mode_name(enum attest_mode mode)
{
    static const char *const names[] = {"required", "preferred", "optional"};
    return (unsigned)mode < ARRAY_LEN(names) ? names[mode] : "unknown";
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

unsigned
policy_nested_depth(const struct attest_policy *policy)
{
    return policy->nested_depth;
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

const struct issuer_policy *
policy_only_issuer(const struct attest_policy *policy)
{
    return policy->only;
}

bool
name_list_has(const struct name_list *list, struct slice name)
{
    for (size_t i = 0; i < list->n; i++) {
        if (slice_eq(list->items[i], name))
            return true;
    }
    return false;
}

int
policy_match_audience(const struct attest_policy *policy, const struct claims_view *view)
{
    for (size_t i = 0; i < view->n_aud; i++) {
        if (name_list_has(&policy->audiences, view->aud[i]))
            return (int)i;
    }
    return -1;
}

static unsigned
bit(enum required_claim claim, bool there)
{
    return there ? 1U << claim : 0;
}

void
policy_view(const struct claims *claims, bool whole, struct claims_view *ret)
{
    ret->n_aud = claims->n_aud;
    memcpy(ret->aud, claims->aud, claims->n_aud * sizeof(claims->aud[0]));
    if (!whole)
        return;
    ret->trust_domain = claims->subject.trust_domain;
    ret->provider = claims->provider;
    ret->model_family = claims->model_family;
    ret->model_version = claims->model_version;
    ret->iat = claims->iat;
    ret->exp = claims->exp;
    ret->type = claims->type;
    ret->safety = claims->safety;
    ret->there = bit(REQUIRE_CNF, claims->bound) |
                 bit(REQUIRE_INTEGRITY, claims->at[CLAIM_AGENT_INTEGRITY]) |
                 bit(REQUIRE_CONFIG_HASH, claims->config_hash.p) |
                 bit(REQUIRE_PROMPT_HASH, claims->system_prompt_hash.p) |
                 bit(REQUIRE_DEPLOYMENT_ID, claims->deployment_id.p) |
                 bit(REQUIRE_ENTERPRISE, claims->enterprise);
}

const char *const required_claim_names[REQUIRED_CLAIMS] = {
    [REQUIRE_CNF] = "cnf",
    [REQUIRE_INTEGRITY] = "agent_integrity",
    [REQUIRE_CONFIG_HASH] = "agent_integrity.config_hash",
    [REQUIRE_PROMPT_HASH] = "agent_integrity.system_prompt_hash",
    [REQUIRE_DEPLOYMENT_ID] = "agent_identity.deployment_id",
    [REQUIRE_ENTERPRISE] = "agent_identity.enterprise",
    [REQUIRE_NESTED] = "attestation_metadata.nested_attestation",
};

const char *
policy_missing_claim(const struct attest_policy *policy, const struct claims_view *view)
{
    for (size_t i = 0; i < REQUIRED_CLAIMS; i++) {
        if (policy->required & ~view->there & 1U << i)
            return required_claim_names[i];
    }
    return NULL;
}

void
claims_times_narrow(struct claims_times *times, const struct claims *claims)
{
    int64_t from_s = claims->iat > claims->nbf ? claims->iat : claims->nbf;
    times->issued_s = claims->iat < times->issued_s ? claims->iat : times->issued_s;
    times->from_s = from_s > times->from_s ? from_s : times->from_s;
    times->until_s = claims->exp < times->until_s ? claims->exp : times->until_s;
}

bool
policy_times_hold(const struct attest_policy *policy, const struct claims_times *times,
                  int64_t now_s)
{
    return now_s < times->until_s + policy->skew_s && now_s >= times->from_s - policy->skew_s &&
           (!policy->age_max_s || now_s - times->issued_s <= policy->age_max_s + policy->skew_s);
}

enum attest_trust
policy_trust(const struct issuer_policy *issuer, const struct claims_view *view)
{
    enum attest_trust type =
        view->type == ATTESTATION_PROVIDER ? ATTEST_TRUST_PROVIDER : ATTEST_TRUST_ENTERPRISE;
    return type < issuer->greatest ? type : issuer->greatest;
}

enum attest_rc
policy_check_issuer(const struct attest_policy *policy, const struct issuer_policy *issuer,
                    const struct claims_view *view, int64_t now_s, struct attest_error *err)
{
    if (view->exp - view->iat > policy->lifetime_max_s)
        return error_set(err, ATTEST_E_POLICY, "lives %lld s, at most %lld s are accepted",
                         (long long)(view->exp - view->iat), (long long)policy->lifetime_max_s);
    if (policy->age_max_s && now_s - view->iat > policy->age_max_s + policy->skew_s)
        return error_set(err, ATTEST_E_POLICY, "issued %lld s ago, at most %lld s are accepted",
                         (long long)(now_s - view->iat), (long long)policy->age_max_s);
    if (issuer->trust_domains.n && !name_list_has(&issuer->trust_domains, view->trust_domain))
        return error_set(err, ATTEST_E_POLICY, "issuer may not speak for trust domain %.*s",
                         SLICE_ARG(view->trust_domain));
    if (issuer->providers.n && !name_list_has(&issuer->providers, view->provider))
        return error_set(err, ATTEST_E_POLICY, "issuer may not speak for provider %.*s",
                         SLICE_ARG(view->provider));
    return ATTEST_OK;
}

enum attest_rc
policy_check_agent(const struct attest_policy *policy, const struct issuer_policy *issuer,
                   const struct claims_view *view, struct attest_error *err)
{
    enum attest_trust trust = policy_trust(issuer, view);
    if (trust < policy->trust_min)
        return error_set(err, ATTEST_E_POLICY, "trust level %s, at least %s is demanded",
                         attest_trust_name(trust), attest_trust_name(policy->trust_min));
    if ((int)view->safety < (int)policy->safety_min)
        return error_set(err, ATTEST_E_POLICY, "safety level %s, at least %s is demanded",
                         safety_level_name(view->safety), attest_safety_name(policy->safety_min));
    if (policy->no_enterprise && view->there & 1U << REQUIRE_ENTERPRISE)
        return error_set(err, ATTEST_E_POLICY, "tokens of enterprises are not accepted here");
    const struct {
        const char *what;
        const struct name_list *allowed;
        struct slice name;
    } lists[] = {
        {"provider", &policy->providers, view->provider},
        {"model family", &policy->model_families, view->model_family},
        {"model version", &policy->model_versions, view->model_version},
    };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (lists[i].allowed->n && !name_list_has(lists[i].allowed, lists[i].name))
            return error_set(err, ATTEST_E_POLICY, "%s %.*s is not accepted here", lists[i].what,
                             SLICE_ARG(lists[i].name));
    }
    return ATTEST_OK;
}
