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
#include "support/vector_case.h"

struct run {
    const char *set; /* "invalid" or "valid" */
    size_t wrong;
};

static char *
file_of(const struct run *run, const char *folder, const char *file, size_t *len)
{
    return vector_case_file(run->set, folder, file, NULL, len);
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
    AUTO(vector_case) struct vector_case c;
    vector_case_signed_keyset(&c, run->set, folder);
    enum attest_rc rc = attest_keys_add_signed(c.keys, c.issuer, input, len, c.now_s, err);
    assert_int_equal(attest_keys_expires_at_s(c.keys, c.issuer) != 0, rc == ATTEST_OK);
    return rc;
}

static enum attest_rc
run_token(const struct run *run, const char *folder, const char *input, size_t len,
          struct attest_error *err)
{
    AUTO(vector_case) struct vector_case c;
    struct attest_claims *claims = NULL;
    vector_case_token(&c, run->set, folder);
    enum attest_rc rc = attest_verify(c.keys, c.policy, input, len, c.now_s, &claims, err);
    assert_int_equal(claims != NULL, rc == ATTEST_OK);
    attest_claims_free(claims);
    return rc;
}

static void
run_case(void *ctx, const char *folder)
{
    struct run *run = ctx;
    size_t len;
    struct attest_error err = {.rc = ATTEST_OK};
    AUTO(mem) char *kind = file_of(run, folder, "kind", NULL);
    AUTO(mem) char *expect = file_of(run, folder, "expect", NULL);
    AUTO(mem) char *says = file_of(run, folder, "says", NULL);
    AUTO(mem) char *input = file_of(run, folder, "input", &len);
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
