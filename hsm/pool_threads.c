/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "hsm/pool_impl.h"

/* How long the watcher may be late for what was queued after it went to sleep. */
#define WATCH_TICK_MS 50

static void
wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t due_ms)
{
    if (due_ms == INT64_MAX) {
        pthread_cond_wait(cond, lock);
        return;
    }
    struct timespec t = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000};
    pthread_cond_timedwait(cond, lock, &t);
}

/* ---- control ---- */

static void
control_run(struct pool *pool, struct pool_op *op)
{
    pool->op_running = op;
    pthread_mutex_unlock(&pool->lock);
    op->run(pool->config.ctx, op);
    pthread_mutex_lock(&pool->lock);
    pool->op_running = NULL;
    op->done = true;
    if (op->abandoned)
        op->release(op);
    else
        pthread_cond_broadcast(&pool->op_done);
}

void *
pool_control_main(void *arg)
{
    struct pool *pool = arg;
    int64_t due_ms = INT64_MAX;
    pthread_mutex_lock(&pool->lock);
    while (!pool->control_lost && !(pool->closing && !pool->ops)) {
        struct pool_op *op = pool->ops;
        bool tend = pool->control_wake || clock_mono_ms() >= due_ms;
        if (!op && !tend) {
            wait_until(&pool->control, &pool->lock, due_ms);
            continue;
        }
        pool->control_busy = true;
        pool_stir_watcher(pool);
        if (op) {
            pool->ops = op->next;
            control_run(pool, op);
        } else {
            pool->control_wake = false;
            pthread_mutex_unlock(&pool->lock);
            due_ms = pool->config.ops->tend(pool->config.ctx);
            pthread_mutex_lock(&pool->lock);
        }
        pool->control_busy = false;
        if (!pool->dead)
            pool->control_lost = false; /* what hung came back */
    }
    pool->control_exited = true;
    pthread_cond_broadcast(&pool->quiet);
    if (pool->control_detached)
        pool_let_go(pool);
    else
        pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Lock held. Takes an operation back that has not begun. */
static void
op_withdraw(struct pool *pool, const struct pool_op *op)
{
    for (struct pool_op **p = &pool->ops; *p; p = &(*p)->next) {
        if (*p == op) {
            *p = op->next;
            return;
        }
    }
}

enum attest_rc
pool_run(struct pool *pool, struct pool_op *op)
{
    op->next = NULL;
    op->done = op->abandoned = false;
    pthread_mutex_lock(&pool->lock);
    struct pool_op **last = &pool->ops;
    while (*last)
        last = &(*last)->next;
    *last = op;
    pthread_cond_signal(&pool->control);
    /* Each module call is bounded by the watcher, so either this ends or control is lost. */
    while (!op->done && !pool->control_lost)
        pthread_cond_wait(&pool->op_done, &pool->lock);
    enum attest_rc rc = ATTEST_OK;
    struct pool_op *drop = NULL;
    if (!op->done && pool->op_running == op) {
        op->abandoned = true;
        rc = ATTEST_E_TIMEOUT;
    } else if (!op->done) {
        op_withdraw(pool, op);
        drop = op;
        rc = ATTEST_E_KEY_OUT_OF_REACH;
    }
    pthread_mutex_unlock(&pool->lock);
    if (drop)
        drop->release(drop);
    return rc;
}

void
pool_wake_control(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->control_wake = true;
    pthread_cond_signal(&pool->control);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- watcher ---- */

static bool
beat_late(const struct pool *pool, const struct pool_beat *beat, int64_t now_ms, int64_t *due_ms)
{
    int64_t since = atomic_load_explicit(&beat->since_ms, memory_order_acquire);
    if (!since)
        return false;
    int64_t limit = since + pool->config.call_timeout_ms;
    if (limit > now_ms && limit < *due_ms)
        *due_ms = limit;
    return limit <= now_ms;
}

/* Moves what passed its deadline to `out`; lock held. */
static void
take_expired(struct pool *pool, int64_t now_ms, int64_t *due_ms, struct pool_queue *out)
{
    struct pool_queue keep;
    pool_queue_init(&keep);
    struct pool_job *next;
    for (struct pool_job *job = pool->queue.head; job; job = next) {
        next = job->next;
        bool expired = job->deadline_ms <= now_ms;
        if (!expired && job->deadline_ms < *due_ms)
            *due_ms = job->deadline_ms;
        pool_queue_push(expired ? out : &keep, job);
    }
    if (!keep.head)
        pool_queue_init(&pool->queue);
    else
        pool->queue = keep;
}

/* Moves the jobs of workers that hang to `out`; lock held. */
static void
take_lost(struct pool *pool, int64_t now_ms, int64_t *due_ms, struct pool_queue *out)
{
    for (unsigned i = 0; i < pool->config.workers; i++) {
        struct pool_worker *w = &pool->workers[i];
        if (!w->job || !beat_late(pool, &w->beat, now_ms, due_ms))
            continue;
        pool_queue_push(out, w->job);
        w->job = NULL;
        atomic_store_explicit(&w->lost, true, memory_order_release);
        pool->lost++;
        pool->running--;
        pthread_cond_broadcast(&pool->quiet);
        if (pool->closing)
            pthread_cond_broadcast(&pool->check);
    }
}

/* Lock held. Whether control is lost from now on, which ends the waiting for its operations. */
static bool
find_hang(struct pool *pool, int64_t now_ms, int64_t *due_ms)
{
    if (!pool->control_busy || pool->control_lost ||
        !beat_late(pool, &pool->control_beat, now_ms, due_ms))
        return false;
    pool->control_lost = true;
    pthread_cond_broadcast(&pool->op_done);
    pthread_cond_broadcast(&pool->quiet);
    return true;
}

/* Lock held. Why the pool is dead from now on, or NULL. */
static const char *
find_death(struct pool *pool, int64_t now_ms, int64_t *due_ms)
{
    bool hangs = find_hang(pool, now_ms, due_ms);
    if (pool->dead)
        return NULL;
    const char *why = NULL;
    if (hangs && !pool->config.control_may_hang) {
        why = "an operation hangs in the module";
    } else if (pool->lost == pool->config.workers) {
        why = "every worker hangs in the module";
    }
    pool->dead = why != NULL;
    return why;
}

/* Lock held, and held again on return. Returns when to look again. */
static int64_t
watcher_turn(struct pool *pool)
{
    int64_t now_ms = clock_mono_ms();
    int64_t due_ms = now_ms + WATCH_TICK_MS;
    struct pool_queue late, refused;
    pool_queue_init(&late);
    pool_queue_init(&refused);
    take_expired(pool, now_ms, &due_ms, &late);
    take_lost(pool, now_ms, &due_ms, &late);
    const char *why = find_death(pool, now_ms, &due_ms);
    if (why) {
        pool->gate = false;
        refused.head = pool_queue_take(&pool->queue);
    }
    if (!late.head && !why)
        return due_ms;
    pthread_mutex_unlock(&pool->lock);
    if (why)
        pool->config.ops->dead(pool->config.ctx, why);
    pool_answer(pool, late.head, ATTEST_E_TIMEOUT);
    pool_answer(pool, refused.head, ATTEST_E_KEY_OUT_OF_REACH);
    pthread_mutex_lock(&pool->lock);
    return 0;
}

void *
pool_watcher_main(void *arg)
{
    struct pool *pool = arg;
    bool quiet_before = false;
    pthread_mutex_lock(&pool->lock);
    while (!pool->watcher_stop) {
        int64_t due_ms = watcher_turn(pool);
        bool bounded = pool->control_busy && !pool->control_lost;
        bool quiet = !pool->queue.head && !pool->running && !bounded;
        if (quiet && quiet_before && !pool->watcher_stop) {
            /* One tick later than needed, so that a busy pool need not wake us for each job. */
            pool->watcher_asleep = true;
            while (pool->watcher_asleep && !pool->watcher_stop)
                pthread_cond_wait(&pool->watch, &pool->lock);
            pool->watcher_asleep = false;
            quiet = false;
        } else if (!pool->watcher_stop) {
            wait_until(&pool->watch, &pool->lock, due_ms);
        }
        quiet_before = quiet;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- life ---- */

static bool
start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr))
        return false;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool ok = !pthread_attr_setstacksize(&attr, POOL_STACK_SIZE) &&
              !pthread_create(thread, &attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return ok;
}

static bool
start_all(struct pool *pool)
{
    pool->watcher_started = start_thread(&pool->watcher_thread, pool_watcher_main, pool);
    pool->control_started = start_thread(&pool->control_thread, pool_control_main, pool);
    bool ok = pool->watcher_started && pool->control_started;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    while (ok && pool->n_checkers < ARRAY_LEN(pool->checkers) &&
           (long)pool->n_checkers < (cpus > 1 ? cpus : 1)) {
        ok = start_thread(&pool->checkers[pool->n_checkers], pool_checker_main, pool);
        pool->n_checkers += ok;
    }
    pthread_mutex_lock(&pool->lock);
    for (unsigned i = 0; ok && i < pool->config.workers; i++) {
        struct pool_worker *w = &pool->workers[i];
        w->pool = pool;
        w->number = i;
        w->started = ok = start_thread(&w->thread, pool_worker_main, w);
    }
    pthread_mutex_unlock(&pool->lock);
    return ok;
}

static void
init_conds(struct pool *pool)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_t *conds[] = {&pool->work,    &pool->check,   &pool->quiet,
                               &pool->control, &pool->op_done, &pool->watch};
    for (size_t i = 0; i < ARRAY_LEN(conds); i++)
        pthread_cond_init(conds[i], &attr);
    pthread_condattr_destroy(&attr);
}

static void
free_memory(struct pool *pool)
{
    pthread_cond_t *conds[] = {&pool->work,    &pool->check,   &pool->quiet,
                               &pool->control, &pool->op_done, &pool->watch};
    for (size_t i = 0; i < ARRAY_LEN(conds); i++)
        pthread_cond_destroy(conds[i]);
    pthread_mutex_destroy(&pool->lock);
    for (unsigned i = 0; i < pool->config.workers; i++)
        free(pool->workers[i].copy);
    free(pool->workers);
    free(pool->jobs);
    free(pool);
}

enum attest_rc
pool_new(const struct pool_config *config, struct pool **ret, struct attest_error *err)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    pool->config = *config;
    /* Besides what waits: one in each worker, what the checkers have before them, and theirs. */
    pool->jobs_max = config->queue_max + 4 * config->workers + (unsigned)ARRAY_LEN(pool->checkers);
    pool->jobs = calloc(pool->jobs_max, sizeof(*pool->jobs));
    pool->workers = calloc(config->workers, sizeof(*pool->workers));
    pthread_mutex_init(&pool->lock, NULL);
    init_conds(pool);
    pool_queue_init(&pool->queue);
    pool_queue_init(&pool->checking);
    if (!pool->jobs || !pool->workers) {
        pool->config.workers = 0;
        free_memory(pool);
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    }
    if (!start_all(pool)) {
        pool_free(pool);
        return error_set(err, ATTEST_E_INTERNAL, "threads could not be started");
    }
    *ret = pool;
    return ATTEST_OK;
}

