/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <malloc.h>
#include <poll.h>
#include <sys/wait.h>

#include "base/b64u.h"
#include "base/clock.h"
#include "support/child.h"
#include "support/http_stub.h"
#include "support/mint.h"
#include "token/signed_keyset.h"
#include "verify/fetch_options.h"
#include "verify/verifier.h"

#include <attest/attest.h>

/* Real key sets over real connections; the verifier's clock alone stands still. */

static struct mint_key key[3];
static struct http_stub stub;
static char served[8][4096]; /* bodies with their heads */

static int64_t
test_clock(void *ctx)
{
    (void)ctx;
    return MINT_NOW;
}

static const char *
answer(int slot, const char *type, const char *headers, const char *body)
{
    snprintf(served[slot], sizeof(served[slot]),
             "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n%s",
             type, headers, strlen(body), body);
    return served[slot];
}

static const char *
set_of(int n)
{
    char *jwks AUTO(mem) = mint_jwks(&key[n]);
    return answer(n, "application/json", "", jwks);
}

static int
set_up(void **state)
{
    (void)state;
    return http_stub_start(&stub) ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    http_stub_stop(&stub);
    return 0;
}

static struct attest_policy *
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

static struct attest_verifier *
verifier_of(const char *issuer, struct attest_keys *keys, const struct attest_fetch *fetch)
{
    struct attest_error err = {0};
    struct attest_verifier *v = NULL;
    AUTO(attest_policy) struct attest_policy *policy = policy_of(issuer);
    if (attest_verifier_new_fetching(policy, keys, NULL, fetch, &v, &err))
        fail_msg("%s", err.text);
    attest_verifier_set_clock(v, test_clock, NULL);
    return v;
}

/* Its issuer is the stub itself: nothing is configured but the issuer. */
static struct attest_verifier *
new_verifier(void)
{
    return verifier_of(stub.origin, NULL, NULL);
}

static char *
token_by(const struct mint_key *by)
{
    char issuer[64];
    struct mint_object payload;
    snprintf(issuer, sizeof(issuer), "\"%s\"", stub.origin);
    mint_payload(&payload);
    mint_set(&payload, "iss", issuer);
    return mint_token(by, NULL, &payload);
}

static enum attest_rc
check_token(struct attest_verifier *v, const char *token)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    enum attest_rc rc = attest_verifier_check(v, token, strlen(token), NULL, 0, &result);
    return result ? attest_result_error_code(result) : rc;
}

/* One of a kind each time: none of them is a replay. */
static enum attest_rc
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
static struct attest_fetch *
easily_discouraged(void)
{
    struct attest_fetch *fetch = NULL;
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    fetch->limits.open_after = 1;
    fetch->limits.open_ms = 60000;
    return fetch;
}

/* Its loop, until this comes of a check or, at the latest, many steps later. */
static void
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

/* Steps until the server has been asked so often and the answer, if any, is in. */
static void
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

static void
a_cold_start_says_so_until_the_keys_are_there(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    assert_int_equal(check(v, 0), ATTEST_E_KEY_FETCH);
    assert_int_equal(http_stub_asked(&stub), 0); /* not in the caller's time */
    step_until(v, 0, ATTEST_OK);
    assert_int_equal(check(v, 0), ATTEST_OK);
    assert_int_equal(http_stub_asked(&stub), 1);
}

static void
who_asks_for_it_waits_for_the_first_set(void **state)
{
    (void)state;
    struct attest_fetch *fetch = NULL;
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_wait_ms(fetch, 60000, NULL), ATTEST_OK);
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, NULL, fetch);
    attest_fetch_free(fetch);
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    assert_int_equal(check(v, 0), ATTEST_OK);
}

static void *
check_once(void *ctx)
{
    return (void *)(intptr_t)check_token(((void **)ctx)[0], ((void **)ctx)[1]);
}

