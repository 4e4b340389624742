/* SPDX-License-Identifier: MIT */
#ifndef BENCH_RESPONSE_H
#define BENCH_RESPONSE_H

#include "base/bytes.h"

/*
 * Reading one HTTP/1.1 response (RFC 9112) as far as a load program needs it: the status, the
 * length by Content-Length, whether the connection stays. Other framing is reported as bad, because
 * our servers do not use it for what is measured.
 */
enum response_state {
    RESPONSE_MORE, /* not all of it is there yet */
    RESPONSE_DONE,
    RESPONSE_BAD,
};

struct response {
    int status;
    size_t total_len; /* head and body */
    struct slice body;
    bool closes;
};

/* Looks at the start of what was received. ret is set on RESPONSE_DONE and borrows from data. */
enum response_state response_read(struct slice data, struct response *ret);

#endif
