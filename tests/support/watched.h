/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_WATCHED_H
#define TESTS_SUPPORT_WATCHED_H

#include <poll.h>

#include "support/http_stub.h"
#include "support/mint.h"
#include "verify/verifier.h"

/*
 * Verifiers to look at, for tests of what they show: with keys in hand, or fetching from a stub.
 * Included after cmocka.h, and by one program each.
 */
#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define TRACE_ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define JWKS_PATH "/.well-known/jwks.json"

static struct mint_key key, agent_key;
static struct http_stub stub;

static inline int64_t
test_clock(void *ctx)
{
    (void)ctx;
    return MINT_NOW;
}

static inline struct attest_verifier *
new_verifier(const char *issuer, const struct attest_fetch *fetch)
{
    struct attest_policy *p = NULL;
    struct attest_verifier *v = NULL;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    char *jwks AUTO(mem) = mint_jwks(&key);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_allow_loopback_http(p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, issuer, ATTEST_TRUST_PROVIDER, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_set_mode(p, ATTEST_MODE_PREFERRED, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    if (fetch) {
        assert_int_equal(attest_verifier_new_fetching(p, keys, NULL, fetch, &v, NULL), ATTEST_OK);
    } else {
        assert_int_equal(attest_keys_add_jwks(keys, issuer, jwks, strlen(jwks), NULL), ATTEST_OK);
        assert_int_equal(attest_verifier_new(p, keys, NULL, &v, NULL), ATTEST_OK);
    }
    assert_int_equal(attest_verifier_set_clock(v, test_clock, NULL, NULL), ATTEST_OK);
    attest_policy_free(p);
    return v;
}

/* Another one of the same replay store. */
static inline struct attest_verifier *
sharing(const struct attest_verifier *v)
{
    struct attest_verifier *w = NULL;
    assert_int_equal(attest_verifier_new(v->policy, v->keys, v->replay, &w, NULL), ATTEST_OK);
    return w;
}

/* One of a kind each time. */
static inline char *
new_token(const char *name, const char *json)
{
    static _Atomic unsigned serial;
    char jti[64];
    struct mint_object payload;
    snprintf(jti, sizeof(jti), "\"00000000-0000-4000-8000-%012x\"", ++serial);
    mint_payload(&payload);
    mint_set(&payload, "jti", jti);
    if (name)
        mint_set(&payload, name, json);
    return mint_token(&key, NULL, &payload);
}

static inline enum attest_rc
show(struct attest_verifier *v, const char *token, const char *traceparent)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    enum attest_rc rc = attest_verifier_check_traced(v, token, token ? strlen(token) : 0, NULL, 0,
                                                     traceparent, &result);
    return result ? attest_result_error_code(result) : rc;
}

/* From now on the stub has the key. */
static inline void
serve_keys(void)
{
    char says[1024];
    char *jwks AUTO(mem) = mint_jwks(&key);
    snprintf(says, sizeof(says),
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(jwks), jwks);
    http_stub_say(&stub, JWKS_PATH, says);
}

/* Impatient: three failures open the circuit for 5 ms. */
static inline struct attest_fetch *
new_fetch(void)
{
    struct attest_fetch *fetch = NULL;
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    fetch->limits.retry_first_ms = 1;
    fetch->limits.retry_max_ms = 2;
    fetch->limits.open_after = 3;
    fetch->limits.open_ms = 5;
    return fetch;
}

static inline void
step(struct attest_verifier *v)
{
    struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
    int ms = attest_verifier_timeout_ms(v);
    poll(&fd, 1, ms < 0 || ms > 20 ? 20 : ms);
    assert_int_equal(attest_verifier_step(v), ATTEST_OK);
}

static inline int
setup(void **state)
{
    (void)state;
    if (crypto_init(NULL) != ATTEST_OK || !http_stub_start(&stub))
        return -1;
    mint_key_init(&key, 1);
    mint_key_init(&agent_key, 3);
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    mint_key_done(&key);
    mint_key_done(&agent_key);
    http_stub_stop(&stub);
    return 0;
}

#endif