/* Sixteen at a cold start: each is answered, and the issuer is asked once. */
static void
a_thread_fetches_once_for_all(void **state)
{
    (void)state;
    struct attest_fetch *fetch = NULL;
    struct attest_error err = {0};
    pthread_t thread[16];
    void *args[16][2];
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_wait_ms(fetch, 60000, NULL), ATTEST_OK);
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, NULL, fetch);
    attest_fetch_free(fetch);
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    assert_int_equal(attest_verifier_start_thread(v, &err), ATTEST_OK);
    assert_int_equal(attest_verifier_start_thread(v, &err), ATTEST_E_ARGUMENT);
    char *token AUTO(mem) = token_by(&key[0]);
    for (int i = 0; i < 16; i++) {
        args[i][0] = v;
        args[i][1] = token;
        assert_int_equal(pthread_create(&thread[i], NULL, check_once, args[i]), 0);
    }
    int accepted = 0;
    for (int i = 0; i < 16; i++) {
        void *rc;
        pthread_join(thread[i], &rc);
        accepted += (intptr_t)rc == ATTEST_OK;
        if ((intptr_t)rc != ATTEST_OK)
            assert_int_equal((intptr_t)rc, ATTEST_E_REPLAY);
    }
    assert_int_equal(accepted, 1);
    assert_int_equal(http_stub_asked(&stub), 1);
}

static void
a_new_key_is_found_and_the_old_ones_never_wait(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    step_until(v, 0, ATTEST_OK);
    http_stub_say(&stub, "/.well-known/jwks.json", NULL); /* the next one hangs */
    assert_int_equal(check(v, 1), ATTEST_E_KEY_FETCH);
    step_until_asked(v, 2);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(check(v, 0), ATTEST_OK);
        assert_int_equal(check(v, 1), ATTEST_E_KEY_FETCH);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
    assert_int_equal(http_stub_asked(&stub), 2);
}

static void
a_flood_of_unknown_kids_is_one_fetch(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    step_until(v, 0, ATTEST_OK);
    size_t before = 0;
    int64_t start_ms = clock_mono_ms();
    char *good AUTO(mem) = token_by(&key[0]);
    char *payload = strchr(good, '.');
    char token[4096], header[256], b64[512];
    for (unsigned i = 0; i < 100000; i++) {
        int n = snprintf(header, sizeof(header),
                         "{\"alg\":\"EdDSA\",\"kid\":\"%043u\",\"typ\":\"JWT\"}", i);
        size_t len = b64u_encoded_len((size_t)n);
        b64u_encode(b64, header, (size_t)n);
        snprintf(token, sizeof(token), "%.*s%s", (int)len, b64, payload);
        enum attest_rc rc = check_token(v, token);
        if (rc != ATTEST_E_KEY_UNKNOWN && rc != ATTEST_E_KEY_FETCH)
            fail_msg("%u: %d", i, rc);
        if (i % 100 == 0)
            assert_int_equal(attest_verifier_step(v), ATTEST_OK);
        if (i == 1000)
            before = mallinfo2().uordblks;
    }
    /* One a cool-down of 30 s; a slow machine may be at it for some of them. */
    int64_t took_s = (clock_mono_ms() - start_ms) / 1000;
    assert_in_range(http_stub_asked(&stub), 2, 2 + took_s / 30);
    assert_true(mallinfo2().uordblks < before + 65536);
    assert_int_equal(check(v, 0), ATTEST_OK);
}

static void
what_is_no_set_takes_the_place_of_none(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "{}",
        "{\"keys\":[]}",
        "[]",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[],\"keys\":[]}",
        "<html>"};
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    step_until(v, 0, ATTEST_OK);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        unsigned asked = http_stub_asked(&stub);
        http_stub_say(&stub, "/.well-known/jwks.json",
                      answer(7, "application/json", "", bodies[i]));
        AUTO(attest_verifier) struct attest_verifier *cold = new_verifier();
        step_until_asked(cold, asked + 1);
        step_until(cold, 0, ATTEST_E_KEY_FETCH);
        assert_int_equal(attest_verifier_invalidate(v, stub.origin, NULL), ATTEST_OK);
        step_until(v, 0, ATTEST_OK);
    }
}

