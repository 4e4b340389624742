/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <attest/attest.h>

#include "support/child.h"
#include "support/mint.h"
#include "support/need.h"
#include "verify/fetch_options.h"
#include "verify/keys.h"
#include "verify/policy.h"
#include "verify/verifier.h"

/* What can be asked of a verifier and its parts besides a verdict, by whoever holds it wrong, too.
 */

#define NEARLY MINT_ISSUER "/"

static struct mint_key key;
static char *jwks;

static int
set_up(void **state)
{
    (void)state;
    crypto_init(NULL);
    mint_key_init(&key, 1);
    jwks = mint_jwks(&key);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    free(jwks);
    mint_key_done(&key);
    return 0;
}

static struct attest_policy *
policy_of(const char *issuer)
{
    struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, issuer, ATTEST_TRUST_PROVIDER, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    return p;
}

static struct attest_keys *
keys_of(const char *issuer)
{
    struct attest_keys *keys = NULL;
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(keys, issuer, jwks, strlen(jwks), NULL), ATTEST_OK);
    return keys;
}

static void
test_nothing_is_fetched_by_one_with_keys(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *policy = policy_of(MINT_ISSUER);
    AUTO(attest_keys) struct attest_keys *keys = keys_of(MINT_ISSUER);
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    assert_int_equal(attest_verifier_new(policy, keys, NULL, &v, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_fd(v), -1);
    assert_int_equal(attest_verifier_timeout_ms(v), -1);
    assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    assert_int_equal(attest_verifier_start_thread(v, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_verifier_clear(v, MINT_ISSUER, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_verifier_invalidate(v, MINT_ISSUER, NULL), ATTEST_E_ARGUMENT);
}

static void
test_a_refusal_says_nothing_of_an_agent(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *policy = policy_of(MINT_ISSUER);
    AUTO(attest_keys) struct attest_keys *keys = keys_of(MINT_ISSUER);
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    AUTO(attest_result) struct attest_result *result = NULL;
    assert_int_equal(attest_verifier_new(policy, keys, NULL, &v, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_check(v, "x", 1, NULL, 0, &result), ATTEST_E_MALFORMED);
    assert_null(attest_result_issuer(result));
    assert_null(attest_result_subject(result));
    assert_null(attest_result_claims(result));
    assert_null(attest_result_verified_claim(result, 0));
    assert_int_equal(attest_result_trust(result), ATTEST_TRUST_NONE);
}

static bool
child_is_refused(struct attest_verifier *v, struct attest_policy *policy, struct attest_keys *keys,
                 struct attest_replay *replay)
{
    struct attest_result *result = NULL;
    struct attest_verifier *another = NULL;
    struct attest_counters counters = {0};
    bool told =
        attest_verifier_check(v, "x", 1, NULL, 0, &result) == ATTEST_E_FORKED && !result &&
        attest_verifier_step(v) == ATTEST_E_FORKED &&
        attest_verifier_start_thread(v, NULL) == ATTEST_E_FORKED &&
        attest_verifier_invalidate(v, MINT_ISSUER, NULL) == ATTEST_E_FORKED &&
        attest_verifier_clear(v, MINT_ISSUER, NULL) == ATTEST_E_FORKED &&
        attest_verifier_set_token_cache(v, 0, NULL) == ATTEST_E_FORKED &&
        attest_verifier_fd(v) == -1 && attest_verifier_timeout_ms(v) == -1 &&
        attest_verifier_metrics(v) == NULL &&
        attest_verifier_counters(v, &counters, sizeof(counters)) == ATTEST_E_FORKED &&
        attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL) == ATTEST_E_FORKED &&
        attest_verifier_new(policy, keys, replay, &another, NULL) == ATTEST_E_FORKED &&
        attest_verifier_new_fetching(policy, keys, NULL, NULL, &another, NULL) == ATTEST_E_FORKED &&
        !another;
    attest_verifier_free(v);
    attest_replay_free(replay);
    return told;
}

static void
test_a_child_is_refused(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *policy = policy_of(MINT_ISSUER);
    AUTO(attest_keys) struct attest_keys *keys = keys_of(MINT_ISSUER);
    AUTO(attest_replay) struct attest_replay *replay = NULL;
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    assert_int_equal(attest_replay_new_memory(16, &replay, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new(policy, keys, replay, &v, NULL), ATTEST_OK);
    pid_t pid = fork();
    if (pid == 0)
        child_exit(child_is_refused(v, policy, keys, replay));
    assert_true(child_was_good(pid));
}

static void
test_half_made_verifiers(void **state)
{
    (void)state;
    struct attest_verifier *v = NULL;
    struct attest_policy *open = NULL;
    AUTO(attest_policy) struct attest_policy *policy = policy_of("https://nobody.example.com");
    AUTO(attest_keys) struct attest_keys *keys = keys_of(MINT_ISSUER);
    assert_int_equal(attest_verifier_new(policy, keys, NULL, &v, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_new(&open, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new(open, keys, NULL, &v, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_verifier_new_fetching(open, NULL, NULL, NULL, &v, NULL),
                     ATTEST_E_ARGUMENT);
    assert_null(v);
    attest_policy_free(open);
    attest_policy_free(NULL);
    attest_keys_free(NULL);
    attest_replay_free(NULL);
    attest_verifier_free(NULL);
    attest_result_free(NULL);
    attest_claims_free(NULL);
    attest_fetch_free(NULL);
}

/* By both ways of making one; without libcurl the second is none. */
static void
made_with(struct attest_policy *policy, struct attest_keys *keys, enum attest_rc wanted)
{
    struct attest_error err = {0};
    struct attest_verifier *v = NULL;
    assert_int_equal(attest_verifier_new(policy, keys, NULL, &v, &err), wanted);
    attest_verifier_free(v);
    v = NULL;
    enum attest_rc rc = attest_verifier_new_fetching(policy, keys, NULL, NULL, &v, &err);
    assert_true(rc == wanted || (wanted == ATTEST_OK && rc == ATTEST_E_UNSUPPORTED));
    attest_verifier_free(v);
    if (wanted == ATTEST_E_CONFIG)
        assert_non_null(strstr(err.text, NEARLY ", which is no issuer of the policy"));
}

/* The root protects what it is pinned for, and a slash more is another name. */
static void
test_a_root_under_another_name(void **state)
{
    (void)state;
    char *root AUTO(mem) = mint_jwk(&key);
    AUTO(attest_policy) struct attest_policy *policy = policy_of(MINT_ISSUER);
    AUTO(attest_keys) struct attest_keys *keys = keys_of(MINT_ISSUER);
    made_with(policy, keys, ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(keys, NEARLY, jwks, strlen(jwks), NULL), ATTEST_OK);
    made_with(policy, keys, ATTEST_OK); /* keys of others are nobody's loss */
    assert_int_equal(attest_keys_pin_root(keys, NEARLY, root, strlen(root), NULL), ATTEST_OK);
    made_with(policy, keys, ATTEST_E_CONFIG);
    /* Shared with the verifier of another policy: each has the roots that it needs. */
    assert_int_equal(attest_keys_pin_root(keys, MINT_ISSUER, root, strlen(root), NULL), ATTEST_OK);
    made_with(policy, keys, ATTEST_OK);
}

static void
test_a_url_under_another_name(void **state)
{
    (void)state;
    if (!have_curl())
        skip();
    struct attest_error err = {0};
    struct attest_verifier *v = NULL;
    AUTO(attest_fetch) struct attest_fetch *f = NULL;
    AUTO(attest_policy) struct attest_policy *policy = policy_of(MINT_ISSUER);
    assert_int_equal(attest_fetch_new(&f, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_url(f, NEARLY, "https://cdn.example.com/k", NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new_fetching(policy, NULL, NULL, f, &v, &err),
                     ATTEST_E_CONFIG);
    assert_null(v);
    assert_non_null(strstr(err.text, NEARLY ", which is no issuer of the policy"));
}

static void
test_fetch_bounds(void **state)
{
    (void)state;
    AUTO(attest_fetch) struct attest_fetch *f = NULL;
    assert_int_equal(attest_fetch_new(&f, NULL), ATTEST_OK);
    static const struct {
        enum attest_rc (*set)(struct attest_fetch *, int64_t, struct attest_error *);
        int64_t min, max;
    } bounds[] = {
        {attest_fetch_set_stale_s, 0, ATTEST_FETCH_STALE_MAX_S},
        {attest_fetch_set_cooldown_s, 1, 3600},
        {attest_fetch_set_timeout_ms, 100, 60000},
        {attest_fetch_set_wait_ms, 0, 60000},
    };
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        assert_int_equal(bounds[i].set(f, bounds[i].min, NULL), ATTEST_OK);
        assert_int_equal(bounds[i].set(f, bounds[i].max, NULL), ATTEST_OK);
        assert_int_equal(bounds[i].set(f, bounds[i].min - 1, NULL), ATTEST_E_CONFIG);
        assert_int_equal(bounds[i].set(f, bounds[i].max + 1, NULL), ATTEST_E_CONFIG);
    }
    assert_int_equal(attest_fetch_set_ttl_s(f, 10, ATTEST_FETCH_TTL_MAX_S, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_ttl_s(f, 9, 100, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_ttl_s(f, 101, 100, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_ttl_s(f, 10, ATTEST_FETCH_TTL_MAX_S + 1, NULL),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_ca_file(f, "/a", NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_ca_file(f, NULL, NULL), ATTEST_OK);
}

static void
test_fetch_urls(void **state)
{
    (void)state;
    if (!have_curl())
        skip();
    char issuer[64];
    AUTO(attest_fetch) struct attest_fetch *f = NULL;
    assert_int_equal(attest_fetch_new(&f, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_url(f, "nobody", "https://cdn.example.com/k", NULL),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_url(f, MINT_ISSUER, "ftp://cdn.example.com/k", NULL),
                     ATTEST_E_CONFIG);
    for (int i = 0; i < FETCH_URLS_MAX; i++) {
        snprintf(issuer, sizeof(issuer), "https://ai%d.example.com", i);
        assert_int_equal(attest_fetch_set_url(f, issuer, "https://cdn.example.com/k", NULL),
                         ATTEST_OK);
    }
    assert_int_equal(attest_fetch_set_url(f, issuer, "https://cdn.example.com/k", NULL),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_url(f, MINT_ISSUER, "https://cdn.example.com/k", NULL),
                     ATTEST_E_LIMIT);
    assert_int_equal(attest_fetch_set_ca_file(f, "/a", NULL), ATTEST_OK);
    AUTO(attest_fetch) struct attest_fetch *copy = fetch_options_copy(f);
    assert_non_null(copy);
    assert_string_equal(fetch_options_url(copy, issuer), "https://cdn.example.com/k");
    assert_null(fetch_options_url(copy, MINT_ISSUER));
}

static void
test_keys_have_a_limit(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = keys_of(MINT_ISSUER);
    char issuer[64];
    enum attest_rc rc = ATTEST_OK;
    size_t n = 1;
    for (; n < 10000 && rc == ATTEST_OK; n++) {
        snprintf(issuer, sizeof(issuer), "https://ai%zu.example.com", n);
        rc = attest_keys_add_jwks(keys, issuer, jwks, strlen(jwks), NULL);
    }
    assert_int_equal(rc, ATTEST_E_LIMIT);
    assert_int_equal(n - 1, KEYS_ISSUERS_MAX);
    assert_int_equal(attest_keys_count(keys, issuer), 0);
    assert_int_equal(attest_keys_count(keys, MINT_ISSUER), 1);
    assert_int_equal(attest_keys_expires_at_s(keys, issuer), 0);
    assert_false(attest_keys_pinned(keys, issuer));
    assert_null(attest_keys_next_root(keys, issuer));
    assert_null(attest_keys_next_root(keys, MINT_ISSUER));
    assert_int_equal(attest_keys_add_signed(keys, MINT_ISSUER, "a.b.c", 5, MINT_NOW, NULL),
                     ATTEST_E_ARGUMENT);
    assert_int_equal(attest_keys_add_file(keys, MINT_ISSUER, "/nowhere/keys", NULL),
                     ATTEST_E_NOT_FOUND);
    assert_int_equal(attest_keys_add_file(keys, MINT_ISSUER, "/dev/zero", NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_keys_add_file(keys, MINT_ISSUER, "/", NULL), ATTEST_E_CONFIG);
}

/* There is no server on port 1; nothing is made of a URL that is none. */
static void
test_no_redis_there(void **state)
{
    (void)state;
    struct attest_replay *replay = NULL;
    enum attest_rc rc = attest_replay_new_redis("redis://127.0.0.1:1", 0, &replay, NULL);
    assert_true(rc == ATTEST_E_IO || rc == ATTEST_E_UNSUPPORTED);
    rc = attest_replay_new_redis("http://127.0.0.1:1", 500, &replay, NULL);
    assert_true(rc == ATTEST_E_CONFIG || rc == ATTEST_E_UNSUPPORTED);
    assert_int_equal(attest_replay_new_memory(((size_t)1 << 28) + 1, &replay, NULL),
                     ATTEST_E_CONFIG);
    assert_null(replay);
    assert_int_equal(attest_replay_new_memory(0, &replay, NULL), ATTEST_OK);
    attest_replay_free(replay);
}

static void
test_names_of_what_is_none(void **state)
{
    (void)state;
    assert_string_equal(attest_trust_name((enum attest_trust)99), "unknown");
    assert_string_equal(attest_safety_name((enum attest_safety)99), "unknown");
    assert_string_equal(attest_mode_name((enum attest_mode)99), "unknown");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_fetched_by_one_with_keys),
        cmocka_unit_test(test_a_refusal_says_nothing_of_an_agent),
        cmocka_unit_test(test_a_child_is_refused),
        cmocka_unit_test(test_half_made_verifiers),
        cmocka_unit_test(test_a_root_under_another_name),
        cmocka_unit_test(test_a_url_under_another_name),
        cmocka_unit_test(test_fetch_bounds),
        cmocka_unit_test(test_fetch_urls),
        cmocka_unit_test(test_keys_have_a_limit),
        cmocka_unit_test(test_no_redis_there),
        cmocka_unit_test(test_names_of_what_is_none),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
