/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REDIS_STREAM_H
#define REPLAY_REDIS_STREAM_H

#include "replay/redis_target.h"

/*
 * Bytes to a Redis and back, over a UNIX socket, TCP or TLS. Nothing waits longer than until a
 * deadline of clock_mono_ms(), but the look-up of a host's name. Not thread-safe. No SIGPIPE.
 * After an error of any call it is of no more use: ATTEST_E_TIMEOUT and ATTEST_E_IO when the other
 * side is not there, ATTEST_E_NOMEM and ATTEST_E_DENIED for what this process lacks or may not,
 * descriptors and rights to a socket included.
 */
struct redis_stream {
    int fd;             /* -1: none */
    struct ssl_st *tls; /* NULL: in the clear */
};

/*
 * Connects, and shakes hands for rediss://. Addresses of a name are tried one after the other, each
 * for its share of the time. Also ATTEST_E_CONFIG. To be closed in any case.
 */
enum attest_rc redis_stream_open(struct redis_stream *s, const struct redis_target *target,
                                 int64_t deadline_ms, struct attest_error *err);
void redis_stream_close(struct redis_stream *s);

enum attest_rc redis_stream_send(struct redis_stream *s, struct slice bytes, int64_t deadline_ms,
                                 struct attest_error *err);
/* At least one byte, at most len. */
enum attest_rc redis_stream_receive(struct redis_stream *s, char *p, size_t len, size_t *ret,
                                    int64_t deadline_ms, struct attest_error *err);
/* False when the other side has closed, or said what nobody asked for. */
bool redis_stream_quiet(const struct redis_stream *s);

/* Why a system call failed. */
enum attest_rc redis_stream_failed(int sys_errno, const char *what, struct attest_error *err);

/* What one try came to: bytes, or none and the events of poll() behind which to try again. */
struct redis_tried {
    size_t n;
    short awaited;
    bool is_last; /* it began behind the deadline */
};

/* For redis_tls.c: one try, and the wait behind one that came to nothing. */
struct redis_tried redis_stream_try(int64_t deadline_ms);
enum attest_rc redis_stream_wait(const struct redis_stream *s, const struct redis_tried *tried,
                                 int64_t deadline_ms, struct attest_error *err);

/* TLS over a connected socket. ATTEST_E_CONFIG: the other side refuses, or is another. */
enum attest_rc redis_tls_start(struct redis_stream *s, const struct redis_target *target,
                               int64_t deadline_ms, struct attest_error *err);
void redis_tls_end(struct redis_stream *s);
enum attest_rc redis_tls_send(struct ssl_st *tls, struct slice bytes, struct redis_tried *ret,
                              struct attest_error *err);
enum attest_rc redis_tls_receive(struct ssl_st *tls, char *p, size_t len, struct redis_tried *ret,
                                 struct attest_error *err);
/* Whether nothing that came lies unread. */
bool redis_tls_quiet(const struct ssl_st *tls);

#endif
