/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <sys/wait.h>

#include "base/b64u.h"
#include "base/clock.h"
#include "support/child.h"
#include "support/resolving.h"
#include "verify/resolver_impl.h"

/* When keys are fetched, and what becomes of a check meanwhile. */

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

/* Whose checks wait for the first set. */
static struct attest_verifier *
patient(void)
{
    struct attest_fetch *fetch = NULL;
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_wait_ms(fetch, 60000, NULL), ATTEST_OK);
    struct attest_verifier *v = verifier_of(stub.origin, NULL, fetch);
    attest_fetch_free(fetch);
    return v;
}

static void
who_asks_for_it_waits_for_the_first_set(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = patient();
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    AUTO(attest_result) struct attest_result *result = NULL;
    char *token AUTO(mem) = token_by(&key[0]);
    assert_int_equal(attest_verifier_check(v, token, strlen(token), NULL, 0, &result), ATTEST_OK);
    assert_true(attest_result_verified(result));
    assert_string_equal(attest_result_error(result), ""); /* the first look found none */
}

/* Forgotten, a thread or steps are the one thing that waiting does not bring. */
static void
who_is_not_stepped_says_so(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, NULL, NULL);
    char *token AUTO(mem) = token_by(&key[0]);
    for (int stepped = 0; stepped < 2; stepped++) {
        AUTO(attest_result) struct attest_result *result = NULL;
        assert_int_equal(attest_verifier_check(v, token, strlen(token), NULL, 0, &result),
                         ATTEST_E_KEY_FETCH);
        assert_non_null(
            strstr(attest_result_error(result), stepped ? "being fetched" : "nobody steps it"));
        /* Which a stranger need not know. */
        char *json AUTO(mem) = attest_result_to_json(result);
        assert_non_null(strstr(json, "\"error\":\"keys could not be fetched\""));
        http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
        assert_int_equal(attest_verifier_step(v), ATTEST_OK); /* which never waits */
    }
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
    struct attest_error err = {0};
    pthread_t thread[16];
    void *args[16][2];
    AUTO(attest_verifier) struct attest_verifier *v = patient();
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

static void *
start_once(void *ctx)
{
    pthread_barrier_wait(((void **)ctx)[1]);
    return (void *)(intptr_t)attest_verifier_start_thread(((void **)ctx)[0], NULL);
}

