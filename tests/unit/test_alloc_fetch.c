/* SPDX-License-Identifier: MIT */
/*
 * A verifier that fetches its keys, without memory: each allocation of ours in turn fails, alone
 * and with all behind it. Nothing is accepted that would not be, a pinned root stays pinned, of two
 * sets the older serves on or the newer does, whole; and with memory again keys come by themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>

#include "base/clock.h"
#include "jwks/keyset.h"
#include "support/http_stub.h"
#include "support/need.h"
#include "support/without_memory.h"
#include "token/signed_keyset.h"
#include "verify/fetch_options.h"
#include "verify/verifier.h"

#define WAIT_MS 5000     /* for a fetch; it ends at once when it fails */
#define GIVE_UP_MS 60000 /* what did not come until then never does */
#define TYPE_JSON "application/json"
#define TYPE_SIGNED "application/jwk-set+jwt"

static struct mint_key issuer, another, root, next_root;
static int64_t
    start_s; /* at which the verifier's clock stands: what is fetched is judged by ours */
static struct http_stub stub;

static int64_t
test_clock(void *ctx)
{
    (void)ctx;
    return start_s;
}

static void
serve(const char *path, const char *type, const char *body)
{
    char says[HTTP_STUB_ANSWER_MAX];
    snprintf(says, sizeof(says),
             "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n%s",
             type, strlen(body), body);
    http_stub_say(&stub, path, says);
}

/* Good now, by this key for another's kid or its own; each is one of a kind. */
static char *
token_by(const struct mint_key *by, const struct mint_key *kid_of)
{
    static unsigned serial;
    char header[128], iss[64], jti[64], iat[24], exp[24];
    struct mint_object payload;
    snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
             kid_of->kid);
    snprintf(iss, sizeof(iss), "\"%s\"", stub.origin);
    snprintf(jti, sizeof(jti), "\"00000000-0000-4000-8000-%012x\"", ++serial);
    snprintf(iat, sizeof(iat), "%lld", (long long)start_s);
    snprintf(exp, sizeof(exp), "%lld", (long long)start_s + 300);
    mint_payload(&payload);
    mint_set(&payload, "iss", iss);
    mint_set(&payload, "jti", jti);
    mint_set(&payload, "iat", iat);
    mint_set(&payload, "nbf", iat);
    mint_set(&payload, "exp", exp);
    return mint_token(by, header, &payload);
}

/* Pinned to the root, when one is given. */
static enum attest_rc
make_fetching(const char *pinned, struct attest_keys **keys, struct attest_verifier **ret)
{
    AUTO(attest_policy) struct attest_policy *policy = NULL;
    AUTO(attest_replay) struct attest_replay *replay = NULL;
    struct attest_fetch *fetch = NULL;
    enum attest_rc rc = make_policy(stub.origin, &policy);
    if (rc == ATTEST_OK)
        rc = attest_keys_new(keys, NULL);
    if (rc == ATTEST_OK && pinned)
        rc = attest_keys_pin_root(*keys, stub.origin, pinned, strlen(pinned), NULL);
    if (rc == ATTEST_OK)
        rc = attest_replay_new_memory(16, &replay, NULL);
    if (rc == ATTEST_OK)
        rc = attest_fetch_new(&fetch, NULL);
    if (rc == ATTEST_OK)
        rc = attest_fetch_set_wait_ms(fetch, WAIT_MS, NULL);
    if (rc == ATTEST_OK)
        rc = attest_fetch_set_timeout_ms(fetch, GIVE_UP_MS, NULL);
    if (rc == ATTEST_OK)
        fetch->limits.retry_first_ms = 10;
    if (rc == ATTEST_OK)
        rc = attest_verifier_new_fetching(policy, *keys, replay, fetch, ret, NULL);
    attest_fetch_free(fetch);
    if (rc == ATTEST_OK)
        rc = attest_verifier_set_clock(*ret, test_clock, NULL, NULL);
    return rc;
}

static void
step(struct attest_verifier *v)
{
    struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
    int ms = attest_verifier_timeout_ms(v);
    poll(&fd, 1, ms < 0 || ms > 20 ? 20 : ms);
    assert_int_equal(attest_verifier_step(v), ATTEST_OK);
}

