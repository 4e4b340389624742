/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/need.h"
#include "support/replay_store.h"

/* Where it can be doubted what Redis remembers, or whether it may be asked: when clocks are wrong,
 * datasets are exchanged, operators mistaken, connections short. Against a real server. */

/* The reason for the last change of state. */
static struct replay_news
last_news(struct replay_store *s)
{
    struct replay_news news;
    _Atomic uint64_t seen = 0;
    assert_true(replay_news(s, &seen, &news));
    return news;
}

/* With a verifier's clock that is wrong. */
static enum attest_rc
consume_at(struct replay_store *s, const char *id, int64_t now)
{
    const struct replay_item item = {slice_cstr("issuer"), slice_cstr(id), now, now + 100};
    return replay_consume(s, &item, now, NULL);
}

/* ---- clocks ---- */

/* The date of a loss is what all go by: it is Redis's clock's, when that is later. */
static void
test_loss_seen_by_a_clock_that_is_behind(void **state)
{
    (void)state;
    static const int64_t wrong_s[] = {-100, -3600, 86400};
    struct redis_server_run server;
    begin(&server, NULL, true);
    for (size_t i = 0; i < ARRAY_LEN(wrong_s); i++) {
        struct replay_store *wrong = new_store();
        int64_t now = clock_wall_s();
        assert_true(redis_command(&server, "FLUSHALL"));
        assert_int_equal(consume_at(wrong, "x", now + wrong_s[i]), ATTEST_E_REPLAY_STORE);
        struct replay_store *fresh = new_store();
        assert_in_range(stats_of(fresh).lost_s, now, clock_wall_s());
        assert_int_equal(consume_of(fresh, "old", -60), ATTEST_E_REPLAY_STORE);
        replay_free(wrong);
        replay_free(fresh);
    }
    redis_done(&server);
}

/* An epoch of the future would shut out everybody until then. */
static void
test_epoch_of_the_future(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    replay_free(new_store());
    assert_true(redis_command(
        &server, "EVAL redis.call('SET',KEYS[1],(string.gsub(redis.call('GET',KEYS[1]),"
                 "'^1\\32%%d+','1\\0324102444800'))) 1 attest:{seen}:epoch"));
    struct replay_store *s = new_store();
    assert_in_range(stats_of(s).lost_s, 1, clock_wall_s());
    assert_int_equal(consume_of(s, "new", 30), ATTEST_OK);
    replay_free(s);
    redis_done(&server);
}

static void
set_clock(const char *path, int offset_s)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%d", offset_s);
    fclose(f);
}

/* Its clock set forward ends what it keeps: as good as flushed, and the epoch is still there. */
static void
test_clock_of_redis_set_forward(void **state)
{
    (void)state;
    static const char shim[] = "tests/support/.libs/clockjump.so";
    struct redis_server_run server;
    char path[64] = "/tmp/attest-clock-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(access(shim, F_OK), 0);
    assert_true(fd >= 0);
    close(fd);
    setenv("LD_PRELOAD", shim, 1);
    setenv("CLOCKJUMP_FILE", path, 1);
    begin(&server, NULL, true);
    unsetenv("LD_PRELOAD");
    unsetenv("CLOCKJUMP_FILE");
    struct replay_store *s = new_store();
    assert_int_equal(consume(s, "before"), ATTEST_OK);
    assert_int_equal(consume(s, "before"), ATTEST_E_REPLAY);
    set_clock(path, 60); /* what a look must see, though all that is kept is still there */
    usleep(1200000);
    assert_int_equal(consume(s, "before"), ATTEST_E_REPLAY_STORE);
    assert_int_equal(stats_of(s).losses, 1);
    assert_int_equal(consume_of(s, "new", 90), ATTEST_OK);
    set_clock(path, 2200); /* and now nothing of it: clocks so far apart are refused */
    usleep(1200000);
    assert_int_equal(consume_of(s, "new", 90), ATTEST_E_REPLAY_STORE);
    replay_free(s);
    redis_done(&server);
    unlink(path);
}

/* Who comes with his question when what is asked for is over may find what was there forgotten. */
static void
test_asked_too_late(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    options.timeout_ms = 40000;
    options.memory_max = 100;
    struct replay_store *s = new_store();
    int64_t now = clock_wall_s();
    const struct replay_item item = {slice_cstr("issuer"), slice_cstr("short"), now, now + 1};
    assert_true(redis_command(&server, "CLIENT PAUSE 10000 ALL"));
    assert_int_equal(replay_consume(s, &item, now, NULL), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume(s, "long"), ATTEST_OK);
    assert_int_equal(stats_of(s).fallback, 0);
    replay_free(s);
    redis_done(&server);
}

/* ---- another memory than before ---- */

