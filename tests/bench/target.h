/* SPDX-License-Identifier: MIT */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/bytes.h"

/*
 * Where a load program may send: this machine and nothing else.
 *
 *     127.0.0.1:8080      any address of 127.0.0.0/8
 *     [::1]:8080
 *     unix:/path
 *
 * Names are not looked up.
 */
struct target {
    struct sockaddr_storage addr;
    socklen_t addr_len;
    char host[128]; /* for the Host header */
};

/* ATTEST_E_ARGUMENT for another form, ATTEST_E_DENIED for an address outside this machine. */
enum attest_rc target_parse(const char *text, struct target *ret, struct attest_error *err);

/*
 * A connected stream socket, close-on-exec, without Nagle's delay; the connection itself is made
 * blocking, the descriptor is then made non-blocking when asked. -1 and errno on failure.
 */
int target_connect(const struct target *t, bool nonblocking);

#endif
