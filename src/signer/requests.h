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
/* Closes a good answer that frame_open() and frame_put_ok() began; one that is too long becomes an
 * error. */
void answer_close(struct server_conn *conn, struct buf *out, size_t start, int64_t id);

/* requests_key.c */
void on_key_list(struct signer *s, struct server_conn *conn, const struct frame_request *r);
void on_key_change(struct signer *s, struct server_conn *conn, const struct frame_request *r);

/* requests_move.c */
void on_key_export(struct signer *s, struct server_conn *conn, const struct frame_request *r);
void on_key_import(struct signer *s, struct server_conn *conn, const struct frame_request *r);
void on_key_take_over(struct signer *s, struct server_conn *conn, const struct frame_request *r);
void on_accept_clock(struct signer *s, struct server_conn *conn, const struct frame_request *r);

#endif