/* "New" is the word of an operator who does not know that somebody was here. */
static void
test_new_again(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    struct replay_store *s = new_store();
    assert_int_equal(consume(s, "before"), ATTEST_OK);
    assert_true(redis_command(&server, "FLUSHALL"));
    assert_true(redis_declare_new(&server));
    assert_int_equal(consume(s, "x"), ATTEST_E_REPLAY_STORE);
    struct replay_store *fresh = new_store();
    assert_in_range(stats_of(fresh).lost_s, clock_wall_s() - 10, clock_wall_s());
    assert_int_equal(consume_of(fresh, "before", -60), ATTEST_E_REPLAY_STORE);
    replay_free(s);
    replay_free(fresh);
    redis_done(&server);
}

/* Nor is it believed when a file brings it back that is older than the first use. */
static void
test_new_from_a_file(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    assert_true(redis_command(&server, "SAVE"));
    struct replay_store *s = new_store();
    assert_int_equal(consume(s, "before"), ATTEST_OK);
    replay_free(s);
    redis_stop(&server);
    assert_true(redis_start(&server, NULL));
    s = new_store();
    assert_int_equal(consume_of(s, "before", -60), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume_of(s, "new", 60), ATTEST_OK);
    replay_free(s);
    redis_done(&server);
}

/* Nor when a replica does that lags behind the first use. */
static void
test_new_from_a_replica(void **state)
{
    (void)state;
    struct redis_server_run master, replica;
    char port[8];
    const char *const more[] = {"--port", port, "--bind", "127.0.0.1", "--repl-diskless-sync-delay",
                                "0",      NULL};
    random_port(port);
    begin(&replica, NULL, false);
    begin(&master, more, false);
    assert_true(redis_command(&replica, "REPLICAOF 127.0.0.1 %s", port));
    for (int i = 0; i < 400 && !redis_command(&master, "EVAL return(redis.call('INFO'):match("
                                                       "'state=online'))and'OK'or{err='no'} 0");
         i++)
        usleep(25000);
    assert_true(redis_declare_new(&master)); /* as a command, and not within a file */
    for (int i = 0; i < 400 && !redis_command(&replica, "EVAL return(redis.call('DBSIZE')==1)and"
                                                        "'OK'or{err='no'} 0");
         i++)
        usleep(25000);
    assert_true(redis_command(&replica, "REPLICAOF 127.0.0.1 1"));
    struct replay_store *s = new_store();
    assert_int_equal(consume(s, "before"), ATTEST_OK);
    replay_free(s);
    assert_true(redis_command(&replica, "REPLICAOF NO ONE"));
    options.url = replica.url;
    s = new_store();
    assert_int_equal(consume_of(s, "before", -60), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume_of(s, "new", 60), ATTEST_OK);
    replay_free(s);
    redis_done(&master);
    redis_done(&replica);
}

/* A replica for a while, and a master again with another's data, on the same connection. */
static void
test_replica_and_back(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    struct replay_store *s = new_store();
    assert_int_equal(consume(s, "before"), ATTEST_OK);
    assert_true(redis_command(&server, "REPLICAOF 127.0.0.1 1"));
    assert_true(redis_command(&server, "REPLICAOF NO ONE"));
    usleep(1200000);
    assert_int_equal(consume(s, "other"), ATTEST_E_REPLAY_STORE);
    assert_int_equal(stats_of(s).losses, 1);
    replay_free(s);
    redis_done(&server);
}

/* Who may not begin a transaction sets no epoch outside of one. */
static void
test_multi_refused(void **state)
{
    (void)state;
    struct redis_server_run server;
    struct replay_store *s = NULL;
    char port[8], url[64];
    begin_at_port(&server, port, false);
    assert_true(redis_command(&server, "ACL SETUSER few on >geheim ~* +@all -multi"));
    snprintf(url, sizeof(url), "redis://few:geheim@127.0.0.1:%s", port);
    options.url = url;
    assert_int_equal(replay_redis_new(&options, &s, NULL), ATTEST_E_DENIED);
    assert_null(s);
    assert_true(redis_command(&server, "EVAL return(redis.call('EXISTS',KEYS[1])==0)and'OK'or"
                                       "{err='there'} 1 attest:{seen}:epoch"));
    redis_done(&server);
}

/* ---- who decides ---- */

static enum attest_rc slow_rc;

static void *
consume_slowly(void *arg)
{
    slow_rc = consume(arg, "slow");
    return NULL;
}

/* Until a write waits for the pause to end, which does not hold up who asks of it. */
static void
wait_for_a_write(const struct redis_server_run *server)
{
    char look[256];
    snprintf(look, sizeof(look), "%s-cli -s %s INFO clients | grep -q '^blocked_clients:1'",
             redis_kind(), server->path);
    for (int i = 0; i < 400 && system(look) != 0; i++)
        usleep(10000);
}

