/* SPDX-License-Identifier: MIT */
/*
 * A policy from YAML. Whatever is accepted is a policy that its own calls could have made, is the
 * same again, and would not be with a restriction to nothing behind it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "verify/policy_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
    if (!holds)
        abort();
}

/* From a buffer that ends with it and is gone afterwards. */
static enum attest_rc
load(const uint8_t *data, size_t size, const char *more, struct attest_policy **ret)
{
    struct attest_error err = {0};
    size_t more_len = strlen(more);
    AUTO(mem) char *text = malloc(size + more_len + 1);
    must(text);
    text[0] = '\0';
    if (size)
        memcpy(text, data, size);
    memcpy(text + size, more, more_len);
    char *exact = size + more_len ? realloc(text, size + more_len) : NULL;
    text = exact ? exact : text;
    *ret = NULL;
    enum attest_rc rc = attest_policy_load_yaml(text, size + more_len, ret, &err);
    must((rc == ATTEST_OK) == (*ret != NULL));
    if (rc)
        must((rc == ATTEST_E_CONFIG || rc == ATTEST_E_LIMIT) && err.rc == rc && *err.text);
    return rc;
}

static void
names_are_names(const struct name_list *list)
{
    must(list->n <= POLICY_LIST_MAX);
    for (size_t i = 0; i < list->n; i++)
        must(list->items[i].len > 0 && strlen(list->items[i].p) == list->items[i].len);
}

static void
is_within_bounds(const struct attest_policy *p)
{
    const struct name_list *lists[] = {&p->audiences, &p->providers, &p->model_families,
                                       &p->model_versions};
    must(!p->frozen && p->n_issuers >= 1 && p->n_issuers <= POLICY_LIST_MAX);
    must(p->skew_s >= 0 && p->skew_s <= ATTEST_SKEW_MAX_S);
    must(p->lifetime_max_s >= 1 && p->lifetime_max_s <= ATTEST_LIFETIME_MAX_S);
    must(p->age_max_s >= 0 && p->age_max_s <= ATTEST_LIFETIME_MAX_S);
    must(p->nested_depth <= ATTEST_NESTED_DEPTH_MAX);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        names_are_names(lists[i]);
    for (size_t i = 0; i < p->n_issuers; i++) {
        const struct issuer_policy *issuer = &p->issuers[i];
        must(strlen(issuer->issuer.p) == issuer->issuer.len);
        must(issuer->greatest == ATTEST_TRUST_ENTERPRISE ||
             issuer->greatest == ATTEST_TRUST_PROVIDER);
        must(strncmp(issuer->issuer.p, "https://", 8) == 0 ||
             (p->loopback_http && strncmp(issuer->issuer.p, "http://", 7) == 0));
        names_are_names(&issuer->trust_domains);
        names_are_names(&issuer->providers);
    }
}

/* Frozen it decides: then nobody of several may speak for anyone, and it is meant for a server. */
static void
is_sound_when_frozen(struct attest_policy *p)
{
    enum attest_rc rc = attest_policy_freeze(p, NULL);
    must(rc == ATTEST_OK || rc == ATTEST_E_CONFIG);
    if (rc)
        return;
    must(p->audiences.n > 0);
    for (size_t i = 0; i < p->n_issuers && p->n_issuers > 1; i++)
        must(p->issuers[i].trust_domains.n > 0 && p->issuers[i].providers.n > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const nothing[] = {"\nproviders: []\n", "\nrequire: ~\n", "\nmode: null\n"};
    AUTO(attest_policy) struct attest_policy *policy = NULL, *again = NULL;
    if (load(data, size, "", &policy) != ATTEST_OK)
        return 0;
    is_within_bounds(policy);
    must(load(data, size, "", &again) == ATTEST_OK && again->n_issuers == policy->n_issuers &&
         again->required == policy->required && again->mode == policy->mode);
    for (size_t i = 0; i < ARRAY_LEN(nothing); i++) {
        struct attest_policy *none;
        must(load(data, size, nothing[i], &none) != ATTEST_OK);
    }
    is_sound_when_frozen(policy);
    return 0;
}
