/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REDIS_URL_H
#define REPLAY_REDIS_URL_H

#include "base/bytes.h"

/* redis[s]://[[user][:password]@]host[:port][/database] or unix:///path, taken apart. Pure. */
#define REDIS_URL_MAX 512

struct redis_url {
    char room[REDIS_URL_MAX]; /* what the pointers point into */
    const char *path;         /* of a UNIX socket; NULL: host and port */
    const char *host;
    const char *user, *password; /* NULL: none */
    int port, database;
    bool tls;
};

/* False when it is no such URL; '%' escapes are not understood and refused. */
bool redis_url_read(const char *url, struct redis_url *ret);

#endif
