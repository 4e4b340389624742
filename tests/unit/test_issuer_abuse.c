/* SPDX-License-Identifier: MIT */
/*
 * 1,500 connections that send their request a byte at a time and come again when they are closed,
 * while others ask for the key set. A child process is the attacker: it stays on 127.0.0.0/8, and
 * ends when the pipe from us does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "base/log.h"
#include "base/service.h"
#include "issuer/issuer.h"
#include "issuer/jwks.h"

enum {
    CONNECTIONS = 1500,
    ADDRESSES = 100,
    FETCHES = 200,
    DESCRIPTORS = 4 * CONNECTIONS,
    PATIENCE_S = 300,
};

/* ---- the attacker ---- */

struct attack {
    uint16_t port;
    unsigned addresses; /* 1: all from 127.66.0.1 */
};

static int
attacker_connect(const struct attack *attack, unsigned i)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = from;
    from.sin_addr.s_addr = htonl(0x7f420001u + i % attack->addresses);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(attack->port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
        (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Until `go_on` is closed by the other side; and never longer than alarm() allows. */
static void
attacker_run(const struct attack *attack, int go_on)
{
    static const char request[] = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: slow\r\nX-Slow: ";
    static struct {
        int fd;
        size_t sent;
    } at[CONNECTIONS];
    for (unsigned i = 0; i < CONNECTIONS; i++)
        at[i].fd = -1;
    for (struct pollfd end = {.fd = go_on, .events = POLLIN}; poll(&end, 1, 20) == 0;)
        for (unsigned i = 0; i < CONNECTIONS; i++) {
            if (at[i].fd < 0) {
                at[i].fd = attacker_connect(attack, i);
                at[i].sent = 0;
            }
            char next = at[i].sent < sizeof(request) - 1 ? request[at[i].sent] : 'x';
            ssize_t n = send(at[i].fd, &next, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n == 1) {
                at[i].sent++;
            } else if (at[i].fd >= 0 && errno != EAGAIN) {
                close(at[i].fd);
                at[i].fd = -1;
            }
        }
}

/* ---- the server ---- */

static void
serve(struct issuer_config *config, const char *extra, struct issuer **ret)
{
    char text[1024];
    struct attest_error err = {0};
    snprintf(text, sizeof(text),
             "issuer: http://127.0.0.1\nlisten: [\"127.0.0.1:0\"]\nadmin_listen: \"\"\n"
             "signer_socket: /nonexistent/attest-signer.sock\nlog_level: error\n%s",
             extra);
    if (config_parse(&issuer_config_schema, slice_cstr(text), NULL, config, &err))
        fail_msg("%s", err.text);
    struct issuer_options options = {.config = config};
    if (issuer_start(&options, ret, &err))
        fail_msg("%s", err.text);

    /* the key set, as the signer's frame brings it */
    char keyset[] = "{\"jwks\":\"{\\\"keys\\\":[]}\",\"max_age_s\":300,\"keystore\":\"ready\","
                    "\"ready\":true,\"why\":\"\",\"keys\":[]}";
    JSON_NODES(json, 32);
    assert_int_equal(json_read(&json, keyset, strlen(keyset), &frame_limits, &err), ATTEST_OK);
    assert_int_equal(jwks_update((*ret)->jwks, &json, json_root(&json), &err), ATTEST_OK);
}

static void
fetch_jwks(uint16_t port, unsigned nth)
{
    static const char request[] =
        "GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    AUTO(fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
    char answer[1024];
    size_t len = 0;
    ssize_t n;
    while (len < sizeof(answer) - 1 &&
           (n = recvfrom(fd, answer + len, sizeof(answer) - 1 - len, 0, NULL, NULL)) > 0)
        len += (size_t)n;
    answer[len] = '\0';
    if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0 || !strstr(answer, "{\"keys\":[]}"))
        fail_msg("fetch %u: '%s'", nth, answer);
}

static unsigned
open_now(struct issuer *iss)
{
    struct conns_counts counts;
    conns_count(iss->conns, &counts);
    return counts.open;
}

/*
 * at_least: connections that must be open at once before the fetches begin. Returns how many were
 * shed.
 */
static uint64_t
under_attack(const char *extra, unsigned addresses, unsigned at_least)
{
    int port_pipe[2], go_on[2];
    assert_int_equal(pipe2(port_pipe, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go_on, O_CLOEXEC), 0);
    pid_t attacker = fork(); /* before there are threads */
    assert_true(attacker >= 0);
    if (attacker == 0) {
        struct attack attack = {.addresses = addresses};
        close(go_on[1]);
        alarm(4 * PATIENCE_S);
        if (read(port_pipe[0], &attack.port, sizeof(attack.port)) == sizeof(attack.port))
            attacker_run(&attack, go_on[0]);
        _exit(0);
    }
    close(go_on[0]);
    struct issuer_config config = {0};
    struct issuer *iss = NULL;
    serve(&config, extra, &iss);
    uint16_t port = (uint16_t)atoi(strrchr(iss->listeners.at[0].name, ':') + 1);
    assert_int_equal(write(port_pipe[1], &port, sizeof(port)), sizeof(port));
    int64_t until_ms = clock_mono_ms() + PATIENCE_S * 1000;
    while (open_now(iss) < at_least)
        if (clock_mono_ms() > until_ms || poll(NULL, 0, 10) != 0)
            fail_msg("%u connections only", open_now(iss));
    for (unsigned i = 0; i < FETCHES; i++)
        fetch_jwks(port, i);
    uint64_t shed = metrics_refusals(iss->metrics, REFUSED_SHED);
    close(go_on[1]);
    int status;
    assert_int_equal(waitpid(attacker, &status, 0), attacker);
    assert_true(WIFEXITED(status));
    issuer_stop(iss);
    config_done(&issuer_config_schema, &config);
    close(port_pipe[0]);
    close(port_pipe[1]);
    return shed;
}

/* As many as are to be there at once have time to come, also on a machine that is busy elsewhere.
 */
#define PATIENT "request_timeout_ms: 120000\n"

static void
test_many_addresses(void **state)
{
    (void)state;
    assert_int_equal(under_attack(PATIENT, ADDRESSES, CONNECTIONS), 0);
}

static void
test_one_proxy(void **state)
{
    (void)state;
    assert_int_equal(under_attack(PATIENT "proxies: [\"127.66.0.1\"]\n", 1, CONNECTIONS), 0);
}

static void
test_fewer_places_than_attackers(void **state)
{
    (void)state;
    uint64_t shed = under_attack("connections_max: 300\nproxies: [\"127.66.0.1\"]\n", 1, 200);
    assert_true(shed > 0);
}

static void
test_one_address(void **state)
{
    (void)state;
    assert_int_equal(under_attack("", 1, 64), 0);
}

int
main(void)
{
    if (crypto_init(NULL))
        return 1;
    signal(SIGPIPE, SIG_IGN);
    log_init("test", LOG_LEVEL_ERROR);
    if (service_raise_nofile(DESCRIPTORS) < DESCRIPTORS) {
        puts("not enough descriptors for 1,500 connections");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_addresses),
        cmocka_unit_test(test_one_proxy),
        cmocka_unit_test(test_fewer_places_than_attackers),
        cmocka_unit_test(test_one_address),
    };
    return cmocka_run_group_tests_name("abuse", tests, NULL, NULL);
}
