/* SPDX-License-Identifier: MIT */
#ifndef CHAINLOG_RECORD_H
#define CHAINLOG_RECORD_H

#include "base/ed25519.h"
#include "base/json.h"

/*
 * One record of a chained log: one line of JSON that starts with `seq` and `time` and ends with
 * `prev`, the lower-case hex SHA-256 of the line before it, without that line's newline
 * (docs/protocol.md, section 7). Pure; thread-safe on distinct arguments.
 */
#define CHAINLOG_LINE_MAX 32768 /* bytes, the newline not counted */
#define CHAINLOG_NODES 512      /* JSON values and names in a record */

/* The end of a chain. Before the first record seq is 0 and the hash all zero. */
struct chainlog_head {
    uint64_t seq;
    uint8_t hash[SHA256_LEN];
};

bool chainlog_head_eq(const struct chainlog_head *a, const struct chainlog_head *b);

/*
 * Appends {"seq":…,"time":…,BODY,"prev":…} and a newline, and moves head on to it. body is JSON
 * text without braces, "op" among it, and must not hold the three names above. ATTEST_OK;
 * ATTEST_E_LIMIT (line too long, or out is full) or ATTEST_E_NOMEM, and then nothing is changed.
 */
enum attest_rc chainlog_record_write(struct buf *out, struct chainlog_head *head, int64_t time_s,
                                     struct slice body);

struct chainlog_record {
    struct chainlog_head head; /* its own seq and the hash of its line */
    uint8_t prev[SHA256_LEN];
    struct slice time, op;
    const struct json *json; /* the whole record, for its other members */
    const struct json_node *root;
};

/* Reads one line without its newline, changing it. ATTEST_OK or ATTEST_E_MALFORMED. */
enum attest_rc chainlog_record_read(struct json *j, char *line, size_t len,
                                    struct chainlog_record *ret, struct attest_error *err);

/* Whether record is the one that comes after head. */
bool chainlog_record_follows(const struct chainlog_record *record,
                             const struct chainlog_head *head);

#endif
