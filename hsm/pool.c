/* SPDX-License-Identifier: MIT */
#include "hsm/pool.h"

#include <string.h>

#include "base/clock.h"
#include "hsm/pool_impl.h"

void
pool_queue_init(struct pool_queue *q)
{
    *q = (struct pool_queue){.tail = &q->head};
}

void
pool_queue_push(struct pool_queue *q, struct pool_job *job)
{
    job->next = NULL;
    *q->tail = job;
    q->tail = &job->next;
    q->n++;
}

struct pool_job *
pool_queue_pop(struct pool_queue *q)
{
    struct pool_job *job = q->head;
    if (!job)
        return NULL;
    q->head = job->next;
    if (!q->head)
        q->tail = &q->head;
    q->n--;
    return job;
}

struct pool_job *
pool_queue_take(struct pool_queue *q)
{
    struct pool_job *all = q->head;
    pool_queue_init(q);
    return all;
}

static struct pool_job *
job_new(struct pool *pool)
{
    struct pool_job *job = pool->jobs_free;
    if (job)
        pool->jobs_free = job->next;
    else if (pool->jobs_used < pool->jobs_max)
        job = &pool->jobs[pool->jobs_used++];
    return job;
}

static void
job_free(struct pool *pool, struct pool_job *job)
{
    job->next = pool->jobs_free;
    pool->jobs_free = job;
}

void
pool_answer(struct pool *pool, struct pool_job *jobs, enum attest_rc rc)
{
    static const uint8_t none[PUBKEY_SIG_LEN];
    while (jobs) {
        struct pool_job *job = jobs;
        jobs = job->next;
        atomic_fetch_add_explicit(&pool->failures, 1, memory_order_relaxed);
        job->done(job->ctx, rc, none);
        pthread_mutex_lock(&pool->lock);
        job_free(pool, job);
        pthread_mutex_unlock(&pool->lock);
    }
}

void
pool_stir_watcher(struct pool *pool)
{
    if (pool->watcher_asleep) {
        pool->watcher_asleep = false;
        pthread_cond_signal(&pool->watch);
    }
}

