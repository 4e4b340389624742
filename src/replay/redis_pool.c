/* SPDX-License-Identifier: MIT */
#include "replay/redis_pool.h"

#include <time.h>

#include "base/clock.h"

bool
redis_pool_init(struct redis_pool *pool, unsigned max)
{
    pthread_condattr_t attr;
    pool->max = max;
    if (pthread_condattr_init(&attr) != 0)
        return false;
    pool->ready = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
                  pthread_mutex_init(&pool->lock, NULL) == 0;
    if (pool->ready && pthread_cond_init(&pool->given, &attr) != 0) {
        pthread_mutex_destroy(&pool->lock);
        pool->ready = false;
    }
    pthread_condattr_destroy(&attr);
    return pool->ready;
}

void
redis_pool_done(struct redis_pool *pool)
{
    if (!pool->ready)
        return;
    while (pool->n_idle > 0)
        redis_link_free(pool->idle[--pool->n_idle]);
    pthread_cond_destroy(&pool->given);
    pthread_mutex_destroy(&pool->lock);
}

/* Locked. An idle one, NULL when a new one may be made, or ATTEST_E_BUSY. */
static enum attest_rc
idle_or_leave(struct redis_pool *pool, int64_t deadline_ms, struct redis_link **ret)
{
    const struct timespec deadline = {.tv_sec = deadline_ms / 1000,
                                      .tv_nsec = deadline_ms % 1000 * 1000000};
    while (pool->n_idle == 0 && pool->open >= pool->max) {
        if (pthread_cond_timedwait(&pool->given, &pool->lock, &deadline) != 0)
            return ATTEST_E_BUSY;
    }
    if (pool->n_idle > 0)
        *ret = pool->idle[--pool->n_idle];
    else
        pool->open++;
    return ATTEST_OK;
}

static enum attest_rc
make(struct redis_pool *pool, const struct redis_target *target, uint64_t generation,
     int64_t deadline_ms, struct redis_link **ret, struct attest_error *err)
{
    enum attest_rc rc = redis_link_open(target, deadline_ms, ret, err);
    atomic_fetch_add_explicit(rc == ATTEST_OK ? &pool->connects : &pool->failures, 1,
                              memory_order_relaxed);
    if (rc == ATTEST_OK)
        (*ret)->generation = generation;
    else
        redis_pool_drop(pool, NULL);
    return rc;
}

enum attest_rc
redis_pool_take(struct redis_pool *pool, const struct redis_target *target, int64_t deadline_ms,
                struct redis_link **ret, bool *is_new, struct attest_error *err)
{
    int64_t wait_until_ms = deadline_ms - target->timeout_ms / 2;
    for (;;) {
        struct redis_link *link = NULL;
        pthread_mutex_lock(&pool->lock);
        enum attest_rc rc = idle_or_leave(pool, wait_until_ms, &link);
        uint64_t generation = pool->generation;
        pthread_mutex_unlock(&pool->lock);
        if (rc != ATTEST_OK)
            return error_set(err, rc, "replay store: all connections to Redis are busy");
        *is_new = !link;
        if (!link)
            return make(pool, target, generation, deadline_ms, ret, err);
        if (link->generation == generation && redis_stream_quiet(&link->stream)) {
            *ret = link;
            return ATTEST_OK;
        }
        redis_pool_drop(pool, link);
    }
}

void
redis_pool_give(struct redis_pool *pool, struct redis_link *link)
{
    if (link->broken) {
        redis_pool_drop(pool, link);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->idle[pool->n_idle++] = link;
    pthread_cond_signal(&pool->given);
    pthread_mutex_unlock(&pool->lock);
}

void
redis_pool_drop(struct redis_pool *pool, struct redis_link *link)
{
    redis_link_free(link);
    pthread_mutex_lock(&pool->lock);
    pool->open--;
    pthread_cond_signal(&pool->given);
    pthread_mutex_unlock(&pool->lock);
}

void
redis_pool_renew(struct redis_pool *pool, struct redis_link *spared)
{
    pthread_mutex_lock(&pool->lock);
    spared->generation = ++pool->generation;
    pthread_mutex_unlock(&pool->lock);
}

unsigned
redis_pool_open(struct redis_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    unsigned n = pool->open;
    pthread_mutex_unlock(&pool->lock);
    return n;
}
