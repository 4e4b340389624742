/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_SERVER_H
#define SIGNER_SERVER_H

#include "base/sock.h"
#include "wire/frame.h"

/*
 * The loop over both sockets: connections, frames in, frames out. It knows nothing of what is
 * asked; the signer says that in its callbacks. One thread, except server_wake().
 *
 * Bounds: SERVER_CONNS_MAX connections, half of them kept free of attestd, which needs one and may
 * be hostile; in a connection one frame of input and SERVER_OUT_MAX bytes of output, beyond which
 * it is closed as one that does not read its answers. 70 MiB when all of them are full.
 */
#define SERVER_CONNS_MAX 32
#define SERVER_OUT_MAX (2u << 20)

enum server_socket {
    SERVER_SIGNER = 1, /* for attestd */
    SERVER_ADMIN = 2,  /* for attestctl */
};

struct server;
struct server_conn;

struct server_listener {
    enum server_socket socket;
    int fd;             /* listening; stays the caller's */
    const uid_t *users; /* who may connect, by SO_PEERCRED */
    size_t n_users;
};

struct server_config {
    struct server_listener listeners[2];
    int signal_fd; /* the caller's */
    unsigned tick_ms;
    /* One frame's body, which may be changed. False closes the connection; err says why. */
    bool (*on_frame)(void *ctx, struct server_conn *conn, char *body, size_t body_len,
                     struct attest_error *err);
    void (*on_wake)(void *ctx); /* after server_wake() */
    void (*on_tick)(void *ctx); /* at least every tick_ms */
    void (*on_signal)(void *ctx, int signo);
    void *ctx;
};

enum attest_rc server_new(const struct server_config *config, struct server **ret,
                          struct attest_error *err);
void server_free(struct server *server);
DEFINE_AUTO(server, struct server *, server_free);

/* Runs until server_quit(). ATTEST_E_IO when the loop itself fails. */
enum attest_rc server_run(struct server *server, struct attest_error *err);
/* The rest of this turn is done, what is written is sent as far as it goes without waiting. */
void server_quit(struct server *server);
/* No further connections; those that are there go on. */
void server_stop_accepting(struct server *server);
/* Whether all that was written has gone out. */
bool server_flushed(const struct server *server);

/* Calls on_wake in the loop; from any thread. Many calls before that are one. */
void server_wake(struct server *server);

/* Connections by a number that is not used again, for answers that come later. NULL: closed. */
uint64_t server_conn_id(const struct server_conn *conn);
struct server_conn *server_conn_find(struct server *server, uint64_t id);
enum server_socket server_conn_socket(const struct server_conn *conn);
const struct sock_peer *server_conn_peer(const struct server_conn *conn);

/* Where to append whole frames; sent at the end of the turn. */
struct buf *server_conn_out(struct server_conn *conn);

/* The request that gets an answer at each change of the key set; 0: none. */
void server_conn_subscribe(struct server_conn *conn, int64_t id);
/* Calls each() for every connection that subscribed. */
void server_each_subscriber(struct server *server,
                            void (*each)(void *ctx, struct server_conn *conn, int64_t id),
                            void *ctx);

struct server_stats {
    unsigned conns;
    uint64_t accepted, refused;
};
void server_stats(const struct server *server, struct server_stats *ret);

#endif
