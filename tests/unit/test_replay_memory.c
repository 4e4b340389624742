/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/ed25519.h"
#include "replay/replay.h"

#define T0 INT64_C(1700000000)

static struct replay_store *
new_store(size_t entries_max)
{
    struct replay_store *store = NULL;
    assert_int_equal(replay_memory_new(entries_max, REPLAY_FULL_REFUSE, &store, NULL), ATTEST_OK);
    return store;
}

static enum attest_rc
consume(struct replay_store *store, const char *scope, const char *id, int64_t until, int64_t now)
{
    const struct replay_item item = {slice_cstr(scope), slice_cstr(id), now, until};
    return replay_consume(store, &item, now, NULL);
}

static void
test_once_within_a_scope(void **state)
{
    (void)state;
    AUTO(replay_store) struct replay_store *s = new_store(100);
    assert_int_equal(consume(s, "a", "bc", T0 + 10, T0), ATTEST_OK);
    assert_int_equal(consume(s, "a", "bc", T0 + 10, T0), ATTEST_E_REPLAY);
    assert_int_equal(consume(s, "b", "bc", T0 + 10, T0), ATTEST_OK);
    /* The border between scope and identifier counts. */
    assert_int_equal(consume(s, "ab", "c", T0 + 10, T0), ATTEST_OK);
    assert_int_equal(replay_memory_count(s), 3);
}

static void
test_ends_after_its_last_second(void **state)
{
    (void)state;
    AUTO(replay_store) struct replay_store *s = new_store(100);
    assert_int_equal(consume(s, "i", "x", T0 + 10, T0), ATTEST_OK);
    assert_int_equal(consume(s, "i", "x", T0 + 10, T0 + 10), ATTEST_E_REPLAY);
    assert_int_equal(consume(s, "i", "x", T0 + 20, T0 + 11), ATTEST_OK);
    assert_int_equal(replay_memory_count(s), 1);
    /* After a pause of years nothing is left, and the store works on. */
    assert_int_equal(consume(s, "i", "x", T0 + 200000000, T0 + 200000000), ATTEST_OK);
    assert_int_equal(replay_memory_count(s), 1);
}

static void
test_clock_that_goes_back_forgets_nothing(void **state)
{
    (void)state;
    AUTO(replay_store) struct replay_store *s = new_store(100);
    assert_int_equal(consume(s, "i", "x", T0 + 100, T0 + 50), ATTEST_OK);
    assert_int_equal(consume(s, "i", "x", T0 + 100, T0 + 20), ATTEST_E_REPLAY);
    /* What would already be over by the clock once seen cannot be remembered: refuse. */
    assert_int_equal(consume(s, "i", "y", T0 + 40, T0 + 20), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume(s, "i", "y", T0 + 50, T0 + 20), ATTEST_OK);
}

static void
test_full_refuses_and_keeps(void **state)
{
    (void)state;
    AUTO(replay_store) struct replay_store *s = new_store(3);
    char id[8];
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(consume(s, "i", id, T0 + 10 + i, T0), ATTEST_OK);
    }
    assert_int_equal(consume(s, "i", "new", T0 + 10, T0), ATTEST_E_REPLAY_STORE);
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(consume(s, "i", id, T0 + 10, T0), ATTEST_E_REPLAY);
    }
    assert_int_equal(consume(s, "i", "new", T0 + 20, T0 + 11), ATTEST_OK);
    assert_int_equal(consume(s, "i", "newer", T0 + 20, T0 + 11), ATTEST_E_REPLAY_STORE);
}

/* In a store of several shards, what ended in one makes room for the others. */
static void
test_full_across_shards(void **state)
{
    (void)state;
    size_t n = 3 * 4096;
    AUTO(replay_store) struct replay_store *s = new_store(n);
    char id[16];
    for (size_t i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "%zu", i);
        assert_int_equal(consume(s, "i", id, T0 + 10, T0), ATTEST_OK);
    }
    assert_int_equal(consume(s, "i", "one more", T0 + 10, T0 + 10), ATTEST_E_REPLAY_STORE);
    for (size_t i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "%zu", i);
        assert_int_equal(consume(s, "j", id, T0 + 30, T0 + 11), ATTEST_OK);
    }
    assert_int_equal(replay_memory_count(s), n);
}

