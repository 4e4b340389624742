/* SPDX-License-Identifier: MIT */
#include "signer/issuance_log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

enum {
    BACK_OFF_FIRST_MS = 50,
    BACK_OFF_MOST_MS = 1000,
    STACK_SIZE = 192 * 1024,
    COMPANY_MIN = 8,  /* under way: fewer are not worth anyone's wait */
    COMPANY_MAX = 16, /* records in one batch that nothing more is waited for */
    COMPANY_MS = 2,
};

struct issuance_log {
    struct issuance_log_config config;
    struct chainlog *chain; /* the thread's, once it runs */
    pthread_t thread;
    bool started;
    _Atomic unsigned under_way;

    pthread_mutex_t lock; /* over all below */
    pthread_cond_t more;
    struct log_entry *first, **last;
    unsigned n, wake_at; /* entries in the list, and how many of them wake the thread */
    bool waiting, stop;
    struct issuance_log_status status;
};

/* ---- the callers' side ---- */

void
issuance_log_append(struct issuance_log *log, struct log_entry *entry)
{
    entry->next = NULL;
    pthread_mutex_lock(&log->lock);
    *log->last = entry;
    log->last = &entry->next;
    log->n++;
    /* While a batch is being written there is nobody to wake: it comes back by itself. */
    if (log->waiting && log->n >= log->wake_at) {
        log->waiting = false;
        pthread_cond_signal(&log->more);
    }
    pthread_mutex_unlock(&log->lock);
}

void
issuance_log_under_way(struct issuance_log *log, unsigned n)
{
    atomic_store_explicit(&log->under_way, n, memory_order_relaxed);
}

/* Held by who waits and by the log's thread, for one may give up on the other. */
struct waiter {
    struct log_entry entry;
    atomic_uint holders;
    struct buf body;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done; /* under lock */
};

static struct waiter *
waiter_new(struct slice body)
{
    pthread_condattr_t attr;
    struct waiter *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    buf_init(&w->body, CHAINLOG_LINE_MAX);
    buf_slice(&w->body, body);
    atomic_init(&w->holders, 1);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attr);
    pthread_condattr_destroy(&attr);
    return w;
}

static void
waiter_drop(struct waiter *w)
{
    if (atomic_fetch_sub(&w->holders, 1) != 1)
        return;
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    buf_done(&w->body);
    free(w);
}

static void
waiter_done(struct log_entry *entry)
{
    struct waiter *w = (struct waiter *)(void *)entry;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    waiter_drop(w);
}

static enum attest_rc
waiter_wait(struct waiter *w, int64_t until_ms)
{
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    int failed = 0;
    pthread_mutex_lock(&w->lock);
    while (!w->done && failed != ETIMEDOUT)
        failed = pthread_cond_timedwait(&w->changed, &w->lock, &until);
    enum attest_rc rc = w->done ? w->entry.rc : ATTEST_E_TIMEOUT;
    pthread_mutex_unlock(&w->lock);
    return rc;
}

enum attest_rc
issuance_log_append_wait(struct issuance_log *log, struct slice body, int64_t timeout_ms)
{
    int64_t until_ms = clock_mono_ms() + timeout_ms;
    struct waiter *w = waiter_new(body);
    if (!w)
        return ATTEST_E_NOMEM;
    enum attest_rc rc = buf_rc(&w->body);
    if (!rc) {
        w->entry = (struct log_entry){
            .body = buf_view(&w->body), .deadline_ms = until_ms, .done = waiter_done};
        atomic_fetch_add(&w->holders, 1);
        issuance_log_append(log, &w->entry);
        rc = waiter_wait(w, until_ms);
    }
    waiter_drop(w);
    return rc;
}

void
issuance_log_status(struct issuance_log *log, struct issuance_log_status *ret)
{
    pthread_mutex_lock(&log->lock);
    *ret = log->status;
    pthread_mutex_unlock(&log->lock);
}

