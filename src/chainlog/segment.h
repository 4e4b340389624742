/* SPDX-License-Identifier: MIT */
#ifndef CHAINLOG_SEGMENT_H
#define CHAINLOG_SEGMENT_H

#include "base/bytes.h"

/*
 * The files of a chained log: DIR/00000001.jsonl, 00000002.jsonl… in the order in which they were
 * begun; numbers may be missing. Other files in the directory are none of ours. For one thread.
 */
#define SEGMENT_NAME_SIZE 20
#define SEGMENT_NUMBER_MAX 99999999u

void segment_name(char out[SEGMENT_NAME_SIZE], uint32_t number);

/* Their numbers, ascending; free() *ret. *n is 0 when there is none. ATTEST_E_IO, _NOMEM. */
enum attest_rc segment_list(const char *dir, uint32_t **ret, size_t *n, struct attest_error *err);

/* Opens one for reading. ATTEST_E_IO. */
enum attest_rc segment_open(const char *dir, uint32_t number, int *ret, size_t *size,
                            struct attest_error *err);

/* Reads a file line by line. */
struct segment_reader {
    int fd; /* the caller's */
    struct buf buf;
    size_t at;     /* of the next line in buf */
    size_t offset; /* of buf's first byte in the file */
    bool eof;
};

enum segment_line {
    SEGMENT_LINE, /* a whole line */
    SEGMENT_TORN, /* bytes at the end without a newline, or a line longer than may be */
    SEGMENT_END,
    SEGMENT_FAILED, /* reading failed: errno */
};

void segment_reader_init(struct segment_reader *r, int fd, size_t offset);
void segment_reader_done(struct segment_reader *r);

/*
 * The next line, without its newline: writable, valid until the next call. *offset is where it
 * starts in the file; with SEGMENT_TORN and SEGMENT_END, where the lines end.
 */
enum segment_line segment_next(struct segment_reader *r, char **line, size_t *len, size_t *offset);

static inline void
segment_reader_auto(struct segment_reader *r)
{
    segment_reader_done(r);
}

#endif
