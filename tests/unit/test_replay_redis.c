/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "support/need.h"
#include "support/replay_store.h"

/* Against a real server; each test has its own. */

static void
test_once(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    struct replay_store *a = new_store(), *b = new_store();
    assert_int_equal(consume(a, "x"), ATTEST_OK);
    assert_int_equal(consume(b, "x"), ATTEST_E_REPLAY);
    int64_t now = clock_wall_s();
    struct replay_item item = {slice_cstr("other"), slice_cstr("x"), now, now + 100};
    assert_int_equal(replay_consume(b, &item, now, NULL), ATTEST_OK);
    item.keep_until_s = now + REPLAY_KEEP_MAX_S + 1;
    assert_int_equal(replay_consume(b, &item, now, NULL), ATTEST_E_REPLAY_STORE);
    item.keep_until_s = now - 1;
    assert_int_equal(replay_consume(b, &item, now, NULL), ATTEST_E_REPLAY_STORE);
    /* Redis counts real time, and the caller's clock may stand still: it is not forgotten early. */
    item = (struct replay_item){slice_cstr("i"), slice_cstr("short"), now, now + 4};
    assert_int_equal(replay_consume(a, &item, now, NULL), ATTEST_OK);
    usleep(5100000);
    assert_int_equal(replay_consume(a, &item, now, NULL), ATTEST_E_REPLAY);
    assert_int_equal(replay_state(a), REPLAY_HEALTHY);
    struct replay_stats stats = stats_of(a);
    assert_int_equal(stats.consumed, 2);
    assert_int_equal(stats.replayed, 1);
    assert_int_equal(stats.connections, 1);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(stats.lost_s, 0);
    replay_free(a);
    replay_free(b);
    redis_done(&server);
}

/* A memory that nobody declared new could be an emptied one. */
static void
test_begins_with_what_is_new(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, false);
    struct replay_store *a = new_store();
    int64_t lost_s = stats_of(a).lost_s;
    assert_in_range(lost_s, clock_wall_s() - 10, clock_wall_s());
    assert_int_equal(replay_state(a), REPLAY_DEGRADED);
    assert_int_equal(consume_of(a, "old", -100), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume_of(a, "young", 10), ATTEST_OK);
    assert_int_equal(consume_of(a, "young", 10), ATTEST_E_REPLAY);
    assert_int_equal(stats_of(a).losses, 0);
    /* The next one finds the same beginning. */
    struct replay_store *b = new_store();
    assert_int_equal(stats_of(b).lost_s, lost_s);
    replay_free(a);
    replay_free(b);
    redis_done(&server);
}

/* Long after it, on a slow machine: what is shown is as old as it was. */
static void
check_loss(struct replay_store *a, struct replay_store *b)
{
    assert_int_equal(consume_of(a, "before", -60), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume_of(b, "before", -60), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume_of(b, "b", -60), ATTEST_E_REPLAY_STORE);
    assert_int_equal(stats_of(a).losses, 1);
    assert_int_equal(stats_of(b).losses, 1);
    assert_int_equal(replay_state(a), REPLAY_DEGRADED);
    /* Still when it is tried again, also by one who was not there; what is new passes, once. */
    struct replay_store *late = new_store();
    assert_int_equal(consume_of(late, "before", -60), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume_of(a, "before", -60), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume_of(a, "new", 30), ATTEST_OK);
    assert_int_equal(consume_of(b, "new", 30), ATTEST_E_REPLAY);
    assert_int_equal(consume_of(late, "new", 30), ATTEST_E_REPLAY);
    replay_free(late);
}

static void
test_flushed(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    struct replay_store *a = new_store(), *b = new_store();
    assert_int_equal(consume(a, "before"), ATTEST_OK);
    assert_int_equal(consume(b, "before"), ATTEST_E_REPLAY);
    assert_true(redis_command(&server, "FLUSHALL"));
    check_loss(a, b);
    replay_free(a);
    replay_free(b);
    redis_done(&server);
}

