/* SPDX-License-Identifier: MIT */
#ifndef BASE_SOCK_H
#define BASE_SOCK_H

#include <sys/types.h>

#include "base/bytes.h"

/* Stream sockets, non-blocking and close-on-exec. */

/*
 * Listens on a UNIX socket. A dead socket file is replaced, a live one is ATTEST_E_EXISTS, another
 * kind of file is left alone. mode and gid (gid -1: as it is) are set before anyone can connect.
 */
enum attest_rc sock_listen_unix(const char *path, mode_t mode, gid_t gid, int *ret,
                                struct attest_error *err);

/* Connects, blocking for at most timeout_ms. */
enum attest_rc sock_connect_unix(const char *path, int timeout_ms, int *ret,
                                 struct attest_error *err);

struct sock_peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};

/* SO_PEERCRED, on AF_UNIX only: on TCP the call succeeds and tells nothing. */
enum attest_rc sock_peer(int fd, struct sock_peer *ret, struct attest_error *err);

/* A user name or a number; ATTEST_E_CONFIG when there is no such user. */
enum attest_rc sock_uid(const char *name, uid_t *ret, struct attest_error *err);
enum attest_rc sock_gid(const char *name, gid_t *ret, struct attest_error *err);

#endif
