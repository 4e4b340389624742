/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "replay/redis_url.h"
#include "replay/replay.h"

static char dir[64], url[128], path[96];
static pid_t server = -1;

static void
start_server(void)
{
    server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path, "--save", "",
               "--appendonly", "no", "--dir", dir, NULL);
        _exit(127);
    }
}

static void
stop_server(void)
{
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
    }
    server = -1;
}

/* False when there is no server on this machine. */
static bool
new_store(struct replay_store **ret)
{
    for (int i = 0; i < 600; i++) {
        enum attest_rc rc = replay_redis_new(url, 2000, ret, NULL);
        if (rc == ATTEST_OK)
            return true;
        if (rc == ATTEST_E_UNSUPPORTED || waitpid(server, NULL, WNOHANG) == server)
            return false;
        usleep(50000);
    }
    return false;
}

static enum attest_rc
consume(struct replay_store *s, const char *scope, const char *id, int64_t keep_s)
{
    int64_t now = clock_wall_s();
    const struct replay_item item = {slice_cstr(scope), slice_cstr(id), now, now + keep_s};
    return replay_consume(s, &item, now, NULL);
}

static void
test_urls(void **state)
{
    (void)state;
    struct redis_url u;
    static const char *const wrong[] = {
        "",         "redis:",          "redis://",         "http://h",     "redis://h:0",
        "unix://",  "redis://h:65536", "redis://h:x",      "redis://u@h",  "redis://u:@h",
        "unix:///", "redis://h/x",     "redis://h/100000", "redis://[::1", "redis://[::1]x",
        "disk",     "redis://h?a=b",   "redis://:%41@h",   "redis://h /0", "redis://:p@",
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (redis_url_read(wrong[i], &u))
            fail_msg("taken: %s", wrong[i]);
    }
    assert_true(redis_url_read("redis://h", &u));
    assert_string_equal(u.host, "h");
    assert_int_equal(u.port, 6379);
    assert_int_equal(u.database, 0);
    assert_null(u.user);
    assert_null(u.password);
    assert_null(u.path);
    assert_true(redis_url_read("redis://:p@ss@127.0.0.1:7000/3", &u));
    assert_string_equal(u.host, "127.0.0.1");
    assert_string_equal(u.password, "p@ss");
    assert_null(u.user);
    assert_int_equal(u.port, 7000);
    assert_int_equal(u.database, 3);
    assert_true(redis_url_read("redis://me:secret@[::1]:1/", &u));
    assert_string_equal(u.host, "::1");
    assert_string_equal(u.user, "me");
    assert_int_equal(u.port, 1);
    assert_true(redis_url_read("unix:///run/redis.sock", &u));
    assert_string_equal(u.path, "/run/redis.sock");
}

static void
test_once(void **state)
{
    (void)state;
    AUTO(replay_store) struct replay_store *a = NULL;
    AUTO(replay_store) struct replay_store *b = NULL;
    if (server < 0 || !new_store(&a))
        skip();
    assert_true(new_store(&b));
    assert_int_equal(consume(a, "issuer", "x", 100), ATTEST_OK);
    assert_int_equal(consume(b, "issuer", "x", 100), ATTEST_E_REPLAY);
    assert_int_equal(consume(b, "other", "x", 100), ATTEST_OK);
    assert_int_equal(consume(a, "issuerx", "", 100), ATTEST_OK);
    assert_int_equal(consume(a, "issuer", "far", REPLAY_KEEP_MAX_S + 1), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume(a, "issuer", "past", -1), ATTEST_E_REPLAY_STORE);
    /* Redis counts real time, and the caller's clock may stand still: it is not forgotten early. */
    assert_int_equal(consume(a, "issuer", "short", 0), ATTEST_OK);
    assert_int_equal(consume(a, "issuer", "short", 0), ATTEST_E_REPLAY);
    usleep(2100000);
    assert_int_equal(consume(a, "issuer", "short", 0), ATTEST_E_REPLAY);
}

enum { THREADS = 6, TOKENS = 200 };
static struct replay_store *shared[2];
static _Atomic unsigned accepted[TOKENS], wrong_answers;

static void *
hammer(void *arg)
{
    struct replay_store *s = *(struct replay_store **)arg;
    for (unsigned i = 0; i < TOKENS; i++) {
        char id[32];
        snprintf(id, sizeof(id), "thread-%u", i);
        enum attest_rc rc = consume(s, "issuer", id, 100);
        if (rc == ATTEST_OK)
            atomic_fetch_add(&accepted[i], 1);
        else if (rc != ATTEST_E_REPLAY)
            atomic_fetch_add(&wrong_answers, 1);
    }
    return NULL;
}

static void
test_threads_accept_once(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    if (server < 0 || !new_store(&shared[0]))
        skip();
    assert_true(new_store(&shared[1]));
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &shared[i % 2]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < TOKENS; i++)
        assert_int_equal(accepted[i], 1);
    assert_int_equal(wrong_answers, 0);
    replay_free(shared[0]);
    replay_free(shared[1]);
}

/* While the server is away nothing passes; when it is back the store is there again by itself. */
static void
test_fails_closed(void **state)
{
    (void)state;
    AUTO(replay_store) struct replay_store *s = NULL;
    struct replay_store *none = NULL;
    if (server < 0 || !new_store(&s))
        skip();
    assert_int_equal(consume(s, "issuer", "before", 100), ATTEST_OK);
    stop_server();
    assert_int_equal(consume(s, "issuer", "new", 100), ATTEST_E_REPLAY_STORE);
    assert_int_equal(consume(s, "issuer", "new", 100), ATTEST_E_REPLAY_STORE);
    assert_int_equal(replay_redis_new(url, 500, &none, NULL), ATTEST_E_IO);
    unlink(path);
    start_server();
    enum attest_rc rc = ATTEST_E_REPLAY_STORE;
    for (int i = 0; i < 600 && rc == ATTEST_E_REPLAY_STORE; i++) {
        usleep(50000);
        rc = consume(s, "issuer", "new", 100);
    }
    assert_int_equal(rc, ATTEST_OK);
    assert_int_equal(consume(s, "issuer", "new", 100), ATTEST_E_REPLAY);
    assert_int_equal(replay_redis_new("disk", 500, &none, NULL), ATTEST_E_ARGUMENT);
    assert_null(none);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_threads_accept_once),
        cmocka_unit_test(test_fails_closed),
    };
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    snprintf(dir, sizeof(dir), "/tmp/attest-redis-XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof(path), "%s/redis.sock", dir);
    snprintf(url, sizeof(url), "unix://%s", path);
    start_server();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stop_server();
    unlink(path);
    rmdir(dir);
    return failed;
}