/* While it is away nothing passes. It comes back with the epoch and without what came after it. */
static void
test_restarted_from_an_old_file(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    struct replay_store *a = new_store(), *b = new_store(), *none = NULL;
    assert_int_equal(consume(a, "a"), ATTEST_OK);
    assert_true(redis_command(&server, "SAVE"));
    assert_int_equal(consume(a, "before"), ATTEST_OK);
    assert_int_equal(consume(b, "before"), ATTEST_E_REPLAY);
    redis_stop(&server);
    for (int i = 0; i < 5; i++)
        assert_int_equal(consume(a, "c"), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume(b, "c"), ATTEST_E_REPLAY_STORE);
    assert_int_equal(replay_state(a), REPLAY_UNHEALTHY);
    assert_int_equal(replay_state(b), REPLAY_DEGRADED);
    assert_int_equal(replay_redis_new(&options, &none, NULL), ATTEST_E_IO);
    assert_null(none);
    assert_true(redis_start(&server, NULL));
    for (int i = 0; i < 100 && stats_of(a).losses == 0; i++) {
        assert_int_equal(consume_of(a, "c", -60), ATTEST_E_REPLAY_STORE);
        usleep(50000);
    }
    for (int i = 0; i < 100 && stats_of(b).losses == 0; i++)
        assert_int_equal(consume_of(b, "c", -60), ATTEST_E_REPLAY_STORE);
    check_loss(a, b);
    replay_free(a);
    replay_free(b);
    redis_done(&server);
}

/* A paused server costs no more than the time-out, and soon not even that. */
static void
test_paused(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    options.timeout_ms = 1000;
    struct replay_store *s = new_store();
    assert_int_equal(consume(s, "before"), ATTEST_OK);
    kill(server.pid, SIGSTOP);
    for (int i = 0; i < 3; i++)
        assert_int_equal(consume(s, "x"), ATTEST_E_REPLAY_STORE);
    assert_int_equal(replay_state(s), REPLAY_UNHEALTHY);
    uint64_t failures = stats_of(s).connect_failures + stats_of(s).connects;
    for (int i = 0; i < 10000; i++)
        assert_int_equal(consume(s, "x"), ATTEST_E_REPLAY_STORE);
    assert_in_range(stats_of(s).connect_failures + stats_of(s).connects, failures, failures + 40);
    kill(server.pid, SIGCONT);
    enum attest_rc rc = ATTEST_E_REPLAY_STORE;
    for (int i = 0; i < 200 && rc == ATTEST_E_REPLAY_STORE; i++) {
        char id[16];
        usleep(25000);
        snprintf(id, sizeof(id), "after %d", i); /* one that was answered too late is used */
        rc = consume(s, id);
    }
    assert_int_equal(rc, ATTEST_OK);
    assert_int_equal(replay_state(s), REPLAY_HEALTHY);
    assert_int_equal(consume(s, "before"), ATTEST_E_REPLAY);
    /* What was asked before the pause ended may have been heard: never twice, and no loss. */
    assert_int_equal(stats_of(s).losses, 0);
    replay_free(s);
    redis_done(&server);
}

/* With a memory beside it this process goes on, and accepts nothing twice before or after. */
static void
test_fallback(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, true);
    options.memory_max = 100;
    struct replay_store *s = new_store();
    assert_int_equal(consume(s, "shared"), ATTEST_OK);
    redis_stop(&server);
    assert_int_equal(consume(s, "shared"), ATTEST_E_REPLAY);
    assert_int_equal(consume(s, "alone"), ATTEST_OK);
    assert_int_equal(consume(s, "alone"), ATTEST_E_REPLAY);
    assert_int_equal(replay_state(s), REPLAY_DEGRADED);
    assert_int_equal(stats_of(s).fallback, 1);
    assert_int_equal(stats_of(s).entries, 2);
    struct replay_store *born_alone = new_store();
    assert_int_equal(consume(born_alone, "y"), ATTEST_OK);
    assert_int_equal(replay_state(born_alone), REPLAY_DEGRADED);
    assert_true(redis_start(&server, NULL));
    for (int i = 0; i < 200 && stats_of(s).losses == 0; i++) {
        usleep(25000);
        enum attest_rc rc = consume(s, "alone");
        assert_true(rc == ATTEST_E_REPLAY || rc == ATTEST_E_REPLAY_STORE);
    }
    assert_int_equal(stats_of(s).losses, 1);
    assert_int_equal(consume_of(s, "together", 30), ATTEST_OK);
    assert_int_equal(stats_of(s).fallback, 1);
    replay_free(s);
    replay_free(born_alone);
    redis_done(&server);
}

