/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <semaphore.h>

#include "support/need.h"
#include "support/watched.h"

/* The order in which changes of state are told while several threads find them. */

#define WAIT_S 20

/* Keeps the states in the order in which its calls return; the first call is a slow one. */
struct listener {
    struct attest_verifier *verifier;
    sem_t called, may_return;
    pthread_mutex_t lock;
    unsigned calls;
    char states[128];
};

static bool
await(sem_t *sem)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    return sem_timedwait(sem, &until) == 0;
}

static void
listener_init(struct listener *l, struct attest_verifier *v)
{
    *l = (struct listener){.verifier = v};
    sem_init(&l->called, 0, 0);
    sem_init(&l->may_return, 0, 0);
    pthread_mutex_init(&l->lock, NULL);
}

static void
listener_done(struct listener *l)
{
    sem_destroy(&l->called);
    sem_destroy(&l->may_return);
    pthread_mutex_destroy(&l->lock);
}

static void
keep(struct listener *l, const char *state)
{
    pthread_mutex_lock(&l->lock);
    size_t len = strlen(l->states);
    snprintf(l->states + len, sizeof(l->states) - len, "%s ", state);
    pthread_mutex_unlock(&l->lock);
}

static bool
kept(struct listener *l, const char *states)
{
    pthread_mutex_lock(&l->lock);
    bool same = strcmp(l->states, states) == 0;
    pthread_mutex_unlock(&l->lock);
    return same;
}

static void
listen_slowly(void *ctx, const struct attest_event *event)
{
    struct listener *l = ctx;
    const char *state = attest_event_state(event);
    if (!state)
        return;
    pthread_mutex_lock(&l->lock);
    bool first = l->calls++ == 0;
    pthread_mutex_unlock(&l->lock);
    if (first) {
        sem_post(&l->called);
        await(&l->may_return);
    }
    keep(l, state);
}

/* ---- an issuer's circuit ---- */

static void *
step_until_called(void *ctx)
{
    struct listener *l = ctx;
    for (int i = 0; i < 500 && kept(l, ""); i++) {
        struct pollfd fd = {.fd = attest_verifier_fd(l->verifier), .events = POLLIN};
        poll(&fd, 1, 5);
        if (attest_verifier_step(l->verifier) != ATTEST_OK)
            return NULL;
    }
    return NULL;
}

static bool
is_closed(const struct attest_verifier *v)
{
    char line[160];
    snprintf(line, sizeof(line), "_state{issuer=\"%s\",state=\"closed\"} 1\n", stub.origin);
    char *text AUTO(mem) = attest_verifier_metrics(v);
    return text && strstr(text, line);
}

/*
 * One thread is told that the circuit opened, and takes its time; another one closes it meanwhile.
 * It must not be told before, by whomever, and the issuer not be asked for ever without a word.
 */
