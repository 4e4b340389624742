/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdatomic.h>

#include "tests/bench/latency.h"
#include "tests/bench/target.h"

/*
 * Closed-loop load over HTTP/1.1 keep-alive: each connection sends one request, waits for the whole
 * answer, sends the next. One epoll loop a thread.
 */
#define LOAD_STATUS_MAX 600

struct load_plan {
    struct target target;
    struct slice request; /* the bytes sent again and again */
    unsigned connections; /* of all threads */
    unsigned threads;
    int64_t warmup_us;    /* not counted in what is measured */
    int64_t duration_us;  /* 0: until count */
    uint64_t count;       /* 0: until the duration is over */
    int expect_status;    /* an answer with another is counted and not checked */
    unsigned check_every; /* every nth answer; 0: none */
    /* Of each thread: the body of an answer that was expected, which it may change. */
    enum attest_rc (*check)(void *ctx, char *body, size_t len, struct attest_error *err);
    void *check_ctx; /* and go_on's */
    /* Asked each second at least, whatever is answered. False: it ends at once, and what is still
     * under way has failed. NULL: it goes on. */
    bool (*go_on)(void *ctx);
    _Atomic uint64_t *requested; /* of all threads, for count */
    const atomic_bool *stop;     /* asked before each request; NULL: never */
};

struct load_result {
    uint64_t responses;  /* all */
    uint64_t measured;   /* those of the expected status inside the measured time */
    int64_t measured_us; /* and how long that was */
    uint64_t status[LOAD_STATUS_MAX];
    uint64_t checked, bad; /* tokens; the first bad one is said on standard error */
    uint64_t closed;       /* connections that ended under us, and were made again */
    uint64_t failed;       /* answers that could not be read, connections that could not be made */
    uint64_t bytes;
    struct latency latency; /* inside the measured time, of the expected status */
};

/* Runs one thread's share: connections [0, n) of its own. Call it in each of plan->threads. */
void load_run(const struct load_plan *plan, unsigned n, struct load_result *ret);

#endif