/* With memory again it fetches again, by itself. */
static void
recovers(struct attest_verifier *v, const char *token)
{
    enum attest_rc rc;
    int64_t start_ms = clock_mono_ms();
    while ((rc = show(v, token, NULL)) == ATTEST_E_KEY_FETCH &&
           clock_mono_ms() - start_ms < GIVE_UP_MS)
        step(v);
    if (rc != ATTEST_OK)
        fail_msg("%d comes for ever, since allocation %zu failed", (int)rc, fault.n);
}

/* libcurl 7.88 without memory may divide by nought. */
static void
begin_ours(void)
{
    alloc_fault_arm_ours(fault.n, fault.on);
}

/* ---- the first set ---- */

struct fetched {
    const char *pinned, *token, *forged;
};

static bool
fetch_and_check(void *ctx)
{
    const struct fetched *f = ctx;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    begin_ours();
    enum attest_rc rc = make_fetching(f->pinned, &keys, &v);
    int64_t start_ms = clock_mono_ms();
    enum attest_rc bad = rc == ATTEST_OK ? show(v, f->forged, NULL) : rc;
    enum attest_rc good = rc == ATTEST_OK ? show(v, f->token, NULL) : rc;
    bool was = end(), hung = clock_mono_ms() - start_ms >= WAIT_MS;
    assert_int_equal(v != NULL, rc == ATTEST_OK);
    assert_int_not_equal(bad, ATTEST_OK);
    /* A fetch that failed for want of memory has failed like any other; or was slow. */
    if (good != ATTEST_E_KEY_FETCH)
        may_come(good, ATTEST_OK, was);
    else
        assert_true(was || hung);
    if (!v)
        return was;
    assert_int_equal(attest_keys_pinned(keys, stub.origin), f->pinned != NULL);
    if (good != ATTEST_OK)
        recovers(v, f->token);
    assert_int_equal(attest_keys_expires_at_s(keys, stub.origin) != 0, f->pinned != NULL);
    assert_int_not_equal(show(v, f->forged, NULL), ATTEST_OK);
    return was;
}

static void
a_set_in_the_clear(void **state)
{
    (void)state;
    AUTO(mem) char *jwks = mint_jwks(&issuer);
    AUTO(mem) char *good = token_by(&issuer, &issuer);
    AUTO(mem) char *bad = token_by(&another, &issuer);
    struct fetched f = {NULL, good, bad};
    serve("/.well-known/jwks.json", TYPE_JSON, jwks);
    each_allocation("fetch", false, fetch_and_check, &f);
}

struct signed_by {
    const struct mint_key *root, *key, *next_root, *revoked;
    int64_t age_s;
};

static char *
signed_set(struct signed_by by)
{
    const struct keyset_entry entry = {.public_key = by.key->public_key, .state = KEY_ACTIVE};
    const struct signed_keyset_revoked revoked = {
        by.revoked ? slice_cstr(by.revoked->kid) : slice_cstr("none"), start_s, slice_cstr("lost")};
    const struct signed_keyset_source source = {
        .issuer = slice_cstr(stub.origin),
        .iat = start_s - by.age_s,
        .exp = start_s - by.age_s + SIGNED_KEYSET_LIFETIME_MAX_S,
        .keys = &entry,
        .n_keys = 1,
        .revoked = &revoked,
        .n_revoked = 1,
        .next_root = by.next_root ? &by.next_root->public_key : NULL};
    return mint_signed_keyset(by.root, source);
}

/* Beside it lies one that nobody signed, with a key that is not the issuer's. */
static void
serve_by_discovery(void)
{
    char says[256];
    AUTO(mem) char *plain = mint_jwks(&another);
    snprintf(says, sizeof(says),
             "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/plain\",\"signed_jwks_uri\":\"%s/signed\"}",
             stub.origin, stub.origin, stub.origin);
    serve("/.well-known/openid-configuration", TYPE_JSON, says);
    serve("/.well-known/jwks.json", TYPE_JSON, plain);
    serve("/plain", TYPE_JSON, plain);
}