enum attest_rc
pool_sign(struct pool *pool, const struct key_ref *key, struct slice msg, int64_t deadline_ms,
          keystore_signed *done, void *ctx)
{
    if (msg.len > POOL_MSG_MAX)
        return ATTEST_E_LIMIT;
    enum attest_rc rc = ATTEST_OK;
    bool wake = false;
    pthread_mutex_lock(&pool->lock);
    struct pool_job *job = NULL;
    if (!pool->gate)
        rc = ATTEST_E_KEY_OUT_OF_REACH;
    else if (pool->queue.n >= pool->config.queue_max + pool->workers_idle || !(job = job_new(pool)))
        rc = ATTEST_E_BUSY;
    if (job) {
        job->key = *key;
        job->msg = msg;
        job->deadline_ms = deadline_ms;
        job->done = done;
        job->ctx = ctx;
        pool_queue_push(&pool->queue, job);
        wake = pool->workers_idle && !pool->pauses;
        pool_stir_watcher(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (wake)
        pthread_cond_signal(&pool->work);
    return rc;
}

void
pool_open_gate(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->gate = !pool->dead && !pool->closing;
    pthread_mutex_unlock(&pool->lock);
}

struct pool_job *
pool_close_gate(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->gate = false;
    struct pool_job *jobs = pool_queue_take(&pool->queue);
    pthread_mutex_unlock(&pool->lock);
    return jobs;
}

void
pool_refuse(struct pool *pool, struct pool_job *jobs)
{
    pool_answer(pool, jobs, ATTEST_E_KEY_OUT_OF_REACH);
}

unsigned
pool_pause(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->pauses++;
    while (pool->running > 0)
        pthread_cond_wait(&pool->quiet, &pool->lock);
    unsigned lost = pool->lost;
    pthread_mutex_unlock(&pool->lock);
    return lost;
}

void
pool_resume(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    if (--pool->pauses == 0)
        pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

struct pool_beat *
pool_beat(struct pool *pool, unsigned worker)
{
    return worker < pool->config.workers ? &pool->workers[worker].beat : &pool->control_beat;
}

bool
pool_worker_lost(struct pool *pool, unsigned worker)
{
    return worker < pool->config.workers &&
           atomic_load_explicit(&pool->workers[worker].lost, memory_order_acquire);
}

void
pool_count_sign_cpu(struct pool *pool, int64_t ns)
{
    atomic_fetch_add_explicit(&pool->sign_cpu_ns, (uint64_t)ns, memory_order_relaxed);
}

void
pool_stats(struct pool *pool, struct keystore_stats *ret)
{
    pthread_mutex_lock(&pool->lock);
    ret->workers = pool->config.workers;
    ret->workers_lost = pool->lost;
    ret->queued = pool->queue.n;
    pthread_mutex_unlock(&pool->lock);
    ret->signatures = atomic_load_explicit(&pool->signatures, memory_order_relaxed);
    ret->failures = atomic_load_explicit(&pool->failures, memory_order_relaxed);
    ret->sign_cpu_ns = atomic_load_explicit(&pool->sign_cpu_ns, memory_order_relaxed);
    ret->verify_cpu_ns = atomic_load_explicit(&pool->verify_cpu_ns, memory_order_relaxed);
}

/* Verifies and answers: no signature leaves the keystore unverified. */
static void
job_check(struct pool *pool, struct pool_job *job)
{
    int64_t start_ns = clock_thread_cpu_ns();
    bool good = pubkey_verify(&job->key.public_key, job->msg, job->sig);
    int64_t spent_ns = clock_thread_cpu_ns() - start_ns;
    atomic_fetch_add_explicit(&pool->verify_cpu_ns, (uint64_t)spent_ns, memory_order_relaxed);
    if (!good) {
        pool->config.ops->bad_signature(pool->config.ctx, job->worker);
        job->next = NULL;
        pool_answer(pool, job, ATTEST_E_SIGNATURE);
        return;
    }
    atomic_fetch_add_explicit(&pool->signatures, 1, memory_order_relaxed);
    job->done(job->ctx, ATTEST_OK, job->sig);
    pthread_mutex_lock(&pool->lock);
    job_free(pool, job);
    pthread_mutex_unlock(&pool->lock);
}

static enum attest_rc
worker_sign(struct pool_worker *w, const struct pool_job *job, uint8_t sig[PUBKEY_SIG_LEN])
{
    const struct pool *pool = w->pool;
    struct key_ref key = job->key;
    size_t len = job->msg.len;
    if (clock_mono_ms() >= job->deadline_ms)
        return ATTEST_E_TIMEOUT;
    if (len > w->copy_size) {
        char *larger = realloc(w->copy, len);
        if (!larger)
            return ATTEST_E_KEY_OUT_OF_REACH;
        w->copy = larger;
        w->copy_size = len;
    }
    if (len)
        memcpy(w->copy, job->msg.p, len);
    /* Modules take no NULL, not even for an empty message. */
    struct slice copy = {len ? w->copy : "", len};
    return pool->config.ops->sign(pool->config.ctx, w->number, &key, copy, sig);
}

static void
wake_checker(struct pool_worker *w)
{
    if (w->owes_signal)
        pthread_cond_signal(&w->pool->check);
    w->owes_signal = false;
}

/* Lock held, and held again on return. One signature; false when the thread must end. */
static bool
worker_turn(struct pool_worker *w, struct pool_job *job)
{
    struct pool *pool = w->pool;
    uint8_t sig[PUBKEY_SIG_LEN];
    w->job = job;
    job->worker = w->number;
    pool->running++;
    pthread_mutex_unlock(&pool->lock);
    wake_checker(w);
    enum attest_rc rc = worker_sign(w, job, sig);
    pthread_mutex_lock(&pool->lock);
    if (!w->job) { /* was lost and answered meanwhile: what came back is nobody's */
        atomic_store_explicit(&w->lost, false, memory_order_release);
        pool->lost--;
        return !pool->dead;
    }
    w->job = NULL;
    if (--pool->running == 0 && pool->pauses)
        pthread_cond_broadcast(&pool->quiet);
    memcpy(job->sig, sig, sizeof(job->sig));
    if (!rc && pool->queue.head && pool->checking.n < 2 * pool->config.workers) {
        pool_queue_push(&pool->checking, job);
        w->owes_signal = pool->checkers_idle > 0;
        return true;
    }
    pthread_mutex_unlock(&pool->lock);
    if (rc) {
        job->next = NULL;
        pool_answer(pool, job, rc);
    } else {
        job_check(pool, job);
    }
    pthread_mutex_lock(&pool->lock);
    return true;
}

void *
pool_worker_main(void *arg)
{
    struct pool_worker *w = arg;
    struct pool *pool = w->pool;
    pthread_mutex_lock(&pool->lock);
    bool go_on = true;
    while (go_on && !pool->closing) {
        struct pool_job *job = pool->pauses ? NULL : pool_queue_pop(&pool->queue);
        if (job) {
            go_on = worker_turn(w, job);
            continue;
        }
        wake_checker(w);
        pool->workers_idle++;
        pthread_cond_wait(&pool->work, &pool->lock);
        pool->workers_idle--;
    }
    wake_checker(w);
    w->exited = true;
    pthread_cond_broadcast(&pool->quiet);
    if (w->detached)
        pool_let_go(pool);
    else
        pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Ends when the pool closes and no worker is left that could bring more. */
static bool
checker_may_end(const struct pool *pool)
{
    if (!pool->closing)
        return false;
    for (unsigned i = 0; i < pool->config.workers; i++) {
        const struct pool_worker *w = &pool->workers[i];
        if (w->started && !w->exited && w->job)
            return false;
    }
    return true;
}

void *
pool_checker_main(void *arg)
{
    struct pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct pool_job *job = pool_queue_pop(&pool->checking);
        if (job) {
            pthread_mutex_unlock(&pool->lock);
            job_check(pool, job);
            pthread_mutex_lock(&pool->lock);
            continue;
        }
        if (checker_may_end(pool))
            break;
        pool->checkers_idle++;
        pthread_cond_wait(&pool->check, &pool->lock);
        pool->checkers_idle--;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}
