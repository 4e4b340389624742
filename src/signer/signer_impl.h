/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_SIGNER_IMPL_H
#define SIGNER_SIGNER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "hsm/keystore.h"
#include "signer/clock_watch.h"
#include "signer/issuance_log.h"
#include "signer/key_list.h"
#include "signer/mint.h"
#include "signer/publish.h"
#include "signer/rollover_policy.h"
#include "signer/server.h"
#include "signer/signer_config.h"

/*
 * What the parts of the running signer share. Five kinds of threads:
 *
 *   loop      the main thread: server, requests, readiness; owns everything below that says so
 *   workers   the keystore's: call mint_signed()
 *   log       the issuance log's: calls signer_written()
 *   ops       for what blocks and is rare: making keys, checkpoints, the database
 *   quoting   for quotes alone: strangers ask for them, and nothing of ours is to wait behind them
 *
 * Whatever comes back to the loop is put into `back`, and the loop is woken once.
 */
struct signer;

/*
 * One thing for an ops thread, the first member of what it needs. The thread owns it between
 * ops_push() and the call of done().
 */
struct op {
    struct op *next;
    void (*run)(struct signer *s, struct op *op);  /* in that thread */
    void (*done)(struct signer *s, struct op *op); /* in the loop; frees the op */
    void (*release)(struct op *op);                /* frees it undone, at the end; NULL: free() */
    uint64_t conn;                                 /* who asked, when somebody did */
    int64_t id;
    uid_t uid;
    enum attest_rc rc;
    struct attest_error err;
};

struct signer_back {
    pthread_mutex_t lock;
    struct log_entry *jobs, **last_job; /* mint jobs, through their entries */
    struct op *ops, **last_op;
};

/* What was said ahead of a change: how often, of the one that is to happen at at_s. */
struct notice {
    int64_t at_s;
    unsigned level;
};

struct signer {
    const struct signer_config *config;
    struct rollover_policy policy; /* changed by the loop under back.lock */
    struct mint_limits limits;
    struct subject_name *names;
    struct key_records *records; /* the ops thread's, once it runs */
    struct issuance_log *log;
    struct keystore *keystore;
    struct server *server;
    struct signer_back back;
    _Atomic int keystore_state;
    atomic_bool refresh_wanted; /* something came that subscribers may have to know */
    atomic_bool passive;        /* the token is another's: no key changes, no token is made */
    atomic_bool lease_lost;     /* another took it */
    atomic_bool clock_jumped;
    char instance[37];                      /* ours; constant once started */
    char boot_id[41];                       /* the same */
    struct keystore_lease own_lease, lease; /* ours, and whose it is; under back.lock */
    struct clock_watch clock;               /* under back.lock */
    int64_t repair_not_before_ms;           /* the ops thread's */

    struct ops *ops, *quoting;

    /* The loop's own. */
    struct key_list keys;
    struct mint_job *free_jobs;
    unsigned n_free_jobs, in_flight, ops_pending;
    struct buf keyset;  /* the members of a keyset answer, as last sent */
    struct buf scratch; /* for the next one */
    char why[200];      /* why it is not ready */
    char objection[96]; /* the same, of the life of keys */
    int was_ready;      /* -1: not looked yet */
    int64_t started_s;
    bool start_recorded, start_running, said_ready;
    bool checkpoint_running;
    uint64_t covered; /* records that a checkpoint, or a failed try at one, has taken care of */
    int64_t covered_ms;
    bool lease_checking, lease_renewal; /* it is from before this start */
    int64_t lease_checked_ms;
    bool stepping; /* the rollover loop has a step done */
    int64_t step_not_before_ms, step_back_off_ms;
    int64_t relax_s; /* when the configuration's shorter terms begin to hold; 0: they do */
    /* The key that signed before the last change, and until when: for KEY_LATE. */
    char signed_by[JWK_THUMBPRINT_LEN + 1];
    int64_t signed_last_s, correct_not_before_ms;
    bool correcting;
    struct notice told_takeover, told_next;
    struct publication publication;
    struct {
        bool running;
        int64_t not_before_ms;
        char ak_name[2 * (2 + SHA256_LEN) + 1]; /* hex, as last seen; empty before */
    } quotes;
    struct key_list imported; /* what has come of an import so far */
    size_t keys_unknown;      /* on the token without a record, when we started */
    bool stopping, final_checkpoint, abandoned;
    int64_t stop_by_ms;
    int64_t watchdog_ms, watchdog_last_ms;
    int exit_status;
};

/* ---- signer.c ---- */

/* From any thread: back to the loop. */
void signer_back_job(struct signer *s, struct mint_job *job);
void signer_back_op(struct signer *s, struct op *op);

struct mint_job *signer_job_take(struct signer *s);
void signer_job_give(struct signer *s, struct mint_job *job);

/* ---- keyset.c ---- */

/* Why no token can be minted now, and the answer that this makes; ATTEST_OK when one can. */
enum attest_rc signer_ready(struct signer *s, int64_t now_s, const char **why);

/* Compares what subscribers know with what is; tells them when it differs. */
void signer_refresh(struct signer *s);

/* The rest of a keyset answer behind `"ok":true`. */
void signer_write_keyset(struct signer *s, struct buf *out);

/* ---- checkpoints.c ---- */

/* In the loop: begins a checkpoint when one is due; one that covers so many records, at once. */
void checkpoint_if_due(struct signer *s);
void checkpoint_start(struct signer *s, uint64_t covers);
/* How many records no checkpoint covers; log is filled. */
uint64_t checkpoint_uncovered(struct signer *s, struct issuance_log_status *log);

/* Has the start recorded, and the configuration when it is another than last time. */
void record_start(struct signer *s);
/* Says "ready", once. */
void signer_say_ready(struct signer *s);

/* ---- requests.c ---- */

/* server_config.on_frame: the request table. */
bool signer_on_frame(void *ctx, struct server_conn *conn, char *body, size_t body_len,
                     struct attest_error *err);
/* A job that came back: its answer. */
void signer_answer(struct signer *s, const struct mint_job *job);

/* Whether the table has this op for this socket; for tests too. */
bool signer_request_permitted(struct slice op, enum server_socket socket);

/* ---- ops.c ---- */

enum attest_rc ops_start(struct signer *s, struct ops **ret, struct attest_error *err);
/* Runs what was pushed, ends the thread. */
void ops_stop(struct ops *ops);
/* From the loop. What is urgent comes before all that waits. */
void ops_push(struct ops *ops, struct op *op);
void ops_push_urgent(struct ops *ops, struct op *op);

/* In the ops thread: writes one record and waits until it is durable, request_timeout_ms at most. A
 * disk that hangs must not keep those waiting who come after; whether the record was written is not
 * known then. */
enum attest_rc ops_record(struct signer *s, const struct buf *body, struct attest_error *err);

#endif
