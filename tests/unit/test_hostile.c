/* SPDX-License-Identifier: MIT */
/*
 * Walks tests/vectors/invalid and tests/vectors/valid and holds the layers that parse to what each
 * case expects. How the folders are laid out is said in tests/vectors/README.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "jwks/keyset.h"
#include "support/vector.h"
#include "token/claims.h"

#define SKEW_S 30

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

static enum attest_rc
check_times(const struct claims *c, int64_t now_s, struct attest_error *err)
{
    if (now_s >= c->exp + SKEW_S)
        return error_set(err, ATTEST_E_EXPIRED, "exp");
    if (c->nbf > now_s + SKEW_S || c->iat > now_s + SKEW_S)
        return error_set(err, ATTEST_E_NOT_YET_VALID, "nbf or iat");
    return ATTEST_OK;
}

static enum attest_rc
check_audience(const struct claims *c, const char *audience, struct attest_error *err)
{
    for (size_t i = 0; i < c->n_aud; i++) {
        if (slice_is(c->aud[i], audience))
            return ATTEST_OK;
    }
    return error_set(err, ATTEST_E_AUDIENCE, "aud");
}

struct expectation {
    const struct keyset *keys;
    const char *issuer, *audience;
    int64_t now_s;
};

/* The order in which a verifier owes its answers, by hand. */
static enum attest_rc
check_token(const struct expectation *x, const char *token, size_t len, struct attest_error *err)
{
    static struct jws jws;
    static struct claims c;
    const struct profile *p = profile_get(PROFILE_ATTESTATION);
    enum attest_rc rc = jws_read(&jws, p, token, len, err);
    if (!rc)
        rc = claims_read_issuer(&c, p, &jws.payload, err);
    if (rc)
        return rc;
    if (!slice_is(c.iss, x->issuer))
        return error_set(err, ATTEST_E_ISSUER, "iss");
    const struct jwk *key = keyset_find(x->keys, jws.kid);
    if (!key)
        return error_set(err, ATTEST_E_KEY_UNKNOWN, "kid");
    rc = jws_verify(&jws, key->public_key, err);
    if (!rc)
        rc = claims_read_times(&c, err);
    if (!rc)
        rc = check_times(&c, x->now_s, err);
    if (!rc)
        rc = claims_read_audience(&c, err);
    if (!rc)
        rc = check_audience(&c, x->audience, err);
    if (!rc)
        rc = claims_read_rest(&c, NULL, err);
    if (!rc && c.exp - c.iat > p->lifetime_max_s)
        rc = error_set(err, ATTEST_E_POLICY, "lifetime");
    return rc;
}

static enum attest_rc
run_keyset(const char *input, size_t len, struct attest_error *err)
{
    AUTO(keyset) struct keyset *set = NULL;
    return keyset_read(input, len, &set, err);
}

static enum attest_rc
run_token(const struct run *run, const char *folder, const char *input, size_t len,
          struct attest_error *err)
{
    size_t keys_len;
    AUTO(mem) char *keys = file_of(run, folder, "keys", "default_keys.json", &keys_len);
    AUTO(mem) char *issuer = file_of(run, folder, "issuer", "default_issuer", NULL);
    AUTO(mem) char *audience = file_of(run, folder, "audience", "default_audience", NULL);
    AUTO(mem) char *now = file_of(run, folder, "now", "default_now", NULL);
    AUTO(keyset) struct keyset *set = NULL;
    if (keyset_read(keys, keys_len, &set, err))
        fail_msg("%s: its key set: %s", folder, err->text);
    struct expectation x = {set, issuer, audience, strtoll(now, NULL, 10)};
    return check_token(&x, input, len, err);
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

    enum attest_rc rc = kind && strcmp(kind, "keyset") == 0
                            ? run_keyset(exact, len, &err)
                            : run_token(run, folder, exact, len, &err);
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
    if (crypto_init(NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
