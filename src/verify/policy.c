/* SPDX-License-Identifier: MIT */
#include "verify/policy.h"

#include <string.h>

#include "token/form.h"
#include "verify/policy_data.h"

#define NAME_MAX_LEN 2048

/* What attest_policy_require_claim() takes besides: these are in every token anyway. */
static const char *const always_there[] = {
    "iss",
    "sub",
    "aud",
    "iat",
    "nbf",
    "exp",
    "jti",
    "agent_identity",
    "agent_identity.model_family",
    "agent_identity.model_version",
    "agent_identity.provider",
    "attestation_metadata",
    "attestation_metadata.attestation_version",
    "attestation_metadata.attestation_type",
    "attestation_metadata.safety_level",
    "attestation_metadata.capabilities_declared",
};

bool
policy_allows_alg(const struct issuer_policy *issuer, enum jwk_alg alg)
{
    static const unsigned unless_named = 1U << JWK_ALG_EDDSA | 1U << JWK_ALG_ED25519;
    return (issuer->algs ? issuer->algs : unless_named) & 1U << alg;
}

/* ---- lists of names ---- */

static enum attest_rc
copy_name(struct slice *ret, const char *name, struct attest_error *err)
{
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_LEN)
        return error_set(err, ATTEST_E_CONFIG, "policy: a name of 1 to %d bytes is needed",
                         NAME_MAX_LEN);
    char *copy = strdup(name);
    if (!copy)
        return error_set(err, ATTEST_E_NOMEM, "policy: out of memory");
    *ret = (struct slice){copy, len};
    return ATTEST_OK;
}

static enum attest_rc
list_add(struct name_list *list, const char *name, struct attest_error *err)
{
    if (name_list_has(list, slice_cstr(name)))
        return ATTEST_OK;
    if (list->n == POLICY_LIST_MAX)
        return error_set(err, ATTEST_E_LIMIT, "policy: at most %d of a kind", POLICY_LIST_MAX);
    struct slice *items = realloc(list->items, (list->n + 1) * sizeof(*items));
    if (!items)
        return error_set(err, ATTEST_E_NOMEM, "policy: out of memory");
    list->items = items;
    enum attest_rc rc = copy_name(&items[list->n], name, err);
    if (rc == ATTEST_OK)
        list->n++;
    return rc;
}

static void
list_done(struct name_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free((char *)list->items[i].p);
    free(list->items);
}

/* ---- life ---- */

enum attest_rc
attest_policy_new(struct attest_policy **ret, struct attest_error *err)
{
    struct attest_policy *policy = calloc(1, sizeof(*policy));
    if (!policy)
        return error_set(err, ATTEST_E_NOMEM, "policy: out of memory");
    atomic_init(&policy->holders, 1);
    policy->mode = ATTEST_MODE_REQUIRED;
    policy->skew_s = ATTEST_SKEW_DEFAULT_S;
    policy->lifetime_max_s = ATTEST_LIFETIME_DEFAULT_S;
    policy->nested_depth = ATTEST_NESTED_DEPTH_DEFAULT;
    *ret = policy;
    return ATTEST_OK;
}

static void
issuer_done(struct issuer_policy *issuer)
{
    free((char *)issuer->issuer.p);
    list_done(&issuer->trust_domains);
    list_done(&issuer->providers);
    for (size_t i = 0; i < issuer->names.n; i++) {
        free((char *)issuer->names.list[i].name.p);
        free((char *)issuer->names.list[i].segment.p);
    }
    free((struct subject_name *)issuer->names.list);
}

void
attest_policy_free(struct attest_policy *policy)
{
    if (!policy || atomic_fetch_sub(&policy->holders, 1) != 1)
        return;
    list_done(&policy->audiences);
    list_done(&policy->providers);
    list_done(&policy->model_families);
    list_done(&policy->model_versions);
    for (size_t i = 0; i < policy->n_issuers; i++)
        issuer_done(&policy->issuers[i]);
    free(policy);
}

struct attest_policy *
policy_hold(struct attest_policy *policy)
{
    atomic_fetch_add(&policy->holders, 1);
    return policy;
}

/* ---- building ---- */

static enum attest_rc
still_open(const struct attest_policy *policy, struct attest_error *err)
{
    if (policy->frozen)
        return error_set(err, ATTEST_E_ARGUMENT, "policy: frozen, it can no longer change");
    return ATTEST_OK;
}

static enum attest_rc
open_issuer(struct attest_policy *policy, const char *issuer, struct issuer_policy **ret,
            struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    if (rc != ATTEST_OK)
        return rc;
    for (size_t i = 0; i < policy->n_issuers; i++) {
        if (slice_is(policy->issuers[i].issuer, issuer)) {
            *ret = &policy->issuers[i];
            return ATTEST_OK;
        }
    }
    return error_set(err, ATTEST_E_CONFIG, "policy: add the issuer %.100s first", issuer);
}