/* Two that start it at once get one thread, which ends with the verifier. */
static void
one_thread_whoever_starts_it(void **state)
{
    (void)state;
    http_stub_say(&stub, NULL, set_of(0));
    for (int i = 0; i < 20; i++) {
        void *rc;
        pthread_t other;
        pthread_barrier_t both;
        AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
        void *args[] = {v, &both};
        pthread_barrier_init(&both, NULL, 2);
        assert_int_equal(pthread_create(&other, NULL, start_once, args), 0);
        intptr_t mine = (intptr_t)start_once(args);
        pthread_join(other, &rc);
        pthread_barrier_destroy(&both);
        assert_int_equal(mine == ATTEST_OK ? (intptr_t)rc : mine, ATTEST_E_ARGUMENT);
        assert_int_equal(mine == ATTEST_OK ? mine : (intptr_t)rc, ATTEST_OK);
    }
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

/* A try that fails, whatever the schedule says. */
static void
fail_to_fetch(struct attest_verifier *v, char text[160])
{
    *text = '\0';
    v->resolver->sources[0].schedule.retry_ms = 0;
    step_until_told(v, text);
    assert_true(*text);
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
    char text[160];
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    assert_int_equal(attest_verifier_on_event(v, keep_text, text, NULL), ATTEST_OK);
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    step_until(v, 0, ATTEST_OK);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        http_stub_say(&stub, "/.well-known/jwks.json",
                      answer(7, "application/json", "", bodies[i]));
        AUTO(attest_verifier) struct attest_verifier *cold = new_verifier();
        assert_int_equal(attest_verifier_on_event(cold, keep_text, text, NULL), ATTEST_OK);
        fail_to_fetch(cold, text);
        assert_int_equal(check(cold, 0), ATTEST_E_KEY_FETCH);
        assert_int_equal(attest_verifier_invalidate(v, stub.origin, NULL), ATTEST_OK);
        fail_to_fetch(v, text);
        assert_int_equal(check(v, 0), ATTEST_OK);
    }
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
a_child_is_told(void **state)
{
    (void)state;
    struct attest_verifier *another = NULL;
    AUTO(attest_policy) struct attest_policy *policy = policy_of(stub.origin);
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    assert_int_equal(attest_verifier_start_thread(v, NULL), ATTEST_OK);
    pid_t pid = fork();
    if (pid == 0) {
        bool told = attest_verifier_fd(v) == -1 && attest_verifier_timeout_ms(v) == -1 &&
                    attest_verifier_step(v) == ATTEST_E_FORKED &&
                    attest_verifier_start_thread(v, NULL) == ATTEST_E_FORKED &&
                    attest_verifier_clear(v, stub.origin, NULL) == ATTEST_E_FORKED &&
                    attest_verifier_new(policy, v->keys, NULL, &another, NULL) == ATTEST_E_FORKED;
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

static void *
step_on(void *ctx)
{
    struct attest_verifier *v = ((void **)ctx)[0];
    const atomic_bool *over = ((void **)ctx)[1];
    while (!atomic_load(over)) {
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        poll(&fd, 1, 1);
        if (attest_verifier_step(v) != ATTEST_OK)
            break;
    }
    return NULL;
}

/* Somebody holds it for longer than it is held in passing: he waits for what we hold. */
static bool
is_stuck_with(pthread_mutex_t *lock)
{
    for (int i = 0, held = 0; i < 20000; i++) {
        bool free = pthread_mutex_trylock(lock) == 0;
        if (free)
            pthread_mutex_unlock(lock);
        held = free ? 0 : held + 1;
        if (held == 1000)
            return true;
        usleep(1000);
    }
    return false;
}

/*
 * The same when the answer is in and being read: first it is kept from that, then, with the set
 * cleared, from ending the fetch. What it brought is not there for a moment.
 */
static void
clear_is_not_undone_by_what_is_being_read(void **state)
{
    (void)state;
    atomic_bool over = false;
    pthread_t stepper;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    void *args[] = {v, &over};
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    assert_int_equal(keys_begin(v->keys, stub.origin, NULL), ATTEST_OK);
    assert_int_equal(pthread_create(&stepper, NULL, step_on, args), 0);
    assert_true(is_stuck_with(&v->resolver->stepping));
    assert_int_equal(http_stub_asked(&stub), 1);
    assert_int_equal(attest_verifier_clear(v, stub.origin, NULL), ATTEST_OK);
    pthread_mutex_lock(&v->resolver->lock);
    keys_end(v->keys);
    bool read = is_stuck_with(&v->keys->changing);
    size_t usable = keys_usable(v->keys, slice_cstr(stub.origin), MINT_NOW, 0);
    pthread_mutex_unlock(&v->resolver->lock);
    assert_int_equal(usable, 0);
    assert_true(read);
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(1));
    step_until(v, 1, ATTEST_OK);
    assert_int_not_equal(check(v, 0), ATTEST_OK);
    atomic_store(&over, true);
    pthread_join(stepper, NULL);
}

/* A first set that is not to be had is waited for once, not by every caller. */
static void
nobody_waits_for_a_server_that_refused(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = patient();
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

/* How long a set serves: as its answer says, within bounds, then stale, then not at all. */
static void
a_set_has_an_end(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        int64_t fresh_s;
    } cases[] = {
        {"", 1800},
        {"Cache-Control: max-age=600\r\n", 600},
        {"Cache-Control: max-age=3\r\n", 10},
        {"Cache-Control: max-age=999999\r\n", 7200},
    };
    char *jwks AUTO(mem) = mint_jwks(&key[0]);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct attest_fetch *fetch = NULL;
        assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
        assert_int_equal(attest_fetch_set_ttl_s(fetch, 1800, 7200, NULL), ATTEST_OK);
        assert_int_equal(attest_fetch_set_stale_s(fetch, 900, NULL), ATTEST_OK);
        AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, NULL, fetch);
        attest_fetch_free(fetch);
        http_stub_say(&stub, "/.well-known/jwks.json",
                      answer(7, "application/json", cases[i].headers, jwks));
        int64_t before_ms = clock_boot_ms();
        step_until(v, 0, ATTEST_OK);
        int64_t serves_ms = (cases[i].fresh_s + 900) * 1000;
        assert_int_equal(v->keys->n, 1);
        assert_in_range(v->keys->list[0].usable_until_ms, before_ms + serves_ms,
                        clock_boot_ms() + serves_ms);
    }
}

