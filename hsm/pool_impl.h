/* SPDX-License-Identifier: MIT */
#ifndef HSM_POOL_IMPL_H
#define HSM_POOL_IMPL_H

#include <pthread.h>

#include "hsm/pool.h"

/* Shared by pool.c (queue, workers, checkers) and pool_threads.c (control, watcher, life). */

struct pool_job {
    struct pool_job *next;
    struct key_ref key;
    struct slice msg;
    int64_t deadline_ms;
    keystore_signed *done;
    void *ctx;
    unsigned worker;
    uint8_t sig[PUBKEY_SIG_LEN];
};

struct pool_queue {
    struct pool_job *head, **tail;
    unsigned n;
};

struct pool_worker {
    struct pool *pool;
    pthread_t thread;
    unsigned number;
    struct pool_job *job; /* what it signs; taken away when the worker is lost */
    bool started, exited, detached;
    bool owes_signal; /* to a checker, once the lock is free: else it would wake into it */
    _Atomic bool lost;
    struct pool_beat beat;
    /* The module reads this copy: a lost call may do so long after the caller's message is gone. */
    char *copy;
    size_t copy_size;
};

struct pool {
    struct pool_config config;
    pthread_mutex_t lock;

    struct pool_job *jobs, *jobs_free;
    unsigned jobs_max, jobs_used; /* beyond jobs_used they have never been touched */
    struct pool_queue queue;      /* waits for a worker */
    struct pool_queue checking;   /* signed, waits for a checker */
    pthread_cond_t work, check, quiet;
    unsigned workers_idle, checkers_idle;
    unsigned running, lost, pauses;
    bool gate, closing, dead;
    unsigned holders; /* while closing: threads left behind, and pool_free() itself */

    struct pool_worker *workers;
    pthread_t checkers[4];
    unsigned n_checkers;

    pthread_t control_thread, watcher_thread;
    bool control_started, control_exited, control_detached;
    bool control_lost, control_busy, control_wake;
    bool watcher_started, watcher_asleep, watcher_stop;
    pthread_cond_t control, op_done, watch;
    struct pool_op *ops, *op_running;
    struct pool_beat control_beat;

    _Atomic uint64_t signatures, failures, sign_cpu_ns, verify_cpu_ns;
};

void pool_queue_init(struct pool_queue *q);
void pool_queue_push(struct pool_queue *q, struct pool_job *job);
struct pool_job *pool_queue_pop(struct pool_queue *q);
/* Lock held. Takes everything out of q as a list. */
struct pool_job *pool_queue_take(struct pool_queue *q);

/* Lock not held. Answers a list of jobs with rc, unverified, and gives them back. */
void pool_answer(struct pool *pool, struct pool_job *jobs, enum attest_rc rc);

/* Lock held. Something begins that the watcher must bound. */
void pool_stir_watcher(struct pool *pool);

/* Lock held, and given up. The end of a thread that may have been left behind. */
void pool_let_go(struct pool *pool);

void *pool_worker_main(void *arg);
void *pool_checker_main(void *arg);
void *pool_control_main(void *arg);
void *pool_watcher_main(void *arg);

#endif
