/* SPDX-License-Identifier: MIT */
#ifndef CHAINLOG_CHAINLOG_H
#define CHAINLOG_CHAINLOG_H

#include "chainlog/record.h"

/*
 * The writer of a chained, append-only log: a directory of segments (segment.h) of records
 * (record.h). Records are gathered, then written and synced together. For one thread.
 *
 * A segment is appended to only by the process that made it, and never again after a write or sync
 * of it failed: what the kernel then holds of it is not known. The next segment begins with a
 * `recovered` record that names the last durable one; what stands behind that one in the failed
 * segment is void. Void records were never told to anyone as written.
 *
 * A crash leaves whole records, and perhaps bytes behind them that are none. Those are cut off when
 * the next process starts writing, and the cut is a record.
 *
 * Records that this room makes by itself, besides the three members of each:
 *   op recovered   last_seq, last_head, reason
 *   op cut         segment, bytes, sha256 (of the bytes cut off)
 *   op cut_off     known_seq, known_head, last_seq, last_head: see accept_cut_off
 */
struct chainlog;

#define CHAINLOG_BATCH_MAX (1u << 20) /* bytes gathered at most */

struct chainlog_config {
    const char *dir;      /* made when it is not there, mode 0700; held by flock() */
    size_t segment_bytes; /* a segment is ended before it grows beyond; one record may */
    /* A record known from elsewhere to have been durable; seq 0 when nothing is known. A log that
     * does not hold it was cut off or exchanged: ATTEST_E_CORRUPT, unless accept_cut_off, which
     * goes on from what is there and makes that a record. */
    struct chainlog_head known;
    bool accept_cut_off;
};

/*
 * Finds the end of the chain. Writes nothing, except for the directory, so that a full or read-only
 * disk does not hinder it: the log then has failed (chainlog_ok() is false) from the start, and
 * chainlog_recover() is to be tried.
 *
 * ATTEST_E_BUSY (another process holds it), ATTEST_E_CORRUPT (see above; or more unreadable bytes
 * at the end than one crash explains), ATTEST_E_IO, ATTEST_E_NOMEM.
 */
enum attest_rc chainlog_open(const struct chainlog_config *config, struct chainlog **ret,
                             struct attest_error *err);
/* What was added and not committed is dropped. */
void chainlog_close(struct chainlog *log);
DEFINE_AUTO(chainlog, struct chainlog *, chainlog_close);

/* Whether records may be added now. */
bool chainlog_ok(const struct chainlog *log);
/* Why not, in words; "" when it is ok. */
const char *chainlog_why(const struct chainlog *log);

/*
 * Makes the log writable: at the start, and after a failure by a new segment. ATTEST_OK, or
 * ATTEST_E_LOG: try again later.
 */
enum attest_rc chainlog_recover(struct chainlog *log, struct attest_error *err);

/* Whether another record of any size still fits into what is gathered. */
bool chainlog_room(const struct chainlog *log);

/*
 * Gathers one record; body as in chainlog_record_write(). ATTEST_OK, ATTEST_E_LIMIT (line too
 * long), ATTEST_E_LOG (the log has failed), ATTEST_E_NOMEM; then nothing was added.
 */
enum attest_rc chainlog_add(struct chainlog *log, int64_t time_s, struct slice body,
                            struct attest_error *err);

/*
 * Writes and syncs what was gathered, once for all. ATTEST_OK: all of it is durable. ATTEST_E_LOG:
 * none of it counts, the log has failed.
 */
enum attest_rc chainlog_commit(struct chainlog *log, struct attest_error *err);

/* The last durable record. */
struct chainlog_head chainlog_head(const struct chainlog *log);
/* The number of the segment that is being written, or the last one found. */
uint32_t chainlog_segment(const struct chainlog *log);

#endif