/* A server that forgets what is alive is not taken, at the start or later. */
static void
test_eviction_is_refused(void **state)
{
    (void)state;
    struct redis_server_run server;
    const char *const more[] = {"--maxmemory-policy", "volatile-ttl", NULL};
    struct replay_store *s = NULL;
    struct attest_error err;
    begin(&server, more, true);
    assert_int_equal(replay_redis_new(&options, &s, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "noeviction"));
    options.memory_max = 100; /* no excuse */
    assert_int_equal(replay_redis_new(&options, &s, NULL), ATTEST_E_CONFIG);
    assert_null(s);
    options.memory_max = 0;
    assert_true(redis_command(&server, "CONFIG SET maxmemory-policy noeviction"));
    s = new_store();
    assert_int_equal(consume(s, "x"), ATTEST_OK);
    assert_true(redis_command(&server, "CONFIG SET maxmemory-policy allkeys-lru"));
    assert_true(redis_command(&server, "CLIENT KILL TYPE normal"));
    assert_int_equal(consume(s, "y"), ATTEST_E_REPLAY_STORE);
    /* Full, it refuses. */
    assert_true(redis_command(&server, "CONFIG SET maxmemory-policy noeviction"));
    assert_int_equal(consume(s, "y"), ATTEST_OK);
    assert_true(redis_command(&server, "CONFIG SET maxmemory 1"));
    assert_int_equal(consume(s, "z"), ATTEST_E_REPLAY_STORE);
    replay_free(s);
    redis_done(&server);
}

static void
write_password(const struct redis_server_run *server, const char *text, char *path, size_t size)
{
    snprintf(path, size, "%s/password", server->dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%s\n", text);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    fclose(f);
}

/* Logged in by a file, that is nobody else's to read. */
static void
test_password_file(void **state)
{
    (void)state;
    struct redis_server_run server;
    struct replay_store *s = NULL;
    struct attest_error err;
    char path[96];
    begin(&server, NULL, true);
    assert_true(redis_command(&server, "ACL SETUSER default resetpass >geheim"));
    assert_int_equal(replay_redis_new(&options, &s, &err), ATTEST_E_DENIED);
    write_password(&server, "falsch", path, sizeof(path));
    options.password_file = path;
    assert_int_equal(replay_redis_new(&options, &s, &err), ATTEST_E_DENIED);
    assert_null(strstr(err.text, "falsch"));
    write_password(&server, "geheim", path, sizeof(path));
    s = new_store();
    assert_int_equal(consume(s, "x"), ATTEST_OK);
    replay_free(STEAL(s));
    chmod(path, 0644);
    assert_int_not_equal(replay_redis_new(&options, &s, &err), ATTEST_OK);
    options.password_file = "/none";
    assert_int_not_equal(replay_redis_new(&options, &s, &err), ATTEST_OK);
    assert_null(s);
    redis_done(&server);
}

/* A user who may do what is needed and no more; and one who may not ask who the server is. */
static void
test_users(void **state)
{
    (void)state;
    struct redis_server_run server;
    struct replay_store *s = NULL;
    struct attest_error err;
    char port[8], url[64];
    begin_at_port(&server, port, false);
    assert_true(redis_command(&server,
                              "ACL SETUSER few on >geheim resetkeys ~attest:{seen}:* -@all "
                              "+info +get +set +watch +multi +exec"));
    assert_true(redis_command(&server, "ACL SETUSER blind on >geheim ~* +@all -info"));
    options.url = url;
    snprintf(url, sizeof(url), "redis://few:geheim@127.0.0.1:%s", port);
    s = new_store(); /* and it may begin an epoch */
    assert_int_equal(consume_of(s, "x", 10), ATTEST_OK);
    assert_int_equal(consume_of(s, "x", 10), ATTEST_E_REPLAY);
    replay_free(STEAL(s));
    snprintf(url, sizeof(url), "redis://blind:geheim@127.0.0.1:%s", port);
    assert_int_equal(replay_redis_new(&options, &s, &err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "info"));
    snprintf(url, sizeof(url), "redis://few:falsch@127.0.0.1:%s", port);
    assert_int_equal(replay_redis_new(&options, &s, &err), ATTEST_E_DENIED);
    assert_null(s);
    redis_done(&server);
}

static void
test_replica_is_refused(void **state)
{
    (void)state;
    struct redis_server_run server;
    struct replay_store *s = NULL;
    begin(&server, NULL, true);
    struct replay_store *before = new_store();
    assert_int_equal(consume(before, "x"), ATTEST_OK);
    assert_true(redis_command(&server, "REPLICAOF 127.0.0.1 1"));
    assert_int_equal(replay_redis_new(&options, &s, NULL), ATTEST_E_CONFIG);
    assert_null(s);
    assert_int_equal(consume(before, "y"), ATTEST_E_REPLAY_STORE);
    replay_free(before);
    redis_done(&server);
}

/* Of a Cluster, only the node with the slot of {seen}, in which all keys are. */
static void
test_cluster(void **state)
{
    (void)state;
    struct redis_server_run node, other;
    struct replay_store *s = NULL;
    struct attest_error err;
    char port[8], bus[8], other_port[8], other_bus[8];
    const char *more[] = {"--port",
                          port,
                          "--cluster-port",
                          bus,
                          "--cluster-enabled",
                          "yes",
                          "--bind",
                          "127.0.0.1",
                          "--cluster-require-full-coverage",
                          "no",
                          NULL};
    random_port(port);
    random_port(bus);
    random_port(other_port);
    random_port(other_bus);
    begin(&node, more, false);
    assert_int_equal(replay_redis_new(&options, &s, NULL), ATTEST_E_IO);
    more[1] = other_port;
    more[3] = other_bus;
    begin(&other, more, false);
    assert_true(redis_command(&other, "CLUSTER ADDSLOTS 4229"));
    for (int i = 0; i < 200 && !redis_command(&other, "GET attest:{seen}:x"); i++)
        usleep(25000);
    s = new_store();
    for (int i = 0; i < 20; i++) {
        char id[8];
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(consume_of(s, id, 10), ATTEST_OK);
        assert_int_equal(consume_of(s, id, 10), ATTEST_E_REPLAY);
    }
    replay_free(STEAL(s));
    /* The first one learns who has the slot, and says so. */
    assert_true(redis_command(&node, "CLUSTER MEET 127.0.0.1 %s %s", other_port, other_bus));
    options.url = node.url;
    enum attest_rc rc = ATTEST_E_IO;
    for (int i = 0; i < 400 && rc == ATTEST_E_IO; i++) {
        rc = replay_redis_new(&options, &s, &err);
        usleep(25000);
    }
    assert_int_equal(rc, ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "another node"));
    assert_null(s);
    redis_done(&node);
    redis_done(&other);
}