static void
test_bounds(void **state)
{
    (void)state;
    struct replay_store *none = NULL;
    assert_int_equal(replay_memory_new(0, REPLAY_FULL_REFUSE, &none, NULL), ATTEST_E_CONFIG);
    assert_int_equal(replay_memory_new(REPLAY_MEMORY_MAX + 1, REPLAY_FULL_REFUSE, &none, NULL),
                     ATTEST_E_CONFIG);
    assert_null(none);
    AUTO(replay_store) struct replay_store *s = new_store(10);
    char scope[1026];
    memset(scope, 'a', 1025);
    scope[1025] = '\0';
    assert_int_equal(consume(s, scope, "x", T0 + 1, T0), ATTEST_E_REPLAY_STORE);
    scope[1024] = '\0';
    assert_int_equal(consume(s, scope, "x", T0 + 1, T0), ATTEST_OK);
    assert_int_equal(consume(s, "i", "far", T0 + REPLAY_KEEP_MAX_S + 1, T0), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume(s, "i", "far", T0 + REPLAY_KEEP_MAX_S, T0), ATTEST_OK);
    assert_int_equal(consume(s, "i", "far", T0 + REPLAY_KEEP_MAX_S, T0 + REPLAY_KEEP_MAX_S),
                     ATTEST_E_REPLAY);
    assert_int_equal(consume(s, "i", "past", T0 - 1, T0), ATTEST_E_REPLAY_STORE);
}

/* The same calls on the store and on a table that never forgets and is searched from end to end. */
static void
test_against_a_plain_table(void **state)
{
    (void)state;
    enum { IDS = 64, STEPS = 40000 };
    int64_t until[IDS] = {0};
    AUTO(replay_store) struct replay_store *s = new_store(IDS);
    int64_t now = T0;
    uint32_t random = 12345;
    for (int step = 0; step < STEPS; step++) {
        random = random * 1664525 + 1013904223;
        uint32_t which = random >> 26;
        if ((random >> 8) % 16 == 0)
            now += (random >> 12) % 400;
        int64_t keep = now + (random >> 16) % 1800;
        char id[16];
        snprintf(id, sizeof(id), "%u", (unsigned)which);
        enum attest_rc expected = until[which] >= now ? ATTEST_E_REPLAY : ATTEST_OK;
        assert_int_equal(consume(s, "scope", id, keep, now), expected);
        if (expected == ATTEST_OK)
            until[which] = keep;
    }
}

/* The store changed to this, and what it changes is told once. */
static bool
told(struct replay_store *s, _Atomic uint64_t *seen, enum replay_state state)
{
    struct replay_news news;
    bool one = replay_changed(s, seen) && replay_news(s, seen, &news);
    return one && news.state == state && news.why[0] && !replay_news(s, seen, &news);
}

/* Full is told once, and over only when there is room for more than one. */
static void
test_full_is_told(void **state)
{
    (void)state;
    _Atomic uint64_t seen = 0;
    struct replay_stats stats;
    AUTO(replay_store) struct replay_store *s = new_store(16);
    char id[8];
    for (int i = 0; i < 16; i++) {
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(consume(s, "i", id, T0 + 10 + i, T0), ATTEST_OK);
    }
    assert_false(replay_changed(s, &seen));
    assert_int_equal(consume(s, "i", "a", T0 + 50, T0), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume(s, "i", "b", T0 + 50, T0), ATTEST_E_REPLAY_STORE);
    assert_true(told(s, &seen, REPLAY_UNHEALTHY));
    assert_int_equal(consume(s, "i", "c", T0 + 50, T0 + 11), ATTEST_OK);
    assert_false(replay_changed(s, &seen));
    assert_int_equal(consume(s, "i", "d", T0 + 50, T0 + 20), ATTEST_OK);
    assert_true(told(s, &seen, REPLAY_HEALTHY));
    assert_int_equal(consume(s, "i", "d", T0 + 50, T0 + 20), ATTEST_E_REPLAY);
    replay_stats(s, &stats);
    assert_int_equal(stats.state, REPLAY_HEALTHY);
    assert_int_equal(stats.changes, 2);
    assert_int_equal(stats.consumed, 18);
    assert_int_equal(stats.replayed, 1);
    assert_int_equal(stats.unavailable, 2);
    assert_int_equal(stats.unremembered, 0);
}

