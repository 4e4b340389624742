/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "verify/policy.h"

#define A "https://a.example"
#define B "https://b.example"

static struct attest_policy *
new_policy(void)
{
    struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    return p;
}

static struct attest_policy *
usable_policy(void)
{
    struct attest_policy *p = new_policy();
    assert_int_equal(attest_policy_add_audience(p, "https://me.example", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, A, ATTEST_TRUST_PROVIDER, NULL), ATTEST_OK);
    return p;
}

static void
test_empty_is_refused(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = new_policy();
    struct attest_error err;
    assert_int_equal(attest_policy_freeze(p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "audience"));
    assert_int_equal(attest_policy_add_audience(p, "https://me.example", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "issuer"));
    assert_false(policy_frozen(p));
}

static void
test_two_issuers_must_be_told_apart(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = usable_policy();
    assert_int_equal(attest_policy_add_issuer(p, B, ATTEST_TRUST_ENTERPRISE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_issuer_trust_domain(p, A, "a.example", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_issuer_provider(p, A, "a", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_issuer_trust_domain(p, B, "b.example", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_issuer_provider(p, B, "b", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
}

static void
test_frozen_stays_as_it_is(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = usable_policy();
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_add_audience(p, "x", NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_add_issuer(p, B, ATTEST_TRUST_PROVIDER, NULL),
                     ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_issuer_trust_domain(p, A, "x", NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_issuer_provider(p, A, "x", NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_issuer_alg(p, A, "EdDSA", NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_issuer_subject_name(p, A, "x", "y", NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_only_issuer(p, A, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_only_audience(p, "x", NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_allow_loopback_http(p, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_set_mode(p, ATTEST_MODE_OPTIONAL, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_set_skew_s(p, 1, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_set_lifetime_max_s(p, 1, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_set_age_max_s(p, 1, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_require_claim(p, "cnf", NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_set_safety_min(p, ATTEST_SAFETY_STANDARD, NULL),
                     ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_set_trust_min(p, ATTEST_TRUST_PROVIDER, NULL),
                     ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_add_model_family(p, "x", NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(policy_mode(p), ATTEST_MODE_REQUIRED);
    assert_int_equal(policy_skew_s(p), ATTEST_SKEW_DEFAULT_S);
}

static void
test_wrong_values(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = usable_policy();
    assert_int_equal(attest_policy_add_audience(p, "", NULL), ATTEST_E_CONFIG);
    assert_int_equal(
        attest_policy_add_issuer(p, "http://127.0.0.1:8080", ATTEST_TRUST_PROVIDER, NULL),
        ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_add_issuer(p, "ai.example.com", ATTEST_TRUST_PROVIDER, NULL),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_add_issuer(p, A, ATTEST_TRUST_PROVIDER, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_add_issuer(p, B, ATTEST_TRUST_NONE, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_issuer_provider(p, B, "b", NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_only_issuer(p, B, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_issuer_trust_domain(p, A, "A.example", NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_issuer_alg(p, A, "ES256", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_issuer_alg(p, A, "ES384", NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_issuer_alg(p, A, "none", NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_issuer_alg(p, A, "HS256", NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_issuer_subject_name(p, A, "m", "..", NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_issuer_subject_name(p, A, "m", "x", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_issuer_subject_name(p, A, "m", "y", NULL), ATTEST_E_CONFIG);
    char longest[2050];
    memset(longest, 'a', sizeof(longest));
    longest[2049] = '\0';
    assert_int_equal(attest_policy_add_provider(p, longest, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_add_provider(p, longest + 1, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_provider(p, "", NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_set_skew_s(p, -1, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_set_skew_s(p, ATTEST_SKEW_MAX_S + 1, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_set_lifetime_max_s(p, 0, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_set_lifetime_max_s(p, 901, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_set_age_max_s(p, 901, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_set_mode(p, (enum attest_mode)3, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_set_safety_min(p, (enum attest_safety)9, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_set_trust_min(p, (enum attest_trust)9, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_require_claim(p, "agent", NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_require_claim(p, "agent_integrity.config_hash", NULL),
                     ATTEST_OK);
    assert_int_equal(attest_policy_allow_loopback_http(p, NULL), ATTEST_OK);
    assert_int_equal(
        attest_policy_add_issuer(p, "http://127.0.0.1:8080", ATTEST_TRUST_PROVIDER, NULL),
        ATTEST_OK);
}

/* What no issuer mints for would refuse every token. */
static void
test_audiences_that_match_nothing(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = new_policy();
    struct attest_error err;
    char longest[JWS_STRING_MAX + 2];
    static const char *const wrong[] = {
        "",
        "not a url",
        " https://me.example",
        "https://me.example ",
        "a\nb",
        "\xff\xfe",
        "me.example",
        "https:",
        "https://me\xc3\xa4.example",
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(attest_policy_add_audience(p, wrong[i], &err), ATTEST_E_CONFIG);
        assert_non_null(strstr(err.text, "no URL"));
    }
    assert_int_equal(attest_policy_add_audience(p, "*", &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "no wildcard"));
    assert_int_equal(attest_policy_add_audience(p, "https://*.example", &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "no wildcard"));
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "https://", 8);
    longest[JWS_STRING_MAX + 1] = '\0';
    assert_int_equal(attest_policy_add_audience(p, longest, &err), ATTEST_E_CONFIG);
    longest[JWS_STRING_MAX] = '\0';
    assert_int_equal(attest_policy_add_audience(p, longest, &err), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, "urn:example:me", &err), ATTEST_OK);
}

static void
test_trust_that_nobody_has(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = new_policy();
    struct attest_error err;
    assert_int_equal(attest_policy_add_audience(p, "https://me.example", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, A, ATTEST_TRUST_ENTERPRISE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_set_trust_min(p, ATTEST_TRUST_PROVIDER, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "provider is demanded"));
    /* Another issuer's level is no help while only the first one's tokens are accepted. */
    assert_int_equal(attest_policy_add_issuer(p, B, ATTEST_TRUST_PROVIDER, NULL), ATTEST_OK);
    const char *const both[] = {A, B};
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        assert_int_equal(attest_policy_issuer_trust_domain(p, both[i], "a.example", NULL),
                         ATTEST_OK);
        assert_int_equal(attest_policy_issuer_provider(p, both[i], "a", NULL), ATTEST_OK);
    }
    assert_int_equal(attest_policy_only_issuer(p, A, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, &err), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_only_issuer(p, B, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, &err), ATTEST_OK);
}

static void
test_limits(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = usable_policy();
    char name[64];
    for (int i = 1; i < 64; i++) {
        snprintf(name, sizeof(name), "https://%d.example", i);
        assert_int_equal(attest_policy_add_audience(p, name, NULL), ATTEST_OK);
        assert_int_equal(attest_policy_add_audience(p, name, NULL), ATTEST_OK);
        assert_int_equal(attest_policy_add_issuer(p, name, ATTEST_TRUST_PROVIDER, NULL), ATTEST_OK);
    }
    for (int i = 0; i <= 64; i++) {
        snprintf(name, sizeof(name), "model %d", i);
        assert_int_equal(attest_policy_issuer_subject_name(p, A, name, "m", NULL),
                         i < 64 ? ATTEST_OK : ATTEST_E_LIMIT);
    }
    assert_int_equal(attest_policy_add_audience(p, "https://x.example", NULL), ATTEST_E_LIMIT);
    assert_int_equal(attest_policy_add_issuer(p, "https://x.example", ATTEST_TRUST_PROVIDER, NULL),
                     ATTEST_E_LIMIT);
}

/* One of the names, or the first of all; the others no longer count, and a wrong one changes
 * nothing. */
static void
test_only_audience(void **state)
{
    (void)state;
    static const char *const names[] = {"https://me.example", "https://us.example"};
    AUTO(attest_policy) struct attest_policy *p = usable_policy(), *fresh = new_policy();
    struct claims_view view = {.n_aud = 2};
    struct attest_error err;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        view.aud[i] = slice_cstr(names[i]);
    assert_int_equal(attest_policy_add_audience(p, names[1], NULL), ATTEST_OK);
    assert_int_equal(attest_policy_only_audience(p, "https://m", &err), ATTEST_E_CONFIG);
    assert_string_equal(err.text, "policy: https://m is none of its audiences");
    assert_int_equal(policy_match_audience(p, &view), 0);
    assert_int_equal(attest_policy_only_audience(p, names[1], NULL), ATTEST_OK);
    assert_int_equal(policy_match_audience(p, &view), 1);
    assert_int_equal(attest_policy_only_audience(p, names[0], NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_only_audience(fresh, "", NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_only_audience(fresh, names[1], NULL), ATTEST_OK);
    assert_int_equal(policy_match_audience(fresh, &view), 1);
}

static void
test_names(void **state)
{
    (void)state;
    assert_string_equal(attest_trust_name(ATTEST_TRUST_PROVIDER), "provider");
    assert_string_equal(attest_trust_name(ATTEST_TRUST_ENTERPRISE), "enterprise");
    assert_string_equal(attest_trust_name((enum attest_trust)77), "unknown");
    assert_string_equal(attest_safety_name((enum attest_safety)77), "unknown");
    assert_string_equal(attest_mode_name((enum attest_mode)77), "unknown");
    assert_string_equal(attest_safety_name(ATTEST_SAFETY_ENHANCED), "enhanced");
    assert_string_equal(attest_mode_name(ATTEST_MODE_PREFERRED), "preferred");
    assert_true(ATTEST_TRUST_NONE < ATTEST_TRUST_ENTERPRISE);
    assert_true(ATTEST_TRUST_ENTERPRISE < ATTEST_TRUST_PROVIDER);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_is_refused),
        cmocka_unit_test(test_two_issuers_must_be_told_apart),
        cmocka_unit_test(test_frozen_stays_as_it_is),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_audiences_that_match_nothing),
        cmocka_unit_test(test_trust_that_nobody_has),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_only_audience),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
