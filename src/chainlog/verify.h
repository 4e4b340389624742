/* SPDX-License-Identifier: MIT */
#ifndef CHAINLOG_VERIFY_H
#define CHAINLOG_VERIFY_H

#include "chainlog/record.h"

/*
 * The reader of a whole chained log: every record's sequence number, every link of the chain, every
 * checkpoint. Reads only; may run while a writer writes, and then sees some end of the log. For one
 * thread.
 */

/*
 * A record of the chain, in order. line, line_len: as it stands in the file. void_ is true for what
 * stands behind the last durable record of a segment whose writing failed: those count for nothing.
 * Anything but ATTEST_OK ends the verification with that.
 */
typedef enum attest_rc chainlog_visit(void *ctx, const struct chainlog_record *record, bool is_void,
                                      struct attest_error *err);

/*
 * Judges a checkpoint (compact JWS, typ attest-checkpoint+jwt) and says what it vouches for. The
 * signature is the caller's to check; that the chain holds this record with this hash is checked
 * here. Anything but ATTEST_OK ends the verification with that.
 */
typedef enum attest_rc chainlog_checkpoint(void *ctx, struct slice jws, struct chainlog_head *ret,
                                           struct attest_error *err);

struct chainlog_checks {
    chainlog_visit *visit;           /* may be NULL */
    chainlog_checkpoint *checkpoint; /* NULL: counted, not judged */
    void *ctx;
};

struct chainlog_report {
    uint64_t segments, records, voided, checkpoints;
    uint64_t checkpoint_seq; /* the last record that a judged checkpoint vouches for */
    struct chainlog_head head;
    size_t torn_len;  /* bytes behind the last record of the last segment */
    uint32_t segment; /* where it ended, or where the fault is */
    uint64_t line;    /* of that segment, from 1 */
};

/*
 * ATTEST_OK: the chain is whole from its first record to report->head. ATTEST_E_CORRUPT: it is not;
 * report says where. ATTEST_E_IO, ATTEST_E_NOMEM, or what a callback returned.
 *
 * A log is whole that begins with record 1. A checkpoint must vouch for one of the 65,536 records
 * before it.
 */
enum attest_rc chainlog_verify(const char *dir, const struct chainlog_checks *checks,
                               struct chainlog_report *report, struct attest_error *err);

/* Whether some segment holds this very record. ATTEST_OK, ATTEST_E_NOT_FOUND, ATTEST_E_IO. */
enum attest_rc chainlog_find(const char *dir, const struct chainlog_head *known,
                             struct attest_error *err);

#endif
