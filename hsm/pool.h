/* SPDX-License-Identifier: MIT */
#ifndef HSM_POOL_H
#define HSM_POOL_H

#include <stdatomic.h>

#include "hsm/keystore.h"

/*
 * The threads behind a keystore. It knows nothing of PKCS#11.
 *
 *   workers    take signatures from one bounded queue and call ops->sign(); a call may hang
 *   checkers   verify what came back and answer, so that a slow device never waits for our CPU;
 *              when nothing else is queued a worker does that itself and saves the hand-over
 *   control    one thread for everything else that enters the module: operations that a caller
 *              waits for (pool_run) and ops->tend()
 *   watcher    never enters the module: ends what is queued past its deadline, and marks a worker
 *              lost whose call exceeds call_timeout_ms
 *
 * A hung call cannot be cancelled. Its worker is lost: the signature is answered with
 * ATTEST_E_TIMEOUT and nothing that the call may still touch is shared or freed. Should the call
 * return, the worker serves again. When all workers are lost, or control is, the pool is dead; but
 * where workers sign without control (control_may_hang), its operations are refused until it is
 * back, and nothing else ends.
 *
 * All functions are thread-safe. Callbacks run without a lock of the pool held, on threads with a
 * stack of POOL_STACK_SIZE bytes and all signals blocked.
 */

#define POOL_STACK_SIZE (256 * 1024)

/* When the call into the module that runs now began (clock_mono_ms()), 0 when none does. */
struct pool_beat {
    _Atomic int64_t since_ms;
};

struct pool_ops {
    /* On worker number `worker`; key and msg stay valid even when the call is given up. */
    enum attest_rc (*sign)(void *ctx, unsigned worker, const struct key_ref *key, struct slice msg,
                           uint8_t sig[PUBKEY_SIG_LEN]);
    /* What this worker signed last did not verify. From any thread. */
    void (*bad_signature)(void *ctx, unsigned worker);
    /* On the control thread; returns the clock_mono_ms() at which it wants to be called again. */
    int64_t (*tend)(void *ctx);
    /* From the watcher, once: the pool is dead. */
    void (*dead)(void *ctx, const char *why);
    /* After pool_free() returned false: the last call that hung came back, ctx may be freed. */
    void (*released)(void *ctx);
};

struct pool_config {
    unsigned workers;
    unsigned queue_max;
    unsigned call_timeout_ms;
    bool control_may_hang; /* the workers need nothing of it */
    const struct pool_ops *ops;
    void *ctx;
};

struct pool;

/* Starts the threads; signatures are refused until pool_open_gate(). ATTEST_E_NOMEM, _INTERNAL. */
enum attest_rc pool_new(const struct pool_config *config, struct pool **ret,
                        struct attest_error *err);
/*
 * Ends the threads that are not lost after what they do now. False when some are: then what their
 * calls may still touch, the pool and ctx, lives on until ops->released(), if that ever comes.
 */
bool pool_free(struct pool *pool);

/* The beat of a worker, or with worker == config.workers of the control thread. */
struct pool_beat *pool_beat(struct pool *pool, unsigned worker);

/* As keystore_sign(). ATTEST_E_LIMIT when msg is longer than POOL_MSG_MAX. */
#define POOL_MSG_MAX (256 * 1024)
enum attest_rc pool_sign(struct pool *pool, const struct key_ref *key, struct slice msg,
                         int64_t deadline_ms, keystore_signed *done, void *ctx);

/*
 * The gate: closed, pool_sign() answers ATTEST_E_KEY_OUT_OF_REACH. pool_close_gate() hands out what
 * was queued, to be answered by pool_refuse() once the caller holds no lock.
 */
struct pool_job;
void pool_open_gate(struct pool *pool);
struct pool_job *pool_close_gate(struct pool *pool);
void pool_refuse(struct pool *pool, struct pool_job *jobs);

/*
 * Between the two no worker is inside ops->sign(), lost ones excepted. Waits for what runs, which
 * the watcher bounds by call_timeout_ms a call. Control thread only. Returns how many are lost.
 */
unsigned pool_pause(struct pool *pool);
void pool_resume(struct pool *pool);

/*
 * An operation for the control thread, embedded in a heap object. pool_run() waits for it.
 * ATTEST_OK: op->run has returned and the caller owns op again. Else: the control thread is lost
 * or the pool ends; op is no longer the caller's, op->release gets it when nothing can touch it.
 * ATTEST_E_TIMEOUT: it is what hangs, and goes on to its end should the call return;
 * ATTEST_E_KEY_OUT_OF_REACH: it never began.
 */
struct pool_op {
    void (*run)(void *ctx, struct pool_op *op);
    void (*release)(struct pool_op *op);
    struct pool_op *next; /* the rest is the pool's */
    bool done, abandoned;
};
enum attest_rc pool_run(struct pool *pool, struct pool_op *op);
/* Calls ops->tend() soon. */
void pool_wake_control(struct pool *pool);

/* Fills all of it but state and reconnects. */
void pool_stats(struct pool *pool, struct keystore_stats *ret);
void pool_count_sign_cpu(struct pool *pool, int64_t ns);
bool pool_worker_lost(struct pool *pool, unsigned worker);

static inline void
pool_beat_start(struct pool_beat *beat, int64_t now_ms)
{
    /* Whoever sees the call run also sees that the worker is done with the caller's message. */
    if (beat)
        atomic_store_explicit(&beat->since_ms, now_ms, memory_order_release);
}

static inline void
pool_beat_stop(struct pool_beat *beat)
{
    if (beat)
        atomic_store_explicit(&beat->since_ms, 0, memory_order_relaxed);
}

#endif
