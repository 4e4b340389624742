/* SPDX-License-Identifier: MIT */
#include "tests/bench/load.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "tests/bench/response.h"

#define IN_SIZE 65536
#define EVENTS_MAX 64
#define REOPEN_MAX 10000 /* a server that refuses everyone must not make us spin */
#define DRAIN_US 15000000

struct conn {
    int fd; /* -1: given up or finished */
    size_t sent;
    size_t in_len;
    int64_t start_us;
    bool busy; /* a request is under way */
    char in[IN_SIZE];
};

struct loop {
    const struct load_plan *plan;
    struct load_result *result;
    int epoll_fd;
    int64_t measure_from_us, measure_to_us; /* to: INT64_MAX when bounded by count */
    int64_t last_us;
    unsigned open;
    unsigned reopened;
};

static void conn_next(struct loop *l, struct conn *c);

static void
conn_close(struct loop *l, struct conn *c)
{
    if (c->fd < 0)
        return;
    close(c->fd);
    c->fd = -1;
    c->busy = false;
    l->open--;
}

static bool
conn_open(struct loop *l, struct conn *c)
{
    c->fd = target_connect(&l->plan->target, true);
    c->in_len = 0;
    c->busy = false;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (c->fd < 0 || epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0) {
        fprintf(stderr, "load: %s: %s\n", l->plan->target.host, strerror(errno));
        if (c->fd >= 0)
            close(c->fd);
        c->fd = -1;
        l->result->failed++;
        return false;
    }
    l->open++;
    return true;
}

/* The server closed it, or sent what we cannot read. */
static void
conn_reopen(struct loop *l, struct conn *c)
{
    conn_close(l, c);
    if (l->reopened++ < REOPEN_MAX && conn_open(l, c))
        conn_next(l, c);
}

static bool
want_more(struct loop *l, int64_t now_us)
{
    if (now_us >= l->measure_to_us || (l->plan->stop && atomic_load(l->plan->stop)))
        return false;
    return l->plan->count == 0 || atomic_fetch_add(l->plan->requested, 1) < l->plan->count;
}

static bool
conn_flush(struct loop *l, struct conn *c)
{
    struct slice request = l->plan->request;
    bool waited = c->sent > 0;
    while (c->sent < request.len) {
        ssize_t n = send(c->fd, request.p + c->sent, request.len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n > 0)
            c->sent += (size_t)n;
    }
    bool all = c->sent == request.len;
    if (!all || waited) {
        struct epoll_event ev = {.events = all ? EPOLLIN : EPOLLIN | EPOLLOUT, .data.ptr = c};
        epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
    }
    return true;
}

static void
conn_next(struct loop *l, struct conn *c)
{
    int64_t now_us = clock_mono_us();
    if (!want_more(l, now_us)) {
        conn_close(l, c);
        return;
    }
    c->start_us = now_us;
    c->sent = 0;
    c->busy = true;
    /* A failing send is not asked about here: reading says the same, and says it once. */
    conn_flush(l, c);
}

static void
check_answer(struct loop *l, struct conn *c, const struct response *r)
{
    struct attest_error err;
    size_t at = (size_t)(r->body.p - c->in);
    l->result->checked++;
    if (l->plan->check(l->plan->check_ctx, c->in + at, r->body.len, &err) == ATTEST_OK)
        return;
    if (l->result->bad++ == 0)
        fprintf(stderr, "load: %s\n", err.text);
}

static void
count_answer(struct loop *l, struct conn *c, const struct response *r)
{
    struct load_result *res = l->result;
    int64_t now_us = clock_mono_us();
    res->responses++;
    res->status[r->status]++;
    res->bytes += r->total_len;
    l->last_us = now_us;
    if (r->status != l->plan->expect_status)
        return;
    if (now_us >= l->measure_from_us && now_us < l->measure_to_us) {
        res->measured++;
        latency_add(&res->latency, now_us - c->start_us);
    }
    if (l->plan->check_every && res->responses % l->plan->check_every == 0)
        check_answer(l, c, r);
}

static void
conn_answer(struct loop *l, struct conn *c)
{
    struct response r;
    enum response_state state = response_read((struct slice){c->in, c->in_len}, &r);
    if (state == RESPONSE_MORE && c->in_len < sizeof(c->in))
        return;
    if (state != RESPONSE_DONE || c->in_len > r.total_len) {
        l->result->failed++;
        conn_reopen(l, c);
        return;
    }
    count_answer(l, c, &r);
    c->in_len = 0;
    c->busy = false;
    if (r.closes) {
        l->result->closed++;
        conn_reopen(l, c);
    } else {
        conn_next(l, c);
    }
}

static void
conn_event(struct loop *l, struct conn *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    if (events & EPOLLOUT)
        conn_flush(l, c);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        l->result->closed++;
        conn_reopen(l, c);
        return;
    }
    c->in_len += (size_t)n;
    conn_answer(l, c);
}

static void
loop_turn(struct loop *l, struct conn *conns, unsigned n)
{
    struct epoll_event events[EVENTS_MAX];
    while (l->open > 0) {
        int got = epoll_wait(l->epoll_fd, events, EVENTS_MAX, 1000);
        for (int i = 0; i < got; i++)
            conn_event(l, events[i].data.ptr, events[i].events);
        bool late = l->measure_to_us != INT64_MAX && clock_mono_us() >= l->measure_to_us + DRAIN_US;
        if (!late && (!l->plan->go_on || l->plan->go_on(l->plan->check_ctx)))
            continue;
        for (unsigned i = 0; i < n; i++)
            if (conns[i].busy)
                l->result->failed++;
        return;
    }
}

void
load_run(const struct load_plan *plan, unsigned n, struct load_result *ret)
{
    struct loop l = {.plan = plan, .result = ret};
    struct conn *conns = calloc(n, sizeof(*conns));
    l.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || l.epoll_fd < 0) {
        ret->failed++;
        free(conns);
        return;
    }
    int64_t start_us = clock_mono_us();
    l.measure_from_us = start_us + plan->warmup_us;
    l.measure_to_us = plan->duration_us ? l.measure_from_us + plan->duration_us : INT64_MAX;
    l.last_us = start_us;
    for (unsigned i = 0; i < n; i++)
        conns[i].fd = -1;
    for (unsigned i = 0; i < n && conn_open(&l, &conns[i]); i++)
        conn_next(&l, &conns[i]);
    loop_turn(&l, conns, n);
    ret->measured_us = plan->duration_us ? plan->duration_us : l.last_us - l.measure_from_us;
    for (unsigned i = 0; i < n; i++)
        conn_close(&l, &conns[i]);
    close(l.epoll_fd);
    free(conns);
}