/* Dated of_s from now, by a clock that may be a skew and two minutes off. */
static enum attest_rc
consume_dated(struct replay_store *s, const char *id, int64_t of_s)
{
    int64_t now = clock_wall_s();
    const struct replay_item item = {.scope = slice_cstr("issuer"),
                                     .id = slice_cstr(id),
                                     .since_s = now + of_s - 150,
                                     .keep_until_s = now + 100,
                                     .dated_s = now + of_s};
    return replay_consume(s, &item, now, NULL);
}

/* Who is told to believe a start takes what is dated since then, and nothing of before it. For who
 * is not, the memory begins when the other one looked: what it was before, nobody knows. */
static void
test_believes_a_start(void **state)
{
    (void)state;
    struct redis_server_run server;
    begin(&server, NULL, false);
    options.believe_start = true;
    usleep(1100000); /* the start is another second than the first look */
    int64_t looked_s = clock_wall_s();
    struct replay_store *s = new_store(), *later = new_store();
    assert_true(stats_of(s).lost_s < looked_s);
    assert_int_equal(stats_of(later).lost_s, stats_of(s).lost_s);
    assert_int_equal(consume_dated(s, "early", -3600), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume_dated(s, "one", 0), ATTEST_OK);
    assert_int_equal(consume_dated(later, "one", 0), ATTEST_E_REPLAY);
    assert_int_equal(consume_dated(later, "two", 0), ATTEST_OK);
    usleep(1100000); /* it is looked at again */
    assert_int_equal(consume_dated(s, "still", 0), ATTEST_OK);
    options.believe_start = false;
    struct replay_store *server_s = new_store();
    assert_true(stats_of(server_s).lost_s >= looked_s);
    assert_int_equal(consume_dated(server_s, "three", 0), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume_dated(server_s, "three", 151), ATTEST_OK);
    assert_true(redis_command(&server, "FLUSHALL"));
    options.believe_start = true;
    struct replay_store *after = new_store();
    assert_int_equal(consume_dated(after, "one", 0), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume_dated(s, "one", 0), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume_dated(s, "four", 151), ATTEST_OK);
    replay_free(s);
    replay_free(later);
    replay_free(server_s);
    replay_free(after);
    redis_done(&server);
}

