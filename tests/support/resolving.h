/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_RESOLVING_H
#define SUPPORT_RESOLVING_H

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <attest/attest.h>

#include "support/http_stub.h"
#include "support/mint.h"
#include "support/need.h"
#include "verify/fetch_options.h"
#include "verify/verifier.h"

/* Real key sets over real connections; the verifier's clock alone stands still. */

static struct mint_key key[3];
static struct http_stub stub;
static char served[8][4096]; /* bodies with their heads */

static inline int64_t
test_clock(void *ctx)
{
    (void)ctx;
    return MINT_NOW;
}

static inline const char *
answer(int slot, const char *type, const char *headers, const char *body)
{
    snprintf(served[slot], sizeof(served[slot]),
             "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n%s",
             type, headers, strlen(body), body);
    return served[slot];
}

static inline const char *
set_of(int n)
{
    char *jwks AUTO(mem) = mint_jwks(&key[n]);
    return answer(n, "application/json", "", jwks);
}

static inline int
set_up(void **state)
{
    (void)state;
    return http_stub_start(&stub) ? 0 : -1;
}

static inline int
tear_down(void **state)
{
    (void)state;
    http_stub_stop(&stub);
    return 0;
}

static inline struct attest_policy *
policy_of(const char *issuer)
{
    struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_allow_loopback_http(p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, issuer, ATTEST_TRUST_PROVIDER, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    return p;
}

static inline struct attest_verifier *
verifier_of(const char *issuer, struct attest_keys *keys, const struct attest_fetch *fetch)
{
    struct attest_error err = {0};
    struct attest_verifier *v = NULL;
    AUTO(attest_policy) struct attest_policy *policy = policy_of(issuer);
    if (attest_verifier_new_fetching(policy, keys, NULL, fetch, &v, &err))
        fail_msg("%s", err.text);
    assert_int_equal(attest_verifier_set_clock(v, test_clock, NULL, NULL), ATTEST_OK);
    return v;
}

/* Its issuer is the stub itself: nothing is configured but the issuer. */
static inline struct attest_verifier *
new_verifier(void)
{
    return verifier_of(stub.origin, NULL, NULL);
}

static inline char *
token_by(const struct mint_key *by)
{
    char issuer[64];
    struct mint_object payload;
    snprintf(issuer, sizeof(issuer), "\"%s\"", stub.origin);
    mint_payload(&payload);
    mint_set(&payload, "iss", issuer);
    return mint_token(by, NULL, &payload);
}

static inline enum attest_rc
check_token(struct attest_verifier *v, const char *token)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    enum attest_rc rc = attest_verifier_check(v, token, strlen(token), NULL, 0, &result);
    return result ? attest_result_error_code(result) : rc;
}

/* One of a kind each time: none of them is a replay. */
static inline enum attest_rc
check(struct attest_verifier *v, int by)
{
    static unsigned serial;
    char issuer[64], jti[64];
    struct mint_object payload;
    snprintf(issuer, sizeof(issuer), "\"%s\"", stub.origin);
    snprintf(jti, sizeof(jti), "\"00000000-0000-4000-8000-%012x\"", ++serial);
    mint_payload(&payload);
    mint_set(&payload, "iss", issuer);
    mint_set(&payload, "jti", jti);
    char *token AUTO(mem) = mint_token(&key[by], NULL, &payload);
    return check_token(v, token);
}

/* Impatient, and then silent: the first failure opens the circuit for a minute. */
static inline struct attest_fetch *
easily_discouraged(void)
{
    struct attest_fetch *fetch = NULL;
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    fetch->limits.open_after = 1;
    fetch->limits.open_ms = 60000;
    return fetch;
}

/* Its loop, until this comes of a check or, at the latest, many steps later. */
static inline void
step_until(struct attest_verifier *v, int by, enum attest_rc wanted)
{
    enum attest_rc rc = ATTEST_OK;
    for (int i = 0; i < 500; i++) {
        rc = check(v, by);
        if (rc == wanted)
            return;
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        int ms = attest_verifier_timeout_ms(v);
        poll(&fd, 1, ms < 0 || ms > 20 ? 20 : ms);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
    fail_msg("%d came, not %d", rc, wanted);
}

/* Steps until the server has been asked so often; the answer may still be on its way. */
static inline void
step_until_asked(struct attest_verifier *v, unsigned n)
{
    for (int i = 0; i < 500 && http_stub_asked(&stub) < n; i++) {
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        int ms = attest_verifier_timeout_ms(v);
        poll(&fd, 1, ms < 0 || ms > 20 ? 20 : ms);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
    assert_int_equal(http_stub_asked(&stub), n);
}

/* Why keys are not to be had, as an event tells it. */
static inline void
keep_text(void *ctx, const struct attest_event *event)
{
    if (attest_event_kind(event) == ATTEST_EVENT_KEYS_FETCH_FAILED)
        snprintf(ctx, 160, "%s", attest_event_text(event));
}

static inline void
step_until_told(struct attest_verifier *v, const char *text)
{
    for (int i = 0; i < 500 && !*text; i++) {
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        poll(&fd, 1, 10);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Runs them, or ends with 77 where nothing can be fetched. */
#define RUN_RESOLVING(tests, begin, end)                                                           \
    do {                                                                                           \
        need_curl();                                                                               \
        if (crypto_init(NULL) != ATTEST_OK)                                                        \
            return 1;                                                                              \
        for (uint8_t i = 0; i < ARRAY_LEN(key); i++)                                               \
            mint_key_init(&key[i], i);                                                             \
        int failed = cmocka_run_group_tests(tests, begin, end);                                    \
        for (size_t i = 0; i < ARRAY_LEN(key); i++)                                                \
            mint_key_done(&key[i]);                                                                \
        return failed;                                                                             \
    } while (0)

#endif
