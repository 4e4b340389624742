/* SPDX-License-Identifier: MIT */
#include "wire/client.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/sock.h"

enum {
    CONNECT_TIMEOUT_MS = 1000,
    BACK_OFF_FIRST_MS = 50,
    BACK_OFF_MOST_MS = 2000,
    IN_FLIGHT_CEILING = 65536,
    OUT_MAX_DEFAULT = 4 << 20,
    ANSWER_NODES = 4096,
    READ_SIZE = 2 * (FRAME_HEAD_LEN + FRAME_BODY_MAX),
    EXPIRED_AT_ONCE = 64,
    KEYSET_ID = 1, /* the subscription's; requests begin above in_flight_max */
    STACK_SIZE = 256 * 1024,
};

/* ---- one question, one answer ---- */

/* Waits until fd is ready; ATTEST_E_TIMEOUT when deadline_ms passes first. */
static enum attest_rc
wait_ready(int fd, short events, int64_t deadline_ms, struct attest_error *err)
{
    for (;;) {
        int64_t left_ms = deadline_ms - clock_mono_ms();
        if (left_ms <= 0)
            return error_set(err, ATTEST_E_TIMEOUT, "the signer did not answer in time");
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
        if (n > 0)
            return ATTEST_OK;
        if (n < 0 && errno != EINTR)
            return error_errno(err, ATTEST_E_IO, errno, "poll");
    }
}

static bool
again(int e)
{
    return e == EAGAIN || e == EWOULDBLOCK || e == EINTR;
}

static enum attest_rc
call_write(int fd, struct slice bytes, int64_t deadline_ms, struct attest_error *err)
{
    while (bytes.len) {
        ssize_t n = send(fd, bytes.p, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && !again(errno))
            return error_errno(err, ATTEST_E_IO, errno, "writing to the signer");
        if (n >= 0) {
            bytes.p += n;
            bytes.len -= (size_t)n;
            continue;
        }
        enum attest_rc rc = wait_ready(fd, POLLOUT, deadline_ms, err);
        if (rc)
            return rc;
    }
    return ATTEST_OK;
}

static enum attest_rc
call_read(int fd, int64_t deadline_ms, struct buf *in, struct frame *frame,
          struct attest_error *err)
{
    for (;;) {
        switch (frame_find(in->p, in->len, frame)) {
        case FRAME_WHOLE:
            return ATTEST_OK;
        case FRAME_BAD:
            return error_set(err, ATTEST_E_MALFORMED, "the socket does not speak our protocol");
        case FRAME_NONE:
            break;
        }
        char *room = buf_reserve(in, 4096);
        if (!room)
            return error_set(err, buf_rc(in), "no memory for the answer");
        ssize_t n = recv(fd, room, 4096, 0);
        if (n == 0)
            return error_set(
                err, ATTEST_E_IO,
                "the signer closed the connection without an answer; its log says why");
        if (n > 0) {
            in->len += (size_t)n;
            continue;
        }
        if (!again(errno))
            return error_errno(err, ATTEST_E_IO, errno, "reading from the signer");
        enum attest_rc rc = wait_ready(fd, POLLIN, deadline_ms, err);
        if (rc)
            return rc;
    }
}

/* Reads a copy, because reading changes the text that the caller wants whole. */
static enum attest_rc
call_judge(struct slice body, struct attest_error *err)
{
    AUTO(mem) char *copy = slice_dup(body);
    AUTO(mem) struct json_node *nodes = calloc(ANSWER_NODES, sizeof(*nodes));
    if (!copy || !nodes)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the answer");
    struct json j = {nodes, ANSWER_NODES, 0};
    struct frame_answer answer;
    enum attest_rc rc = frame_read_answer(&j, copy, body.len, &answer, err);
    if (rc || answer.rc == ATTEST_OK)
        return rc;
    /* Some texts begin with the member's name already. */
    struct slice member = answer.member, text = answer.text;
    if (text.len > member.len && memcmp(text.p, member.p, member.len) == 0 &&
        text.p[member.len] == ':')
        member.len = 0;
    return error_set(err, answer.rc, "%.*s%s%.*s", SLICE_ARG(member), member.len ? ": " : "",
                     SLICE_ARG(text));
}

enum attest_rc
wire_call(const char *socket_path, const char *op, struct slice members, int timeout_ms,
          struct buf *answer, struct attest_error *err)
{
    int64_t deadline_ms = clock_mono_ms() + timeout_ms;
    AUTO(buf) struct buf out, in;
    buf_init(&out, FRAME_HEAD_LEN + FRAME_BODY_MAX + 256);
    buf_init(&in, READ_SIZE);
    if (!frame_put_request(&out, 1, op, members))
        return error_set(err, ATTEST_E_LIMIT, "the request is larger than a frame");
    AUTO(fd) int fd = -1;
    enum attest_rc rc = sock_connect_unix(socket_path, timeout_ms, &fd, err);
    if (rc)
        return rc;
    struct frame frame;
    if ((rc = call_write(fd, buf_view(&out), deadline_ms, err)) ||
        (rc = call_read(fd, deadline_ms, &in, &frame, err)))
        return rc;
    struct slice body = {frame.body, frame.body_len};
    buf_slice(answer, body);
    if (buf_rc(answer))
        return error_set(err, buf_rc(answer), "no room for the answer");
    return call_judge(body, err);
}

