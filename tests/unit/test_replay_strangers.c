/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "support/need.h"
#include "support/replay_store.h"

/*
 * What sits where Redis should, and what this process lacks: neither is a Redis that is away, for
 * which the memory beside it would decide. The servers are what no Redis is, so they are made here.
 */

struct stranger {
    int fd;
    const char *text; /* said to whoever connects */
    bool for_ever;    /* again and again */
    pthread_t thread;
    const char *login, *database; /* of the URL */
    char url[64];
};

static void *
stranger_main(void *arg)
{
    struct stranger *s = arg;
    for (int fd; (fd = accept(s->fd, NULL, NULL)) >= 0; close(fd)) {
        size_t len = strlen(s->text);
        while (send(fd, s->text, len, MSG_NOSIGNAL) == (ssize_t)len && s->for_ever)
            ;
    }
    return NULL;
}

static void
start(struct stranger *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(s->fd, 4), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
    snprintf(s->url, sizeof(s->url), "redis://%s127.0.0.1:%u%s", s->login ? s->login : "",
             ntohs(at.sin_port), s->database ? s->database : "");
    assert_int_equal(pthread_create(&s->thread, NULL, stranger_main, s), 0);
}

static void
stop(struct stranger *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static enum attest_rc
make(const char *url, unsigned timeout_ms, struct attest_error *err)
{
    struct replay_store *s = NULL;
    options = (struct replay_redis){
        .url = url, .timeout_ms = timeout_ms, .connections_max = 1, .memory_max = 16};
    enum attest_rc rc = replay_redis_new(&options, &s, err);
    replay_free(s);
    return rc;
}

static void
refuse(const char *url, unsigned timeout_ms, enum attest_rc rc, const char *why)
{
    struct attest_error err = {0};
    enum attest_rc got = make(url, timeout_ms, &err);
    if (got != rc || !strstr(err.text, why))
        fail_msg("%s: %d: %s", url, got, err.text);
}

static void
who_refuses_and_hangs_up_is_heard(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        struct stranger s = {.text = "-DENIED Redis is running in protected mode\r\n",
                             .login = i % 3 == 1 ? ":password@" : NULL,
                             .database = i % 3 == 2 ? "/1" : NULL};
        start(&s);
        refuse(s.url, 20000, ATTEST_E_DENIED, "protected mode");
        stop(&s);
    }
}

/* As fast as it is read: a bulk without an end, and more answers than questions. */
static void
who_never_stops_is_no_redis(void **state)
{
    (void)state;
    static const char *const texts[] = {"$90000000000\r\n$90000000000\r\n", "+OK\r\n", "nonsense"};
    for (size_t i = 0; i < 3 * ARRAY_LEN(texts); i++) {
        struct stranger s = {.text = texts[i / 3],
                             .for_ever = true,
                             .login = i % 3 == 1 ? ":password@" : NULL,
                             .database = i % 3 == 2 ? "/1" : NULL};
        start(&s);
        struct attest_error err = {0};
        enum attest_rc rc = make(s.url, 60000, &err);
        /* Where three answers come and no more, it is INFO that is none. */
        if (rc != ATTEST_E_CONFIG && rc != ATTEST_E_UNSUPPORTED)
            fail_msg("%s: %d: %s", s.url, rc, err.text);
        stop(&s);
    }
}

static void
a_path_that_no_socket_can_have(void **state)
{
    (void)state;
    char url[200] = "unix:///";
    memset(url + 8, 'a', sizeof(url) - 9);
    refuse(url, 1000, ATTEST_E_CONFIG, "longer than");
}

/* Strangers may hold all that there are: a Redis that answers is not away for that. */
static void
without_a_descriptor_nothing_is_said_of_redis(void **state)
{
    (void)state;
    struct redis_server_run server;
    struct rlimit limit, none;
    begin(&server, NULL, true);
    options.memory_max = 16;
    struct replay_store *s = new_store();
    assert_int_equal(consume(s, "1"), ATTEST_OK);
    /* The connection in hand is lost, and another cannot be made. */
    assert_true(redis_command(&server, "CLIENT KILL TYPE normal SKIPME yes"));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum attest_rc rc = consume(s, "2");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(rc, ATTEST_E_REPLAY_STORE);
    assert_int_equal(stats_of(s).fallback, 0);
    assert_int_equal(consume(s, "2"), ATTEST_OK);
    replay_free(s);
    redis_done(&server);
}

/* ---- a network of its own, with one port to connect from ---- */

static bool
enter_network(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    close(fd);
    FILE *f = is_up ? fopen("/proc/sys/net/ipv4/ip_local_port_range", "w") : NULL;
    bool set = f && fputs("20000 20000", f) >= 0;
    return f && fclose(f) == 0 && set;
}

enum { CANNOT = 77 };

static int
ask_twice(void)
{
    struct redis_server_run server;
    const char *const more[] = {"--port", "20002", "--bind", "127.0.0.1", NULL};
    if (!enter_network())
        return CANNOT;
    begin(&server, more, true);
    options.url = "redis://127.0.0.1:20002";
    options.memory_max = 16;
    struct replay_store *s = new_store(), *none = NULL;
    enum attest_rc rc = replay_redis_new(&options, &none, NULL); /* away it would be made */
    bool good = rc == ATTEST_E_NOMEM && !none && consume(s, "1") == ATTEST_OK;
    replay_free(s);
    redis_done(&server);
    return good ? 0 : 1;
}

static void
without_a_port_nothing_is_said_of_redis(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(ask_twice());
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    if (WEXITSTATUS(status) == CANNOT)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_refuses_and_hangs_up_is_heard),
        cmocka_unit_test(who_never_stops_is_no_redis),
        cmocka_unit_test(a_path_that_no_socket_can_have),
        cmocka_unit_test(without_a_descriptor_nothing_is_said_of_redis),
        cmocka_unit_test(without_a_port_nothing_is_said_of_redis),
    };
    need_redis();
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
