/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "support/resolving.h"
#include "token/signed_keyset.h"

/* Whom a resolver asks, for what, and who is told what came of it. */

/* The caller learns that, and neither where nor why. */
static void
refused_alike(struct attest_verifier *v)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    char *token AUTO(mem) = token_by(&key[0]);
    assert_int_equal(attest_verifier_check(v, token, strlen(token), NULL, 0, &result),
                     ATTEST_E_KEY_FETCH);
    assert_string_equal(attest_result_error(result), "the issuer's keys are not to be had");
    assert_true(attest_result_retry(result));
}

static void
a_server_that_refuses_is_named(void **state)
{
    (void)state;
    char text[160] = "";
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    assert_int_equal(attest_verifier_on_event(v, keep_text, text, NULL), ATTEST_OK);
    http_stub_say(&stub, "/.well-known/jwks.json",
                  "HTTP/1.1 503 Later\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n");
    step_until_told(v, text);
    assert_non_null(strstr(text, "503"));
    refused_alike(v);
    assert_in_range(attest_verifier_timeout_ms(v), 10000, 20000); /* as it asked us */
}

/* A query may be what gives access to the keys. */
static void
a_query_is_told_nobody(void **state)
{
    (void)state;
    char text[160] = "", url[96];
    struct attest_fetch *fetch = NULL;
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    snprintf(url, sizeof(url), "%s/set?key=hush", stub.origin);
    assert_int_equal(attest_fetch_set_url(fetch, stub.origin, url, NULL), ATTEST_OK);
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, NULL, fetch);
    attest_fetch_free(fetch);
    assert_int_equal(attest_verifier_on_event(v, keep_text, text, NULL), ATTEST_OK);
    http_stub_say(&stub, "/set?key=hush", answer(7, "text/html", "", "<html>"));
    step_until_told(v, text);
    assert_non_null(strstr(text, "/set: the answer is text/html"));
    assert_null(strstr(text, "hush"));
    refused_alike(v);
}

static void
discovery_is_asked_when_the_usual_place_is_empty(void **state)
{
    (void)state;
    static const struct {
        const char *issuer, *uri; /* NULL: the stub's own */
        bool good;
    } cases[] = {
        {NULL, "/elsewhere/keys", true},
        {"https://other.example.com", "/elsewhere/keys", false},
        {NULL, "http://127.0.0.1:1/keys", false},
        {NULL, "@127.0.0.1:1/keys", false},
        {NULL, ".evil.example/keys", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_stub *s = &stub;
        AUTO(buf) struct buf body;
        buf_init(&body, 512);
        bool whole = cases[i].uri[0] == 'h';
        buf_printf(&body, "{\"issuer\":\"%s\",\"jwks_uri\":\"%s%s\"}",
                   cases[i].issuer ? cases[i].issuer : s->origin, whole ? "" : s->origin,
                   cases[i].uri);
        buf_char(&body, '\0');
        http_stub_say(s, "/.well-known/openid-configuration",
                      answer(6, "application/json", "", body.p));
        http_stub_say(s, "/elsewhere/keys", set_of(0));
        unsigned asked = http_stub_asked(s);
        AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
        if (cases[i].good) {
            step_until(v, 0, ATTEST_OK);
            continue;
        }
        char text[160] = "";
        assert_int_equal(attest_verifier_on_event(v, keep_text, text, NULL), ATTEST_OK);
        step_until_told(v, text);
        assert_non_null(strstr(text, "discovery: "));
        refused_alike(v);
        assert_int_equal(http_stub_asked(s), asked + 1);
    }
}

/* Where a URL is given, nobody else says where the keys are. */
static void
a_url_that_is_given_is_the_only_place(void **state)
{
    (void)state;
    char text[160] = "", url[96], body[256];
    struct attest_fetch *fetch = NULL;
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    snprintf(url, sizeof(url), "%s/set", stub.origin);
    assert_int_equal(attest_fetch_set_url(fetch, stub.origin, url, NULL), ATTEST_OK);
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, NULL, fetch);
    attest_fetch_free(fetch);
    assert_int_equal(attest_verifier_on_event(v, keep_text, text, NULL), ATTEST_OK);
    snprintf(body, sizeof(body), "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\"}", stub.origin,
             stub.origin);
    http_stub_say(&stub, "/set", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    http_stub_say(&stub, "/keys", set_of(0));
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    http_stub_say(&stub, "/.well-known/openid-configuration",
                  answer(6, "application/json", "", body));
    step_until_told(v, text);
    assert_non_null(strstr(text, "404"));
    assert_int_equal(http_stub_asked(&stub), 1);
    refused_alike(v);
}

/* Of the first key, good for 3,000 s. */
static const char *
signed_set_with(const char *headers, const char *issuer, int64_t now_s)
{
    const struct keyset_entry entry = {.public_key = key[0].public_key, .state = KEY_PUBLISHED};
    char *jwt AUTO(mem) =
        mint_signed_keyset(&key[2], (struct signed_keyset_source){.issuer = slice_cstr(issuer),
                                                                  .iat = now_s - 1,
                                                                  .exp = now_s + 3000,
                                                                  .keys = &entry,
                                                                  .n_keys = 1});
    return answer(7, "application/jwk-set+jwt", headers, jwt);
}

static const char *
signed_set_of(const char *issuer, int64_t now_s)
{
    return signed_set_with("", issuer, now_s);
}

static struct attest_keys *
keys_pinned_for(const char *issuer)
{
    struct attest_keys *keys = NULL;
    char *root AUTO(mem) = mint_jwk(&key[2]);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_pin_root(keys, issuer, root, strlen(root), NULL), ATTEST_OK);
    return keys;
}

