/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_DOOR_H
#define ISSUER_DOOR_H

#include "issuer/conns.h"
#include "issuer/listen.h"
#include "issuer/metrics.h"

/*
 * The thread at the door: accepts, turns away what is over a limit, hands the rest to the HTTP
 * library, and ends connections past their deadline. One thread for all listeners.
 */
struct door;

struct door_config {
    const struct listeners *listeners; /* borrowed; must outlive the door */
    bool tls;                          /* TCP listeners speak TLS, the admin listener apart */
    struct conns *conns;
    struct metrics *metrics;
    /*
     * Serves the socket from now on and closes it in any case. False when it was closed at once.
     * Called from the door's thread.
     */
    bool (*serve)(void *ctx, struct conn *conn, const struct sockaddr *sa, socklen_t sa_len);
    void *ctx;
};

/* Starts the thread. ATTEST_E_IO. */
enum attest_rc door_open(const struct door_config *config, struct door **ret,
                         struct attest_error *err);

/* From now on nobody is let in; who is inside may finish, and idlers are sent away. */
void door_drain(struct door *door);
/* Ends the thread. The listeners stay as they are. */
void door_free(struct door *door);
DEFINE_AUTO(door, struct door *, door_free);

#endif
