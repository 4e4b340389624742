/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/alloc_fault.h"
#include "support/need.h"
#include "support/replay_store.h"

/*
 * A store in Redis, with a memory beside it, while each allocation in turn fails, alone and with
 * all behind it; hiredis's too. What this process lacks says nothing of Redis: nothing is accepted
 * twice, the memory decides nothing, and with memory again the same store serves.
 */

#define ALLOCATIONS_MAX 2000

static struct redis_server_run server;

static void
check(struct replay_store *s, const char *id, enum attest_rc rc)
{
    if (rc != ATTEST_OK && rc != ATTEST_E_REPLAY_STORE)
        fail_msg("%d", rc);
    enum attest_rc again = consume(s, id); /* one without an answer may count, or not */
    assert_int_equal(again, rc == ATTEST_OK || again != ATTEST_OK ? ATTEST_E_REPLAY : ATTEST_OK);
    assert_int_equal(consume(s, id), ATTEST_E_REPLAY);
    assert_int_equal(stats_of(s).fallback, 0);
}

/* With a connection in hand, or with one that has to be made. True when the fault was reached. */
static bool
ask(const char *id, size_t n, bool on, bool connect)
{
    struct replay_store *s = new_store();
    if (connect)
        assert_true(redis_command(&server, "CLIENT KILL TYPE normal SKIPME yes"));
    alloc_fault_arm(n, on);
    enum attest_rc rc = consume(s, id);
    bool was = alloc_fault_disarm();
    assert_true(was || rc == ATTEST_OK);
    check(s, id, rc);
    replay_free(s);
    return was;
}

static bool
make_and_ask(const char *id, size_t n, bool on, bool unused)
{
    (void)unused;
    struct replay_store *s = NULL;
    alloc_fault_arm(n, on);
    enum attest_rc made = replay_redis_new(&options, &s, NULL);
    enum attest_rc rc = made == ATTEST_OK ? consume(s, id) : made;
    bool was = alloc_fault_disarm();
    assert_true(was || rc == ATTEST_OK);
    assert_int_equal(s != NULL, made == ATTEST_OK);
    if (s)
        check(s, id, rc);
    replay_free(s);
    return was;
}

static void
each_allocation(const char *name, bool connect,
                bool (*run)(const char *id, size_t n, bool on, bool connect))
{
    char id[64];
    size_t n = 0;
    for (int on = 0; on < 2; on++) {
        bool was = true;
        for (n = 1; was; n++) {
            assert_true(n < ALLOCATIONS_MAX);
            snprintf(id, sizeof(id), "%s %zu %d", name, n, on);
            long before = alloc_fault_live();
            was = run(id, n, on, connect);
            if (alloc_fault_counts() && alloc_fault_live() != before)
                fail_msg("%s: %ld left behind", id, alloc_fault_live() - before);
        }
    }
    print_message("%s: %zu allocations\n", name, n - 2);
    assert_true(n > 3);
}

static void
each_fails(void **state)
{
    (void)state;
    begin(&server, NULL, true);
    options.memory_max = 4096;
    options.timeout_ms = 40000;
    replay_free(new_store());
    each_allocation("asking", false, ask);
    each_allocation("connecting", true, ask);
    each_allocation("making", false, make_and_ask);
    redis_done(&server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_fails)};
    need_redis();
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
