/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/ed25519.h"
#include "replay/redis_server.h"
#include "replay/redis_url.h"
#include "replay/redis_word.h"

#define RUN "0123456789abcdef0123456789abcdef01234567"
#define CLOCK "server_time_usec:1700000000123456\r\n"
#define REPLID "89abcdef0123456789abcdef0123456789abcdef"

static void
test_urls(void **state)
{
    (void)state;
    struct redis_url u;
    static const char *const wrong[] = {
        "",         "redis:",          "redis://",         "http://h",     "redis://h:0",
        "unix://",  "redis://h:65536", "redis://h:x",      "redis://@h",   "redis://u:@h",
        "unix:///", "redis://h/x",     "redis://h/100000", "redis://[::1", "redis://[::1]x",
        "disk",     "redis://h?a=b",   "redis://:%41@h",   "redis://h /0", "redis://:p@",
        "rediss:",  "rediss://",       "redisss://h",      "rediss:///0",
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (redis_url_read(wrong[i], &u, NULL) != ATTEST_E_CONFIG)
            fail_msg("taken: %s", wrong[i]);
        redis_url_auto(&u);
    }
    assert_int_equal(redis_url_read("redis://h", &u, NULL), ATTEST_OK);
    assert_string_equal(u.host, "h");
    assert_int_equal(u.port, 6379);
    assert_int_equal(u.database, 0);
    assert_null(u.user);
    assert_null(u.password);
    assert_null(u.path);
    assert_false(u.tls);
    redis_url_auto(&u);
    assert_int_equal(redis_url_read("redis://:p@ss@127.0.0.1:7000/3", &u, NULL), ATTEST_OK);
    assert_string_equal(u.host, "127.0.0.1");
    assert_string_equal(u.password, "p@ss");
    assert_null(u.user);
    assert_int_equal(u.port, 7000);
    assert_int_equal(u.database, 3);
    redis_url_auto(&u);
    assert_int_equal(redis_url_read("redis://me:secret@[::1]:1/", &u, NULL), ATTEST_OK);
    assert_string_equal(u.host, "::1");
    assert_string_equal(u.user, "me");
    assert_int_equal(u.port, 1);
    redis_url_auto(&u);
    assert_int_equal(redis_url_read("rediss://me@h:2/7", &u, NULL), ATTEST_OK);
    assert_true(u.tls);
    assert_string_equal(u.user, "me");
    assert_null(u.password);
    assert_string_equal(u.host, "h");
    assert_int_equal(u.database, 7);
    redis_url_auto(&u);
    assert_int_equal(redis_url_read("unix:///run/redis.sock", &u, NULL), ATTEST_OK);
    assert_string_equal(u.path, "/run/redis.sock");
    assert_false(u.tls);
    redis_url_auto(&u);
}