/* That all connections are busy says nothing of Redis: no reason to ask the memory instead, nor to
 * leave Redis alone. */
static void
test_busy_is_not_away(void **state)
{
    (void)state;
    struct redis_server_run server;
    pthread_t thread;
    begin(&server, NULL, true);
    struct replay_store *other = new_store();
    assert_int_equal(consume(other, "seen"), ATTEST_OK);
    options.connections_max = 1;
    options.memory_max = 100;
    options.timeout_ms = 20000; /* of which half is for waiting */
    struct replay_store *s = new_store();
    assert_true(redis_command(&server, "CLIENT PAUSE 600000 WRITE"));
    assert_int_equal(pthread_create(&thread, NULL, consume_slowly, s), 0);
    wait_for_a_write(&server);
    assert_int_equal(consume(s, "seen"), ATTEST_E_REPLAY_STORE);
    assert_true(redis_command(&server, "CLIENT UNPAUSE"));
    pthread_join(thread, NULL);
    assert_int_equal(slow_rc, ATTEST_OK);
    assert_int_equal(stats_of(s).fallback, 0);
    assert_int_equal(replay_state(s), REPLAY_HEALTHY);
    assert_int_equal(consume(s, "seen"), ATTEST_E_REPLAY);
    replay_free(s);
    replay_free(other);
    redis_done(&server);
}

/* One that answers, and is not fit, is not away. */
static void
test_unfit_is_not_away(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    struct replay_store *other = new_store();
    assert_int_equal(consume(other, "seen"), ATTEST_OK);
    options.memory_max = 100;
    struct replay_store *s = new_store();
    assert_true(redis_command(&server, "CONFIG SET maxmemory-policy allkeys-lru"));
    assert_true(redis_command(&server, "CLIENT KILL TYPE normal"));
    for (int i = 0; i < 10; i++)
        assert_int_equal(consume(s, "seen"), ATTEST_E_REPLAY_STORE);
    assert_int_equal(stats_of(s).fallback, 0);
    assert_int_equal(replay_state(s), REPLAY_UNHEALTHY);
    assert_non_null(strstr(last_news(s).why, "maxmemory-policy"));
    replay_free(s);
    replay_free(other);
    redis_done(&server);
}

static void
min_replicas(const struct redis_server_run *server)
{
    assert_true(redis_command(server, "CONFIG SET min-replicas-to-write 1"));
}

static void
epoch_of_another_type(const struct redis_server_run *server)
{
    assert_true(redis_command(server, "DEL attest:{seen}:epoch"));
    assert_true(redis_command(server, "RPUSH attest:{seen}:epoch x"));
}

static void
turn_replica(const struct redis_server_run *server)
{
    assert_true(redis_command(server, "REPLICAOF 127.0.0.1 1"));
}

static void
fill_it(const struct redis_server_run *server)
{
    assert_true(redis_command(server, "CONFIG SET maxmemory 1"));
}

static void
no_right_to_write(const struct redis_server_run *server)
{
    assert_true(redis_command(server, "ACL SETUSER default -set"));
}

