/* SPDX-License-Identifier: MIT */
#include "signer/server.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    EVENTS_MAX = 64,
    READ_LEN = 128 * 1024,
    IN_MAX = FRAME_HEAD_LEN + FRAME_BODY_MAX + READ_LEN,
    KEEP_MAX = 64 * 1024, /* an empty buffer larger than that is given back */
    ACCEPTS_AT_ONCE = 16,
    ADMIN_SLOTS = SERVER_CONNS_MAX / 2,
};

/* What an event speaks of: a connection's slot, or one of these. */
enum {
    TAG_SIGNAL = SERVER_CONNS_MAX,
    TAG_WAKE,
    TAG_LISTENER,
};

struct server_conn {
    struct server *server;
    int fd;
    unsigned slot;
    uint64_t id;
    enum server_socket socket;
    struct sock_peer peer;
    struct buf in, out;
    bool wants_out; /* the loop waits until it can be written to */
    bool dirty;     /* has something to send; is in the list of those */
    struct server_conn *next_dirty;
    int64_t subscription;
    const char *doomed; /* why it is closed at the end of this turn; NULL: it is not */
};

struct server {
    struct server_config config;
    int epoll_fd, wake_fd;
    atomic_bool woken;
    bool quit, accepting;
    struct server_conn *conns[SERVER_CONNS_MAX];
    struct server_conn *dirty;
    uint64_t last_id;
    int64_t ticked_ms;
    char *in; /* READ_LEN, shared: most frames come whole and leave nothing behind */
    struct server_stats stats;
    struct log_limit refusals, closings;
};

/* ---- connections ---- */

uint64_t
server_conn_id(const struct server_conn *conn)
{
    return conn->id;
}

/* The slot is the low part of the id. */
struct server_conn *
server_conn_find(struct server *s, uint64_t id)
{
    struct server_conn *conn = s->conns[id % SERVER_CONNS_MAX];
    return conn && conn->id == id && !conn->doomed ? conn : NULL;
}

enum server_socket
server_conn_socket(const struct server_conn *conn)
{
    return conn->socket;
}

const struct sock_peer *
server_conn_peer(const struct server_conn *conn)
{
    return &conn->peer;
}

static void
mark_dirty(struct server_conn *conn)
{
    if (conn->dirty)
        return;
    conn->dirty = true;
    conn->next_dirty = conn->server->dirty;
    conn->server->dirty = conn;
}

struct buf *
server_conn_out(struct server_conn *conn)
{
    mark_dirty(conn);
    return &conn->out;
}

static void
doom(struct server_conn *conn, const char *why)
{
    if (!conn->doomed)
        conn->doomed = why;
    mark_dirty(conn);
}

void
server_conn_subscribe(struct server_conn *conn, int64_t id)
{
    conn->subscription = id;
}

void
server_each_subscriber(struct server *s,
                       void (*each)(void *ctx, struct server_conn *conn, int64_t id), void *ctx)
{
    for (size_t i = 0; i < SERVER_CONNS_MAX; i++) {
        struct server_conn *conn = s->conns[i];
        if (conn && conn->subscription && !conn->doomed)
            each(ctx, conn, conn->subscription);
    }
}

static void
conn_free(struct server_conn *conn)
{
    if (!conn)
        return;
    struct server *s = conn->server;
    s->conns[conn->slot] = NULL;
    s->stats.conns--;
    close(conn->fd);
    buf_done(&conn->in);
    buf_done(&conn->out);
    free(conn);
}

static const char *
socket_name(enum server_socket socket)
{
    return socket == SERVER_ADMIN ? "signer-admin" : "signer";
}

static void
conn_close(struct server_conn *conn)
{
    bool quiet = *conn->doomed == '\0';
    unsigned suppressed = 0;
    if (!quiet && log_limit_ok(&conn->server->closings, 20, 10, &suppressed))
        log_event(LOG_LEVEL_WARNING, "connection_closed",
                  "socket=%s uid=%u pid=%d why=%s suppressed=%u", socket_name(conn->socket),
                  (unsigned)conn->peer.uid, (int)conn->peer.pid,
                  LOG_QUOTED(slice_cstr(conn->doomed)), suppressed);
    conn_free(conn);
}

static void
refuse_peer(struct server *s, const struct server_listener *l, const struct sock_peer *peer,
            const char *why)
{
    unsigned suppressed = 0;
    s->stats.refused++;
    if (log_limit_ok(&s->refusals, 20, 10, &suppressed))
        log_event(LOG_LEVEL_WARNING, "connection_refused",
                  "socket=%s uid=%u pid=%d why=\"%s\" suppressed=%u", socket_name(l->socket),
                  (unsigned)peer->uid, (int)peer->pid, why, suppressed);
}