/* No issuer mints for anything else, and "*" would be a name like any other. */
static enum attest_rc
check_audience(const char *audience, struct attest_error *err)
{
    if (strcmp(audience, "*") == 0 || strstr(audience, "://*"))
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: audience '%.60s': there is no wildcard; add each name", audience);
    if (!form_uri(slice_cstr(audience), JWS_STRING_MAX))
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: audience '%.60s': no URL of at most %d bytes, so that no token "
                         "can be meant for it",
                         audience, JWS_STRING_MAX);
    return ATTEST_OK;
}

enum attest_rc
attest_policy_add_audience(struct attest_policy *policy, const char *audience,
                           struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    if (rc == ATTEST_OK)
        rc = check_audience(audience, err);
    return rc == ATTEST_OK ? list_add(&policy->audiences, audience, err) : rc;
}

enum attest_rc
attest_policy_only_audience(struct attest_policy *policy, const char *audience,
                            struct attest_error *err)
{
    struct name_list only = {0};
    enum attest_rc rc = still_open(policy, err);
    if (rc == ATTEST_OK && policy->audiences.n &&
        !name_list_has(&policy->audiences, slice_cstr(audience)))
        rc = error_set(err, ATTEST_E_CONFIG, "policy: %.100s is none of its audiences", audience);
    if (rc == ATTEST_OK)
        rc = check_audience(audience, err);
    if (rc == ATTEST_OK)
        rc = list_add(&only, audience, err);
    if (rc != ATTEST_OK) {
        list_done(&only);
        return rc;
    }
    list_done(&policy->audiences);
    policy->audiences = only;
    return ATTEST_OK;
}

enum attest_rc
attest_policy_add_provider(struct attest_policy *policy, const char *provider,
                           struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    return rc == ATTEST_OK ? list_add(&policy->providers, provider, err) : rc;
}

enum attest_rc
attest_policy_add_model_version(struct attest_policy *policy, const char *model_version,
                                struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    return rc == ATTEST_OK ? list_add(&policy->model_versions, model_version, err) : rc;
}

enum attest_rc
attest_policy_add_model_family(struct attest_policy *policy, const char *model_family,
                               struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    return rc == ATTEST_OK ? list_add(&policy->model_families, model_family, err) : rc;
}

enum attest_rc
attest_policy_add_issuer(struct attest_policy *policy, const char *issuer,
                         enum attest_trust greatest, struct attest_error *err)
{
    struct issuer_policy *entry = NULL;
    enum attest_rc rc = still_open(policy, err);
    if (rc == ATTEST_OK)
        rc = issuer_check(slice_cstr(issuer), true, err);
    if (rc != ATTEST_OK)
        return rc;
    if (!policy->loopback_http && strncmp(issuer, "http:", 5) == 0)
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: issuer '%.40s': not https, which loopback_http "
                         "(attest_policy_allow_loopback_http()) allows",
                         issuer);
    if (greatest != ATTEST_TRUST_ENTERPRISE && greatest != ATTEST_TRUST_PROVIDER)
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: an issuer is trusted as enterprise or as provider");
    if (open_issuer(policy, issuer, &entry, NULL) == ATTEST_OK)
        return error_set(err, ATTEST_E_CONFIG, "policy: issuer %.100s is there twice", issuer);
    if (policy->n_issuers == POLICY_LIST_MAX)
        return error_set(err, ATTEST_E_LIMIT, "policy: at most %d issuers", POLICY_LIST_MAX);
    entry = &policy->issuers[policy->n_issuers];
    rc = copy_name(&entry->issuer, issuer, err);
    if (rc != ATTEST_OK)
        return rc;
    entry->greatest = greatest;
    policy->n_issuers++;
    return ATTEST_OK;
}

enum attest_rc
attest_policy_issuer_trust_domain(struct attest_policy *policy, const char *issuer,
                                  const char *trust_domain, struct attest_error *err)
{
    struct issuer_policy *entry;
    enum attest_rc rc = open_issuer(policy, issuer, &entry, err);
    if (rc != ATTEST_OK)
        return rc;
    if (!trust_domain_ok(slice_cstr(trust_domain)))
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: trust domain '%.60s': not 1 to 255 of [a-z0-9._-]", trust_domain);
    return list_add(&entry->trust_domains, trust_domain, err);
}

enum attest_rc
attest_policy_issuer_provider(struct attest_policy *policy, const char *issuer,
                              const char *provider, struct attest_error *err)
{
    struct issuer_policy *entry;
    enum attest_rc rc = open_issuer(policy, issuer, &entry, err);
    return rc == ATTEST_OK ? list_add(&entry->providers, provider, err) : rc;
}

