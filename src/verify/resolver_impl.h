/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_RESOLVER_IMPL_H
#define VERIFY_RESOLVER_IMPL_H

#include <pthread.h>

#include "fetch/engine.h"
#include "verify/resolver.h"

/* Shared by resolver.c, which steps and answers, and resolver_ask.c, which asks issuers. */

#define MISSING_MAX 64 /* kids an issuer that are known not to be there */

/* A kid that was not in the set when the set was new. */
struct absent {
    uint8_t digest[16];
    int64_t until_ms;
};

enum asking { ASKING_SET, ASKING_DISCOVERY, ASKING_DISCOVERED };

struct source {
    struct resolver *resolver;
    char *issuer;
    char *discovered; /* the URL that the discovery document gave this time, or NULL */
    enum asking asking;
    bool pinned; /* what is on its way is a signed set */
    struct schedule schedule;
    enum schedule_circuit circuit; /* as last told */
    int64_t started_us;            /* what is on its way; monotonic */
    struct resolver_news news;     /* untold; changed under r->stepping and r->lock */
    size_t n_absent;               /* ever noted; the oldest gives way */
    struct absent absent[MISSING_MAX];
};

struct resolver {
    struct attest_keys *keys;
    bool fetches;         /* them, as the only one */
    _Atomic bool stepped; /* by its owner or a thread, not by somebody who waits */
    atomic_uint waiting;
    struct attest_fetch *options;
    uint8_t salt[16];
    int epoll_fd, wake_fd;
    pthread_mutex_t stepping; /* of the engine, and of what a source asks */
    struct fetch_engine *engine;
    bool telling;           /* somebody is at it, with none of the locks */
    resolver_told_fn *told; /* NULL: nobody */
    void *told_ctx;
    pthread_mutex_t lock; /* of the schedules and the absent kids */
    size_t n;
    struct source sources[KEYS_ISSUERS_MAX];
};

/*
 * A set of this issuer that was not fetched serves for as long as one would whose answer says
 * nothing, and that was fetched now. Under r->lock once others know of r.
 */
void source_end_brought(struct source *s);

/* A fetch has ended so, and the schedule knows. Under r->stepping and r->lock. */
void source_ended(struct source *s, enum attest_rc rc, const char *why);

/*
 * Starts the exchange that brings this source's keys, in one or more requests; it ends with
 * schedule_succeeded() or schedule_failed(). Under r->stepping, the schedule says that it started.
 */
void source_ask(struct source *s);

#endif
