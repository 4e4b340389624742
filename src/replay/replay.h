/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REPLAY_H
#define REPLAY_REPLAY_H

#include "base/bytes.h"

/*
 * What was seen before. One store for any number of scopes; an identifier is consumed once within
 * its scope: an issuer and a jti, a key's thumbprint and a proof's jti. Thread-safe.
 */
struct replay_store;

/* What stands behind a store; one row an implementation. */
struct replay_kind {
    enum attest_rc (*consume)(struct replay_store *store, struct slice scope, struct slice id,
                              int64_t keep_until_s, int64_t now_s, struct attest_error *err);
    void (*free)(struct replay_store *store);
};

/* The first member of every implementation's own struct. */
struct replay_store {
    const struct replay_kind *kind;
};

/*
 * Atomically: remembers (scope, id) and returns ATTEST_OK, or ATTEST_E_REPLAY when it is
 * remembered already, or ATTEST_E_REPLAY_STORE when nothing can be said; the caller then refuses.
 *
 * keep_until_s   the last second, Unix time, at which it could still be accepted; at most
 *                REPLAY_KEEP_MAX_S ahead of now_s
 * now_s          the caller's clock; entries whose time is over may be forgotten
 */
enum attest_rc replay_consume(struct replay_store *store, struct slice scope, struct slice id,
                              int64_t keep_until_s, int64_t now_s, struct attest_error *err);
void replay_free(struct replay_store *store);
DEFINE_AUTO(replay_store, struct replay_store *, replay_free);

#define REPLAY_KEEP_MAX_S 2047

/*
 * A store in this process for up to entries_max entries (1 to REPLAY_MEMORY_MAX). A full one
 * refuses: forgetting a live entry would accept a token twice. Memory is used as entries come, some
 * 40 bytes each, and not given back. ATTEST_E_NOMEM, ATTEST_E_ARGUMENT.
 */
#define REPLAY_MEMORY_MAX ((size_t)1 << 28)
enum attest_rc replay_memory_new(size_t entries_max, struct replay_store **ret,
                                 struct attest_error *err);

/* Entries that are remembered now, expired ones that nobody swept yet included. */
size_t replay_memory_count(const struct replay_store *store);

/*
 * A store in Redis or Valkey for all servers that name the same one:
 * redis://[[user]:password@]host[:port][/database] or unix:///path. It connects at once and again
 * after a failure. ATTEST_E_ARGUMENT (no such URL), ATTEST_E_IO (no connection),
 * ATTEST_E_UNSUPPORTED (built without hiredis).
 */
enum attest_rc replay_redis_new(const char *url, unsigned timeout_ms, struct replay_store **ret,
                                struct attest_error *err);

#endif