/* ---- the thread ---- */

/* Copies what others may ask for. Returns whether the state changed. */
static bool
publish(struct issuance_log *log, size_t committed, int64_t busy_since_ms)
{
    bool ok = chainlog_ok(log->chain);
    pthread_mutex_lock(&log->lock);
    struct issuance_log_status *s = &log->status;
    bool changed = s->ok != ok;
    s->ok = ok;
    snprintf(s->why, sizeof(s->why), "%s", chainlog_why(log->chain));
    s->head = chainlog_head(log->chain);
    s->segment = chainlog_segment(log->chain);
    s->records += committed;
    s->commits += committed > 0;
    s->busy_since_ms = busy_since_ms;
    pthread_mutex_unlock(&log->lock);
    return changed;
}

static void
tell_state(struct issuance_log *log)
{
    log->config.on_state(log->config.ctx, chainlog_ok(log->chain), chainlog_why(log->chain));
}

static void
hand_back(struct issuance_log *log, struct log_entry *list)
{
    struct log_entry *rest = NULL, **last = &rest;
    while (list) {
        struct log_entry *entry = list;
        list = entry->next;
        entry->next = NULL;
        if (entry->done) {
            entry->done(entry);
        } else {
            *last = entry;
            last = &entry->next;
        }
    }
    if (rest)
        log->config.on_written(log->config.ctx, rest);
}

static void
refuse(struct issuance_log *log, struct log_entry *list)
{
    for (struct log_entry *entry = list; entry; entry = entry->next)
        entry->rc = ATTEST_E_LOG;
    hand_back(log, list);
}

/* Gathers what fits into one batch, cuts it off *list and returns it; *n counts the records. */
static struct log_entry *
gather(struct issuance_log *log, struct log_entry **list, size_t *n)
{
    int64_t now_s = clock_wall_s(), now_ms = clock_mono_ms();
    struct log_entry *batch = *list, *entry = *list, **end = &batch;
    *n = 0;
    while (entry && chainlog_room(log->chain)) {
        if (entry->deadline_ms && entry->deadline_ms <= now_ms)
            entry->rc = ATTEST_E_TIMEOUT;
        else
            entry->rc = chainlog_add(log->chain, now_s, entry->body, NULL);
        *n += entry->rc == ATTEST_OK;
        end = &entry->next;
        entry = entry->next;
    }
    *end = NULL;
    *list = entry;
    return batch;
}

static void
write_all(struct issuance_log *log, struct log_entry *list)
{
    while (list) {
        if (!chainlog_ok(log->chain)) {
            refuse(log, list);
            return;
        }
        publish(log, 0, clock_mono_ms());
        size_t n;
        struct log_entry *batch = gather(log, &list, &n);
        if (chainlog_commit(log->chain, NULL)) {
            n = 0;
            for (struct log_entry *entry = batch; entry; entry = entry->next)
                entry->rc = entry->rc ? entry->rc : ATTEST_E_LOG;
        }
        if (publish(log, n, 0))
            tell_state(log);
        hand_back(log, batch);
    }
}

/* Tries when *retry_ms has come; sets the next time. */
static void
recover(struct issuance_log *log, int64_t *retry_ms, int64_t *back_off_ms)
{
    if (chainlog_ok(log->chain)) {
        *back_off_ms = BACK_OFF_FIRST_MS;
        *retry_ms = 0;
        return;
    }
    int64_t now_ms = clock_mono_ms();
    if (*retry_ms == 0)
        *retry_ms = now_ms + *back_off_ms;
    if (*retry_ms > now_ms)
        return;
    publish(log, 0, now_ms);
    (void)chainlog_recover(log->chain, NULL);
    *back_off_ms = *back_off_ms * 2 > BACK_OFF_MOST_MS ? BACK_OFF_MOST_MS : *back_off_ms * 2;
    *retry_ms = clock_mono_ms() + *back_off_ms;
    if (publish(log, 0, 0))
        tell_state(log);
}