static void
step_until_there(struct attest_verifier *v, const struct attest_keys *keys, const char *issuer)
{
    for (int i = 0; i < 500 && attest_keys_count(keys, issuer) == 0; i++) {
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        poll(&fd, 1, 10);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
    assert_int_equal(attest_keys_count(keys, issuer), 1);
}

/* Its discovery document names two sets: the one that nobody signed is not as much as asked for. */
static void
a_pinned_issuers_discovery_says_where_the_signed_set_is(void **state)
{
    (void)state;
    char body[256];
    AUTO(attest_keys) struct attest_keys *keys = keys_pinned_for(stub.origin);
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, keys, NULL);
    snprintf(body, sizeof(body),
             "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/plain\",\"signed_jwks_uri\":\"%s/signed\"}",
             stub.origin, stub.origin, stub.origin);
    http_stub_say(&stub, "/.well-known/openid-configuration",
                  answer(6, "application/json", "", body));
    http_stub_say(&stub, "/plain", set_of(0));
    http_stub_say(&stub, "/signed", signed_set_of(stub.origin, clock_wall_s()));
    step_until_there(v, keys, stub.origin);
    assert_int_equal(http_stub_asked(&stub), 2);
}

static void
a_pinned_issuer_is_asked_for_its_signed_set(void **state)
{
    (void)state;
    struct attest_fetch *fetch = NULL;
    char url[96];
    int64_t now_s = clock_wall_s();
    AUTO(attest_keys) struct attest_keys *keys = keys_pinned_for(MINT_ISSUER);
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    snprintf(url, sizeof(url), "%s/set", stub.origin);
    assert_int_equal(attest_fetch_set_url(fetch, MINT_ISSUER, url, NULL), ATTEST_OK);
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(MINT_ISSUER, keys, fetch);
    attest_fetch_free(fetch);
    http_stub_say(&stub, "/set", signed_set_of(MINT_ISSUER, now_s));
    step_until_there(v, keys, MINT_ISSUER);
    assert_int_equal(attest_keys_expires_at_s(keys, MINT_ISSUER), now_s + 3000);
    assert_in_range(attest_verifier_timeout_ms(v), 1, 1500 * 1000); /* half of its life at most */
}

/* Half of its life, or what the answer says, whichever is less. */
static void
a_signed_set_is_fetched_again_in_time(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        int most_ms;
    } rows[] = {
        {"Cache-Control: max-age=3600\r\n", 1500 * 1000},
        {"Cache-Control: max-age=100\r\n", 100 * 1000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(attest_keys) struct attest_keys *keys = keys_pinned_for(stub.origin);
        AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, keys, NULL);
        http_stub_say(&stub, "/.well-known/jwks.jwt",
                      signed_set_with(rows[i].headers, stub.origin, clock_wall_s()));
        step_until_there(v, keys, stub.origin);
        assert_in_range(attest_verifier_timeout_ms(v), 0, rows[i].most_ms);
    }
}

