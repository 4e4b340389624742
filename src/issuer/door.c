/* SPDX-License-Identifier: MIT */
#include "issuer/door.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sock.h"

enum {
    TICK_MS = 50, /* how exact a deadline is */
    DRAIN_TICK_MS = 10,
    ACCEPTS_AT_ONCE = 256, /* before the deadlines are looked at again */
    NO_DESCRIPTOR_PAUSE_MS = 20,
    FULL_PAUSE_MS = 1,
    STACK_SIZE = 128 * 1024,
};

struct door {
    struct door_config config;
    pthread_t thread;
    int epoll_fd, wake_fd;
    _Atomic bool draining, stop;
    struct log_limit refused;
};

static void
log_refused(struct door *d, const char *why)
{
    unsigned suppressed;
    if (log_limit_ok(&d->refused, 5, 10, &suppressed))
        log_event(LOG_LEVEL_WARNING, "connection_refused", "why=%s suppressed=%u", why, suppressed);
}

/* Whoever was turned away at the door gets no bytes: an answer costs us more than it costs them. */
static void
turn_away(struct door *d, int fd, enum conns_answer why)
{
    close(fd);
    bool full = why == CONNS_FULL;
    metrics_refused(d->config.metrics, full ? REFUSED_FULL : REFUSED_PER_ADDRESS);
    log_refused(d, full ? "full" : "per_address_max");
}

static void
welcome(struct door *d, const struct listener *l, int fd, const struct sockaddr *sa,
        socklen_t sa_len)
{
    struct conn like = {.admin = l->admin,
                        .is_unix = l->is_unix,
                        .loopback = l->loopback,
                        .tls = d->config.tls && !l->is_unix && !l->admin,
                        .uid = (uid_t)-1};
    struct sock_peer peer;
    if (l->is_unix) {
        if (sock_peer(fd, &peer, NULL)) {
            close(fd);
            return;
        }
        like.uid = peer.uid;
    } else {
        int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        conn_address_of(sa, &like.address);
    }
    struct conn *conn = NULL;
    enum conns_answer answer = conns_open(d->config.conns, fd, &like, clock_mono_ms(), &conn);
    if (answer != CONNS_OPEN) {
        turn_away(d, fd, answer);
        return;
    }
    metrics_accepted(d->config.metrics);
    if (!d->config.serve(d->config.ctx, conn, sa, sa_len))
        conns_closed(d->config.conns, conn);
}

static void
make_room(struct door *d)
{
    if (!conns_shed(d->config.conns))
        return;
    metrics_refused(d->config.metrics, REFUSED_SHED);
    log_refused(d, "shed");
}

/* How long to pause before the next accept(2), in milliseconds. */
static int
accept_some(struct door *d, const struct listener *l)
{
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        make_room(d);
        if (conns_room(d->config.conns) == CONNS_ROOM_SOON)
            return FULL_PAUSE_MS;
        struct sockaddr_storage sa;
        memset(&sa, 0, sizeof(sa));
        socklen_t sa_len = sizeof(sa);
        int fd = accept4(l->fd, (struct sockaddr *)&sa, &sa_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(d, l, fd, (struct sockaddr *)&sa, sa_len);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return 0;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_refused(d, "no descriptor left");
            return NO_DESCRIPTOR_PAUSE_MS;
        }
    }
    return 0;
}

static void
send_away(struct door *d)
{
    unsigned late, idle;
    conns_expire(d->config.conns, clock_mono_ms(), &late, &idle);
    for (; late; late--)
        metrics_refused(d->config.metrics, REFUSED_LATE);
    for (; idle; idle--)
        metrics_refused(d->config.metrics, REFUSED_IDLE);
    if (atomic_load(&d->draining))
        conns_close_idle(d->config.conns);
}

static int
next_tick_ms(struct door *d)
{
    struct conns_counts counts;
    conns_count(d->config.conns, &counts);
    if (counts.open == 0)
        return -1;
    return atomic_load(&d->draining) ? DRAIN_TICK_MS : TICK_MS;
}

static void *
door_run(void *arg)
{
    struct door *d = arg;
    bool shut = false;
    int64_t ticked_ms = 0;
    while (!atomic_load(&d->stop)) {
        struct epoll_event events[LISTENERS_MAX + 1];
        int n = epoll_wait(d->epoll_fd, events, (int)ARRAY_LEN(events), next_tick_ms(d));
        if (atomic_load(&d->draining) && !shut) {
            for (size_t i = 0; i < d->config.listeners->n; i++)
                epoll_ctl(d->epoll_fd, EPOLL_CTL_DEL, d->config.listeners->at[i].fd, NULL);
            shut = true;
        }
        for (int i = 0; i < n; i++) {
            const struct listener *l = events[i].data.ptr;
            uint64_t count;
            if (!l) {
                while (read(d->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
                    ;
            } else if (!shut) {
                int pause_ms = accept_some(d, l);
                if (pause_ms)
                    poll(NULL, 0, pause_ms);
            }
        }
        int64_t now_ms = clock_mono_ms();
        if (now_ms - ticked_ms >= DRAIN_TICK_MS) {
            send_away(d);
            ticked_ms = now_ms;
        }
    }
    return NULL;
}

static void
door_wake(struct door *d)
{
    uint64_t one = 1;
    while (write(d->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static enum attest_rc
watch(struct door *d, int fd, const struct listener *l, struct attest_error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = (void *)(uintptr_t)l};
    if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "epoll_ctl");
    return ATTEST_OK;
}

static void
door_close(struct door *d)
{
    if (d->epoll_fd >= 0)
        close(d->epoll_fd);
    if (d->wake_fd >= 0)
        close(d->wake_fd);
    free(d);
}

enum attest_rc
door_open(const struct door_config *config, struct door **ret, struct attest_error *err)
{
    struct door *d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the door");
    d->config = *config;
    d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum attest_rc rc = ATTEST_OK;
    if (d->epoll_fd < 0 || d->wake_fd < 0)
        rc = error_errno(err, ATTEST_E_IO, errno, "epoll, eventfd");
    if (!rc)
        rc = watch(d, d->wake_fd, NULL, err);
    for (size_t i = 0; !rc && i < config->listeners->n; i++)
        rc = watch(d, config->listeners->at[i].fd, &config->listeners->at[i], err);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    int failed = rc ? 0 : pthread_create(&d->thread, &attr, door_run, d);
    pthread_attr_destroy(&attr);
    if (failed)
        rc = error_errno(err, ATTEST_E_IO, failed, "starting a thread");
    if (rc) {
        door_close(d);
        return rc;
    }
    *ret = d;
    return ATTEST_OK;
}

void
door_drain(struct door *d)
{
    atomic_store(&d->draining, true);
    door_wake(d);
}

void
door_free(struct door *d)
{
    if (!d)
        return;
    atomic_store(&d->stop, true);
    door_wake(d);
    pthread_join(d->thread, NULL);
    door_close(d);
}
