/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_CONNS_H
#define ISSUER_CONNS_H

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/bytes.h"

/*
 * The open connections: how many from where, and how long each may still take. libmicrohttpd's own
 * time-out counts inactivity only, so one byte now and then holds a connection for ever; here are
 * absolute deadlines, enforced by shutdown(2) on the descriptor, which the library then sees as an
 * end of file. That covers TLS handshakes too.
 *
 * One thread (issuer/door.c) opens, expires and sheds; the library's threads mark and close.
 */

enum conn_state {
    CONN_FRESH,   /* nothing complete has come yet, TLS handshake included */
    CONN_READING, /* a request's first line is there */
    CONN_WORKING, /* the request is complete, its answer is not: has its own deadline */
    CONN_WRITING, /* the answer is under way */
    CONN_IDLE,    /* between requests */
};

/* What the two limits are about; zeroed for UNIX sockets, which none but shedding applies to. */
struct conn_address {
    uint8_t bytes[16]; /* IPv4 mapped, or IPv6 */
};

struct conn {
    int fd;
    bool admin, is_unix, loopback, tls;
    uid_t uid;            /* of the peer, when is_unix */
    _Atomic bool watched; /* open: whoever reads from it looks for NUL, and */
    _Atomic bool saw_nul; /* says so here */

    /* conns' own */
    _Atomic uint64_t mark;      /* state and the time it began */
    _Atomic int64_t request_ms; /* the last complete request, or the beginning */
    struct conn_address address;
    bool taken, counted, started, closing;
    struct conn *next, *prev; /* of the same hash of address */
};

struct conns_config {
    unsigned connections_max, per_address_max;
    int64_t request_timeout_ms, idle_timeout_ms;
    const struct conn_address *proxies; /* borrowed */
    size_t n_proxies;
};

struct conns;

/* ATTEST_E_NOMEM. */
enum attest_rc conns_new(const struct conns_config *config, struct conns **ret,
                         struct attest_error *err);
void conns_free(struct conns *conns);
DEFINE_AUTO(conns, struct conns *, conns_free);

/* The places there are for conn->fd: 0 to this, exclusive. */
size_t conns_places(const struct conns *conns);
struct conn *conns_at(struct conns *conns, int fd);

/* False when text is no IPv4 or IPv6 address. */
bool conn_address_read(const char *text, struct conn_address *ret);
bool conn_address_of(const struct sockaddr *sa, struct conn_address *ret);

enum conns_answer { CONNS_OPEN, CONNS_PER_ADDRESS, CONNS_FULL };

/*
 * A place for an accepted socket. like: admin, is_unix, loopback, tls, uid and address; the rest
 * is filled in. Whoever gets CONNS_OPEN calls conns_started() once the library serves it, and
 * conns_closed() before the descriptor is closed.
 */
enum conns_answer conns_open(struct conns *conns, int fd, const struct conn *like, int64_t now_ms,
                             struct conn **ret);
void conns_started(struct conns *conns, struct conn *conn);
void conns_closed(struct conns *conns, struct conn *conn);

/* From the thread that serves the connection. */
void conn_mark(struct conn *conn, enum conn_state state, int64_t now_ms);
enum conn_state conn_state(const struct conn *conn);

/*
 * When nearly full, shuts down the connection that has been longest without a complete request
 * (those at work apart); true when it did.
 */
bool conns_shed(struct conns *conns);

/*
 * Whether an accepted socket would get a place now. CONNS_ROOM_SOON: all are taken, but some are on
 * their way out, so let the next one wait in the queue of the listener for a moment.
 */
enum conns_room { CONNS_ROOM, CONNS_ROOM_SOON, CONNS_NO_ROOM };
enum conns_room conns_room(struct conns *conns);

/* Shuts down what is past its deadline: how many for a request, how many for idling. */
void conns_expire(struct conns *conns, int64_t now_ms, unsigned *late, unsigned *idle);
/* Shuts down every connection that no request is under way on. */
void conns_close_idle(struct conns *conns);

struct conns_counts {
    unsigned open, open_public, working;
    unsigned busy; /* reading, working or writing */
};
void conns_count(struct conns *conns, struct conns_counts *ret);

#endif
