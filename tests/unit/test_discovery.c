/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <attest/attest.h>

#include "support/http_stub.h"
#include "support/mint.h"
#include "support/need.h"
#include "verify/verifier.h"

/* Answers that bring no keys, and what those who wait for them are told. */

static struct http_stub stub;
static char *token;

static int
set_up(void **state)
{
    (void)state;
    struct mint_key key;
    struct mint_object payload;
    char issuer[64];
    if (!http_stub_start(&stub))
        return -1;
    mint_key_init(&key, 1);
    mint_payload(&payload);
    snprintf(issuer, sizeof(issuer), "\"%s\"", stub.origin);
    mint_set(&payload, "iss", issuer);
    token = mint_token(&key, NULL, &payload);
    mint_key_done(&key);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    http_stub_stop(&stub);
    free(token);
    return 0;
}

static char told[256]; /* the last event of a fetch that failed */

static void
hear(void *ctx, const struct attest_event *event)
{
    (void)ctx;
    if (attest_event_kind(event) == ATTEST_EVENT_KEYS_FETCH_FAILED)
        snprintf(told, sizeof(told), "%s", attest_event_text(event));
}

static struct attest_verifier *
verifier_with(const struct attest_fetch *fetch)
{
    struct attest_policy *p = NULL;
    struct attest_verifier *v = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_allow_loopback_http(p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, stub.origin, ATTEST_TRUST_PROVIDER, NULL),
                     ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new_fetching(p, NULL, NULL, fetch, &v, NULL), ATTEST_OK);
    attest_policy_free(p);
    told[0] = '\0';
    assert_int_equal(attest_verifier_on_event(v, hear, NULL, NULL), ATTEST_OK);
    return v;
}

static void
say_200(const char *path, const char *body)
{
    char says[HTTP_STUB_ANSWER_MAX];
    snprintf(says, sizeof(says),
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n%s",
             strlen(body), body);
    http_stub_say(&stub, path, says);
}

/* Steps until the operator is told this; who shows a token learns nothing of it. */
static void
step_until_told(struct attest_verifier *v, const char *text)
{
    for (int i = 0; i < 500; i++) {
        AUTO(attest_result) struct attest_result *result = NULL;
        assert_int_equal(attest_verifier_check(v, token, strlen(token), NULL, 0, &result),
                         ATTEST_E_KEY_FETCH);
        assert_null(strstr(attest_result_error(result), text));
        if (strstr(told, text))
            return;
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        poll(&fd, 1, 10);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
    fail_msg("nobody was told: %s", text);
}

static void
what_is_no_discovery_document_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *body, *tells; /* "@" stands for the issuer */
    } cases[] = {
        {"<html>", "JSON"},
        {"[]", "another issuer"},
        {"{\"issuer\":1,\"jwks_uri\":\"@/k\"}", "another issuer"},
        {"{\"jwks_uri\":\"@/k\"}", "another issuer"},
        {"{\"issuer\":\"@\"}", "own host"},
        {"{\"issuer\":\"@\",\"jwks_uri\":1}", "own host"},
        {"{\"issuer\":\"@\",\"jwks_uri\":\"\"}", "own host"},
        {"{\"issuer\":\"@\",\"jwks_uri\":\"@\"}", "own host"},
        {"{\"issuer\":\"@\",\"jwks_uri\":\"@x/k\"}", "own host"},
        {"{\"issuer\":\"@\",\"jwks_uri\":\"https://evil.example/a/long/path/to/keys\"}",
         "own host"},
        {"{\"issuer\":\"@\",\"jwks_uri\":\"@/nowhere\"}", "answers 404"},
        {"", "answers nothing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buf) struct buf body;
        buf_init(&body, 1024);
        for (const char *at = cases[i].body; *at; at++)
            *at == '@' ? buf_str(&body, stub.origin) : buf_char(&body, *at);
        buf_char(&body, '\0');
        say_200("/.well-known/openid-configuration", body.p);
        AUTO(attest_verifier) struct attest_verifier *v = verifier_with(NULL);
        step_until_told(v, cases[i].tells);
    }
}

static void
an_answer_that_is_none_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *says, *tells;
    } cases[] = {
        {"HTTP/1.1 302 Found\r\nLocation: /k\r\nContent-Length: 0\r\n\r\n",
         "302 (redirects are not followed)"},
        {"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", "answers 410"},
        {"HTTP/1.1 404 Nothing\r\nContent-Length: 0\r\n\r\n", "answers 404"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        http_stub_say(&stub, "/.well-known/jwks.json", cases[i].says);
        AUTO(attest_verifier) struct attest_verifier *v = verifier_with(NULL);
        step_until_told(v, cases[i].tells);
    }
}

/* With a URL of its own, a 404 is an answer, and discovery is not asked. */
static void
a_given_url_is_the_only_place(void **state)
{
    (void)state;
    struct attest_fetch *fetch = NULL;
    char url[96];
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    snprintf(url, sizeof(url), "%s/nowhere", stub.origin);
    assert_int_equal(attest_fetch_set_url(fetch, stub.origin, url, NULL), ATTEST_OK);
    AUTO(attest_verifier) struct attest_verifier *v = verifier_with(fetch);
    attest_fetch_free(fetch);
    say_200("/.well-known/openid-configuration", "{}");
    step_until_told(v, "answers 404");
    assert_int_equal(http_stub_asked(&stub), 0);
}

int
main(void)
{
    need_curl();
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_no_discovery_document_is_told),
        TEST(an_answer_that_is_none_is_told),
        TEST(a_given_url_is_the_only_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