/* It answers and refuses, for a reason that has a word of its own. */
static void
test_refusing_is_not_away(void **state)
{
    (void)state;
    static const struct {
        void (*make)(const struct redis_server_run *server);
        const char *why;
    } cases[] = {
        {min_replicas, "without its replicas"},
        {epoch_of_another_type, "somebody else"},
        {turn_replica, "replica"},
        {fill_it, "full"},
        {no_right_to_write, "ACL"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct redis_server_run server;
        begin(&server, NULL, true);
        options.memory_max = 100;
        struct replay_store *s = new_store();
        assert_int_equal(consume(s, "seen"), ATTEST_OK);
        cases[i].make(&server);
        for (int n = 0; n < 5; n++) {
            char id[8];
            snprintf(id, sizeof(id), "%d", n);
            assert_int_equal(consume(s, id), ATTEST_E_REPLAY_STORE);
        }
        assert_int_equal(stats_of(s).fallback, 0);
        assert_int_equal(replay_state(s), REPLAY_UNHEALTHY);
        assert_non_null(strstr(last_news(s).why, cases[i].why));
        replay_free(s);
        redis_done(&server);
    }
}

/* One that has no room for a connection is as good as one that is not there, and says nothing of
 * the password that it is shown. */
static void
test_no_room_is_away(void **state)
{
    (void)state;
    struct redis_server_run server;
    struct replay_store *s = NULL;
    struct attest_error err;
    char port[8], url[64];
    begin_at_port(&server, port, true);
    struct replay_store *other = new_store(); /* the one that there is room for */
    assert_true(redis_command(&server, "ACL SETUSER few on >geheim ~* +@all"));
    assert_true(redis_command(&server, "CONFIG SET maxclients 1"));
    snprintf(url, sizeof(url), "redis://few:geheim@127.0.0.1:%s", port);
    options.url = url;
    assert_int_equal(replay_redis_new(&options, &s, &err), ATTEST_E_IO);
    assert_null(strstr(err.text, "password"));
    options.memory_max = 100;
    s = new_store();
    assert_int_equal(consume(s, "x"), ATTEST_OK);
    assert_int_equal(consume(s, "x"), ATTEST_E_REPLAY);
    assert_int_equal(stats_of(s).fallback, 1);
    assert_int_equal(consume(other, "y"), ATTEST_OK);
    replay_free(s);
    replay_free(other);
    redis_done(&server);
}

/* Neither is one whose password cannot be read. */
static void
test_no_password_is_not_away(void **state)
{
    (void)state;
    struct redis_server_run server;
    struct replay_store *s = NULL;
    char path[96];
    begin(&server, NULL, true);
    snprintf(path, sizeof(path), "%s/password", server.dir);
    assert_int_equal(symlink(path, path), 0);
    options.password_file = path;
    options.memory_max = 100;
    assert_int_equal(replay_redis_new(&options, &s, NULL), ATTEST_E_CONFIG);
    options.password_file = "/none";
    assert_int_equal(replay_redis_new(&options, &s, NULL), ATTEST_E_CONFIG);
    assert_null(s);
    redis_done(&server);
}

/* The memory beside is for when Redis is away; full, it does not stop one that answers. */
static void
test_full_memory_beside(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    options.memory_max = 1;
    struct replay_store *s = new_store();
    for (int i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(consume(s, id), ATTEST_OK);
        assert_int_equal(consume(s, id), ATTEST_E_REPLAY);
    }
    assert_int_equal(replay_state(s), REPLAY_DEGRADED);
    assert_int_equal(stats_of(s).unremembered, 3);
    redis_stop(&server);
    assert_int_equal(consume(s, "0"), ATTEST_E_REPLAY);
    assert_int_equal(consume(s, "1"), ATTEST_E_REPLAY_STORE);
    assert_int_equal(replay_state(s), REPLAY_UNHEALTHY);
    assert_non_null(strstr(last_news(s).why, "full"));
    replay_free(s);
    redis_done(&server);
}

/* One agent's proofs are remembered beside Redis as long as there is room: who decides has shares.
 */
static void
test_no_shares_beside(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    options.memory_max = 64;
    struct replay_store *s = new_store();
    int64_t now = clock_wall_s();
    for (int redis_is_there = 1; redis_is_there >= 0; redis_is_there--) {
        for (int i = 0; i < 64; i++) {
            char id[8];
            snprintf(id, sizeof(id), "%d", i);
            const struct replay_item item = {slice_cstr("key"), slice_cstr(id), now, now + 600,
                                             true};
            assert_int_equal(replay_consume(s, &item, now, NULL),
                             redis_is_there ? ATTEST_OK : ATTEST_E_REPLAY);
        }
        assert_int_equal(stats_of(s).unremembered, 0);
        if (redis_is_there)
            redis_stop(&server);
    }
    replay_free(s);
    redis_done(&server);
}

/* What was accepted without Redis is told for a while, also when Redis is back at once. */
static void
test_alone_is_told(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    options.memory_max = 100;
    options.timeout_ms = 2000;
    struct replay_store *s = new_store();
    kill(server.pid, SIGSTOP);
    assert_int_equal(consume(s, "alone"), ATTEST_OK);
    kill(server.pid, SIGCONT);
    for (int i = 0; i < 100 && stats_of(s).connects < 2; i++)
        assert_int_equal(consume(s, "alone"), ATTEST_E_REPLAY);
    assert_int_equal(consume(s, "together"), ATTEST_OK);
    assert_int_equal(stats_of(s).fallback, 1);
    assert_int_equal(replay_state(s), REPLAY_DEGRADED);
    replay_free(s);
    redis_done(&server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_seen_by_a_clock_that_is_behind),
        cmocka_unit_test(test_epoch_of_the_future),
        cmocka_unit_test(test_clock_of_redis_set_forward),
        cmocka_unit_test(test_asked_too_late),
        cmocka_unit_test(test_new_again),
        cmocka_unit_test(test_new_from_a_file),
        cmocka_unit_test(test_new_from_a_replica),
        cmocka_unit_test(test_replica_and_back),
        cmocka_unit_test(test_multi_refused),
        cmocka_unit_test(test_busy_is_not_away),
        cmocka_unit_test(test_unfit_is_not_away),
        cmocka_unit_test(test_refusing_is_not_away),
        cmocka_unit_test(test_no_room_is_away),
        cmocka_unit_test(test_no_password_is_not_away),
        cmocka_unit_test(test_full_memory_beside),
        cmocka_unit_test(test_no_shares_beside),
        cmocka_unit_test(test_alone_is_told),
    };
    need_redis();
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