/* Keys that the program brought do not outlive what an outage lets fetched ones serve. */
static void
a_set_that_was_brought_has_an_end(void **state)
{
    (void)state;
    char text[160];
    const int64_t serves_ms = (1800 + 900) * 1000;
    AUTO(mem) char *jwks = mint_jwks(&key[0]);
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    AUTO(attest_fetch) struct attest_fetch *fetch = easily_discouraged();
    http_stub_say(&stub, NULL, "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(attest_fetch_set_ttl_s(fetch, 1800, 7200, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_stale_s(fetch, 900, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(keys, stub.origin, jwks, strlen(jwks), NULL), ATTEST_OK);
    int64_t before_ms = clock_boot_ms();
    AUTO(attest_verifier) struct attest_verifier *v = verifier_of(stub.origin, keys, fetch);
    assert_int_equal(attest_verifier_on_event(v, keep_text, text, NULL), ATTEST_OK);
    int64_t end_ms = keys->list[0].usable_until_ms;
    assert_in_range(end_ms, before_ms + serves_ms, clock_boot_ms() + serves_ms);
    fail_to_fetch(v, text);
    assert_int_equal(keys->list[0].usable_until_ms, end_ms);
    assert_int_equal(check(v, 0), ATTEST_OK);
    /* Later ones too, and none comes to life again. */
    assert_int_equal(attest_keys_add_jwks(keys, stub.origin, jwks, strlen(jwks), NULL), ATTEST_OK);
    fail_to_fetch(v, text);
    assert_in_range(keys->list[0].usable_until_ms, end_ms, clock_boot_ms() + serves_ms);
    keys_set_usable_until(keys, stub.origin, clock_boot_ms());
    fail_to_fetch(v, text);
    assert_int_equal(check(v, 0), ATTEST_E_KEY_FETCH);
}

/* So much time goes by for its schedule and for what it knows to be absent. */
static void
time_goes_by(struct attest_verifier *v, int64_t ms)
{
    struct source *s = &v->resolver->sources[0];
    s->schedule.asked_ms -= ms;
    for (size_t i = 0; i < MISSING_MAX; i++)
        s->absent[i].until_ms -= ms;
}

/* Steps until what was started has ended. */
static void
step_until_quiet(struct attest_verifier *v)
{
    for (int i = 0; i < 500; i++) {
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
        if (!v->resolver->sources[0].schedule.in_flight)
            return;
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        poll(&fd, 1, 20);
    }
    fail_msg("a fetch does not end");
}

/* One that was asked for and was not there is no reason to ask again at the next cool-down. */
static void
a_kid_that_was_not_there_is_remembered(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    step_until(v, 0, ATTEST_OK);
    static const struct {
        int64_t later_s;
        int by;
        unsigned asked; /* in all, when that is over */
    } shows[] = {
        {0, 1, 2},  /* unknown: one fetch */
        {31, 1, 2}, /* the cool-down is over, and it is known not to be there */
        {0, 2, 3},  /* another one is not */
        {31, 1, 4}, /* two cool-downs on it may have come */
    };
    for (size_t i = 0; i < ARRAY_LEN(shows); i++) {
        time_goes_by(v, shows[i].later_s * 1000);
        unsigned before = http_stub_asked(&stub);
        assert_int_equal(check(v, shows[i].by),
                         shows[i].asked > before ? ATTEST_E_KEY_FETCH : ATTEST_E_KEY_UNKNOWN);
        step_until_quiet(v);
        assert_int_equal(http_stub_asked(&stub), shows[i].asked);
    }
}

/* Who finds the room full is answered at once, and does not as much as start the fetch. */
static void
not_everybody_may_wait(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = patient();
    http_stub_say(&stub, "/.well-known/jwks.json", set_of(0));
    atomic_store(&v->resolver->waiting, 64);
    assert_int_equal(check(v, 0), ATTEST_E_KEY_FETCH);
    assert_int_equal(http_stub_asked(&stub), 0);
    assert_int_equal(atomic_load(&v->resolver->waiting), 64);
    atomic_store(&v->resolver->waiting, 63);
    assert_int_equal(check(v, 0), ATTEST_OK);
    assert_int_equal(atomic_load(&v->resolver->waiting), 63);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_cold_start_says_so_until_the_keys_are_there),
        TEST(who_asks_for_it_waits_for_the_first_set),
        TEST(who_is_not_stepped_says_so),
        TEST(a_thread_fetches_once_for_all),
        TEST(one_thread_whoever_starts_it),
        TEST(a_new_key_is_found_and_the_old_ones_never_wait),
        TEST(a_flood_of_unknown_kids_is_one_fetch),
        TEST(what_is_no_set_takes_the_place_of_none),
        TEST(clear_forgets_and_invalidate_does_not),
        TEST(a_child_is_told),
        TEST(clear_is_not_undone_by_what_is_on_its_way),
        TEST(clear_is_not_undone_by_what_is_being_read),
        TEST(nobody_waits_for_a_server_that_refused),
        TEST(a_set_that_ended_is_asked_for),
        TEST(a_set_has_an_end),
        TEST(a_set_that_was_brought_has_an_end),
        TEST(a_kid_that_was_not_there_is_remembered),
        TEST(not_everybody_may_wait),
    };
    RUN_RESOLVING(tests, NULL, NULL);
}
