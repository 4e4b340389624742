/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_SIGNER_IMPL_H
#define SIGNER_SIGNER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "hsm/keystore.h"
#include "signer/issuance_log.h"
#include "signer/key_list.h"
#include "signer/mint.h"
#include "signer/server.h"
#include "signer/signer_config.h"

/*
 * What the parts of the running signer share. Four kinds of threads:
 *
 *   loop      the main thread: server, requests, readiness; owns everything below that says so
 *   workers   the keystore's: call mint_signed()
 *   log       the issuance log's: calls signer_written()
 *   ops       one, for what blocks and is rare: making keys, checkpoints, the database
 *
 * Whatever comes back to the loop is put into `back`, and the loop is woken once.
 */
struct signer;

/* One thing for the ops thread. It owns the op between ops_push() and the call of done(). */
struct op {
    struct op *next;
    void (*run)(struct signer *s, struct op *op);  /* in the ops thread */
    void (*done)(struct signer *s, struct op *op); /* in the loop; frees what is its own */
    uint64_t conn;                                 /* who asked, when somebody did */
    int64_t id;
    uid_t uid;
    enum attest_rc rc;
    struct attest_error err;
    struct key_record key; /* key.generate: asked for, then made */
    uint64_t covers;       /* checkpoint: how many records it covers */
};

struct signer_back {
    pthread_mutex_t lock;
    struct log_entry *jobs, **last_job; /* mint jobs, through their entries */
    struct op *ops, **last_op;
};

struct signer {
    const struct signer_config *config;
    struct mint_limits limits;
    struct subject_name *names;
    struct key_records *records; /* the ops thread's, once it runs */
    struct issuance_log *log;
    struct keystore *keystore;
    struct server *server;
    struct signer_back back;
    _Atomic int keystore_state;
    atomic_bool refresh_wanted; /* something came that subscribers may have to know */

    struct ops *ops;

    /* The loop's own. */
    struct key_list keys;
    struct mint_job *free_jobs;
    unsigned n_free_jobs, in_flight, ops_pending;
    struct buf keyset;  /* the members of a keyset answer, as last sent */
    struct buf scratch; /* for the next one */
    char why[200];      /* why it is not ready */
    int was_ready;      /* -1: not looked yet */
    int64_t started_s;
    bool start_recorded, start_running, said_ready;
    bool checkpoint_running;
    uint64_t covered; /* records that a checkpoint, or a failed try at one, has taken care of */
    int64_t covered_ms;
    bool stopping, final_checkpoint;
    int64_t stop_by_ms;
    int64_t watchdog_ms, watchdog_last_ms;
    int exit_status;
};

/* ---- signer.c ---- */

/* From any thread: back to the loop. */
void signer_back_job(struct signer *s, struct mint_job *job);
void signer_back_op(struct signer *s, struct op *op);

/* Why no token can be minted now, and the answer that this makes; ATTEST_OK when one can. */
enum attest_rc signer_ready(struct signer *s, int64_t now_s, const char **why);

/* Compares what subscribers know with what is; tells them when it differs. */
void signer_refresh(struct signer *s);

struct mint_job *signer_job_take(struct signer *s);
void signer_job_give(struct signer *s, struct mint_job *job);

/* The rest of a keyset answer behind `"ok":true`. */
void signer_write_keyset(struct signer *s, struct buf *out);

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
/* From the loop. */
void ops_push(struct ops *ops, struct op *op);

/* What it does: op->key.purpose and .label are asked for. */
void op_generate(struct signer *s, struct op *op);
/* A checkpoint by the log key, when there is one; then the head into the database. */
void op_checkpoint(struct signer *s, struct op *op);
/* The record of the start, and of the configuration when it is another than last time. */
void op_start_record(struct signer *s, struct op *op);

#endif
