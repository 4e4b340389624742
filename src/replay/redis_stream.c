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

/* Of what fails, what says nothing of whether Redis is there. */
static const struct {
    int sys_errno;
    enum attest_rc rc;
} ours[] = {
    {EMFILE, ATTEST_E_NOMEM}, {ENFILE, ATTEST_E_NOMEM},  {ENOBUFS, ATTEST_E_NOMEM},
    {ENOMEM, ATTEST_E_NOMEM}, {EACCES, ATTEST_E_DENIED}, {EPERM, ATTEST_E_DENIED},
};

enum attest_rc
redis_stream_failed(int sys_errno, const char *what, struct attest_error *err)
{
    enum attest_rc rc = ATTEST_E_IO;
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        rc = sys_errno == ours[i].sys_errno ? ours[i].rc : rc;
    return error_errno(err, rc, sys_errno, "replay store: %s", what);
}

static enum attest_rc
too_late(struct attest_error *err)
{
    return error_set(err, ATTEST_E_TIMEOUT, "replay store: no answer from Redis in time");
}

struct redis_tried
redis_stream_try(int64_t deadline_ms)
{
    return (struct redis_tried){.is_last = clock_mono_ms() >= deadline_ms};
}

enum attest_rc
redis_stream_wait(const struct redis_stream *s, const struct redis_tried *tried,
                  int64_t deadline_ms, struct attest_error *err)
{
    struct pollfd fd = {.fd = s->fd, .events = tried->awaited};
    if (tried->is_last)
        return too_late(err);
    for (;;) {
        int64_t left_ms = deadline_ms - clock_mono_ms();
        int n = poll(&fd, 1, left_ms > 0 ? (int)left_ms : 0); /* one look in any case */
        if (n > 0)
            return ATTEST_OK;
        if (n == 0)
            return too_late(err);
        if (errno != EINTR)
            return redis_stream_failed(errno, "poll", err);
    }
}

/* ---- in the clear ---- */

static enum attest_rc
outcome(ssize_t n, short events, struct redis_tried *ret, struct attest_error *err)
{
    if (n > 0)
        ret->n = (size_t)n;
    else if (n == 0)
        return error_set(err, ATTEST_E_IO, "replay store: Redis has closed the connection");
    else if (errno == EAGAIN || errno == EINTR)
        ret->awaited = events;
    else
        return redis_stream_failed(errno, "Redis", err);
    return ATTEST_OK;
}

static enum attest_rc
try_send(const struct redis_stream *s, struct slice bytes, struct redis_tried *ret,
         struct attest_error *err)
{
    if (s->tls)
        return redis_tls_send(s->tls, bytes, ret, err);
    return outcome(send(s->fd, bytes.p, bytes.len, MSG_NOSIGNAL), POLLOUT, ret, err);
}

static enum attest_rc
try_receive(const struct redis_stream *s, char *p, size_t len, struct redis_tried *ret,
            struct attest_error *err)
{
    if (s->tls)
        return redis_tls_receive(s->tls, p, len, ret, err);
    return outcome(recv(s->fd, p, len, 0), POLLIN, ret, err);
}

enum attest_rc
redis_stream_send(struct redis_stream *s, struct slice bytes, int64_t deadline_ms,
                  struct attest_error *err)
{
    while (bytes.len > 0) {
        struct redis_tried tried = redis_stream_try(deadline_ms);
        enum attest_rc rc = try_send(s, bytes, &tried, err);
        if (rc == ATTEST_OK && tried.n == 0)
            rc = redis_stream_wait(s, &tried, deadline_ms, err);
        if (rc != ATTEST_OK)
            return rc;
        bytes.p += tried.n;
        bytes.len -= tried.n;
    }
    return ATTEST_OK;
}

/*
 * Tried first, waited for afterwards: TLS may hold bytes that the descriptor no longer shows, and
 * what came while this process slept through its deadline is an answer all the same. Once: records
 * without data may come for ever.
 */
enum attest_rc
redis_stream_receive(struct redis_stream *s, char *p, size_t len, size_t *ret, int64_t deadline_ms,
                     struct attest_error *err)
{
    for (;;) {
        struct redis_tried tried = redis_stream_try(deadline_ms);
        enum attest_rc rc = try_receive(s, p, len, &tried, err);
        *ret = tried.n;
        if (rc == ATTEST_OK && tried.n == 0)
            rc = redis_stream_wait(s, &tried, deadline_ms, err);
        if (rc != ATTEST_OK || tried.n > 0)
            return rc;
    }
}