static bool
is_user_of(const struct server_listener *l, uid_t uid)
{
    for (size_t i = 0; i < l->n_users; i++) {
        if (l->users[i] == uid)
            return true;
    }
    return false;
}

static void
conn_add(struct server *s, const struct server_listener *l, int fd, const struct sock_peer *peer)
{
    unsigned slot = l->socket == SERVER_ADMIN ? 0 : ADMIN_SLOTS;
    while (slot < SERVER_CONNS_MAX && s->conns[slot])
        slot++;
    struct server_conn *conn = slot < SERVER_CONNS_MAX ? calloc(1, sizeof(*conn)) : NULL;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = slot};
    if (!conn || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        refuse_peer(s, l, peer, "too many connections");
        close(fd);
        free(conn);
        return;
    }
    conn->server = s;
    conn->fd = fd;
    conn->slot = slot;
    conn->id = ++s->last_id * SERVER_CONNS_MAX + slot;
    conn->socket = l->socket;
    conn->peer = *peer;
    buf_init(&conn->in, IN_MAX);
    buf_init(&conn->out, SERVER_OUT_MAX);
    s->conns[slot] = conn;
    s->stats.conns++;
    s->stats.accepted++;
}

static void
accept_some(struct server *s, const struct server_listener *l)
{
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct sock_peer peer = {.uid = (uid_t)-1};
        struct attest_error err = {0};
        const char *why = NULL;
        if (sock_peer(fd, &peer, &err))
            why = err.text;
        else if (!is_user_of(l, peer.uid))
            why = "this user may not use this socket";
        if (why) {
            refuse_peer(s, l, &peer, why);
            close(fd);
            continue;
        }
        conn_add(s, l, fd, &peer);
    }
}

/* ---- frames in ---- */

/* Handles the whole frames in p[0..len); returns how many bytes they took. */
static size_t
take_frames(struct server_conn *conn, char *p, size_t len)
{
    struct server *s = conn->server;
    size_t at = 0;
    struct frame frame;
    while (!conn->doomed) {
        enum frame_found found = frame_find(p + at, len - at, &frame);
        if (found == FRAME_BAD)
            doom(conn, "not a frame: its length is 0 or over 65536");
        if (found != FRAME_WHOLE)
            break;
        struct attest_error err = {0};
        at += frame.taken_len;
        if (!s->config.on_frame(s->config.ctx, conn, frame.body, frame.body_len, &err)) {
            unsigned suppressed = 0;
            if (log_limit_ok(&s->refusals, 20, 10, &suppressed))
                log_event(LOG_LEVEL_WARNING, "request_refused",
                          "socket=%s uid=%u pid=%d why=%s suppressed=%u", socket_name(conn->socket),
                          (unsigned)conn->peer.uid, (int)conn->peer.pid,
                          LOG_QUOTED(slice_cstr(err.text)), suppressed);
            doom(conn, "");
        }
    }
    return at;
}

static void
conn_read(struct server_conn *conn)
{
    struct server *s = conn->server;
    char *room = conn->in.len ? buf_reserve(&conn->in, READ_LEN / 2) : s->in;
    size_t room_len = conn->in.len ? READ_LEN / 2 : READ_LEN;
    if (!room) {
        doom(conn, "no memory for its request");
        return;
    }
    ssize_t n = recv(conn->fd, room, room_len, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        doom(conn, "");
        return;
    }
    if (n < 0)
        return;
    if (room == s->in) {
        size_t taken = take_frames(conn, room, (size_t)n);
        buf_append(&conn->in, room + taken, (size_t)n - taken);
    } else {
        conn->in.len += (size_t)n;
        buf_consume(&conn->in, take_frames(conn, conn->in.p, conn->in.len));
    }
    if (buf_rc(&conn->in))
        doom(conn, "no memory for its request");
    if (conn->in.len == 0 && conn->in.cap)
        buf_done(&conn->in);
}

/* ---- frames out ---- */

static void
watch_out(struct server_conn *conn, bool wants_out)
{
    if (conn->wants_out == wants_out)
        return;
    struct epoll_event event = {.events = EPOLLIN | (wants_out ? EPOLLOUT : 0),
                                .data.u64 = conn->slot};
    if (epoll_ctl(conn->server->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) < 0)
        doom(conn, "epoll failed");
    conn->wants_out = wants_out;
}

static void
conn_send(struct server_conn *conn)
{
    if (buf_rc(&conn->out)) {
        doom(conn, "does not read its answers");
        return;
    }
    size_t sent = 0;
    while (sent < conn->out.len) {
        ssize_t n = send(conn->fd, conn->out.p + sent, conn->out.len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            doom(conn, "");
            return;
        }
        if (n < 0)
            break;
        sent += (size_t)n;
    }
    buf_consume(&conn->out, sent);
    if (conn->out.len == 0 && conn->out.cap > KEEP_MAX)
        buf_done(&conn->out);
    watch_out(conn, conn->out.len > 0);
}

