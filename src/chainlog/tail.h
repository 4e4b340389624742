/* SPDX-License-Identifier: MIT */
#ifndef CHAINLOG_TAIL_H
#define CHAINLOG_TAIL_H

#include "chainlog/record.h"

/*
 * What a process that is about to write finds at the end of a log that another one left, perhaps in
 * a crash. Only the end is read, some megabytes at most; the whole is chainlog_verify()'s. For one
 * thread.
 */
#define CHAINLOG_TORN_MAX 4 /* segments that may end in bytes that are no record */

struct chainlog_torn {
    uint32_t number;
    size_t from, len; /* bytes to be cut off; from 0: the whole file */
    uint8_t sha256[SHA256_LEN];
};

struct chainlog_tail {
    struct chainlog_head head;  /* of the last good record; seq 0: none */
    uint32_t number;            /* the segment that holds it, 0: none */
    uint32_t number_max;        /* of all segments */
    size_t window, end;         /* the bytes of that segment that were read: [window, end) */
    struct chainlog_head first; /* the first record of the window */
    struct chainlog_torn torn[CHAINLOG_TORN_MAX];
    size_t n_torn;
    struct buf hashes; /* of the window's records, in order */
};

void chainlog_tail_done(struct chainlog_tail *tail);

/* One writer at a time: ATTEST_E_BUSY when there is another. Held as long as dir_fd is open. */
enum attest_rc chainlog_tail_lock(int dir_fd, const char *dir, struct attest_error *err);

/* Reads only. ATTEST_E_CORRUPT when more is unreadable than a crash explains; ATTEST_E_IO. */
enum attest_rc chainlog_tail_find(const char *dir, struct chainlog_tail *ret,
                                  struct attest_error *err);

/* Whether the part that was read holds this record. */
bool chainlog_tail_holds(const struct chainlog_tail *tail, const struct chainlog_head *known);

/*
 * Cuts off the torn bytes and makes sure that what was read is on the disk too: it may be only in
 * the page cache, and after a failed fsync of the process before us the cache believes itself
 * clean. May be called again after it failed. ATTEST_E_LOG.
 */
enum attest_rc chainlog_tail_settle(int dir_fd, const char *dir, const struct chainlog_tail *tail,
                                    struct attest_error *err);

#endif
