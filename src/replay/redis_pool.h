/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REDIS_POOL_H
#define REPLAY_REDIS_POOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "replay/redis_link.h"

/* Connections to one Redis, one for each thread that waits for it, up to a bound. Thread-safe. */

struct redis_pool {
    pthread_mutex_t lock;
    pthread_cond_t given; /* one came back, or may be made */
    bool ready;
    unsigned max, open, n_idle;
    uint64_t generation;
    struct redis_link
        *idle[REPLAY_CONNECTIONS_MAX]; /* the last one given back is the next one taken */
    _Atomic uint64_t connects, failures;
};

bool redis_pool_init(struct redis_pool *pool, unsigned max);
void redis_pool_done(struct redis_pool *pool);

/*
 * A connection of this thread's own until it is given back or dropped: an idle one, a new one (made
 * here), or, when the bound is reached, the next that comes back. is_new: nobody has looked yet
 * who the server is. ATTEST_E_BUSY when none came back while half of the time-out was left: who
 * gets one has time for a question, and is no judge of Redis without. Errors of redis_link_open().
 */
enum attest_rc redis_pool_take(struct redis_pool *pool, const struct redis_target *target,
                               int64_t deadline_ms, struct redis_link **ret, bool *is_new,
                               struct attest_error *err);
void redis_pool_give(struct redis_pool *pool, struct redis_link *link);
void redis_pool_drop(struct redis_pool *pool, struct redis_link *link);

/* Connections made before this call are not used again, but for `spared`. */
void redis_pool_renew(struct redis_pool *pool, struct redis_link *spared);
unsigned redis_pool_open(struct redis_pool *pool);

#endif
