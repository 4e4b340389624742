/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <attest/replay.h>
#include <cmocka.h>

#include "verify/replay_api.h"

DEFINE_AUTO(attest_replay_setup, struct attest_replay_setup *, attest_replay_setup_free);

static struct attest_replay_setup *
new_setup(void)
{
    struct attest_replay_setup *setup = NULL;
    assert_int_equal(attest_replay_setup_new(&setup, NULL), ATTEST_OK);
    return setup;
}

static void
test_values(void **state)
{
    (void)state;
    AUTO(attest_replay_setup) struct attest_replay_setup *s = new_setup();
    assert_int_equal(attest_replay_setup_set_entries_max(s, 0, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_setup_set_entries_max(s, ((size_t)1 << 28) + 1, NULL),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_setup_set_timeout_ms(s, 0, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_setup_set_timeout_ms(s, 60001, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_setup_set_timeout_ms(s, 60000, NULL), ATTEST_OK);
    assert_int_equal(attest_replay_setup_set_connections_max(s, 0, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_setup_set_connections_max(s, 257, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_setup_set_connections_max(s, 256, NULL), ATTEST_OK);
    assert_int_equal(attest_replay_setup_set_redis(s, "http://h", NULL), ATTEST_E_CONFIG);
    assert_string_equal(attest_replay_state_name(ATTEST_REPLAY_DEGRADED), "degraded");
    assert_string_equal(attest_replay_state_name((enum attest_replay_state)99), "unknown");
}

/* What is right by itself and wrong together is the configuration's fault, not the caller's. */
static void
test_passwords(void **state)
{
    (void)state;
    struct attest_replay *replay = NULL;
    struct attest_error err;
    AUTO(attest_replay_setup) struct attest_replay_setup *two = new_setup();
    AUTO(attest_replay_setup) struct attest_replay_setup *none = new_setup();
    assert_int_equal(attest_replay_setup_set_redis(two, "redis://:geheim@localhost:1", NULL), 0);
    assert_int_equal(attest_replay_setup_set_password_file(two, "/none", NULL), ATTEST_OK);
    enum attest_rc rc = attest_replay_new(two, &replay, &err);
    assert_int_equal(rc, ATTEST_E_CONFIG);
    assert_int_equal(err.rc, rc);
    assert_null(strstr(err.text, "geheim"));
    assert_int_equal(attest_replay_setup_set_redis(none, "redis://me@localhost:1", NULL), 0);
    assert_int_equal(attest_replay_new(none, &replay, NULL), ATTEST_E_CONFIG);
    assert_null(replay);
}

/* Nobody there is no reason to go out in the clear instead. */
static void
test_tls(void **state)
{
    (void)state;
    struct attest_replay *replay = NULL;
    AUTO(attest_replay_setup) struct attest_replay_setup *s = new_setup();
    assert_int_equal(attest_replay_setup_set_redis(s, "rediss://127.0.0.1:1", NULL), ATTEST_OK);
#ifdef WITH_REDIS
    assert_int_equal(attest_replay_new(s, &replay, NULL), ATTEST_E_IO);
#else
    assert_int_equal(attest_replay_new(s, &replay, NULL), ATTEST_E_UNSUPPORTED);
#endif
    assert_null(replay);
}

static enum attest_rc
consume(struct attest_replay *replay, const char *id)
{
    const struct replay_item item = {slice_cstr("i"), slice_cstr(id), 1700000000, 1700000100};
    return replay_consume(replay->store, &item, 1700000000, NULL);
}

static void
test_full_memory(void **state)
{
    (void)state;
    struct attest_replay *replay = NULL;
    AUTO(attest_replay_setup) struct attest_replay_setup *s = new_setup();
    assert_int_equal(attest_replay_setup_set_entries_max(s, 2, NULL), ATTEST_OK);
    for (int accepts = 0; accepts < 2; accepts++) {
        if (accepts)
            attest_replay_setup_accept_when_full(s);
        assert_int_equal(attest_replay_new(s, &replay, NULL), ATTEST_OK);
        assert_int_equal(consume(replay, "a"), ATTEST_OK);
        assert_int_equal(consume(replay, "b"), ATTEST_OK);
        assert_int_equal(attest_replay_state(replay), ATTEST_REPLAY_HEALTHY);
        assert_int_equal(consume(replay, "c"), accepts ? ATTEST_OK : ATTEST_E_REPLAY_STORE);
        assert_int_equal(consume(replay, "a"), ATTEST_E_REPLAY);
        assert_int_equal(attest_replay_state(replay),
                         accepts ? ATTEST_REPLAY_DEGRADED : ATTEST_REPLAY_UNHEALTHY);
        assert_int_equal(attest_replay_count(replay, ATTEST_REPLAY_CONSUMED), 2 + accepts);
        assert_int_equal(attest_replay_count(replay, ATTEST_REPLAY_UNREMEMBERED), accepts);
        assert_int_equal(attest_replay_count(replay, ATTEST_REPLAY_UNAVAILABLE), 1 - accepts);
        assert_int_equal(attest_replay_count(replay, ATTEST_REPLAY_REPLAYED), 1);
        assert_int_equal(attest_replay_count(replay, ATTEST_REPLAY_ENTRIES), 2);
        assert_int_equal(attest_replay_count(replay, (enum attest_replay_counter)1000), 0);
        assert_int_equal(attest_replay_lost_at_s(replay), 0);
        attest_replay_free(replay);
    }
}

/* What only a Redis has is not asked of a memory in silence, nor certificates of a plain one. */
static void
test_what_does_not_fit(void **state)
{
    (void)state;
    struct attest_replay *replay = NULL;
    struct attest_error err;
    AUTO(attest_replay_setup) struct attest_replay_setup *password = new_setup();
    AUTO(attest_replay_setup) struct attest_replay_setup *ca = new_setup();
    AUTO(attest_replay_setup) struct attest_replay_setup *fall_back = new_setup();
    AUTO(attest_replay_setup) struct attest_replay_setup *timeout = new_setup();
    AUTO(attest_replay_setup) struct attest_replay_setup *connections = new_setup();
    assert_int_equal(attest_replay_setup_set_password_file(password, "/none", NULL), ATTEST_OK);
    assert_int_equal(attest_replay_setup_set_ca_file(ca, "/none", NULL), ATTEST_OK);
    attest_replay_setup_fall_back_to_memory(fall_back);
    AUTO(attest_replay_setup) struct attest_replay_setup *start = new_setup();
    attest_replay_setup_believe_start(start);
    assert_int_equal(attest_replay_new(start, &replay, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_new(password, &replay, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_new(ca, &replay, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_new(fall_back, &replay, &err), ATTEST_E_CONFIG);
    assert_int_equal(err.rc, ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_setup_set_timeout_ms(timeout, 500, NULL), ATTEST_OK);
    assert_int_equal(attest_replay_setup_set_connections_max(connections, 4, NULL), ATTEST_OK);
    assert_int_equal(attest_replay_new(timeout, &replay, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_new(connections, &replay, NULL), ATTEST_E_CONFIG);
    assert_int_equal(attest_replay_setup_set_redis(ca, "redis://127.0.0.1:1", NULL), ATTEST_OK);
    attest_replay_setup_fall_back_to_memory(ca);
    assert_int_equal(attest_replay_new(ca, &replay, NULL), ATTEST_E_CONFIG);
    assert_null(replay);
}

/* A child has no part in it, and never waits for a lock that nobody will open. */
static void
test_child(void **state)
{
    (void)state;
    struct attest_replay *replay = NULL;
    int status = -1;
    assert_int_equal(attest_replay_new_memory(10, &replay, NULL), ATTEST_OK);
    assert_int_equal(consume(replay, "a"), ATTEST_OK);
    pid_t pid = fork();
    if (pid == 0)
        _exit(attest_replay_count(replay, ATTEST_REPLAY_CONSUMED) == 0 &&
                      attest_replay_lost_at_s(replay) == 0
                  ? 0
                  : 1);
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
    assert_int_equal(attest_replay_count(replay, ATTEST_REPLAY_CONSUMED), 1);
    attest_replay_free(replay);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_full_memory),
        cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