/* Why keys are not to be had, as an event tells it. */
static void
keep_text(void *ctx, const struct attest_event *event)
{
    if (attest_event_kind(event) == ATTEST_EVENT_KEYS_FETCH_FAILED)
        snprintf(ctx, 160, "%s", attest_event_text(event));
}

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
    attest_verifier_on_event(v, keep_text, text);
    http_stub_say(&stub, "/.well-known/jwks.json",
                  "HTTP/1.1 503 Later\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n");
    for (int i = 0; i < 500 && !*text; i++) {
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        poll(&fd, 1, 10);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
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
    attest_verifier_on_event(v, keep_text, text);
    http_stub_say(&stub, "/set?key=hush", answer(7, "text/html", "", "<html>"));
    for (int i = 0; i < 500 && !*text; i++) {
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        poll(&fd, 1, 10);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
    assert_non_null(strstr(text, "/set: the answer is text/html"));
    assert_null(strstr(text, "hush"));
    refused_alike(v);
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
    attest_verifier_on_event(v, keep_text, text);
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    step_until(v, 0, ATTEST_OK);
    http_stub_say(&stub, "/.well-known/jwks.json",
                  "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(check(v, 1), ATTEST_E_KEY_FETCH);
    for (int i = 0; i < 500 && !*text; i++) {
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        poll(&fd, 1, 10);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
    assert_non_null(strstr(text, "503"));
    assert_int_equal(check(v, 1), ATTEST_E_KEY_FETCH);
    assert_int_equal(check(v, 2), ATTEST_E_KEY_FETCH);
    assert_int_equal(check(v, 0), ATTEST_OK);
    assert_int_equal(http_stub_asked(&stub), 2);
}

static void
clear_forgets_and_invalidate_does_not(void **state)
{
    (void)state;
    struct attest_error err = {0};
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    step_until(v, 0, ATTEST_OK);
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(1));
    assert_int_equal(attest_verifier_invalidate(v, stub.origin, NULL), ATTEST_OK);
    assert_int_equal(check(v, 0), ATTEST_OK);
    step_until(v, 1, ATTEST_OK);
    assert_int_not_equal(check(v, 0), ATTEST_OK);
    assert_int_equal(attest_verifier_clear(v, stub.origin, NULL), ATTEST_OK);
    assert_int_equal(check(v, 1), ATTEST_E_KEY_FETCH);
    step_until(v, 1, ATTEST_OK);
    assert_int_equal(attest_verifier_clear(v, "https://other.example.com", &err), ATTEST_E_ISSUER);
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
        step_until_asked(v, asked + 1);
        step_until(v, 0, ATTEST_E_KEY_FETCH);
        assert_int_equal(http_stub_asked(s), asked + 1);
    }
}

static void
a_pinned_issuer_is_asked_for_its_signed_set(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    struct attest_fetch *fetch = NULL;
    char url[96];
    char *root AUTO(mem) = mint_jwk(&key[2]);
    int64_t now_s = clock_wall_s();
    const struct keyset_entry entry = {.public_key = key[0].public_key, .state = KEY_PUBLISHED};
    const struct signed_keyset_source source = {
        .iat = now_s - 1, .exp = now_s + 3000, .keys = &entry, .n_keys = 1};
    char *jwt AUTO(mem) = mint_signed_keyset(&key[2], source);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_pin_root(keys, MINT_ISSUER, root, strlen(root), NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    snprintf(url, sizeof(url), "%s/set", stub.origin);
    assert_int_equal(attest_fetch_set_url(fetch, MINT_ISSUER, url, NULL), ATTEST_OK);
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(MINT_ISSUER, keys, fetch);
    attest_fetch_free(fetch);
    http_stub_say(&stub, "/set", answer(7, "application/jwk-set+jwt", "", jwt));
    step_until_asked(v, 1);
    for (int i = 0; i < 500 && attest_keys_count(keys, MINT_ISSUER) == 0; i++) {
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        poll(&fd, 1, 10);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
    assert_int_equal(attest_keys_count(keys, MINT_ISSUER), 1);
    assert_int_equal(attest_keys_expires_at_s(keys, MINT_ISSUER), now_s + 3000);
    assert_in_range(attest_verifier_timeout_ms(v), 1, 1500 * 1000); /* half of its life at most */
}

static void
a_child_is_told(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    assert_int_equal(attest_verifier_start_thread(v, NULL), ATTEST_OK);
    pid_t pid = fork();
    if (pid == 0) {
        bool told = attest_verifier_fd(v) == -1 && attest_verifier_timeout_ms(v) == -1 &&
                    attest_verifier_step(v) == ATTEST_E_FORKED &&
                    attest_verifier_start_thread(v, NULL) == ATTEST_E_FORKED &&
                    attest_verifier_clear(v, stub.origin, NULL) == ATTEST_E_FORKED;
        attest_verifier_free(v);
        child_exit(told);
    }
    assert_true(child_was_good(pid));
    step_until(v, 0, ATTEST_OK); /* and the parent's thread lives */
}

/* What was asked for before the set was cleared may hold the very key that had to go. */
static void
clear_is_not_undone_by_what_is_on_its_way(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    step_until_asked(v, 1); /* asked, and the answer not taken yet */
    assert_int_equal(attest_verifier_clear(v, stub.origin, NULL), ATTEST_OK);
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(1));
    step_until(v, 1, ATTEST_OK);
    assert_int_not_equal(check(v, 0), ATTEST_OK);
    assert_int_equal(http_stub_asked(&stub), 2);
}

/* A first set that is not to be had is waited for once, not by every caller. */
static void
nobody_waits_for_a_server_that_refused(void **state)
{
    (void)state;
    struct attest_fetch *fetch = NULL;
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_wait_ms(fetch, 60000, NULL), ATTEST_OK);
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, NULL, fetch);
    attest_fetch_free(fetch);
    http_stub_say(&stub, "/.well-known/jwks.json",
                  "HTTP/1.1 500 Down\r\nContent-Length: 0\r\n\r\n");
    for (int i = 0; i < 20; i++)
        assert_int_equal(check(v, 0), ATTEST_E_KEY_FETCH);
    assert_int_equal(http_stub_asked(&stub), 1); /* who waits would have tried again */
}

