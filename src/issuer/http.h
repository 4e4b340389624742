/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_HTTP_H
#define ISSUER_HTTP_H

#include <microhttpd.h>

#include "issuer/audit.h"
#include "issuer/conns.h"
#include "issuer/problem.h"

struct issuer;
struct route;

/*
 * The HTTP server: libmicrohttpd's threads, and the way of one request through them. The library
 * calls us at the first line, when the head is complete, for each piece of the body and when that
 * is complete; answering at the head closes the connection, which is what odd requests get, so
 * others are answered at the end even if the answer is known before.
 */

enum exchange_phase {
    EXCHANGE_LINE,    /* the first line is there */
    EXCHANGE_BODY,    /* the head is fine */
    EXCHANGE_WAITING, /* the connection is suspended */
    EXCHANGE_ANSWERED,
};

/* One request and its answer; one at a time on a connection, so it lives in the connection's place.
 */
struct exchange {
    struct issuer *issuer;
    struct conn *conn;
    struct MHD_Connection *mhd;
    enum exchange_phase phase;
    int64_t started_us; /* clock_mono_us() at the first line */
    struct audit_target target;
    struct audit_result head; /* its slices live until the answer */
    const struct route *route;
    unsigned early_status; /* known before the body: answer with this problem after it */
    const char *early_detail, *early_header, *early_header_value;
    char *body; /* content_length bytes; NULL when the route takes none */
    size_t body_len;
    void *work;                  /* the handler's, while suspended */
    struct MHD_Response *answer; /* set while suspended */
    unsigned answer_status;
};

struct http;

struct http_config {
    struct issuer *issuer;
    struct conns *conns;
    unsigned threads, connections_max, idle_timeout_s;
    bool tls;           /* some listeners speak TLS: tls_init() was called */
    bool plain_is_rare; /* plain connections are for the admin only: one thread will do */
    /* A test's: called for each request that passes the audit, before it is handled. */
    void (*observe)(void *ctx, const char *method, struct slice path);
    void *observe_ctx;
};

/* Starts the threads; they serve what http_serve() brings. */
enum attest_rc http_new(const struct http_config *config, struct http **ret,
                        struct attest_error *err);
/* Ends them, closing what is open. No exchange may be suspended any more. */
void http_free(struct http *http);
DEFINE_AUTO(http, struct http *, http_free);

/* As struct door_config wants it; ctx is the struct http. */
bool http_serve(void *ctx, struct conn *conn, const struct sockaddr *sa, socklen_t sa_len);

/* Answers; the response stays the caller's. Only from the library's call for this exchange. */
enum MHD_Result http_answer(struct exchange *x, unsigned status, struct MHD_Response *response);
/* Answers with bytes, which are copied. cache is the Cache-Control, type the Content-Type. */
enum MHD_Result http_answer_bytes(struct exchange *x, unsigned status, const char *type,
                                  const char *cache, struct slice body);
enum MHD_Result http_problem(struct exchange *x, unsigned status, const char *detail,
                             const char *member, const char *header, const char *header_value);

/* A problem as a response, to be answered later; NULL when out of memory. */
struct MHD_Response *http_problem_response(unsigned status, const char *detail, const char *member,
                                           const char *request_id, const char *header,
                                           const char *header_value);
/* A response with these bytes, copied, and headers; NULL when out of memory. */
struct MHD_Response *http_response(struct slice body, const char *type, const char *cache);

/* Lets the client's connection sleep until http_wake(), from any thread, hands in the answer. */
void http_sleep(struct exchange *x);
/* response NULL: out of memory, the connection is closed. Takes the response. */
void http_wake(struct exchange *x, unsigned status, struct MHD_Response *response);

#endif
