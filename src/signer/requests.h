/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_REQUESTS_H
#define SIGNER_REQUESTS_H

#include "signer/signer_impl.h"

/*
 * The handlers of the request table (requests.c), by what they are about, and how they answer. A
 * handler writes its answer to the connection now, or sees to it that it comes later.
 */

enum { OPS_MAX = 16 }; /* changes that may wait for the ops thread */

/* A whole answer that says no. */
void answer_error(struct server_conn *conn, int64_t id, enum attest_rc rc, const char *text,
                  const char *member);

/* A good answer: begun with `ok`, its members appended to out, ended. One that grows too long
 * becomes an error. */
struct answer {
    struct server_conn *conn;
    int64_t id;
    struct buf *out;
    size_t start;
};
struct answer answer_begin(struct server_conn *conn, int64_t id);
void answer_end(struct answer *a);
/* To who asked for an op that came back. False when nobody waits any more, or when the op failed:
 * that has been said then. */
bool answer_begin_op(struct signer *s, const struct op *op, struct answer *ret);

/* The number of the key that a page is to begin with, 0 without one; false: refused already. */
bool answer_page(struct server_conn *conn, const struct frame_request *r, size_t *from);

/* requests_key.c */
void on_key_list(struct signer *s, struct server_conn *conn, const struct frame_request *r);
void on_key_change(struct signer *s, struct server_conn *conn, const struct frame_request *r);

/* requests_move.c */
void on_key_export(struct signer *s, struct server_conn *conn, const struct frame_request *r);
void on_key_import(struct signer *s, struct server_conn *conn, const struct frame_request *r);
void on_key_take_over(struct signer *s, struct server_conn *conn, const struct frame_request *r);
void on_accept_clock(struct signer *s, struct server_conn *conn, const struct frame_request *r);

/* requests_quote.c */
void on_quote(struct signer *s, struct server_conn *conn, const struct frame_request *r);

#endif