/* A root that is pinned while it runs, and any other end of a set before its time. */
static void
a_set_that_ended_is_asked_for(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    char *root AUTO(mem) = mint_jwk(&key[2]);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, keys, NULL);
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    http_stub_say(&stub, "/.well-known/jwks.jwt", NULL);
    step_until(v, 0, ATTEST_OK);
    assert_int_equal(attest_keys_pin_root(keys, stub.origin, root, strlen(root), NULL), ATTEST_OK);
    assert_int_equal(check(v, 0), ATTEST_E_KEY_FETCH);
    step_until_asked(v, 2);
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
    attest_fetch_free(fetch);
    attest_policy_free(p);
}

static void
options_have_bounds(void **state)
{
    (void)state;
    struct attest_fetch *f = NULL;
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
    assert_int_equal(attest_fetch_set_url(f, MINT_ISSUER, "http://example.com/", NULL),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_url(f, "nobody", "https://example.com/", NULL),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_fetch_set_url(f, MINT_ISSUER, "https://example.com/", NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_url(f, MINT_ISSUER, "https://example.com/", NULL),
                     ATTEST_E_CONFIG);
    attest_fetch_free(f);
}

int
main(void)
{
    struct attest_fetch *probe = NULL;
    if (crypto_init(NULL) || attest_fetch_new(&probe, NULL))
        return 1;
    bool with_curl =
        attest_fetch_set_url(probe, MINT_ISSUER, "https://example.com/", NULL) == ATTEST_OK;
    attest_fetch_free(probe);
    if (!with_curl)
        return 77;
    for (uint8_t i = 0; i < ARRAY_LEN(key); i++)
        mint_key_init(&key[i], i);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_cold_start_says_so_until_the_keys_are_there),
        TEST(who_asks_for_it_waits_for_the_first_set),
        TEST(a_thread_fetches_once_for_all),
        TEST(a_new_key_is_found_and_the_old_ones_never_wait),
        TEST(a_flood_of_unknown_kids_is_one_fetch),
        TEST(what_is_no_set_takes_the_place_of_none),
        TEST(a_server_that_refuses_is_named),
        TEST(a_query_is_told_nobody),
        TEST(an_unknown_kid_is_not_final_while_the_issuer_is_away),
        TEST(clear_forgets_and_invalidate_does_not),
        TEST(discovery_is_asked_when_the_usual_place_is_empty),
        TEST(a_pinned_issuer_is_asked_for_its_signed_set),
        TEST(a_child_is_told),
        TEST(clear_is_not_undone_by_what_is_on_its_way),
        TEST(nobody_waits_for_a_server_that_refused),
        TEST(a_set_that_ended_is_asked_for),
        TEST(two_verifiers_do_not_fetch_into_one_collection),
        TEST(http_takes_the_policys_word),
        TEST(options_have_bounds),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(key); i++)
        mint_key_done(&key[i]);
    return failed;
}