bool
redis_stream_quiet(const struct redis_stream *s)
{
    struct pollfd fd = {.fd = s->fd, .events = POLLIN};
    return (!s->tls || redis_tls_quiet(s->tls)) && poll(&fd, 1, 0) == 0;
}

/* ---- connecting ---- */

/* Of a UNIX socket whose queue is full: nothing tells when it no longer is. */
#define QUEUE_FULL_MS 5

/*
 * No address of ours to connect from: there is none of that kind, or no port of it is free, which
 * says nothing of Redis. Datagrams have ports of their own.
 */
static enum attest_rc
no_address(const char *name, const struct sockaddr *addr, socklen_t len, struct attest_error *err)
{
    int fd = socket(addr->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool lacks_port = fd < 0 || connect(fd, addr, len) == 0 || errno != EADDRNOTAVAIL;
    if (fd >= 0)
        close(fd);
    return error_errno(err, lacks_port ? ATTEST_E_NOMEM : ATTEST_E_IO, EADDRNOTAVAIL,
                       "replay store: %s", name);
}

static enum attest_rc
connect_to(struct redis_stream *s, const char *name, const struct sockaddr *addr, socklen_t len,
           int64_t deadline_ms, struct attest_error *err)
{
    static const int on = 1;
    static const struct redis_tried connecting = {.awaited = POLLOUT};
    int why = 0;
    socklen_t why_len = sizeof(why);
    s->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return redis_stream_failed(errno, "socket", err);
    if (addr->sa_family != AF_UNIX)
        (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    while (connect(s->fd, addr, len) != 0 && errno != EINPROGRESS) {
        if (errno == EADDRNOTAVAIL)
            return no_address(name, addr, len, err);
        if (errno != EAGAIN || addr->sa_family != AF_UNIX)
            return redis_stream_failed(errno, name, err);
        if (clock_mono_ms() + QUEUE_FULL_MS >= deadline_ms)
            return too_late(err);
        poll(NULL, 0, QUEUE_FULL_MS);
    }
    enum attest_rc rc = redis_stream_wait(s, &connecting, deadline_ms, err);
    if (rc != ATTEST_OK)
        return rc;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &why, &why_len) != 0)
        why = errno;
    return why ? redis_stream_failed(why, name, err) : ATTEST_OK;
}

static enum attest_rc
connect_unix(struct redis_stream *s, const char *path, int64_t deadline_ms,
             struct attest_error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path))
        return error_set(err, ATTEST_E_CONFIG,
                         "replay store: longer than a socket's path may be: %s", path);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    return connect_to(s, path, (const struct sockaddr *)&addr, sizeof(addr), deadline_ms, err);
}

DEFINE_AUTO(addrinfo, struct addrinfo *, freeaddrinfo);

/* More than looking up a name takes. */
#define LOOK_UP_FDS 8

/* Who has none left is told by the resolver that there is no such name. */
static bool
descriptors_left(void)
{
    int fds[LOOK_UP_FDS], n = 0;
    while (n < LOOK_UP_FDS && (fds[n] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0)
        n++;
    bool all = n == LOOK_UP_FDS;
    while (n > 0)
        close(fds[--n]);
    return all;
}

static enum attest_rc
look_up(const char *host, int port, struct addrinfo **ret, struct attest_error *err)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char text[8];
    snprintf(text, sizeof(text), "%d", port);
    int gai = getaddrinfo(host, text, &hints, ret);
    if (gai == 0)
        return ATTEST_OK;
    enum attest_rc rc = gai == EAI_MEMORY || !descriptors_left() ? ATTEST_E_NOMEM : ATTEST_E_IO;
    return error_set(err, rc, "replay store: %s: %s", host, gai_strerror(gai));
}

static enum attest_rc
connect_tcp(struct redis_stream *s, const char *host, int port, int64_t deadline_ms,
            struct attest_error *err)
{
    AUTO(addrinfo) struct addrinfo *list = NULL;
    enum attest_rc rc = look_up(host, port, &list, err);
    if (rc != ATTEST_OK)
        return rc;
    int n_left = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        n_left++;
    rc = ATTEST_E_IO;
    for (const struct addrinfo *a = list; a && (rc == ATTEST_E_IO || rc == ATTEST_E_TIMEOUT);
         a = a->ai_next) {
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
    if (s->fd >= 0) {
        shutdown(s->fd, SHUT_RDWR); /* a child may have inherited it */
        close(s->fd);
    }
    s->fd = -1;
}
