/* SPDX-License-Identifier: MIT */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "base/bytes.h"

/*
 * One bounded HTTP exchange, without a cache: https only, or http to a loopback host or over a UNIX
 * socket. No redirect is followed, no cookie or credential kept, no compressed answer asked for, no
 * .netrc read. Blocks. Thread-safe after fetch_init().
 */

/* Once, before threads start. Without libcurl all others return ATTEST_E_UNSUPPORTED. */
enum attest_rc fetch_init(struct attest_error *err);

struct fetch_request {
    const char *url;
    const char *unix_socket; /* NULL: by the URL's host */
    const char *body;        /* NULL: GET; else POST of body_len bytes of application/json */
    size_t body_len;
    const char *type;    /* the media type that an answer of 2xx must have */
    size_t answer_max;   /* bytes of the answer's body */
    long timeout_ms;     /* for everything */
    const char *ca_file; /* PEM; NULL: those of the system */
};

struct fetch_answer {
    long status;
    char type[64];     /* media type in lower case, without parameters; "" when there was none */
    int64_t max_age_s; /* how long it may be kept, its age taken off; -1: it does not say */
    int64_t retry_after_s; /* 0: it does not say */
    struct buf body;
};
#define FETCH_SECONDS_MAX 2147483648

/*
 * Fills *ret, whatever the status says; free it with fetch_answer_done() after ATTEST_OK.
 * ATTEST_E_CONFIG (a URL that is not allowed), ATTEST_E_IO (no answer), ATTEST_E_TIMEOUT,
 * ATTEST_E_LIMIT (too long), ATTEST_E_MALFORMED (2xx of another type).
 */
enum attest_rc fetch_once(const struct fetch_request *request, struct fetch_answer *ret,
                          struct attest_error *err);
void fetch_answer_done(struct fetch_answer *answer);

/* Whether this URL may be asked: https, or http on a loopback host. ATTEST_OK or _CONFIG. */
enum attest_rc fetch_url_check(const char *url, struct attest_error *err);

static inline void
fetch_answer_auto(struct fetch_answer *answer)
{
    fetch_answer_done(answer);
}

#endif
