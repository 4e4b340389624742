/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_ISSUANCE_LOG_H
#define SIGNER_ISSUANCE_LOG_H

#include "chainlog/chainlog.h"

/*
 * The issuance log's thread: group commit. It takes all records that wait, writes and syncs them
 * together, and hands them back; what comes meanwhile is the next batch. When the disk fails it
 * refuses what waits and tries a new segment, with back-off (50 ms doubling to 1 s), until one
 * holds.
 */
struct issuance_log;

/* One record on its way; embedded in the caller's own. */
struct log_entry {
    struct log_entry *next;
    struct slice body;   /* as in chainlog_add(); the caller's until handed back */
    int64_t deadline_ms; /* clock_mono_ms(): then it is not recorded any more; 0: none */
    /* Called from the log's thread when handed back, instead of on_written; may be NULL. */
    void (*done)(struct log_entry *entry);
    /* Handed back: ATTEST_OK (durable), ATTEST_E_LOG, ATTEST_E_TIMEOUT, ATTEST_E_LIMIT. */
    enum attest_rc rc;
};

struct issuance_log_config {
    struct chainlog_config chain;
    /* The entries of one batch without a `done` of their own, in order. */
    void (*on_written)(void *ctx, struct log_entry *list);
    /* Whether records can be written; called at each change. */
    void (*on_state)(void *ctx, bool ok, const char *why);
    void *ctx; /* both are called from the log's thread, without its lock held */
};

/* Opens the chain (errors of chainlog_open()); starts no thread. */
enum attest_rc issuance_log_open(const struct issuance_log_config *config,
                                 struct issuance_log **ret, struct attest_error *err);
/* ATTEST_E_INTERNAL when there is no thread to be had. */
enum attest_rc issuance_log_start(struct issuance_log *log, struct attest_error *err);
/* Writes what waits, hands it back, ends the thread. Nothing may be appended any more. */
void issuance_log_close(struct issuance_log *log);
DEFINE_AUTO(issuance_log, struct issuance_log *, issuance_log_close);

/* Hands over one entry; from any thread, never blocks on the disk. Each is handed back once. */
void issuance_log_append(struct issuance_log *log, struct log_entry *entry);
/*
 * How many are likely to be appended soon, those that wait already among them; a hint, from any
 * thread. When it is large the thread waits a little, at most 2 ms, so that more share one sync.
 */
void issuance_log_under_way(struct issuance_log *log, unsigned n);
/*
 * issuance_log_append() of a copy, and waiting: for rare records, not from the log's thread.
 * ATTEST_E_TIMEOUT when it is not known in time whether it was written.
 */
enum attest_rc issuance_log_append_wait(struct issuance_log *log, struct slice body,
                                        int64_t timeout_ms);

/* Thread-safe. */
struct issuance_log_status {
    bool ok;
    char why[sizeof(((struct attest_error *)0)->text)];
    struct chainlog_head head; /* the last durable record */
    uint32_t segment;
    uint64_t records, commits; /* since the start */
    int64_t busy_since_ms;     /* since when the thread is on the disk; 0: it is not */
};
void issuance_log_status(struct issuance_log *log, struct issuance_log_status *ret);

#endif