static void
a_circuit_that_closes_is_told_behind_its_opening(void **state)
{
    (void)state;
    pthread_t first;
    struct listener l;
    struct attest_fetch *fetch = new_fetch();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(stub.origin, fetch);
    attest_fetch_free(fetch);
    listener_init(&l, v);
    assert_int_equal(attest_verifier_on_event(v, listen_slowly, &l, NULL), ATTEST_OK);
    http_stub_say(&stub, JWKS_PATH, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(pthread_create(&first, NULL, step_until_called, &l), 0);
    assert_true(await(&l.called));
    serve_keys();
    for (int i = 0; i < 500 && !is_closed(v); i++)
        step(v);
    assert_true(is_closed(v));
    unsigned asked = http_stub_asked(&stub);
    assert_int_equal(attest_verifier_invalidate(v, stub.origin, NULL), ATTEST_OK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    assert_int_not_equal(attest_verifier_timeout_ms(v), 0); /* no loop runs hot meanwhile */
    assert_int_equal(http_stub_asked(&stub), asked);
    assert_true(kept(&l, ""));
    sem_post(&l.may_return);
    pthread_join(first, NULL);
    assert_true(kept(&l, "open half-open closed "));
    for (int i = 0; i < 500 && http_stub_asked(&stub) == asked; i++)
        step(v);
    assert_int_equal(http_stub_asked(&stub), asked + 1);
    listener_done(&l);
}

/* ---- the replay store ---- */

static void *
check_once(void *ctx)
{
    struct listener *l = ctx;
    show(l->verifier, NULL, NULL);
    return NULL;
}

static void
a_memory_that_is_well_again_is_told_behind_its_illness(void **state)
{
    (void)state;
    pthread_t first;
    struct listener l;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    listener_init(&l, v);
    assert_int_equal(attest_verifier_on_event(v, listen_slowly, &l, NULL), ATTEST_OK);
    replay_set_state(v->replay->store, REPLAY_UNHEALTHY, "no answer");
    assert_int_equal(pthread_create(&first, NULL, check_once, &l), 0);
    assert_true(await(&l.called));
    replay_set_state(v->replay->store, REPLAY_DEGRADED, "some answers");
    assert_int_equal(show(v, NULL, NULL), ATTEST_E_REQUIRED);
    replay_set_state(v->replay->store, REPLAY_HEALTHY, "answers");
    assert_int_equal(show(v, NULL, NULL), ATTEST_E_REQUIRED);
    assert_true(kept(&l, ""));
    sem_post(&l.may_return);
    pthread_join(first, NULL);
    assert_true(kept(&l, "unhealthy healthy ")); /* the two are one */
    listener_done(&l);
}

/* Who is told may find the next change himself. */
static void
heal_and_check(void *ctx, const struct attest_event *event)
{
    struct listener *l = ctx;
    const char *state = attest_event_state(event);
    if (!state)
        return;
    if (l->calls++ == 0) {
        replay_set_state(l->verifier->replay->store, REPLAY_HEALTHY, "answers");
        assert_int_equal(show(l->verifier, NULL, NULL), ATTEST_E_REQUIRED);
    }
    keep(l, state);
}

static void
a_change_that_is_found_while_one_is_told_comes_behind_it(void **state)
{
    (void)state;
    struct listener l;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    listener_init(&l, v);
    assert_int_equal(attest_verifier_on_event(v, heal_and_check, &l, NULL), ATTEST_OK);
    replay_set_state(v->replay->store, REPLAY_UNHEALTHY, "no answer");
    assert_int_equal(show(v, NULL, NULL), ATTEST_E_REQUIRED);
    assert_true(kept(&l, "unhealthy healthy "));
    listener_done(&l);
}

/* ---- by chance ---- */

/*
 * As many changes as the machine makes of them, from threads that check: the last that is told is
 * the last that happened.
 */
struct crowd {
    struct listener *listener;
    unsigned seed;
};

static void
keep_last(void *ctx, const struct attest_event *event)
{
    struct listener *l = ctx;
    const char *state = attest_event_state(event);
    if (!state)
        return;
    pthread_mutex_lock(&l->lock);
    snprintf(l->states, sizeof(l->states), "%s", state);
    pthread_mutex_unlock(&l->lock);
}

static void *
change_and_check(void *ctx)
{
    struct crowd *crowd = ctx;
    struct attest_verifier *v = crowd->listener->verifier;
    for (unsigned i = 0; i < 5000; i++) {
        enum replay_state to = (enum replay_state)((i * 7 + crowd->seed) % 3);
        replay_set_state(v->replay->store, to, "so it is");
        show(v, NULL, NULL);
    }
    return NULL;
}

static void
the_last_that_is_told_is_what_is(void **state)
{
    (void)state;
    pthread_t thread[4];
    struct crowd crowd[4];
    struct listener l;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    listener_init(&l, v);
    assert_int_equal(attest_verifier_on_event(v, keep_last, &l, NULL), ATTEST_OK);
    for (unsigned i = 0; i < 4; i++) {
        crowd[i] = (struct crowd){&l, i};
        assert_int_equal(pthread_create(&thread[i], NULL, change_and_check, &crowd[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    assert_string_equal(l.states, replay_state_name(replay_state(v->replay->store)));
    listener_done(&l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_circuit_that_closes_is_told_behind_its_opening),
        cmocka_unit_test(a_memory_that_is_well_again_is_told_behind_its_illness),
        cmocka_unit_test(a_change_that_is_found_while_one_is_told_comes_behind_it),
        cmocka_unit_test(the_last_that_is_told_is_what_is),
    };
    need_curl();
    return cmocka_run_group_tests(tests, setup, teardown);
}
