/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REDIS_STREAM_H
#define REPLAY_REDIS_STREAM_H

#include "replay/redis_target.h"

/*
 * Bytes to a Redis and back, over a UNIX socket, TCP or TLS. Nothing waits longer than until a
 * deadline of clock_mono_ms(), but the look-up of a host's name. Not thread-safe. No SIGPIPE.
 * ATTEST_E_TIMEOUT or ATTEST_E_IO of any call: it is of no more use.
 */
struct redis_stream {
    int fd;             /* -1: none */
    struct ssl_st *tls; /* NULL: in the clear */
};

/*
 * Connects, and shakes hands for rediss://. Addresses of a name are tried one after the other, each
 * for its share of the time. ATTEST_E_CONFIG (ca_file), ATTEST_E_NOMEM. To be closed in any case.
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

/* For redis_tls.c: until one of these events of poll(). */
enum attest_rc redis_stream_wait(const struct redis_stream *s, short events, int64_t deadline_ms,
                                 struct attest_error *err);

/*
 * TLS over a connected socket. One try to send or receive gives the number of bytes, 0 when it must
 * be tried again behind *awaited, events of poll(), or -1.
 */
enum attest_rc redis_tls_start(struct redis_stream *s, const struct redis_target *target,
                               int64_t deadline_ms, struct attest_error *err);
void redis_tls_end(struct redis_stream *s);
ssize_t redis_tls_send(struct ssl_st *tls, struct slice bytes, short *awaited,
                       struct attest_error *err);
ssize_t redis_tls_receive(struct ssl_st *tls, char *p, size_t len, short *awaited,
                          struct attest_error *err);

#endif