enum attest_rc
attest_policy_issuer_alg(struct attest_policy *policy, const char *issuer, const char *alg,
                         struct attest_error *err)
{
    struct issuer_policy *entry;
    enum jwk_alg known;
    enum attest_rc rc = open_issuer(policy, issuer, &entry, err);
    if (rc != ATTEST_OK)
        return rc;
    if (!jwk_alg_from(slice_cstr(alg), &known))
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: alg '%.40s': not one of EdDSA, Ed25519, ES256", alg);
    entry->algs |= 1U << known;
    return ATTEST_OK;
}

enum attest_rc
attest_policy_only_issuer(struct attest_policy *policy, const char *issuer,
                          struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    if (rc != ATTEST_OK)
        return rc;
    const struct issuer_policy *entry = policy_issuer(policy, slice_cstr(issuer));
    if (!entry)
        return error_set(err, ATTEST_E_CONFIG, "policy: %.100s is none of its issuers", issuer);
    policy->only = entry;
    return ATTEST_OK;
}

enum attest_rc
attest_policy_issuer_subject_name(struct attest_policy *policy, const char *issuer,
                                  const char *name, const char *segment, struct attest_error *err)
{
    struct issuer_policy *entry;
    enum attest_rc rc = open_issuer(policy, issuer, &entry, err);
    if (rc != ATTEST_OK)
        return rc;
    if (!subject_segment_ok(slice_cstr(segment)))
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: segment '%.60s': not of [A-Za-z0-9._-] alone", segment);
    for (size_t i = 0; i < entry->names.n; i++) {
        if (slice_is(entry->names.list[i].name, name))
            return error_set(err, ATTEST_E_CONFIG, "policy: %.100s is mapped twice", name);
    }
    if (entry->names.n == POLICY_LIST_MAX)
        return error_set(err, ATTEST_E_LIMIT, "policy: at most %d names", POLICY_LIST_MAX);
    struct subject_name *list =
        realloc((struct subject_name *)entry->names.list, (entry->names.n + 1) * sizeof(*list));
    if (!list)
        return error_set(err, ATTEST_E_NOMEM, "policy: out of memory");
    entry->names.list = list;
    struct subject_name *added = &list[entry->names.n];
    rc = copy_name(&added->name, name, err);
    if (rc != ATTEST_OK)
        return rc;
    rc = copy_name(&added->segment, segment, err);
    if (rc != ATTEST_OK) {
        free((char *)added->name.p);
        return rc;
    }
    entry->names.n++;
    return ATTEST_OK;
}

