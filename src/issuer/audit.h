/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_AUDIT_H
#define ISSUER_AUDIT_H

#include "base/bytes.h"

/*
 * Whether the head of a request has one reading only (RFC 9112). Pure.
 *
 * The goal: no byte that any reading assigns to a body reaches a handler as a request. So what a
 * proxy in front could have read otherwise than we did is refused, and its connection closed: other
 * line ends than CRLF, folded lines, NUL, odd spacing, any Transfer-Encoding, several or odd
 * Content-Lengths, a body where none belongs, several or odd Hosts.
 *
 * libmicrohttpd 0.9.75 parses a head where it lies and overwrites line ends by NUL. The places of
 * method, target, version and headers in its buffer then tell how each line ended: a bare LF leaves
 * one byte between two lines, CRLF two, a folded line or a NUL inside more. The one shape that
 * looks like CRLF afterwards is NUL LF; saw_nul is for that.
 */

#define AUDIT_HEADERS_MAX 64

struct audit_header {
    struct slice name, value;
};

/*
 * The request target, looked at as soon as the first line is there: later the library cuts its
 * query into arguments in place.
 */
struct audit_target {
    struct slice whole;     /* as received */
    struct slice authority; /* of the absolute form; p NULL otherwise */
    struct slice path;      /* without query */
    bool ok;                /* only bytes that a URL has, and the authority is one */
};

void audit_target(struct slice whole, struct audit_target *ret);

struct audit_request {
    struct slice method, version;
    struct audit_target target;
    const struct audit_header *headers; /* in the order received */
    size_t n_headers;
    /* Behind the empty line that ends the head, all in one buffer with the slices above; NULL when
     * the library tells it not, and refuses those shapes itself. */
    const char *head_end;
    bool saw_nul; /* the peer sent a NUL somewhere on this connection */
};

struct audit_result {
    unsigned status;        /* 0: nothing odd; else answer this and close */
    const char *detail;     /* a sentence, static */
    int64_t content_length; /* -1: none */
    bool http10, expect_continue;
    /* Header values, p NULL when absent. if_none_match is the first of them. */
    struct slice host, content_type, if_none_match, origin;
};

void audit_request(const struct audit_request *request, struct audit_result *ret);

#endif
