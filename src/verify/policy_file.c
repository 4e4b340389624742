/* SPDX-License-Identifier: MIT */
#include "verify/policy_file.h"

#include "base/file.h"
#include "verify/policy.h"

#define FILE_MAX (1024 * 1024)

/* A policy from YAML: a table of keys, and for each key the call that does the same. */

struct issuer_entry {
    char *issuer;
    int trust;
    struct config_list trust_domains, providers, algs, subject_names;
};

struct policy_file {
    int mode, trust_min, safety_min;
    struct config_list audiences, require;
    struct config_list providers, model_families, model_versions;
    struct config_rows issuers;
    int64_t skew_s, lifetime_max_s, age_max_s, nested_depth;
    bool enterprise, loopback_http;
};

static const char *const trust_choices[] = {"none", "enterprise", "provider", NULL};
static const char *const safety_choices[] = {"minimal", "standard", "enhanced", NULL};
static const char *const mode_choices[] = {"required", "preferred", "optional", NULL};

#define AT(m) offsetof(struct issuer_entry, m)
static const struct config_key issuer_keys[] = {
    {"issuer", CONFIG_STRING, AT(issuer), .required = true, .help = "its URL, as in iss"},
    {"trust", CONFIG_ENUM, AT(trust), .required = true, .choices = trust_choices + 1,
     .help = "the greatest trust that its tokens have"},
    {"trust_domains", CONFIG_LIST, AT(trust_domains), .help = "that it may speak for"},
    {"providers", CONFIG_LIST, AT(providers), .help = "that it may speak for"},
    {"algs", CONFIG_LIST, AT(algs), .help = "EdDSA, Ed25519, ES256"},
    {"subject_names", CONFIG_MAP, AT(subject_names), .help = "model version or workload: segment"},
};
#undef AT
const struct config_schema policy_file_issuer_schema = {
    .program = "policy issuer",
    .keys = issuer_keys,
    .n_keys = ARRAY_LEN(issuer_keys),
    .no_empty = true, /* an empty list of those it may speak for would be anyone */
};

#define AT(m) offsetof(struct policy_file, m)
static const struct config_key keys[] = {
    {"mode", CONFIG_ENUM, AT(mode), .fallback = "required", .choices = mode_choices,
     .help = "what becomes of callers whose token does not verify"},
    {"audiences", CONFIG_LIST, AT(audiences), .help = "names of this server"},
    {"issuers", CONFIG_ROWS, AT(issuers), .required = true, .row = &policy_file_issuer_schema,
     .row_size = sizeof(struct issuer_entry), .help = "who is trusted"},
    {"trust_min", CONFIG_ENUM, AT(trust_min), .fallback = "none", .choices = trust_choices,
     .help = "the least trust accepted"},
    {"safety_min", CONFIG_ENUM, AT(safety_min), .fallback = "minimal", .choices = safety_choices,
     .help = "the least safety level accepted"},
    {"providers", CONFIG_LIST, AT(providers), .help = "accepted ones"},
    {"model_families", CONFIG_LIST, AT(model_families), .help = "accepted ones"},
    {"model_versions", CONFIG_LIST, AT(model_versions), .help = "accepted ones"},
    {"require", CONFIG_LIST, AT(require), .help = "claims that must be there"},
    {"lifetime_max_s", CONFIG_INT, AT(lifetime_max_s), .fallback = "900", .min = 1,
     .max = ATTEST_LIFETIME_MAX_S, .help = "the greatest exp - iat, in seconds"},
    {"age_max_s", CONFIG_INT, AT(age_max_s), .min = 1, .max = ATTEST_LIFETIME_MAX_S,
     .help = "the greatest now - iat, in seconds"},
    {"skew_s", CONFIG_INT, AT(skew_s), .fallback = "30", .min = 0, .max = ATTEST_SKEW_MAX_S,
     .help = "how far clocks may differ, in seconds"},
    {"enterprise", CONFIG_BOOL, AT(enterprise), .fallback = "true",
     .help = "whether tokens of enterprises are accepted"},
    {"nested_depth", CONFIG_INT, AT(nested_depth), .fallback = "1", .min = 0,
     .max = ATTEST_NESTED_DEPTH_MAX, .help = "levels of nested attestations that are followed"},
    {"loopback_http", CONFIG_BOOL, AT(loopback_http), .fallback = "false",
     .help = "whether issuers on this machine may be http"},
};
#undef AT
const struct config_schema policy_file_schema = {
    .program = "policy",
    .keys = keys,
    .n_keys = ARRAY_LEN(keys),
    .no_empty = true,
};

static void
policy_file_auto(struct policy_file *file)
{
    config_done(&policy_file_schema, file);
}

typedef enum attest_rc add_name(struct attest_policy *policy, const char *name,
                                struct attest_error *err);
typedef enum attest_rc add_issuer_name(struct attest_policy *policy, const char *issuer,
                                       const char *name, struct attest_error *err);