static void
test_info(void **state)
{
    (void)state;
    static const struct {
        const char *info;
        enum attest_rc read, fit;
    } cases[] = {
        {"# Server\r\nrun_id:" RUN "\r\n\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n"
         "master_replid:" REPLID "\r\nserver_time_usec:1700000000123456\r\n",
         ATTEST_OK, ATTEST_OK},
        {CLOCK "run_id:" RUN "\nmaxmemory_policy:noeviction\nrole:master", ATTEST_OK, ATTEST_OK},
        {"run_id:" RUN "\nmaxmemory_policy:noeviction\nrole:master", ATTEST_E_UNSUPPORTED, 0},
        {"server_time_usec:x\nrun_id:" RUN "\nmaxmemory_policy:noeviction\nrole:master",
         ATTEST_E_UNSUPPORTED, 0},
        {"server_time_usec:1700000120999999\nrun_id:" RUN
         "\nmaxmemory_policy:noeviction\nrole:master",
         ATTEST_OK, ATTEST_OK},
        {"server_time_usec:1700000121000000\nrun_id:" RUN
         "\nmaxmemory_policy:noeviction\nrole:master",
         ATTEST_OK, ATTEST_E_CONFIG},
        {"server_time_usec:1699999879999999\nrun_id:" RUN
         "\nmaxmemory_policy:noeviction\nrole:master",
         ATTEST_OK, ATTEST_E_CONFIG},
        {CLOCK "run_id:" RUN "\r\nmaxmemory_policy:allkeys-lru\r\nrole:master\r\n", ATTEST_OK,
         ATTEST_E_CONFIG},
        {CLOCK "run_id:" RUN "\r\nmaxmemory_policy:volatile-ttl\r\nrole:master\r\n", ATTEST_OK,
         ATTEST_E_CONFIG},
        {CLOCK "run_id:" RUN "\r\nmaxmemory_policy:noeviction\r\nrole:slave\r\n", ATTEST_OK,
         ATTEST_E_CONFIG},
        {"run_id:" RUN "\r\nrole:master\r\n", ATTEST_E_UNSUPPORTED, 0},
        {"run_id:" RUN "\r\nmaxmemory_policy:noeviction\r\n", ATTEST_E_UNSUPPORTED, 0},
        {"maxmemory_policy:noeviction\r\nrole:master\r\n", ATTEST_E_UNSUPPORTED, 0},
        {"run_id:short\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n", ATTEST_E_UNSUPPORTED, 0},
        {"xrun_id:" RUN "\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n", ATTEST_E_UNSUPPORTED,
         0},
        {"run_id\r\n:\r\n", ATTEST_E_UNSUPPORTED, 0},
        {"", ATTEST_E_UNSUPPORTED, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct redis_server server;
        enum attest_rc rc = redis_server_read(slice_cstr(cases[i].info), &server, NULL);
        if (rc != cases[i].read)
            fail_msg("case %zu: %d", i, rc);
        if (rc == ATTEST_OK)
            assert_int_equal(redis_server_fit(&server, 1700000000, NULL), cases[i].fit);
        if (i == 0)
            assert_int_equal(server.now_ms, 1700000000123);
        if (i == 0)
            assert_string_equal(server.identity, RUN "." REPLID);
        if (i == 1)
            assert_string_equal(server.identity, RUN ".-");
    }
}

static void
test_fresh(void **state)
{
    (void)state;
#define NO_REPLID "0000000000000000000000000000000000000000"
#define MASTER                                                                                     \
    CLOCK "run_id:" RUN "\r\nmaxmemory_policy:noeviction\r\nrole:master\r\naof_enabled:0\r\n"
    static const struct {
        const char *info;
        bool fresh;
    } cases[] = {
        {MASTER "rdb_last_load_keys_loaded:0\r\nmaster_replid2:" NO_REPLID "\r\n", true},
        {MASTER "rdb_last_load_keys_loaded:1\r\nmaster_replid2:" NO_REPLID "\r\n", false},
        {MASTER "rdb_last_load_keys_loaded:0\r\nmaster_replid2:" REPLID "\r\n", false},
        {MASTER "rdb_last_load_keys_loaded:0\r\n", false},
        {MASTER "master_replid2:" NO_REPLID "\r\n", false},
        {MASTER, false},
        {CLOCK "run_id:" RUN "\r\nmaxmemory_policy:noeviction\r\nrole:master\r\naof_enabled:1\r\n"
               "rdb_last_load_keys_loaded:0\r\nmaster_replid2:" NO_REPLID "\r\n",
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct redis_server server;
        assert_int_equal(redis_server_read(slice_cstr(cases[i].info), &server, NULL), ATTEST_OK);
        if (server.fresh != cases[i].fresh)
            fail_msg("case %zu", i);
    }
}

static void
test_untouched(void **state)
{
    (void)state;
#define FRESH MASTER "rdb_last_load_keys_loaded:0\r\nmaster_replid2:" NO_REPLID "\r\n"
#define UNSAVED FRESH "rdb_changes_since_last_save:0\r\nrdb_saves:0\r\n"
    static const struct {
        const char *info;
        bool untouched;
    } cases[] = {
        {UNSAVED "uptime_in_seconds:9\r\nrdb_last_save_time:1699999991\r\n", true},
        {UNSAVED "uptime_in_seconds:9\r\nrdb_last_save_time:1699999992\r\n", true},
        {UNSAVED "uptime_in_seconds:9\r\nrdb_last_save_time:1699999993\r\n", false},
        {UNSAVED "uptime_in_seconds:-9\r\nrdb_last_save_time:1699999991\r\n", false},
        {UNSAVED "uptime_in_seconds:9\r\n", false},
        {UNSAVED "rdb_last_save_time:1699999991\r\n", false},
        {FRESH "rdb_changes_since_last_save:1\r\nrdb_saves:0\r\nuptime_in_seconds:9\r\n"
               "rdb_last_save_time:1699999991\r\n",
         false},
        {FRESH "rdb_changes_since_last_save:0\r\nrdb_saves:1\r\nuptime_in_seconds:9\r\n"
               "rdb_last_save_time:1699999991\r\n",
         false},
        {FRESH "uptime_in_seconds:9\r\nrdb_last_save_time:1699999991\r\n", false},
        {MASTER "rdb_changes_since_last_save:0\r\nrdb_saves:0\r\nuptime_in_seconds:9\r\n"
                "rdb_last_save_time:1699999991\r\n",
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct redis_server server = {.untouched = true};
        assert_int_equal(redis_server_read(slice_cstr(cases[i].info), &server, NULL), ATTEST_OK);
        if (server.untouched != cases[i].untouched)
            fail_msg("case %zu", i);
        if (server.untouched)
            assert_int_equal(server.start_s, 1699999991);
    }
}

static void
test_epochs(void **state)
{
    (void)state;
    struct redis_epoch epoch = {.since_s = 1700000000}, back;
    char text[REDIS_EPOCH_MAX + 1], other[REDIS_EPOCH_MAX + 1], cut[REDIS_EPOCH_MAX + 2];
    snprintf(epoch.identity, sizeof(epoch.identity), "%s", RUN "." REPLID);
    redis_epoch_write(text, &epoch);
    redis_epoch_write(other, &epoch);
    assert_string_not_equal(text, other);
    assert_true(redis_epoch_read(slice_cstr(text), &back));
    assert_int_equal(back.since_s, epoch.since_s);
    assert_string_equal(back.identity, epoch.identity);
    assert_int_equal(back.start_s, 0);
    epoch.start_s = 1699999990;
    redis_epoch_write(other, &epoch);
    assert_true(redis_epoch_read(slice_cstr(other), &back));
    assert_int_equal(back.start_s, epoch.start_s);
    assert_int_equal(back.since_s, epoch.since_s);
    assert_string_equal(back.identity, epoch.identity);
    for (size_t len = 0; len < strlen(other); len++)
        assert_false(redis_epoch_read((struct slice){other, len}, &back));
    for (size_t len = 0; len < strlen(text); len++)
        assert_false(redis_epoch_read((struct slice){text, len}, &back));
    snprintf(cut, sizeof(cut), "%sx", text);
    assert_false(redis_epoch_read(slice_cstr(cut), &back));
    text[0] = '2';
    assert_false(redis_epoch_read(slice_cstr(text), &back));
    assert_false(redis_epoch_read(slice_cstr(REDIS_EPOCH_NEW), &back));
    assert_false(redis_epoch_read(slice_cstr("1 -5 a 0123456789abcdef0123456789abcdef"), &back));
    assert_false(redis_epoch_read(slice_cstr("1  a 0123456789abcdef0123456789abcdef"), &back));
    assert_true(redis_epoch_read(slice_cstr("1 0 a 0123456789abcdef0123456789abcdef"), &back));
}

static void
test_clock_steps(void **state)
{
    (void)state;
    const struct redis_clock before = {1000000, 5000};
    static const struct {
        int64_t server_ms, boot_ms;
        int step;
    } cases[] = {
        {1000000, 5000, 0},
        {1060000, 65000, 0},
        {1010000, 5000, 0},
        {1010001, 5000, 1},
        {990000, 5000, 0},
        {989999, 5000, -1},
        {1000000, 15001, 0},
        {1000000, 15100, -1},
        {3048000, 5000, 1},
        {1000000 + 1011000, 1005000, 0},
        {1000000 + 1011001, 1005000, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct redis_clock after = {cases[i].server_ms, cases[i].boot_ms};
        if (redis_clock_step(&before, &after) != cases[i].step)
            fail_msg("case %zu", i);
    }
}

/* A memory beside Redis decides only where Redis serves nobody, by a closed list. */
static void
test_words(void **state)
{
    (void)state;
    static const struct {
        enum attest_rc rc;
        const char *reply, *means;
    } cases[] = {
        {ATTEST_E_IO, "LOADING Redis is loading the dataset in memory", "loading"},
        {ATTEST_E_CONFIG, "OOM command not allowed when used memory > 'maxmemory'.", "full"},
        {ATTEST_E_IO, "BUSY Redis is busy running a script.", "script"},
        {ATTEST_E_CONFIG, "READONLY You can't write against a read only replica.", "replica"},
        {ATTEST_E_CONFIG, "MASTERDOWN Link with MASTER is down", "replica"},
        {ATTEST_E_IO, "CLUSTERDOWN Hash slot not served", "Cluster"},
        {ATTEST_E_IO, "ERR max number of clients reached", "maxclients"},
        {ATTEST_E_IO, "ERR max number of clients + cluster connections reached", "maxclients"},
        {ATTEST_E_DENIED, "NOAUTH Authentication required.", "password"},
        {ATTEST_E_DENIED, "WRONGPASS invalid username-password pair or user is disabled.", "user"},
        {ATTEST_E_DENIED, "ERR AUTH <password> called without any password configured", "none"},
        {ATTEST_E_DENIED, "DENIED Redis is running in protected mode", "protected"},
        {ATTEST_E_DENIED, "NOPERM this user has no permissions to run the 'get' command", "ACL"},
        {ATTEST_E_CONFIG, "NOREPLICAS Not enough good replicas to write.", "replicas"},
        {ATTEST_E_CONFIG, "MISCONF Redis is configured to save RDB snapshots", "save"},
        {ATTEST_E_CONFIG, "WRONGTYPE Operation against a key", "somebody"},
        {ATTEST_E_CONFIG, "MOVED 4229 127.0.0.1:7001", "another node"},
        {ATTEST_E_CONFIG, "ASK 4229 127.0.0.1:7001", "another node"},
        {ATTEST_E_CONFIG, "TRYAGAIN Multiple keys request during rehashing of slot", "another"},
        {ATTEST_E_CONFIG, "ERR DB index is out of range", "database"},
        {ATTEST_E_CONFIG, "ERR SELECT is not allowed in cluster mode", "database"},
        {ATTEST_E_CONFIG, "ERR unknown command 'SET'", "not known"},
        {ATTEST_E_CONFIG, "ERR max number", "not known"},
        {ATTEST_E_CONFIG, "ERR", "not known"},
        {ATTEST_E_CONFIG, "LOADINGS", "not known"},
        {ATTEST_E_CONFIG, " LOADING", "not known"},
        {ATTEST_E_CONFIG, "loading", "not known"},
        {ATTEST_E_CONFIG, "EXECABORT Transaction discarded because of: LOADING", "not known"},
        {ATTEST_E_CONFIG, "", "not known"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct redis_word *word = redis_word_find(cases[i].reply);
        if (word->rc != cases[i].rc || !strstr(word->means, cases[i].means))
            fail_msg("%s: %d, %s", cases[i].reply, word->rc, word->means);
    }
    assert_string_equal(redis_word_find("LOADING")->prefix, "LOADING");
    assert_string_equal(redis_word_find("x")->prefix, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),        cmocka_unit_test(test_words),
        cmocka_unit_test(test_info),        cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_untouched),   cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_clock_steps),
    };
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