/* Something was there, and is gone: that is no start to believe in. */
static void
test_believes_no_emptied_one(void **state)
{
    (void)state;
    static const char *const ways[][3] = {
        {"SET x y", "FLUSHALL", "PING"},
        {"SET x y", "DEL x", "PING"},
        {"SET x y", "FLUSHALL", "SAVE"},
    };
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct redis_server_run server;
        begin(&server, NULL, false);
        options.believe_start = true;
        for (size_t j = 0; j < ARRAY_LEN(ways[i]); j++)
            assert_true(redis_command(&server, "%s", ways[i][j]));
        struct replay_store *s = new_store();
        if (consume_dated(s, "one", 0) != ATTEST_E_REPLAY_STORE)
            fail_msg("way %zu", i);
        replay_free(s);
        redis_done(&server);
    }
}

static void
test_arguments(void **state)
{
    (void)state;
    struct replay_store *s = NULL;
    static const struct replay_redis wrong[] = {
        {.url = "disk", .timeout_ms = 1, .connections_max = 1},
        {.url = "redis://u@h", .timeout_ms = 1, .connections_max = 1},
        {.url = "redis://:p@h", .password_file = "f", .timeout_ms = 1, .connections_max = 1},
        {.url = "redis://h", .timeout_ms = 0, .connections_max = 1},
        {.url = "redis://h", .timeout_ms = REPLAY_TIMEOUT_MAX_MS + 1, .connections_max = 1},
        {.url = "redis://h", .timeout_ms = 1, .connections_max = 0},
        {.url = "redis://h", .timeout_ms = 1, .connections_max = REPLAY_CONNECTIONS_MAX + 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (replay_redis_new(&wrong[i], &s, NULL) != ATTEST_E_CONFIG)
            fail_msg("case %zu", i);
    }
    assert_null(s);
}

enum { THREADS = 12, TOKENS = 200 };
static struct replay_store *shared[2];
static _Atomic unsigned accepted[TOKENS], wrong_answers;

static void *
hammer(void *arg)
{
    struct replay_store *s = *(struct replay_store **)arg;
    for (unsigned i = 0; i < TOKENS; i++) {
        char id[32];
        snprintf(id, sizeof(id), "thread-%u", i);
        enum attest_rc rc = consume(s, id);
        if (rc == ATTEST_OK)
            atomic_fetch_add(&accepted[i], 1);
        else if (rc != ATTEST_E_REPLAY)
            atomic_fetch_add(&wrong_answers, 1);
    }
    return NULL;
}

/* More threads than connections: they wait for one another. */
static void
test_threads_accept_once(void **state)
{
    (void)state;
    struct redis_server_run server;
    pthread_t threads[THREADS];
    begin(&server, NULL, true);
    options.connections_max = 4;
    options.timeout_ms = 20000;
    shared[0] = new_store();
    shared[1] = new_store();
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &shared[i % 2]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < TOKENS; i++)
        assert_int_equal(accepted[i], 1);
    assert_int_equal(wrong_answers, 0);
    for (int i = 0; i < 2; i++) {
        assert_in_range(stats_of(shared[i]).connections, 1, 4);
        assert_in_range(stats_of(shared[i]).connects, 1, 4);
        replay_free(shared[i]);
    }
    redis_done(&server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_begins_with_what_is_new),
        cmocka_unit_test(test_flushed),
        cmocka_unit_test(test_believes_a_start),
        cmocka_unit_test(test_believes_no_emptied_one),
        cmocka_unit_test(test_restarted_from_an_old_file),
        cmocka_unit_test(test_paused),
        cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_eviction_is_refused),
        cmocka_unit_test(test_password_file),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_replica_is_refused),
        cmocka_unit_test(test_cluster),
        cmocka_unit_test(test_threads_accept_once),
    };
    need_redis();
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
