/* SPDX-License-Identifier: MIT */
#ifndef CLI_ATTACK_SERVER_H
#define CLI_ATTACK_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/bytes.h"

/*
 * An HTTP server on 127.0.0.1 that says what an attacker wants it to say: for each path the bytes
 * of a whole answer, or nothing, ever. What it has no answer for is 404. One connection, one
 * answer. In a thread of its own; what it says may change at any time.
 */
#define ATTACK_SERVER_ROUTES 8
#define ATTACK_SERVER_HELD 64

struct attack_server {
    int fd;
    unsigned port;
    char origin[40]; /* http://127.0.0.1:PORT */
    pthread_mutex_t lock;
    struct {
        const char *path;
        char *says; /* NULL: never answers */
        size_t len;
    } route[ATTACK_SERVER_ROUTES];
    size_t n;
    atomic_uint asked;            /* requests, for whatever */
    int held[ATTACK_SERVER_HELD]; /* under the lock */
    size_t n_held;
    pthread_t thread;
};

/* ATTEST_E_IO or ATTEST_E_NOMEM. To be stopped only after ATTEST_OK. */
enum attest_rc attack_server_start(struct attack_server *server);
void attack_server_stop(struct attack_server *server);

/*
 * From now on this is the answer for this path, which is borrowed: a status line and headers and a
 * body behind them, says_len bytes, copied. NULL: none will ever come. False: no room.
 */
bool attack_server_says(struct attack_server *server, const char *path, const char *says,
                        size_t says_len);
/* Those who wait for an answer that was never to come get the one for this path. */
void attack_server_release(struct attack_server *server, const char *path);
/* All paths are 404 again, and nothing was asked. */
void attack_server_forget(struct attack_server *server);

#endif