static void
two_verifiers_do_not_fetch_into_one_collection(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    struct attest_verifier *second = NULL;
    AUTO(attest_policy) struct attest_policy *policy = policy_of(stub.origin);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    struct attest_verifier *v = verifier_of(stub.origin, keys, NULL);
    assert_int_equal(attest_verifier_new_fetching(policy, keys, NULL, NULL, &second, NULL),
                     ATTEST_E_ARGUMENT);
    assert_null(second);
    attest_verifier_free(v);
    assert_int_equal(attest_verifier_new_fetching(policy, keys, NULL, NULL, &second, NULL),
                     ATTEST_OK);
    attest_verifier_free(second);
}

static void
http_takes_the_policys_word(void **state)
{
    (void)state;
    struct attest_fetch *fetch = NULL;
    struct attest_policy *p = NULL;
    struct attest_verifier *v = NULL;
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_url(fetch, MINT_ISSUER, stub.origin, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, MINT_ISSUER, ATTEST_TRUST_PROVIDER, NULL), 0);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new_fetching(p, NULL, NULL, fetch, &v, NULL), ATTEST_E_CONFIG);
    /* With https there is nothing to allow. */
    attest_fetch_free(STEAL(fetch));
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_url(fetch, MINT_ISSUER, "https://127.0.0.1:1/set", NULL), 0);
    assert_int_equal(attest_verifier_new_fetching(p, NULL, NULL, fetch, &v, NULL), ATTEST_OK);
    attest_verifier_free(v);
    attest_fetch_free(fetch);
    attest_policy_free(p);
}

static void
options_have_bounds(void **state)
{
    (void)state;
    struct attest_fetch *f = NULL;
    struct attest_error err = {0};
    assert_int_equal(attest_fetch_new(&f, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_ttl_s(f, 60, 300, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_ttl_s(f, 301, 300, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_ttl_s(f, 9, 300, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_ttl_s(f, 60, ATTEST_FETCH_TTL_MAX_S + 1, NULL),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_stale_s(f, -1, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_cooldown_s(f, 0, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_timeout_ms(f, 99, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_wait_ms(f, 60001, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_url(f, MINT_ISSUER, "http://example.com/", &err),
                     ATTEST_E_CONFIG);
    assert_int_equal(err.rc, ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_url(f, "nobody", "https://example.com/", NULL),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_url(f, MINT_ISSUER, "https://example.com/", NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_url(f, MINT_ISSUER, "https://example.com/", NULL),
                     ATTEST_E_CONFIG);
    attest_fetch_free(f);
}

/* It may be a key of after the last set: nothing says that it is none. */
static void
an_unknown_kid_is_not_final_while_the_issuer_is_away(void **state)
{
    (void)state;
    char text[160] = "";
    struct attest_fetch *fetch = easily_discouraged();
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, NULL, fetch);
    attest_fetch_free(fetch);
    assert_int_equal(attest_verifier_on_event(v, keep_text, text, NULL), ATTEST_OK);
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    step_until(v, 0, ATTEST_OK);
    http_stub_say(&stub, "/.well-known/jwks.json",
                  "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(check(v, 1), ATTEST_E_KEY_FETCH);
    step_until_told(v, text);
    assert_non_null(strstr(text, "503"));
    assert_int_equal(check(v, 1), ATTEST_E_KEY_FETCH);
    assert_int_equal(check(v, 2), ATTEST_E_KEY_FETCH);
    assert_int_equal(check(v, 0), ATTEST_OK);
    assert_int_equal(http_stub_asked(&stub), 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_server_that_refuses_is_named),
        TEST(a_query_is_told_nobody),
        TEST(discovery_is_asked_when_the_usual_place_is_empty),
        TEST(a_url_that_is_given_is_the_only_place),
        TEST(a_pinned_issuer_is_asked_for_its_signed_set),
        TEST(a_pinned_issuers_discovery_says_where_the_signed_set_is),
        TEST(a_signed_set_is_fetched_again_in_time),
        TEST(two_verifiers_do_not_fetch_into_one_collection),
        TEST(http_takes_the_policys_word),
        TEST(an_unknown_kid_is_not_final_while_the_issuer_is_away),
        TEST(options_have_bounds),
    };
    RUN_RESOLVING(tests, NULL, NULL);
}
