/* SPDX-License-Identifier: MIT */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "base/json.h"

/*
 * The frames between attestd, attestctl and attest-signer (docs/protocol.md, section 6): a 4-byte
 * big-endian length of at most FRAME_BODY_MAX and that many bytes of one JSON object. Here are the
 * bytes only: no sockets, no clock. Everything is thread-safe on distinct arguments.
 */
#define FRAME_HEAD_LEN 4
#define FRAME_BODY_MAX 65536
#define FRAME_ID_MAX INT64_C(9007199254740991) /* 2^53 - 1 */

/* What any frame may hold at most; the nodes that a reader brings bound it further. */
extern const struct json_limits frame_limits;

enum frame_found {
    FRAME_NONE,  /* not all of it is there yet */
    FRAME_WHOLE, /* body and taken_len are set */
    FRAME_BAD,   /* no length that may be: empty or longer than FRAME_BODY_MAX */
};

struct frame {
    char *body; /* inside the bytes searched; the JSON reader will change it */
    size_t body_len;
    size_t taken_len; /* head and body */
};

/* Looks at the first len bytes of what came in. */
enum frame_found frame_find(char *p, size_t len, struct frame *ret);

/*
 * Writing: the head's place is kept by frame_open(), filled by frame_close(). Between them the
 * caller appends the JSON. frame_close() is false, and takes the frame back out of the buffer, when
 * an append failed or the body is empty or too long; the buffer's own rc is left as it is.
 */
size_t frame_open(struct buf *out);
bool frame_close(struct buf *out, size_t start);

/* A request: an object with `id` (1 to FRAME_ID_MAX) and `op`. */
struct frame_request {
    int64_t id;
    struct slice op;
    const struct json *json;
    const struct json_node *root; /* for the members that belong to the op */
};

/* ATTEST_OK or ATTEST_E_MALFORMED. The result borrows from j and from body, which is changed. */
enum attest_rc frame_read_request(struct json *j, char *body, size_t body_len,
                                  struct frame_request *ret, struct attest_error *err);

/* One whole request frame. members is JSON text without braces ("\"purpose\":\"token\"") or empty.
 */
bool frame_put_request(struct buf *out, int64_t id, const char *op, struct slice members);

/* An answer: `ok` true and the op's members, or `error`. */
struct frame_answer {
    int64_t id; /* 0 for an answer made on this side */
    /* ATTEST_OK, or what the signer said; on this side ATTEST_E_IO (connection lost) and
     * ATTEST_E_TIMEOUT. A code that this version does not know is ATTEST_E_INTERNAL. */
    enum attest_rc rc;
    struct slice text;   /* a sentence; empty when rc is ATTEST_OK */
    struct slice member; /* the request's member at fault, or empty */
    const struct json *json;
    const struct json_node *root; /* NULL for an answer made on this side */
};

enum attest_rc frame_read_answer(struct json *j, char *body, size_t body_len,
                                 struct frame_answer *ret, struct attest_error *err);

/*
 * The beginning of a good answer, {"id":n,"ok":true — the caller adds ,"name":value… and } — and
 * the whole body of a bad one. text and member may be NULL; both are cut to 159 bytes.
 */
void frame_put_ok(struct buf *out, int64_t id);
void frame_put_error(struct buf *out, int64_t id, enum attest_rc rc, const char *text,
                     const char *member);

/* A string or an integer member of an answer or request; false when absent or of another type. */
bool frame_string(const struct json *j, const struct json_node *object, const char *name,
                  struct slice *ret);
bool frame_int64(const struct json *j, const struct json_node *object, const char *name,
                 int64_t *ret);

#endif