/* Told to let pass what it cannot remember, it still refuses what it does. */
static void
test_full_may_accept(void **state)
{
    (void)state;
    _Atomic uint64_t seen = 0;
    struct replay_stats stats;
    AUTO(replay_store) struct replay_store *s = NULL;
    assert_int_equal(replay_memory_new(2, REPLAY_FULL_ACCEPT, &s, NULL), ATTEST_OK);
    assert_int_equal(consume(s, "i", "a", T0 + 10, T0), ATTEST_OK);
    assert_int_equal(consume(s, "i", "b", T0 + 10, T0), ATTEST_OK);
    assert_false(replay_changed(s, &seen));
    assert_int_equal(consume(s, "i", "c", T0 + 10, T0), ATTEST_OK);
    assert_true(told(s, &seen, REPLAY_DEGRADED));
    assert_int_equal(consume(s, "i", "c", T0 + 10, T0), ATTEST_OK);
    assert_int_equal(consume(s, "i", "a", T0 + 10, T0), ATTEST_E_REPLAY);
    replay_stats(s, &stats);
    assert_int_equal(stats.unremembered, 2);
    assert_int_equal(stats.entries, 2);
    assert_false(replay_changed(s, &seen));
}

/* Who makes identifiers without end; how many were taken of so many. */
static size_t
flood(struct replay_store *s, const char *holder, size_t n, int64_t until, int64_t now)
{
    static unsigned made;
    size_t taken = 0;
    for (size_t i = 0; i < n; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%u", made++);
        const struct replay_item item = {slice_cstr(holder), slice_cstr(id), now, until, true};
        taken += replay_consume(s, &item, now, NULL) == ATTEST_OK;
    }
    return taken;
}

/* Nor make it forget the others' when it lets pass what it cannot remember. */
static void
test_a_share_where_full_accepts(void **state)
{
    (void)state;
    _Atomic uint64_t seen = 0;
    AUTO(replay_store) struct replay_store *s = NULL;
    assert_int_equal(replay_memory_new(64, REPLAY_FULL_ACCEPT, &s, NULL), ATTEST_OK);
    assert_false(replay_changed(s, &seen));
    assert_int_equal(flood(s, "a", 100, T0 + 690, T0), 100);
    assert_int_equal(replay_memory_count(s), 32);
    assert_int_equal(consume(s, "issuer", "x", T0 + 600, T0), ATTEST_OK);
    assert_int_equal(consume(s, "issuer", "x", T0 + 600, T0), ATTEST_E_REPLAY);
    assert_int_equal(flood(s, "a", 1, T0 + 690, T0), 1);
    assert_false(replay_changed(s, &seen));
    assert_int_equal(replay_state(s), REPLAY_HEALTHY);
}

/* One key takes half of it at most, each other one an eighth, and all that is left is whose it
 * was. */