enum attest_rc
attest_policy_require_claim(struct attest_policy *policy, const char *claim,
                            struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    if (rc != ATTEST_OK)
        return rc;
    for (size_t i = 0; i < REQUIRED_CLAIMS; i++) {
        if (strcmp(claim, required_claim_names[i]) == 0) {
            policy->required |= 1U << i;
            return ATTEST_OK;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(always_there); i++) {
        if (strcmp(claim, always_there[i]) == 0)
            return ATTEST_OK;
    }
    return error_set(err, ATTEST_E_CONFIG, "policy: no token has a claim '%.100s'", claim);
}

/* ---- numbers ---- */

static enum attest_rc
set_number(const struct attest_policy *policy, int64_t *number, int64_t value, int64_t min,
           int64_t max, const char *what, struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    if (rc != ATTEST_OK)
        return rc;
    if (value < min || value > max)
        return error_set(err, ATTEST_E_CONFIG, "policy: %s: %d to %d", what, (int)min, (int)max);
    *number = value;
    return ATTEST_OK;
}

enum attest_rc
attest_policy_set_skew_s(struct attest_policy *policy, int64_t skew_s, struct attest_error *err)
{
    return set_number(policy, &policy->skew_s, skew_s, 0, ATTEST_SKEW_MAX_S, "skew in seconds",
                      err);
}

enum attest_rc
attest_policy_set_lifetime_max_s(struct attest_policy *policy, int64_t lifetime_max_s,
                                 struct attest_error *err)
{
    return set_number(policy, &policy->lifetime_max_s, lifetime_max_s, 1, ATTEST_LIFETIME_MAX_S,
                      "lifetime in seconds", err);
}

enum attest_rc
attest_policy_set_age_max_s(struct attest_policy *policy, int64_t age_max_s,
                            struct attest_error *err)
{
    return set_number(policy, &policy->age_max_s, age_max_s, 1, ATTEST_LIFETIME_MAX_S,
                      "age in seconds", err);
}

enum attest_rc
attest_policy_set_nested_depth(struct attest_policy *policy, unsigned depth,
                               struct attest_error *err)
{
    int64_t number = 0;
    enum attest_rc rc =
        set_number(policy, &number, depth, 0, ATTEST_NESTED_DEPTH_MAX, "levels of nesting", err);
    if (rc == ATTEST_OK)
        policy->nested_depth = depth;
    return rc;
}

enum attest_rc
attest_policy_set_enterprise(struct attest_policy *policy, bool accepted, struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    if (rc == ATTEST_OK)
        policy->no_enterprise = !accepted;
    return rc;
}

enum attest_rc
attest_policy_allow_loopback_http(struct attest_policy *policy, struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    if (rc == ATTEST_OK)
        policy->loopback_http = true;
    return rc;
}

/* The words of an enumeration from 0 to max. */
static enum attest_rc
check_word(const struct attest_policy *policy, unsigned value, unsigned max, const char *words,
           struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    if (rc == ATTEST_OK && value > max)
        return error_set(err, ATTEST_E_CONFIG, "policy: %s, not %u", words, value);
    return rc;
}

enum attest_rc
attest_policy_set_mode(struct attest_policy *policy, enum attest_mode mode,
                       struct attest_error *err)
{
    enum attest_rc rc = check_word(policy, mode, ATTEST_MODE_OPTIONAL,
                                   "mode is required, preferred or optional", err);
    if (rc == ATTEST_OK)
        policy->mode = mode;
    return rc;
}

enum attest_rc
attest_policy_set_safety_min(struct attest_policy *policy, enum attest_safety safety,
                             struct attest_error *err)
{
    enum attest_rc rc = check_word(policy, safety, ATTEST_SAFETY_ENHANCED,
                                   "safety level is minimal, standard or enhanced", err);
    if (rc == ATTEST_OK)
        policy->safety_min = safety;
    return rc;
}

enum attest_rc
attest_policy_set_trust_min(struct attest_policy *policy, enum attest_trust trust,
                            struct attest_error *err)
{
    enum attest_rc rc = check_word(policy, trust, ATTEST_TRUST_PROVIDER,
                                   "trust level is none, enterprise or provider", err);
    if (rc == ATTEST_OK)
        policy->trust_min = trust;
    return rc;
}

/* What the issuers may vouch for that tokens are accepted of. */
static enum attest_trust
greatest_trust(const struct attest_policy *policy)
{
    enum attest_trust greatest = ATTEST_TRUST_NONE;
    for (size_t i = 0; i < policy->n_issuers; i++) {
        const struct issuer_policy *issuer = &policy->issuers[i];
        if ((!policy->only || policy->only == issuer) && issuer->greatest > greatest)
            greatest = issuer->greatest;
    }
    return greatest;
}

/* Not what anyone means who asks for both. */
static enum attest_rc
check_demands(const struct attest_policy *policy, struct attest_error *err)
{
    if (policy->no_enterprise && policy->required & 1U << REQUIRE_ENTERPRISE)
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: agent_identity.enterprise is demanded, and refused");
    if (policy->trust_min == ATTEST_TRUST_PROVIDER && policy->required & 1U << REQUIRE_ENTERPRISE)
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: agent_identity.enterprise is demanded, and trust provider, which "
                         "no such token has");
    if (policy->n_issuers == 1 && policy->required & 1U << REQUIRE_NESTED)
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: a nested attestation of another issuer is demanded, and no other "
                         "is trusted");
    if (policy->nested_depth == 0 && policy->required & 1U << REQUIRE_NESTED)
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: a nested attestation is demanded, and none is followed");
    if (policy->trust_min > greatest_trust(policy))
        return error_set(err, ATTEST_E_CONFIG,
                         "policy: trust %s is demanded, and no issuer is trusted as far",
                         attest_trust_name(policy->trust_min));
    return ATTEST_OK;
}

enum attest_rc
attest_policy_freeze(struct attest_policy *policy, struct attest_error *err)
{
    enum attest_rc rc = still_open(policy, err);
    if (rc != ATTEST_OK)
        return rc;
    if (policy->audiences.n == 0)
        return error_set(err, ATTEST_E_CONFIG, "policy: no audience: name this server");
    if (policy->n_issuers == 0)
        return error_set(err, ATTEST_E_CONFIG, "policy: no issuer is trusted");
    for (size_t i = 0; policy->n_issuers > 1 && i < policy->n_issuers; i++) {
        const struct issuer_policy *issuer = &policy->issuers[i];
        if (issuer->trust_domains.n == 0 || issuer->providers.n == 0)
            return error_set(err, ATTEST_E_CONFIG,
                             "policy: with several issuers, say which trust domains and providers "
                             "%.60s may speak for",
                             issuer->issuer.p);
    }
    rc = check_demands(policy, err);
    policy->frozen = rc == ATTEST_OK;
    return rc;
}