/* Lock held. Whether every thread that may enter the module has ended or is lost. */
static bool
all_settled(const struct pool *pool)
{
    for (unsigned i = 0; i < pool->config.workers; i++) {
        const struct pool_worker *w = &pool->workers[i];
        if (w->started && !w->exited && !atomic_load(&w->lost))
            return false;
    }
    return !pool->control_started || pool->control_exited || pool->control_lost;
}

/* Lock held. Lost threads are left behind: if their call ever returns, they end by themselves. */
static void
detach_lost(struct pool *pool)
{
    for (unsigned i = 0; i < pool->config.workers; i++) {
        struct pool_worker *w = &pool->workers[i];
        if (w->started && !w->exited) {
            pthread_detach(w->thread);
            w->detached = true;
            pool->holders++;
        }
    }
    if (pool->control_started && !pool->control_exited) {
        pthread_detach(pool->control_thread);
        pool->control_detached = true;
        pool->holders++;
    }
}

static void
join_all(struct pool *pool)
{
    for (unsigned i = 0; i < pool->config.workers; i++) {
        if (pool->workers[i].started && !pool->workers[i].detached)
            pthread_join(pool->workers[i].thread, NULL);
    }
    for (unsigned i = 0; i < pool->n_checkers; i++)
        pthread_join(pool->checkers[i], NULL);
    if (pool->control_started && !pool->control_detached)
        pthread_join(pool->control_thread, NULL);
    if (pool->watcher_started)
        pthread_join(pool->watcher_thread, NULL);
}

void
pool_let_go(struct pool *pool)
{
    bool last = --pool->holders == 0;
    void (*released)(void *ctx) = pool->config.ops->released;
    void *ctx = pool->config.ctx;
    pthread_mutex_unlock(&pool->lock);
    if (last) {
        free_memory(pool);
        released(ctx);
    }
}

bool
pool_free(struct pool *pool)
{
    if (!pool)
        return true;
    pool_refuse(pool, pool_close_gate(pool));
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->work);
    pthread_cond_broadcast(&pool->control);
    while (!all_settled(pool))
        pthread_cond_wait(&pool->quiet, &pool->lock);
    pool->holders = 1;
    detach_lost(pool);
    pool->watcher_stop = true;
    pthread_cond_broadcast(&pool->watch);
    pthread_cond_broadcast(&pool->check);
    pthread_mutex_unlock(&pool->lock);
    join_all(pool);

    pthread_mutex_lock(&pool->lock);
    bool all_gone = --pool->holders == 0;
    pthread_mutex_unlock(&pool->lock);
    if (all_gone)
        free_memory(pool);
    return all_gone;
}
