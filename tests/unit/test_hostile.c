/* SPDX-License-Identifier: MIT */
/*
 * Walks tests/vectors/invalid and tests/vectors/valid and holds the installed library to what each
 * case expects. How the folders are laid out is said in tests/vectors/README.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <attest/attest.h>

#include "support/vector.h"

struct run {
    const char *set; /* "invalid" or "valid" */
    size_t wrong;
};

/* The file of the case, or the set's default for it. One line, or bytes when len is asked for. */
static char *
file_of(const struct run *run, const char *folder, const char *file, const char *fallback,
        size_t *len)
{
    char name[512];
    size_t n;
    snprintf(name, sizeof(name), "%s/%s/%s", run->set, folder, file);
    char *text = vector_read_optional(name, &n);
    if (!text && !fallback)
        return NULL;
    if (!text) {
        snprintf(name, sizeof(name), "%s/%s", run->set, fallback);
        text = vector_read(name, &n);
    }
    if (len)
        *len = n;
    else if (n && text[n - 1] == '\n')
        text[n - 1] = '\0';
    return text;
}

static enum attest_rc
rc_from(const char *name)
{
    static const struct {
        const char *name;
        enum attest_rc rc;
    } list[] = {
#define ROW(name, number, text) {#name, ATTEST_##name},
        ATTEST_RC_LIST(ROW)
#undef ROW
    };
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        if (strcmp(list[i].name, name) == 0)
            return list[i].rc;
    }
    fail_msg("no such result: %s", name);
    return ATTEST_E_INTERNAL;
}

static void
done(enum attest_rc rc, const struct attest_error *err)
{
    if (rc != ATTEST_OK)
        fail_msg("%s", err->text);
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
policy_of(const struct run *run, const char *folder, const char *issuer)
{
    struct attest_policy *policy = NULL;
    struct attest_error err;
    AUTO(mem) char *audience = file_of(run, folder, "audience", "default_audience", NULL);
    AUTO(mem) char *trust_domain = file_of(run, folder, "trust_domain", NULL, NULL);
    AUTO(mem) char *provider = file_of(run, folder, "provider", NULL, NULL);
    AUTO(mem) char *algs = file_of(run, folder, "alg", NULL, NULL);
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

static enum attest_rc
run_keyset(const char *input, size_t len, struct attest_error *err)
{
    struct attest_keys *keys = NULL;
    done(attest_keys_new(&keys, err), err);
    enum attest_rc rc = attest_keys_add_jwks(keys, "https://ai.example.com", input, len, err);
    attest_keys_free(keys);
    return rc;
}

static enum attest_rc
run_signed_keyset(const struct run *run, const char *folder, const char *input, size_t len,
                  struct attest_error *err)
{
    size_t root_len;
    AUTO(mem) char *root = file_of(run, folder, "root.jwk", "default_root.jwk", &root_len);
    AUTO(mem) char *issuer = file_of(run, folder, "issuer", "default_issuer", NULL);
    AUTO(mem) char *now = file_of(run, folder, "now", "default_now", NULL);
    struct attest_keys *keys = NULL;
    done(attest_keys_new(&keys, err), err);
    done(attest_keys_pin_root(keys, issuer, root, root_len, err), err);
    enum attest_rc rc =
        attest_keys_add_signed(keys, issuer, input, len, strtoll(now, NULL, 10), err);
    assert_int_equal(attest_keys_expires_at_s(keys, issuer) != 0, rc == ATTEST_OK);
    attest_keys_free(keys);
    return rc;
}

static enum attest_rc
run_token(const struct run *run, const char *folder, const char *input, size_t len,
          struct attest_error *err)
{
    size_t jwks_len;
    AUTO(mem) char *jwks = file_of(run, folder, "keys", "default_keys.json", &jwks_len);
    AUTO(mem) char *issuer = file_of(run, folder, "issuer", "default_issuer", NULL);
    AUTO(mem) char *now = file_of(run, folder, "now", "default_now", NULL);
    struct attest_keys *keys = NULL;
    struct attest_claims *claims = NULL;
    struct attest_policy *policy = policy_of(run, folder, issuer);
    done(attest_keys_new(&keys, err), err);
    done(attest_keys_add_jwks(keys, issuer, jwks, jwks_len, err), err);
    enum attest_rc rc =
        attest_verify(keys, policy, input, len, strtoll(now, NULL, 10), &claims, err);
    assert_int_equal(claims != NULL, rc == ATTEST_OK);
    attest_claims_free(claims);
    attest_keys_free(keys);
    attest_policy_free(policy);
    return rc;
}

static void
run_case(void *ctx, const char *folder)
{
    struct run *run = ctx;
    size_t len;
    struct attest_error err = {.rc = ATTEST_OK};
    AUTO(mem) char *kind = file_of(run, folder, "kind", NULL, NULL);
    AUTO(mem) char *expect = file_of(run, folder, "expect", NULL, NULL);
    AUTO(mem) char *says = file_of(run, folder, "says", NULL, NULL);
    AUTO(mem) char *input = file_of(run, folder, "input", NULL, &len);
    if (!expect || !input)
        fail_msg("%s/%s: input and expect are needed", run->set, folder);
    /* A copy of just its size: a sanitizer sees what reads behind the end. */
    AUTO(mem) char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, input, len);

    enum attest_rc rc = !kind ? run_token(run, folder, exact, len, &err)
                        : strcmp(kind, "keyset") == 0
                            ? run_keyset(exact, len, &err)
                            : run_signed_keyset(run, folder, exact, len, &err);
    if (rc != rc_from(expect) || (rc && err.rc != rc) || (rc && says && !strstr(err.text, says))) {
        print_error("%s/%s: %d \"%s\", expected %s \"%s\"\n", run->set, folder, (int)rc, err.text,
                    expect, says ? says : "");
        run->wrong++;
    }
}

static void
test_invalid(void **state)
{
    (void)state;
    struct run run = {"invalid", 0};
    assert_true(vector_each("invalid", run_case, &run) >= 120);
    assert_int_equal(run.wrong, 0);
}

/* The ground on which the others stand: each of those differs from one of these by its fault. */
static void
test_valid(void **state)
{
    (void)state;
    struct run run = {"valid", 0};
    assert_true(vector_each("valid", run_case, &run) >= 10);
    assert_int_equal(run.wrong, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
