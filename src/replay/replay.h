/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REPLAY_H
#define REPLAY_REPLAY_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/bytes.h"

/*
 * What was seen before. One store for any number of scopes; an identifier is consumed once within
 * its scope: an issuer and a jti, a key's thumbprint and a proof's jti. Thread-safe.
 */
struct replay_store;

enum replay_state {
    REPLAY_HEALTHY,
    REPLAY_DEGRADED,  /* it answers, and promises less than it was made for */
    REPLAY_UNHEALTHY, /* it does not answer: all that is new is refused */
};

/* By how much the clock of one who shares a store may be ahead of the store's, or behind it. */
#define REPLAY_CLOCKS_APART_MAX_S 120

/* One thing that may be used once. */
struct replay_item {
    struct slice scope, id;
    int64_t since_s;      /* the first second, Unix time, at which anyone could have accepted it */
    int64_t keep_until_s; /* the last one; at most REPLAY_KEEP_MAX_S ahead of now_s */
    bool by_holder;  /* who holds the scope's key makes the identifiers: a memory bounds them */
    int64_t dated_s; /* since_s, if all clocks agree */
};

/* Counted since the store was made. */
struct replay_stats {
    enum replay_state state;
    uint64_t changes;      /* of state */
    uint64_t consumed;     /* ATTEST_OK */
    uint64_t replayed;     /* ATTEST_E_REPLAY */
    uint64_t unavailable;  /* ATTEST_E_REPLAY_STORE */
    uint64_t fallback;     /* of those consumed: by this process's memory in the place of Redis */
    uint64_t unremembered; /* of those consumed: let through by a full store that was told to */
    uint64_t losses;       /* times that Redis was found to have lost its memory */
    int64_t lost_s;        /* Unix time before which nothing is known; 0: everything is */
    uint64_t entries;      /* remembered in this process now, 0 for Redis alone */
    uint64_t connects, connect_failures;
    uint64_t connections; /* to Redis, open now */
};

/* What became of a store; why is a sentence in printable ASCII. */
struct replay_news {
    enum replay_state state;
    char why[160];
};

/* What stands behind a store; one row an implementation. */
struct replay_kind {
    enum attest_rc (*consume)(struct replay_store *store, const struct replay_item *item,
                              int64_t now_s, struct attest_error *err);
    /* Adds what only it knows; NULL: nothing. */
    void (*stats)(const struct replay_store *store, struct replay_stats *stats);
    void (*free)(struct replay_store *store);
};

/* The first member of every implementation's own struct. */
struct replay_store {
    const struct replay_kind *kind;
    _Atomic int state;
    _Atomic uint64_t changes;
    pthread_mutex_t changing; /* a state, the reason for it, and how many were before */
    char why[sizeof(((struct replay_news *)NULL)->why)];
    /* One is written to by every check: cache lines away from what every check reads. */
    _Atomic uint64_t consumed, replayed, unavailable;
};

/*
 * Atomically: remembers the item and returns ATTEST_OK, or ATTEST_E_REPLAY when it is remembered
 * already, or ATTEST_E_REPLAY_STORE when nothing can be said; the caller then refuses.
 *
 * now_s   the caller's clock; entries whose time is over may be forgotten
 */
enum attest_rc replay_consume(struct replay_store *store, const struct replay_item *item,
                              int64_t now_s, struct attest_error *err);
void replay_free(struct replay_store *store);
DEFINE_AUTO(replay_store, struct replay_store *, replay_free);

enum replay_state replay_state(const struct replay_store *store);

/*
 * Whether the state changed since *seen, which is 0 at first; _news() brings that up to date and
 * says what the state is now. Changes that come faster than anyone asks are one, the last. A store
 * tells nobody by itself: it may serve many, each of whom has a *seen of his own.
 */
bool replay_changed(const struct replay_store *store, const _Atomic uint64_t *seen);
bool replay_news(struct replay_store *store, _Atomic uint64_t *seen, struct replay_news *ret);

/* Cheap enough for every scrape; the numbers are each true, but not of one moment. */
void replay_stats(const struct replay_store *store, struct replay_stats *ret);
/* "healthy", "degraded", "unhealthy". */
const char *replay_state_name(enum replay_state state);

/* For implementations: first of all, before replay_free() may be called. */
void replay_init(struct replay_store *store, const struct replay_kind *kind);
void replay_set_state(struct replay_store *store, enum replay_state state, const char *why);

#define REPLAY_KEEP_MAX_S 2047

/* What a full memory does with what it has not seen. It never forgets what is alive. */
enum replay_full {
    REPLAY_FULL_REFUSE,
    REPLAY_FULL_ACCEPT, /* lets it through unremembered, degraded and counted: it may come again */
};

/*
 * A store in this process for up to entries_max entries (1 to REPLAY_MEMORY_MAX), some 40 bytes
 * each, held from the start. No call looks at more than 64 entries. Once it is half full, a scope
 * with by_holder gets no more when it has an eighth: as if the store were full.
 * ATTEST_E_NOMEM, ATTEST_E_CONFIG.
 */
#define REPLAY_MEMORY_MAX ((size_t)1 << 28)
enum attest_rc replay_memory_new(size_t entries_max, enum replay_full full,
                                 struct replay_store **ret, struct attest_error *err);

/* Entries that are remembered now, and some that ended since the last call. */
size_t replay_memory_count(const struct replay_store *store);

/*
 * A store in Redis or Valkey for all servers that name the same one; docs/verifier.md says what it
 * guarantees when.
 *
 * url             redis[s]://[[user][:password]@]host[:port][/database] or unix:///path
 * password_file   holds the password in the place of the URL; read anew for each log-in
 * ca_file         PEM certificates that vouch for rediss:// in the place of the system's
 * timeout_ms      for one question, connecting and waiting for a connection included
 * believe_start   a Redis without a past is taken for new, and not for one that lost it: what is
 *                 dated since it started passes, for who starts anew for each token and so never
 *                 knows what a Redis was before
 * memory_max      entries of a memory beside it that decides where Redis gives no answer; 0: none
 */
struct replay_redis {
    const char *url, *password_file, *ca_file;
    unsigned timeout_ms, connections_max;
    size_t memory_max;
    enum replay_full full; /* of that memory */
    bool believe_start;
};

#define REPLAY_TIMEOUT_DEFAULT_MS 1000
#define REPLAY_TIMEOUT_MAX_MS 60000
#define REPLAY_CONNECTIONS_DEFAULT 16
#define REPLAY_CONNECTIONS_MAX 256

/*
 * It connects at once and again after a failure. options are copied. ATTEST_E_IO (no connection;
 * with a memory beside it that is none), ATTEST_E_DENIED (password, ACL), ATTEST_E_CONFIG (wrong
 * options; a Redis that would forget, a replica, another Cluster node,
 * one that refuses otherwise), ATTEST_E_UNSUPPORTED (built without hiredis), ATTEST_E_NOMEM.
 */
enum attest_rc replay_redis_new(const struct replay_redis *options, struct replay_store **ret,
                                struct attest_error *err);

#endif
