/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_REPLAY_STORE_H
#define TESTS_SUPPORT_REPLAY_STORE_H

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "replay/replay.h"
#include "support/redis.h"

/* Stores in a real server; behind <cmocka.h>. */

__attribute__((unused)) static struct replay_redis options;

/* Starts a server, behind need_redis(). */
static inline void
begin(struct redis_server_run *server, const char *const *more, bool is_new)
{
    assert_true(redis_prepare(server));
    assert_true(redis_start(server, more));
    if (is_new)
        assert_true(redis_declare_new(server));
    options = (struct replay_redis){
        .url = server->url, .timeout_ms = 2000, .connections_max = REPLAY_CONNECTIONS_DEFAULT};
}

static inline struct replay_store *
new_store(void)
{
    struct replay_store *store = NULL;
    struct attest_error err = {0};
    if (replay_redis_new(&options, &store, &err) != ATTEST_OK)
        fail_msg("%d: %s", err.rc, err.text);
    return store;
}

/* of_s: how many seconds from now on it could have been accepted at the earliest. */
static inline enum attest_rc
consume_of(struct replay_store *s, const char *id, int64_t of_s)
{
    int64_t now = clock_wall_s();
    const struct replay_item item = {slice_cstr("issuer"), slice_cstr(id), now + of_s, now + 100};
    return replay_consume(s, &item, now, NULL);
}

static inline enum attest_rc
consume(struct replay_store *s, const char *id)
{
    return consume_of(s, id, 0);
}

static inline struct replay_stats
stats_of(const struct replay_store *s)
{
    struct replay_stats stats;
    replay_stats(s, &stats);
    return stats;
}

static inline bool
port_free(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_free = bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    close(fd);
    return is_free;
}

/* A free port below the range that the kernel hands out, and never the same twice. */
static inline void
random_port(char out[8])
{
    enum { FIRST = 20000, PORTS = 12000 };
    static unsigned at;
    uint16_t random;
    random_bytes(&random, sizeof(random));
    at = at ? at : random;
    do
        at++;
    while (!port_free((int)(FIRST + at % PORTS)));
    snprintf(out, 8, "%u", FIRST + at % PORTS);
}

/* begin(), for those who log in over TCP. */
static inline void
begin_at_port(struct redis_server_run *server, char port[8], bool is_new)
{
    const char *const more[] = {"--port", port, "--bind", "127.0.0.1", NULL};
    random_port(port);
    begin(server, more, is_new);
}

#endif
