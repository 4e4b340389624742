/* SPDX-License-Identifier: MIT */
/*
 * Seven things that networks do to the fetch of a key set, by a proxy in front of the issuer. Each
 * time: known keys verify as before while it lasts; a new key comes in when its set can be had at
 * all, and not when it cannot; and when the network is well again, so is the verifier.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>

#include "support/fault_proxy.h"
#include "support/http_stub.h"
#include "support/mint.h"
#include "support/need.h"
#include "verify/verifier.h"

#define TIMEOUT_MS                                                                                 \
    800 /* of the fetch: shorter than a connection that hangs, longer than a slow one */
#define ROUNDS_MAX 1500 /* of up to 20 ms */
#define KNOWN_AGAIN 50

static struct mint_key key[3]; /* known; new; of nobody */
static struct http_stub stub;
static struct fault_proxy proxy;
static char issuer[48], iss[64];
static unsigned serial;

static int64_t
test_clock(void *ctx)
{
    (void)ctx;
    return MINT_NOW;
}

static void
serve_keys(int first, int last)
{
    char body[2048] = "{\"keys\":[", answer[4096];
    for (int i = first; i <= last; i++) {
        AUTO(mem) char *set = mint_jwks(&key[i]);
        size_t len = strlen(body);
        /* {"keys":[…]} without what is around the key */
        snprintf(body + len, sizeof(body) - len, "%s%.*s", i > first ? "," : "",
                 (int)strlen(set) - 11, set + 9);
    }
    strcat(body, "]}");
    snprintf(answer, sizeof(answer),
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n%s",
             strlen(body), body);
    http_stub_say(&stub, "/.well-known/jwks.json", answer);
}

static struct attest_verifier *
new_verifier(void)
{
    struct attest_error err = {0};
    struct attest_verifier *v = NULL;
    struct attest_fetch *fetch = NULL;
    AUTO(attest_policy) struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_allow_loopback_http(p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, issuer, ATTEST_TRUST_PROVIDER, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_timeout_ms(fetch, TIMEOUT_MS, NULL), ATTEST_OK);
    enum attest_rc rc = attest_verifier_new_fetching(p, NULL, NULL, fetch, &v, &err);
    attest_fetch_free(fetch);
    if (rc != ATTEST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(attest_verifier_set_clock(v, test_clock, NULL, NULL), ATTEST_OK);
    return v;
}

static enum attest_rc
check(struct attest_verifier *v, int by)
{
    char jti[64];
    struct mint_object payload;
    AUTO(attest_result) struct attest_result *result = NULL;
    snprintf(jti, sizeof(jti), "\"00000000-0000-4000-8000-%012x\"", ++serial);
    mint_payload(&payload);
    mint_set(&payload, "iss", iss);
    mint_set(&payload, "jti", jti);
    AUTO(mem) char *token = mint_token(&key[by], NULL, &payload);
    return attest_verifier_check(v, token, strlen(token), NULL, 0, &result);
}

static void
step(struct attest_verifier *v)
{
    struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
    int ms = attest_verifier_timeout_ms(v);
    poll(&fd, 1, ms < 0 || ms > 20 ? 20 : ms);
    assert_int_equal(attest_verifier_step(v), ATTEST_OK);
}

/* Until this comes of a check of the new key; the known one is good all the while. */
static void
until(struct attest_verifier *v, enum attest_rc wanted, bool known)
{
    enum attest_rc rc = ATTEST_OK;
    for (int i = 0; i < ROUNDS_MAX; i++) {
        rc = check(v, 1);
        if (rc == wanted)
            return;
        if (known)
            assert_int_equal(check(v, 0), ATTEST_OK);
        step(v);
    }
    fail_msg("%d came, not %d", rc, wanted);
}

/* A fetch begins under the fault; until it has ended, one way or the other, the known key serves.
 */
static void
fetch_fails(struct attest_verifier *v)
{
    unsigned before = atomic_load(&proxy.connections);
    assert_int_equal(attest_verifier_invalidate(v, issuer, NULL), ATTEST_OK);
    /* A second try is made only when the first is known to have failed. */
    for (int i = 0; i < ROUNDS_MAX && atomic_load(&proxy.connections) < before + 2; i++) {
        assert_int_equal(check(v, 0), ATTEST_OK);
        assert_int_equal(check(v, 1), ATTEST_E_KEY_FETCH);
        step(v);
    }
    assert_true(atomic_load(&proxy.connections) >= before + 2);
    for (int i = 0; i < KNOWN_AGAIN; i++)
        assert_int_equal(check(v, 0), ATTEST_OK);
}

static void
under(enum network_fault fault, bool passable)
{
    serve_keys(0, 0);
    atomic_store(&proxy.fault, FAULT_NONE);
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    for (int i = 0; i < ROUNDS_MAX && check(v, 0) != ATTEST_OK; i++)
        step(v);
    assert_int_equal(check(v, 0), ATTEST_OK);
    serve_keys(0, 1);
    atomic_store(&proxy.fault, (int)fault);
    if (passable)
        assert_int_equal(attest_verifier_invalidate(v, issuer, NULL), ATTEST_OK);
    else
        fetch_fails(v);
    if (!passable)
        atomic_store(&proxy.fault, FAULT_NONE);
    until(v, ATTEST_OK, true);
    assert_int_equal(check(v, 0), ATTEST_OK);
    assert_int_not_equal(check(v, 2), ATTEST_OK);
}

/* From the start: nothing is known yet, and nothing is accepted that the set does not bring. */
static void
cold(enum network_fault fault, bool passable)
{
    serve_keys(1, 1);
    atomic_store(&proxy.fault, (int)fault);
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    unsigned before = atomic_load(&proxy.connections);
    for (int i = 0; !passable && i < ROUNDS_MAX && atomic_load(&proxy.connections) < before + 2;
         i++) {
        assert_int_equal(check(v, 1), ATTEST_E_KEY_FETCH);
        step(v);
    }
    if (!passable)
        atomic_store(&proxy.fault, FAULT_NONE);
    until(v, ATTEST_OK, false);
    assert_int_not_equal(check(v, 0), ATTEST_OK);
}

#define FAULT(name, fault, passable)                                                               \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        under(fault, passable);                                                                    \
        cold(fault, passable);                                                                     \
    }
FAULT(latency, FAULT_LATENCY, true)
FAULT(bandwidth, FAULT_BANDWIDTH, true)
FAULT(slow_close, FAULT_SLOW_CLOSE, true)
FAULT(timeout, FAULT_TIMEOUT, false)
FAULT(reset, FAULT_RESET, false)
FAULT(slicing, FAULT_SLICING, true)
FAULT(truncation, FAULT_TRUNCATION, false)

static int
set_up(void **state)
{
    (void)state;
    if (crypto_init(NULL) != ATTEST_OK)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(key); i++)
        mint_key_init(&key[i], (uint8_t)(i + 1));
    if (!http_stub_start(&stub) || !fault_proxy_start(&proxy, stub.port))
        return -1;
    snprintf(issuer, sizeof(issuer), "http://127.0.0.1:%u", proxy.port);
    snprintf(iss, sizeof(iss), "\"%s\"", issuer);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    fault_proxy_stop(&proxy);
    http_stub_stop(&stub);
    for (size_t i = 0; i < ARRAY_LEN(key); i++)
        mint_key_done(&key[i]);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latency),    cmocka_unit_test(bandwidth), cmocka_unit_test(slow_close),
        cmocka_unit_test(timeout),    cmocka_unit_test(reset),     cmocka_unit_test(slicing),
        cmocka_unit_test(truncation),
    };
    need_curl();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