static void
test_a_key_has_its_share(void **state)
{
    (void)state;
    static const size_t sizes[] = {64, 1000, 20000};
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        size_t n = sizes[k], eighth = n / 8 + 16;
        AUTO(replay_store) struct replay_store *s = new_store(n);
        assert_in_range(flood(s, "a", n, T0 + 690, T0), n / 2, n / 2);
        /* One that has the same hash as the first gets nothing: not all eight have it. */
        size_t others = 0;
        for (char name[] = "b0"; name[1] < '8' && others == 0; name[1]++)
            others = flood(s, name, n, T0 + 690, T0);
        assert_in_range(others, 1, eighth);
        assert_int_equal(replay_state(s), REPLAY_HEALTHY);
        assert_int_equal(flood(s, "a", 10, T0 + 700, T0 + 10), 0);
        assert_int_equal(consume(s, "issuer", "x", T0 + 600, T0 + 10), ATTEST_OK);
        /* When its entries have ended it may again, one part of a turn later at the latest. */
        assert_int_equal(flood(s, "c", n / 32, T0 + 1600, T0 + 690 + 128), n / 32);
        assert_in_range(flood(s, "a", n, T0 + 1600, T0 + 690 + 128), n / 2 - n / 32, n / 2);
        /* As long as there is room, others get theirs; who knows of it all counts what is there. */
        for (size_t i = 0; replay_state(s) == REPLAY_HEALTHY && i < 2 * n; i++) {
            char id[16];
            snprintf(id, sizeof(id), "%zu", i);
            (void)consume(s, "issuer", id, T0 + 1600, T0 + 690 + 128);
        }
        assert_int_equal(replay_memory_count(s), n);
    }
}

/*
 * Filled to the last entry its buckets still have room, whatever chance does; and again when the
 * places are taken by what is over.
 */
static void
test_fills_to_the_last(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 15, 16, 17, 100, 1000, 5000, 200000};
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        AUTO(replay_store) struct replay_store *s = new_store(sizes[k]);
        for (int round = 0; round < 3; round++) {
            int64_t now = T0 + 1000 * round;
            for (size_t i = 0; i < sizes[k]; i++) {
                struct slice id = {(const char *)&i, sizeof(i)};
                const struct replay_item item = {slice_cstr("i"), id, now,
                                                 now + 300 + (int64_t)i % 60};
                if (replay_consume(s, &item, now, NULL) != ATTEST_OK)
                    fail_msg("%zu of %zu, round %d", i, sizes[k], round);
            }
            assert_int_equal(replay_memory_count(s), sizes[k]);
        }
    }
}

enum { THREADS = 8, TOKENS = 3000 };
static struct replay_store *shared;
static _Atomic unsigned accepted[TOKENS];

static void *
hammer(void *arg)
{
    unsigned start = *(unsigned *)arg;
    for (unsigned i = 0; i < TOKENS; i++) {
        unsigned token = (i + start) % TOKENS;
        char id[16];
        snprintf(id, sizeof(id), "%u", token);
        enum attest_rc rc = consume(shared, "i", id, T0 + 300 + token % 60, T0 + i % 30);
        if (rc == ATTEST_OK)
            atomic_fetch_add(&accepted[token], 1);
        else if (rc != ATTEST_E_REPLAY)
            atomic_fetch_add(&accepted[token], 100);
    }
    return NULL;
}

static void
test_threads_accept_once(void **state)
{
    (void)state;
    shared = new_store(65536);
    pthread_t threads[THREADS];
    unsigned starts[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        starts[i] = i % 2 ? 0 : i;
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &starts[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < TOKENS; i++)
        assert_int_equal(accepted[i], 1);
    assert_int_equal(replay_memory_count(shared), TOKENS);
    replay_free(shared);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_within_a_scope),
        cmocka_unit_test(test_ends_after_its_last_second),
        cmocka_unit_test(test_clock_that_goes_back_forgets_nothing),
        cmocka_unit_test(test_full_refuses_and_keeps),
        cmocka_unit_test(test_full_across_shards),
        cmocka_unit_test(test_full_is_told),
        cmocka_unit_test(test_full_may_accept),
        cmocka_unit_test(test_a_share_where_full_accepts),
        cmocka_unit_test(test_a_key_has_its_share),
        cmocka_unit_test(test_fills_to_the_last),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_against_a_plain_table),
        cmocka_unit_test(test_threads_accept_once),
    };
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