/* Sends what this turn wrote, and closes what it doomed. */
static void
flush(struct server *s)
{
    while (s->dirty) {
        struct server_conn *conn = s->dirty;
        s->dirty = conn->next_dirty;
        conn->dirty = false;
        if (!conn->doomed)
            conn_send(conn);
        if (conn->doomed) {
            if (conn->dirty) /* doomed while sending: it is at the head of the list again */
                s->dirty = conn->next_dirty;
            conn_close(conn);
        }
    }
}

bool
server_flushed(const struct server *s)
{
    for (size_t i = 0; i < SERVER_CONNS_MAX; i++) {
        if (s->conns[i] && s->conns[i]->out.len)
            return false;
    }
    return true;
}

/* ---- the loop ---- */

void
server_wake(struct server *s)
{
    if (atomic_exchange(&s->woken, true))
        return;
    uint64_t one = 1;
    while (write(s->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void
on_wake(struct server *s)
{
    uint64_t n;
    while (read(s->wake_fd, &n, sizeof(n)) < 0 && errno == EINTR)
        ;
    /* Before looking: who comes from now on wakes again. */
    atomic_store(&s->woken, false);
    s->config.on_wake(s->config.ctx);
}

static void
on_signal(struct server *s)
{
    struct signalfd_siginfo info;
    while (read(s->config.signal_fd, &info, sizeof(info)) == sizeof(info))
        s->config.on_signal(s->config.ctx, (int)info.ssi_signo);
}

static void
on_event(struct server *s, const struct epoll_event *event)
{
    uint64_t tag = event->data.u64;
    if (tag == TAG_SIGNAL) {
        on_signal(s);
    } else if (tag == TAG_WAKE) {
        on_wake(s);
    } else if (tag >= TAG_LISTENER) {
        if (s->accepting)
            accept_some(s, &s->config.listeners[tag - TAG_LISTENER]);
    } else if (s->conns[tag]) {
        struct server_conn *conn = s->conns[tag];
        if (event->events & EPOLLOUT)
            mark_dirty(conn);
        if ((event->events & ~(uint32_t)EPOLLOUT) && !conn->doomed)
            conn_read(conn);
    }
}

enum attest_rc
server_run(struct server *s, struct attest_error *err)
{
    struct epoll_event events[EVENTS_MAX];
    while (!s->quit) {
        int64_t left_ms = s->ticked_ms + s->config.tick_ms - clock_mono_ms();
        int n = epoll_wait(s->epoll_fd, events, EVENTS_MAX, left_ms < 0 ? 0 : (int)left_ms);
        if (n < 0 && errno != EINTR)
            return error_errno(err, ATTEST_E_IO, errno, "epoll_wait");
        for (int i = 0; i < n; i++)
            on_event(s, &events[i]);
        int64_t now_ms = clock_mono_ms();
        if (now_ms - s->ticked_ms >= s->config.tick_ms) {
            s->ticked_ms = now_ms;
            s->config.on_tick(s->config.ctx);
        }
        flush(s);
    }
    return ATTEST_OK;
}

void
server_quit(struct server *s)
{
    s->quit = true;
}

void
server_stop_accepting(struct server *s)
{
    if (!s->accepting)
        return;
    s->accepting = false;
    for (size_t i = 0; i < ARRAY_LEN(s->config.listeners); i++)
        epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->config.listeners[i].fd, NULL);
}

void
server_stats(const struct server *s, struct server_stats *ret)
{
    *ret = s->stats;
}

/* ---- life ---- */

static bool
watch(struct server *s, int fd, uint64_t tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

enum attest_rc
server_new(const struct server_config *config, struct server **ret, struct attest_error *err)
{
    AUTO(server) struct server *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the server");
    s->config = *config;
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->in = malloc(READ_LEN);
    s->accepting = true;
    if (!s->in)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the server");
    bool ok = s->epoll_fd >= 0 && s->wake_fd >= 0 && watch(s, s->wake_fd, TAG_WAKE) &&
              watch(s, config->signal_fd, TAG_SIGNAL);
    for (size_t i = 0; ok && i < ARRAY_LEN(config->listeners); i++)
        ok = watch(s, config->listeners[i].fd, TAG_LISTENER + i);
    if (!ok)
        return error_errno(err, ATTEST_E_IO, errno, "setting up the server's loop");
    *ret = STEAL(s);
    return ATTEST_OK;
}

void
server_free(struct server *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < SERVER_CONNS_MAX; i++)
        conn_free(s->conns[i]);
    if (s->epoll_fd >= 0)
        close(s->epoll_fd);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    free(s->in);
    free(s);
}