/* ---- many in flight ---- */

struct slot {
    int64_t id; /* 0: free */
    int64_t deadline_ms;
    wire_answered *done;
    void *ctx;
    unsigned next_free;
};

struct wire_client {
    bool joined; /* the owner's */
    char *socket_path;
    struct wire_client_config config;
    pthread_t thread;
    int wake_fd;

    pthread_mutex_t lock; /* over all down to here ↓ */
    struct slot *slots;
    unsigned first_free; /* in_flight_max: none */
    unsigned in_flight;
    int64_t generation;
    int64_t next_deadline_ms; /* not later than the first in flight */
    struct buf out;
    bool woken; /* wake_fd was written since the thread last took `out` */
    bool up, stop;
    struct wire_client_stats stats; /* the counters only */
                                    /* ↑ */
    struct buf sending;             /* the thread's own from here on */
    size_t sent;
    char *in;
    size_t in_len;
    struct json_node *nodes;
};

static void
client_wake(struct wire_client *c)
{
    uint64_t one = 1;
    while (write(c->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* An id names its slot and is not used again: id = generation * in_flight_max + slot. */
static struct slot *
slot_take(struct wire_client *c)
{
    unsigned max = c->config.in_flight_max;
    if (c->first_free == max)
        return NULL;
    struct slot *slot = &c->slots[c->first_free];
    if (c->generation >= FRAME_ID_MAX / (int64_t)max - 1)
        c->generation = 0;
    slot->id = ++c->generation * (int64_t)max + (int64_t)c->first_free + KEYSET_ID;
    c->first_free = slot->next_free;
    c->in_flight++;
    return slot;
}

static void
slot_release(struct wire_client *c, struct slot *slot)
{
    slot->id = 0;
    slot->next_free = c->first_free;
    c->first_free = (unsigned)(slot - c->slots);
    c->in_flight--;
}

enum attest_rc
wire_client_send(struct wire_client *c, const char *op, struct slice members, int64_t deadline_ms,
                 wire_answered *done, void *ctx)
{
    enum attest_rc rc = ATTEST_OK;
    bool wake = false;
    pthread_mutex_lock(&c->lock);
    struct slot *slot = c->up ? slot_take(c) : NULL;
    if (!slot) {
        rc = c->up ? ATTEST_E_BUSY : ATTEST_E_IO;
    } else if (!frame_put_request(&c->out, slot->id, op, members)) {
        rc = buf_rc(&c->out) ? ATTEST_E_BUSY : ATTEST_E_LIMIT;
        c->out.rc = ATTEST_OK; /* what stood there before still does */
        slot_release(c, slot);
    } else {
        slot->deadline_ms = deadline_ms;
        slot->done = done;
        slot->ctx = ctx;
        if (deadline_ms < c->next_deadline_ms)
            c->next_deadline_ms = deadline_ms;
        wake = !c->woken;
        c->woken = true;
    }
    pthread_mutex_unlock(&c->lock);
    if (wake)
        client_wake(c);
    return rc;
}

static void
answer_here(const struct slot *slot, enum attest_rc rc, const char *text)
{
    struct frame_answer answer = {.rc = rc, .text = slice_cstr(text), .member = {"", 0}};
    slot->done(slot->ctx, &answer);
}

/* Answers what is past now_ms; with now_ms INT64_MAX everything. */
static void
client_expire(struct wire_client *c, int64_t now_ms, enum attest_rc rc, const char *text)
{
    struct slot expired[EXPIRED_AT_ONCE];
    size_t n;
    do {
        n = 0;
        pthread_mutex_lock(&c->lock);
        int64_t next_ms = INT64_MAX;
        for (unsigned i = 0; i < c->config.in_flight_max && n < EXPIRED_AT_ONCE; i++) {
            struct slot *slot = &c->slots[i];
            if (slot->id == 0)
                continue;
            if (slot->deadline_ms > now_ms) {
                next_ms = slot->deadline_ms < next_ms ? slot->deadline_ms : next_ms;
                continue;
            }
            expired[n++] = *slot;
            slot_release(c, slot);
        }
        c->next_deadline_ms = next_ms;
        if (rc == ATTEST_E_TIMEOUT)
            c->stats.timeouts += n;
        pthread_mutex_unlock(&c->lock);
        for (size_t i = 0; i < n; i++)
            answer_here(&expired[i], rc, text);
    } while (n == EXPIRED_AT_ONCE);
}

static bool
client_dispatch(struct wire_client *c, const struct frame_answer *answer)
{
    if (answer->id == KEYSET_ID) {
        if (answer->rc == ATTEST_OK && c->config.on_keyset)
            c->config.on_keyset(c->config.ctx, answer);
        return answer->rc == ATTEST_OK;
    }
    unsigned max = c->config.in_flight_max;
    struct slot *slot = &c->slots[(answer->id - KEYSET_ID) % (int64_t)max];
    struct slot found = {0};
    pthread_mutex_lock(&c->lock);
    if (slot->id == answer->id) {
        found = *slot;
        slot_release(c, slot);
    } else {
        c->stats.late_answers++;
    }
    pthread_mutex_unlock(&c->lock);
    if (found.id)
        found.done(found.ctx, answer);
    return true;
}

/* Reads what is there; false, with why, when the connection is of no more use. */
static bool
client_read(struct wire_client *c, int fd, const char **why)
{
    ssize_t n = recv(fd, c->in + c->in_len, READ_SIZE - c->in_len, 0);
    if (n < 0)
        return again(errno) || (*why = "reading failed", false);
    if (n == 0)
        return *why = "closed by the signer", false;
    c->in_len += (size_t)n;
    size_t at = 0;
    struct frame frame;
    enum frame_found found;
    while ((found = frame_find(c->in + at, c->in_len - at, &frame)) == FRAME_WHOLE) {
        struct json j = {c->nodes, ANSWER_NODES, 0};
        struct frame_answer answer;
        if (frame_read_answer(&j, frame.body, frame.body_len, &answer, NULL))
            return *why = "the signer sent what is no answer", false;
        if (!client_dispatch(c, &answer))
            return *why = "the signer refused to give its key set", false;
        at += frame.taken_len;
    }
    if (found == FRAME_BAD)
        return *why = "the signer sent what is no frame", false;
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    return true;
}

/* Takes what the callers wrote when all before is out, and writes as much as goes. */
static bool
client_write(struct wire_client *c, int fd, const char **why)
{
    for (;;) {
        if (c->sent == c->sending.len) {
            buf_reset(&c->sending);
            c->sent = 0;
            pthread_mutex_lock(&c->lock);
            struct buf full = c->out;
            c->out = c->sending;
            c->sending = full;
            c->woken = false;
            pthread_mutex_unlock(&c->lock);
            if (c->sending.len == 0)
                return true;
        }
        ssize_t n = send(fd, c->sending.p + c->sent, c->sending.len - c->sent, MSG_NOSIGNAL);
        if (n < 0)
            return again(errno) || (*why = "writing failed", false);
        c->sent += (size_t)n;
    }
}

static int
until_deadline_ms(struct wire_client *c)
{
    pthread_mutex_lock(&c->lock);
    int64_t next_ms = c->next_deadline_ms;
    pthread_mutex_unlock(&c->lock);
    if (next_ms == INT64_MAX)
        return -1;
    int64_t left_ms = next_ms - clock_mono_ms();
    return left_ms < 0 ? 0 : left_ms > 60000 ? 60000 : (int)left_ms;
}

static bool
client_stopping(struct wire_client *c)
{
    pthread_mutex_lock(&c->lock);
    bool stop = c->stop;
    pthread_mutex_unlock(&c->lock);
    return stop;
}

static void
wake_drain(struct wire_client *c)
{
    uint64_t n;
    while (read(c->wake_fd, &n, sizeof(n)) < 0 && errno == EINTR)
        ;
}

/* Serves one connection until it is lost or the client stops; says why. */
static const char *
client_serve(struct wire_client *c, int fd)
{
    const char *why = "";
    while (!client_stopping(c)) {
        /* Before the first wait too: nobody wakes us for the subscription. */
        if (!client_write(c, fd, &why))
            return why;
        bool unsent = c->sent < c->sending.len;
        struct pollfd p[] = {
            {.fd = fd, .events = (short)(POLLIN | (unsent ? POLLOUT : 0))},
            {.fd = c->wake_fd, .events = POLLIN},
        };
        int n = poll(p, 2, until_deadline_ms(c));
        if (n < 0 && errno != EINTR)
            return "poll failed";
        if (n > 0 && p[1].revents)
            wake_drain(c);
        if (n > 0 && (p[0].revents & ~POLLOUT) && !client_read(c, fd, &why))
            return why;
        int64_t now_ms = clock_mono_ms();
        pthread_mutex_lock(&c->lock);
        bool expired = c->next_deadline_ms <= now_ms;
        pthread_mutex_unlock(&c->lock);
        if (expired)
            client_expire(c, now_ms, ATTEST_E_TIMEOUT, "the signer did not answer in time");
    }
    return "stopping";
}

static void
client_link(struct wire_client *c, bool up, const char *why)
{
    buf_reset(&c->sending);
    c->sent = c->in_len = 0;
    pthread_mutex_lock(&c->lock);
    c->up = up;
    buf_reset(&c->out);
    if (up) {
        frame_put_request(&c->out, KEYSET_ID, "keyset", (struct slice){"", 0});
        c->stats.connects++;
    } else {
        c->stats.losses++;
    }
    pthread_mutex_unlock(&c->lock);
    if (!up)
        client_expire(c, INT64_MAX, ATTEST_E_IO, "the connection to the signer was lost");
    if (c->config.on_link)
        c->config.on_link(c->config.ctx, up, why);
}

static void *
client_thread(void *arg)
{
    struct wire_client *c = arg;
    int back_off_ms = BACK_OFF_FIRST_MS;
    while (!client_stopping(c)) {
        AUTO(fd) int fd = -1;
        if (sock_connect_unix(c->socket_path, CONNECT_TIMEOUT_MS, &fd, NULL) == ATTEST_OK) {
            int64_t since_ms = clock_mono_ms();
            client_link(c, true, "");
            client_link(c, false, client_serve(c, fd));
            /* One that takes us and throws us out at once is no better than one that is away. */
            if (clock_mono_ms() - since_ms > BACK_OFF_MOST_MS)
                back_off_ms = BACK_OFF_FIRST_MS;
        }
        struct pollfd p = {.fd = c->wake_fd, .events = POLLIN};
        if (!client_stopping(c) && poll(&p, 1, back_off_ms) > 0)
            wake_drain(c);
        back_off_ms = back_off_ms * 2 > BACK_OFF_MOST_MS ? BACK_OFF_MOST_MS : back_off_ms * 2;
    }
    return NULL;
}

static void
client_destroy(struct wire_client *c)
{
    if (c->wake_fd >= 0)
        close(c->wake_fd);
    pthread_mutex_destroy(&c->lock);
    buf_done(&c->out);
    buf_done(&c->sending);
    free(c->nodes);
    free(c->in);
    free(c->slots);
    free(c->socket_path);
    free(c);
}

DEFINE_AUTO(client_half, struct wire_client *, client_destroy);

static enum attest_rc
client_start(struct wire_client *c, struct attest_error *err)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    int e = pthread_create(&c->thread, &attr, client_thread, c);
    pthread_attr_destroy(&attr);
    return e ? error_errno(err, ATTEST_E_IO, e, "starting the signer client's thread") : ATTEST_OK;
}

enum attest_rc
wire_client_new(const struct wire_client_config *config, struct wire_client **ret,
                struct attest_error *err)
{
    if (config->in_flight_max < 1 || config->in_flight_max > IN_FLIGHT_CEILING)
        return error_set(err, ATTEST_E_ARGUMENT, "in_flight_max: 1 to %d", IN_FLIGHT_CEILING);
    AUTO(client_half) struct wire_client *c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the signer client");
    c->config = *config;
    size_t out_max = config->out_max ? config->out_max : OUT_MAX_DEFAULT;
    buf_init(&c->out, out_max);
    buf_init(&c->sending, out_max);
    pthread_mutex_init(&c->lock, NULL);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->next_deadline_ms = INT64_MAX;
    c->socket_path = slice_dup(slice_cstr(config->socket_path));
    c->slots = calloc(config->in_flight_max, sizeof(*c->slots));
    c->in = malloc(READ_SIZE);
    c->nodes = calloc(ANSWER_NODES, sizeof(*c->nodes));
    if (!c->socket_path || !c->slots || !c->in || !c->nodes)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the signer client");
    if (c->wake_fd < 0)
        return error_errno(err, ATTEST_E_IO, errno, "eventfd");
    for (unsigned i = 0; i < config->in_flight_max; i++)
        c->slots[i].next_free = i + 1;
    enum attest_rc rc = client_start(c, err);
    if (rc)
        return rc;
    *ret = STEAL(c);
    return ATTEST_OK;
}

void
wire_client_stop(struct wire_client *c)
{
    if (!c || c->joined)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_mutex_unlock(&c->lock);
    client_wake(c);
    pthread_join(c->thread, NULL);
    c->joined = true;
}

void
wire_client_free(struct wire_client *c)
{
    if (!c)
        return;
    wire_client_stop(c);
    client_destroy(c);
}

void
wire_client_stats(struct wire_client *c, struct wire_client_stats *ret)
{
    pthread_mutex_lock(&c->lock);
    *ret = c->stats;
    ret->up = c->up;
    ret->in_flight = c->in_flight;
    ret->out_len = c->out.len;
    pthread_mutex_unlock(&c->lock);
}
