/* SPDX-License-Identifier: MIT */
#include "support/vector_case.h"

#include <stdio.h>
#include <string.h>

#include "support/vector.h"

char *
vector_case_file(const char *set, const char *folder, const char *file, const char *fallback,
                 size_t *len)
{
    char name[512];
    size_t n;
    snprintf(name, sizeof(name), "%s/%s/%s", set, folder, file);
    char *text = vector_read_optional(name, &n);
    if (!text && !fallback)
        return NULL;
    if (!text) {
        snprintf(name, sizeof(name), "%s/%s", set, fallback);
        text = vector_read(name, &n);
    }
    if (len)
        *len = n;
    else if (n && text[n - 1] == '\n')
        text[n - 1] = '\0';
    return text;
}

static void
done(enum attest_rc rc, const struct attest_error *err)
{
    if (rc == ATTEST_OK)
        return;
    fprintf(stderr, "vector case: %s\n", err->text);
    abort();
}

/* "ES256 EdDSA"; changes the text. */
static void
allow_algs(struct attest_policy *policy, const char *issuer, char *algs)
{
    struct attest_error err;
    char *save = NULL;
    for (char *alg = strtok_r(algs, " ", &save); alg; alg = strtok_r(NULL, " ", &save))
        done(attest_policy_issuer_alg(policy, issuer, alg, &err), &err);
}

/* Trusts the one issuer, for whatever the case's folder lets it speak for. */
static struct attest_policy *
policy_of(const char *set, const char *folder, const char *issuer)
{
    struct attest_policy *policy = NULL;
    struct attest_error err;
    AUTO(mem) char *audience = vector_case_file(set, folder, "audience", "default_audience", NULL);
    AUTO(mem) char *trust_domain = vector_case_file(set, folder, "trust_domain", NULL, NULL);
    AUTO(mem) char *provider = vector_case_file(set, folder, "provider", NULL, NULL);
    AUTO(mem) char *algs = vector_case_file(set, folder, "alg", NULL, NULL);
    done(attest_policy_new(&policy, &err), &err);
    done(attest_policy_add_audience(policy, audience, &err), &err);
    done(attest_policy_add_issuer(policy, issuer, ATTEST_TRUST_PROVIDER, &err), &err);
    if (trust_domain)
        done(attest_policy_issuer_trust_domain(policy, issuer, trust_domain, &err), &err);
    if (provider)
        done(attest_policy_issuer_provider(policy, issuer, provider, &err), &err);
    if (algs)
        allow_algs(policy, issuer, algs);
    done(attest_policy_freeze(policy, &err), &err);
    return policy;
}

static void
start(struct vector_case *c, const char *set, const char *folder)
{
    struct attest_error err;
    AUTO(mem) char *now = vector_case_file(set, folder, "now", "default_now", NULL);
    *c = (struct vector_case){.issuer =
                                  vector_case_file(set, folder, "issuer", "default_issuer", NULL),
                              .now_s = strtoll(now, NULL, 10)};
    done(attest_keys_new(&c->keys, &err), &err);
}

void
vector_case_token(struct vector_case *c, const char *set, const char *folder)
{
    size_t len;
    struct attest_error err;
    AUTO(mem) char *jwks = vector_case_file(set, folder, "keys", "default_keys.json", &len);
    start(c, set, folder);
    c->policy = policy_of(set, folder, c->issuer);
    done(attest_keys_add_jwks(c->keys, c->issuer, jwks, len, &err), &err);
}

void
vector_case_signed_keyset(struct vector_case *c, const char *set, const char *folder)
{
    size_t len;
    struct attest_error err;
    AUTO(mem) char *root = vector_case_file(set, folder, "root.jwk", "default_root.jwk", &len);
    start(c, set, folder);
    done(attest_keys_pin_root(c->keys, c->issuer, root, len, &err), &err);
}

void
vector_case_done(struct vector_case *c)
{
    attest_keys_free(c->keys);
    attest_policy_free(c->policy);
    free(c->issuer);
}