/* What one of those calls returned, with the place of its value in front of why. */
static enum attest_rc
placed(enum attest_rc rc, const char *where, const struct attest_error *why,
       struct attest_error *err)
{
    return rc == ATTEST_OK ? rc : error_set(err, rc, "%s: %s", where, why->text);
}

static enum attest_rc
add_issuer(struct attest_policy *policy, const struct issuer_entry *e, const char *where,
           struct attest_error *err)
{
    struct attest_error why;
    const struct {
        const struct config_list *list;
        add_issuer_name *add;
    } lists[] = {
        {&e->trust_domains, attest_policy_issuer_trust_domain},
        {&e->providers, attest_policy_issuer_provider},
        {&e->algs, attest_policy_issuer_alg},
    };
    enum attest_trust greatest = (enum attest_trust)(e->trust + ATTEST_TRUST_ENTERPRISE);
    enum attest_rc rc =
        placed(attest_policy_add_issuer(policy, e->issuer, greatest, &why), where, &why, err);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const struct config_list *list = lists[i].list;
        for (size_t k = 0; k < list->n && rc == ATTEST_OK; k++)
            rc = placed(lists[i].add(policy, e->issuer, list->items[k], &why), list->where[k], &why,
                        err);
    }
    const struct config_list *names = &e->subject_names;
    for (size_t k = 0; k + 1 < names->n && rc == ATTEST_OK; k += 2)
        rc = placed(attest_policy_issuer_subject_name(policy, e->issuer, names->items[k],
                                                      names->items[k + 1], &why),
                    names->where[k], &why, err);
    return rc;
}

static enum attest_rc
add_lists(struct attest_policy *policy, const struct policy_file *f, struct attest_error *err)
{
    const struct {
        const struct config_list *list;
        add_name *add;
    } lists[] = {
        {&f->audiences, attest_policy_add_audience},
        {&f->providers, attest_policy_add_provider},
        {&f->model_families, attest_policy_add_model_family},
        {&f->model_versions, attest_policy_add_model_version},
        {&f->require, attest_policy_require_claim},
    };
    struct attest_error why;
    enum attest_rc rc = ATTEST_OK;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const struct config_list *list = lists[i].list;
        for (size_t k = 0; k < list->n && rc == ATTEST_OK; k++)
            rc = placed(lists[i].add(policy, list->items[k], &why), list->where[k], &why, err);
    }
    for (size_t i = 0; i < f->issuers.n && rc == ATTEST_OK; i++)
        rc = add_issuer(policy, f->issuers.items[i], f->issuers.where[i], err);
    return rc;
}

static enum attest_rc
set_rest(struct attest_policy *policy, const struct policy_file *f, struct attest_error *err)
{
    enum attest_rc rc = attest_policy_set_mode(policy, (enum attest_mode)f->mode, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_set_trust_min(policy, (enum attest_trust)f->trust_min, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_set_safety_min(policy, (enum attest_safety)f->safety_min, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_set_lifetime_max_s(policy, f->lifetime_max_s, err);
    if (rc == ATTEST_OK && f->age_max_s)
        rc = attest_policy_set_age_max_s(policy, f->age_max_s, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_set_skew_s(policy, f->skew_s, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_set_enterprise(policy, f->enterprise, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_set_nested_depth(policy, (unsigned)f->nested_depth, err);
    return rc;
}

static enum attest_rc
policy_of(const struct policy_file *file, struct attest_policy **ret, struct attest_error *err)
{
    AUTO(attest_policy) struct attest_policy *policy = NULL;
    enum attest_rc rc = attest_policy_new(&policy, err);
    if (rc == ATTEST_OK && file->loopback_http)
        rc = attest_policy_allow_loopback_http(policy, err);
    if (rc == ATTEST_OK)
        rc = set_rest(policy, file, err);
    if (rc == ATTEST_OK)
        rc = add_lists(policy, file, err);
    if (rc != ATTEST_OK)
        return rc;
    *ret = STEAL(policy);
    return ATTEST_OK;
}

enum attest_rc
attest_policy_load_yaml(const char *text, size_t text_len, struct attest_policy **ret,
                        struct attest_error *err)
{
    AUTO(policy_file) struct policy_file file = {0};
    struct slice all = {text, text_len};
    if (!text && text_len > 0)
        return error_set(err, ATTEST_E_ARGUMENT, "policy: no text");
    enum attest_rc rc = config_parse(&policy_file_schema, all, NULL, &file, err);
    return rc == ATTEST_OK ? policy_of(&file, ret, err) : rc;
}

/* "line 7: …" says more with the file's name in front of it, and so does all else. */
enum attest_rc
attest_policy_load_file(const char *path, struct attest_policy **ret, struct attest_error *err)
{
    AUTO(buf) struct buf text;
    struct attest_error why = {0};
    buf_init(&text, FILE_MAX);
    enum attest_rc rc = file_read_regular(path, FILE_MAX, &text, err);
    if (rc != ATTEST_OK)
        return rc;
    rc = attest_policy_load_yaml(text.p, text.len, ret, &why);
    return rc == ATTEST_OK ? rc : error_set(err, rc, "%s: %s", path, why.text);
}
