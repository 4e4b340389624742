/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_LISTEN_H
#define ISSUER_LISTEN_H

#include "base/config.h"

/* Where attestd serves: sockets from the configuration or from the service manager. */

struct listener {
    int fd; /* non-blocking, close-on-exec */
    bool is_unix, loopback, admin;
    char name[128]; /* as bound, for the log: "127.0.0.1:8080", "[::1]:8080", "unix:/path" */
    char *path;     /* of a socket file that we made, to be removed at the end; else NULL */
};

#define LISTENERS_MAX 32

struct listeners {
    struct listener at[LISTENERS_MAX];
    size_t n;
};

/* "ADDRESS:PORT", "[ADDRESS]:PORT" (numeric; port 0 takes a free one) or "unix:/path". group is
 * the socket file's, NULL for everyone. ATTEST_E_CONFIG, _IO, _EXISTS. */
enum attest_rc listen_open(struct listeners *ls, const char *where, const char *group, bool admin,
                           struct attest_error *err);

/* Takes every socket that the service manager passed under this name; false when there is none. */
bool listen_inherit(struct listeners *ls, const char *fd_name, bool admin);

/* Closes what listens; connections stay. */
void listen_close(struct listeners *ls);

#endif
