/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REDIS_URL_H
#define REPLAY_REDIS_URL_H

#include "base/secret.h"

/* redis[s]://[[user][:password]@]host[:port][/database] or unix:///path, taken apart. Pure. */
#define REDIS_URL_MAX 512

struct redis_url {
    struct secret room; /* what the pointers point into, since one of them is a password */
    const char *path;   /* of a UNIX socket; NULL: host and port */
    const char *host;
    const char *user, *password; /* NULL: none */
    int port, database;
    bool tls;
};

/*
 * ATTEST_E_CONFIG (it is no such URL; '%' escapes are not understood and refused), with a
 * sentence that holds nothing of it, ATTEST_E_NOMEM. To be ended also then. Needs crypto_init().
 */
enum attest_rc redis_url_read(const char *url, struct redis_url *ret, struct attest_error *err);

static inline void
redis_url_auto(struct redis_url *url)
{
    secret_free(&url->room);
}

#endif
