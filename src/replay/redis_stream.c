/* SPDX-License-Identifier: MIT */
#include "replay/redis_stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum attest_rc
redis_stream_wait(const struct redis_stream *s, short events, int64_t deadline_ms,
                  struct attest_error *err)
{
    struct pollfd fd = {.fd = s->fd, .events = events};
    for (;;) {
        int64_t left_ms = deadline_ms - clock_mono_ms();
        int n = left_ms > 0 ? poll(&fd, 1, (int)left_ms) : 0;
        if (n > 0)
            return ATTEST_OK;
        if (n == 0)
            return error_set(err, ATTEST_E_TIMEOUT, "replay store: no answer from Redis in time");
        if (errno != EINTR)
            return error_errno(err, ATTEST_E_IO, errno, "replay store: poll");
    }
}

/* ---- in the clear ---- */

static ssize_t
tried(ssize_t n, short events, short *awaited, struct attest_error *err)
{
    if (n > 0)
        return n;
    if (n == 0) {
        error_set(err, ATTEST_E_IO, "replay store: Redis has closed the connection");
        return -1;
    }
    *awaited = events;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    error_errno(err, ATTEST_E_IO, errno, "replay store: Redis");
    return -1;
}

static ssize_t
try_send(const struct redis_stream *s, struct slice bytes, short *awaited, struct attest_error *err)
{
    if (s->tls)
        return redis_tls_send(s->tls, bytes, awaited, err);
    return tried(send(s->fd, bytes.p, bytes.len, MSG_NOSIGNAL), POLLOUT, awaited, err);
}

static ssize_t
try_receive(const struct redis_stream *s, char *p, size_t len, short *awaited,
            struct attest_error *err)
{
    if (s->tls)
        return redis_tls_receive(s->tls, p, len, awaited, err);
    return tried(recv(s->fd, p, len, 0), POLLIN, awaited, err);
}

enum attest_rc
redis_stream_send(struct redis_stream *s, struct slice bytes, int64_t deadline_ms,
                  struct attest_error *err)
{
    enum attest_rc rc = ATTEST_OK;
    while (rc == ATTEST_OK && bytes.len > 0) {
        short awaited = 0;
        ssize_t n = try_send(s, bytes, &awaited, err);
        if (n < 0)
            return ATTEST_E_IO;
        bytes.p += n;
        bytes.len -= (size_t)n;
        if (n == 0)
            rc = redis_stream_wait(s, awaited, deadline_ms, err);
    }
    return rc;
}

/* TLS may hold bytes that the descriptor no longer shows: tried first, waited for afterwards. */
enum attest_rc
redis_stream_receive(struct redis_stream *s, char *p, size_t len, size_t *ret, int64_t deadline_ms,
                     struct attest_error *err)
{
    for (;;) {
        short awaited = 0;
        ssize_t n = try_receive(s, p, len, &awaited, err);
        if (n < 0)
            return ATTEST_E_IO;
        *ret = (size_t)n;
        enum attest_rc rc = n > 0 ? ATTEST_OK : redis_stream_wait(s, awaited, deadline_ms, err);
        if (n > 0 || rc != ATTEST_OK)
            return rc;
    }
}

bool
redis_stream_quiet(const struct redis_stream *s)
{
    struct pollfd fd = {.fd = s->fd, .events = POLLIN};
    return poll(&fd, 1, 0) == 0;
}

/* ---- connecting ---- */

static enum attest_rc
connect_to(struct redis_stream *s, const char *name, const struct sockaddr *addr, socklen_t len,
           int64_t deadline_ms, struct attest_error *err)
{
    static const int on = 1;
    int why = 0;
    socklen_t why_len = sizeof(why);
    s->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return error_errno(err, ATTEST_E_IO, errno, "replay store: socket");
    if (addr->sa_family != AF_UNIX)
        (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(s->fd, addr, len) == 0)
        return ATTEST_OK;
    if (errno != EINPROGRESS)
        return error_errno(err, ATTEST_E_IO, errno, "replay store: %s", name);
    enum attest_rc rc = redis_stream_wait(s, POLLOUT, deadline_ms, err);
    if (rc != ATTEST_OK)
        return rc;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &why, &why_len) != 0)
        why = errno;
    return why ? error_errno(err, ATTEST_E_IO, why, "replay store: %s", name) : ATTEST_OK;
}

static enum attest_rc
connect_unix(struct redis_stream *s, const char *path, int64_t deadline_ms,
             struct attest_error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path))
        return error_set(err, ATTEST_E_IO, "replay store: %s: too long for a socket", path);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    return connect_to(s, path, (const struct sockaddr *)&addr, sizeof(addr), deadline_ms, err);
}

DEFINE_AUTO(addrinfo, struct addrinfo *, freeaddrinfo);

static enum attest_rc
connect_tcp(struct redis_stream *s, const char *host, int port, int64_t deadline_ms,
            struct attest_error *err)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    AUTO(addrinfo) struct addrinfo *list = NULL;
    char text[8];
    snprintf(text, sizeof(text), "%d", port);
    int gai = getaddrinfo(host, text, &hints, &list);
    if (gai != 0)
        return error_set(err, ATTEST_E_IO, "replay store: %s: %s", host, gai_strerror(gai));
    int n_left = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        n_left++;
    enum attest_rc rc = ATTEST_E_IO;
    for (const struct addrinfo *a = list; a && rc != ATTEST_OK; a = a->ai_next) {
        int64_t now_ms = clock_mono_ms();
        redis_stream_close(s);
        rc = connect_to(s, host, a->ai_addr, a->ai_addrlen,
                        now_ms + (deadline_ms - now_ms) / n_left--, err);
    }
    return rc;
}

enum attest_rc
redis_stream_open(struct redis_stream *s, const struct redis_target *target, int64_t deadline_ms,
                  struct attest_error *err)
{
    const struct redis_url *url = &target->url;
    *s = (struct redis_stream){.fd = -1};
    enum attest_rc rc = url->path ? connect_unix(s, url->path, deadline_ms, err)
                                  : connect_tcp(s, url->host, url->port, deadline_ms, err);
    return rc == ATTEST_OK && url->tls ? redis_tls_start(s, target, deadline_ms, err) : rc;
}

void
redis_stream_close(struct redis_stream *s)
{
    redis_tls_end(s);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}
