/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_WATCH_H
#define ISSUER_WATCH_H

#include "issuer/conns.h"

/*
 * Sees the bytes of clients before libmicrohttpd parses them where they lie. Its parser treats NUL
 * as the end of a string and itself overwrites line ends by NUL, so that afterwards "X: y" NUL LF
 * and "X: y" CR LF look the same, and two readers could disagree where a head ends. No request of
 * ours has a NUL, in the head or in the body; who sends one is marked (conn->saw_nul), and the
 * audit refuses.
 *
 * recv(2), and in issuer/tls.c gnutls_record_recv(), are therefore defined by this program, in
 * front of the C library's and GnuTLS's; for other descriptors they do nothing more.
 */
void watch_begin(struct conns *conns);
void watch_end(void);

/* What was read from fd, decrypted if need be. */
void watch_bytes(int fd, const void *p, size_t len, bool decrypted);

#endif