/* Lock held. Until something waits, the stop, or retry_ms (0: none). */
static void
wait_for_more(struct issuance_log *log, int64_t retry_ms)
{
    log->waiting = true;
    log->wake_at = 1;
    if (retry_ms == 0) {
        pthread_cond_wait(&log->more, &log->lock);
    } else {
        struct timespec t = {.tv_sec = retry_ms / 1000, .tv_nsec = retry_ms % 1000 * 1000000};
        pthread_cond_timedwait(&log->more, &log->lock, &t);
    }
    log->waiting = false;
}

/*
 * Lock held. On a fast disk each token would get an fsync nearly of its own, which costs more CPU
 * than all else that is done for it. When many are under way, a moment's wait for some of them is
 * less than what they wait for a signature anyway; a lone request waits for nobody.
 */
static void
wait_for_company(struct issuance_log *log)
{
    unsigned under_way = atomic_load_explicit(&log->under_way, memory_order_relaxed);
    if (under_way < COMPANY_MIN || !log->first)
        return;
    log->wake_at = under_way / 2 < COMPANY_MAX ? under_way / 2 : COMPANY_MAX;
    int64_t until_ms = clock_mono_ms() + COMPANY_MS;
    struct timespec t = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    while (log->n < log->wake_at && !log->stop) {
        log->waiting = true;
        if (pthread_cond_timedwait(&log->more, &log->lock, &t) == ETIMEDOUT)
            break;
    }
    log->waiting = false;
}

static void *
log_thread(void *arg)
{
    struct issuance_log *log = arg;
    int64_t retry_ms = 0, back_off_ms = BACK_OFF_FIRST_MS;
    bool stop = false;
    while (!stop) {
        recover(log, &retry_ms, &back_off_ms);
        pthread_mutex_lock(&log->lock);
        if (!log->first && !log->stop)
            wait_for_more(log, retry_ms);
        wait_for_company(log);
        struct log_entry *list = log->first;
        log->first = NULL;
        log->n = 0;
        log->last = &log->first;
        stop = log->stop && !list;
        pthread_mutex_unlock(&log->lock);
        write_all(log, list);
    }
    return NULL;
}

/* ---- life ---- */

enum attest_rc
issuance_log_open(const struct issuance_log_config *config, struct issuance_log **ret,
                  struct attest_error *err)
{
    struct chainlog *chain = NULL;
    enum attest_rc rc = chainlog_open(&config->chain, &chain, err);
    if (rc)
        return rc;
    struct issuance_log *log = calloc(1, sizeof(*log));
    if (!log) {
        chainlog_close(chain);
        return error_set(err, ATTEST_E_NOMEM, "no memory for the issuance log");
    }
    log->config = *config;
    log->chain = chain;
    log->last = &log->first;
    pthread_mutex_init(&log->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&log->more, &attr);
    pthread_condattr_destroy(&attr);
    publish(log, 0, 0);
    *ret = log;
    return ATTEST_OK;
}

enum attest_rc
issuance_log_start(struct issuance_log *log, struct attest_error *err)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    int e = pthread_create(&log->thread, &attr, log_thread, log);
    pthread_attr_destroy(&attr);
    if (e)
        return error_errno(err, ATTEST_E_INTERNAL, e, "starting the issuance log's thread");
    log->started = true;
    return ATTEST_OK;
}

void
issuance_log_close(struct issuance_log *log)
{
    if (!log)
        return;
    if (log->started) {
        pthread_mutex_lock(&log->lock);
        log->stop = true;
        pthread_cond_signal(&log->more);
        pthread_mutex_unlock(&log->lock);
        pthread_join(log->thread, NULL);
    }
    chainlog_close(log->chain);
    pthread_cond_destroy(&log->more);
    pthread_mutex_destroy(&log->lock);
    free(log);
}