static void
a_signed_set(void **state)
{
    (void)state;
    AUTO(mem)
    char *set =
        signed_set((struct signed_by){.root = &root, .key = &issuer, .next_root = &next_root});
    AUTO(mem) char *pinned = mint_jwk(&root);
    AUTO(mem) char *good = token_by(&issuer, &issuer);
    AUTO(mem) char *bad = token_by(&another, &another);
    struct fetched f = {pinned, good, bad};
    serve_by_discovery();
    serve("/signed", TYPE_SIGNED, set);
    each_allocation("signed fetch", false, fetch_and_check, &f);
}

/* ---- the next one, by the root that the first one named ---- */

struct followed {
    const char *pinned, *set, *next_set;
    const char *token[3], *next_token[2];
};

static void
note_end(void *ctx, const struct attest_event *event)
{
    enum attest_event_kind kind = attest_event_kind(event);
    if (kind == ATTEST_EVENT_KEYS_FETCHED || kind == ATTEST_EVENT_KEYS_FETCH_FAILED)
        *(bool *)ctx = true;
}

static bool
follow_and_check(void *ctx)
{
    const struct followed *f = ctx;
    bool ended = false;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    serve("/signed", TYPE_SIGNED, f->set);
    assert_int_equal(make_fetching(f->pinned, &keys, &v), ATTEST_OK);
    assert_int_equal(attest_verifier_on_event(v, note_end, &ended, NULL), ATTEST_OK);
    recovers(v, f->token[0]);
    serve("/signed", TYPE_SIGNED, f->next_set);
    assert_int_equal(attest_verifier_invalidate(v, stub.origin, NULL), ATTEST_OK);
    ended = false;
    int64_t start_ms = clock_mono_ms();
    begin_ours();
    while (!ended && clock_mono_ms() - start_ms < GIVE_UP_MS)
        step(v);
    bool was = end();
    enum attest_rc old = show(v, f->token[1], NULL), new = show(v, f->next_token[0], NULL);
    if (new != ATTEST_OK) {
        assert_true(was || !ended);
        assert_int_equal(new, ATTEST_E_KEY_FETCH);
        assert_int_equal(old, ATTEST_OK);
        recovers(v, f->next_token[1]);
    } else {
        assert_int_equal(old, ATTEST_E_KEY_REVOKED);
    }
    assert_true(attest_keys_pinned(keys, stub.origin));
    assert_int_equal(show(v, f->token[2], NULL), ATTEST_E_KEY_REVOKED);
    return was;
}

static void
the_next_signed_set(void **state)
{
    (void)state;
    AUTO(mem) char *pinned = mint_jwk(&root);
    AUTO(mem)
    char *set = signed_set(
        (struct signed_by){.root = &root, .key = &issuer, .next_root = &next_root, .age_s = 10});
    AUTO(mem)
    char *next_set =
        signed_set((struct signed_by){.root = &next_root, .key = &another, .revoked = &issuer});
    struct followed f = {.pinned = pinned, .set = set, .next_set = next_set};
    char *all[ARRAY_LEN(f.token) + ARRAY_LEN(f.next_token)];
    for (size_t i = 0; i < ARRAY_LEN(f.token); i++)
        f.token[i] = all[i] = token_by(&issuer, &issuer);
    for (size_t i = 0; i < ARRAY_LEN(f.next_token); i++)
        f.next_token[i] = all[ARRAY_LEN(f.token) + i] = token_by(&another, &another);
    serve_by_discovery();
    each_allocation("next signed fetch", false, follow_and_check, &f);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        free(all[i]);
}

/* ---- */

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
    print_message("%zu allocations failed\n", n_faults);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    struct mint_key *keys[] = {&issuer, &another, &root, &next_root};
    const struct CMUnitTest tests[] = {
        TEST(a_set_in_the_clear),
        TEST(a_signed_set),
        TEST(the_next_signed_set),
    };
    need_curl();
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    start_s = clock_wall_s();
    for (uint8_t i = 0; i < ARRAY_LEN(keys); i++)
        mint_key_init(keys[i], (uint8_t)(i + 1));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        mint_key_done(keys[i]);
    return failed;
}
