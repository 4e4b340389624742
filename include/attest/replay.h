/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_REPLAY_H
#define ATTEST_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include <attest/error.h>

/*
 * A memory of the tokens and proofs that were seen, so that each is accepted once. Thread-safe;
 * verifiers may share one. It does not survive fork(): each child makes its own.
 */
struct attest_replay;
/* How one is to be made. Built by one thread. */
struct attest_replay_setup;

/* Tokens remembered at once, without another number; some 40 bytes each, held from the start. */
#define ATTEST_REPLAY_DEFAULT 262144

enum attest_replay_state {
    ATTEST_REPLAY_HEALTHY = 0,
    ATTEST_REPLAY_DEGRADED = 1,  /* it answers, and promises less than it was made for */
    ATTEST_REPLAY_UNHEALTHY = 2, /* it does not answer: whatever is new gets 1014 */
};

/* What attest_replay_count() can be asked for; more may come. */
enum attest_replay_counter {
    ATTEST_REPLAY_CONSUMED = 0,    /* accepted, once each */
    ATTEST_REPLAY_REPLAYED = 1,    /* 1006 */
    ATTEST_REPLAY_UNAVAILABLE = 2, /* 1014 */
    ATTEST_REPLAY_FALLBACK = 3, /* of those consumed: by this process's memory instead of Redis */
    ATTEST_REPLAY_UNREMEMBERED = 4, /* of those consumed: not remembered by a full memory */
    ATTEST_REPLAY_LOSSES = 5,       /* times that Redis was found to have lost its memory */
    ATTEST_REPLAY_CHANGES = 6,      /* of state */
    ATTEST_REPLAY_ENTRIES = 7,      /* remembered in this process now */
    ATTEST_REPLAY_CONNECTIONS = 8,  /* to Redis, open now */
    ATTEST_REPLAY_CONNECTS = 9,     /* made to Redis */
    ATTEST_REPLAY_CONNECT_FAILURES = 10,
};

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Remembers up to entries_max tokens in this process (0: ATTEST_REPLAY_DEFAULT), each until it can
 * no longer be accepted. When it is full it refuses (1014) rather than forget: size it for the
 * tokens without cnf of their lifetime and ten minutes, and the proofs of twelve minutes. Once it
 * is half full, one agent's key gets no more than an eighth: for a few busy agents take twice that.
 * ATTEST_E_NOMEM, ATTEST_E_CONFIG (more than 2^28).
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(2) enum attest_rc
    attest_replay_new_memory(size_t entries_max, struct attest_replay **ret,
                             struct attest_error *err);

/*
 * Remembers in Redis or Valkey, shared by all servers that name the same one, by a URL as
 * attest_replay_setup_set_redis() takes it, rediss:// included. An answer that does not come
 * within timeout_ms (0: 1,000) is 1014; looking up a host's name may take longer. ATTEST_E_CONFIG
 * (also for no such URL, and for more than 60,000) and the other errors of attest_replay_new().
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 3) enum attest_rc
    attest_replay_new_redis(const char *url, unsigned timeout_ms, struct attest_replay **ret,
                            struct attest_error *err);

/*
 * The same with all that can be said about it. Without any call of _set_ it is a memory in this
 * process of the default size. ATTEST_E_NOMEM.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_replay_setup_new(struct attest_replay_setup **ret, struct attest_error *err);
ATTEST_EXPORT void attest_replay_setup_free(struct attest_replay_setup *setup);

/* Entries of the memory in this process, 1 to 2^28. ATTEST_E_CONFIG. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_replay_setup_set_entries_max(struct attest_replay_setup *setup, size_t entries_max,
                                        struct attest_error *err);

/*
 * A full memory lets through what it cannot remember, instead of 1014: such a token can be used
 * again until it expires. Counted (ATTEST_REPLAY_UNREMEMBERED), and the state is degraded.
 */
ATTEST_EXPORT
ATTEST_NONNULL(1) void attest_replay_setup_accept_when_full(struct attest_replay_setup *setup);

/*
 * In Redis: redis://[[user][:password]@]host[:port][/database], rediss:// for the same over TLS, or
 * unix:///path. ATTEST_E_CONFIG: no such URL; ATTEST_E_NOMEM.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_replay_setup_set_redis(struct attest_replay_setup *setup, const char *url,
                                  struct attest_error *err);

/*
 * A file with the password, so that it stands in no URL: at most 512 bytes, readable by its owner
 * and group only, read anew for each log-in. ATTEST_E_NOMEM.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_replay_setup_set_password_file(struct attest_replay_setup *setup, const char *path,
                                          struct attest_error *err);

/* PEM certificates to trust for rediss://, and only there, in the place of the system's.
 * ATTEST_E_NOMEM. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_replay_setup_set_ca_file(struct attest_replay_setup *setup, const char *path,
                                    struct attest_error *err);

/* Milliseconds for one answer of Redis: 1 to 60,000, 1,000 without this call. ATTEST_E_CONFIG. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_replay_setup_set_timeout_ms(struct attest_replay_setup *setup, int64_t timeout_ms,
                                       struct attest_error *err);

/* Connections to Redis at most: 1 to 256, 16 without this call. ATTEST_E_CONFIG. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_replay_setup_set_connections_max(struct attest_replay_setup *setup, int64_t connections,
                                            struct attest_error *err);

/*
 * Where Redis is away the memory in this process decides, instead of 1014: a token can then be used
 * once in each process. Away is no connection, no answer in time, or the answer that it serves
 * nobody just now (loading, busy with a script, its Cluster down) or takes no more
 * connections. Not where it answers and refuses, for whatever other reason, in TLS too, or all
 * connections are busy, or this process has no descriptor, port or memory left. Counted
 * (ATTEST_REPLAY_FALLBACK), and the state is degraded.
 */
ATTEST_EXPORT ATTEST_NONNULL(1) void attest_replay_setup_fall_back_to_memory(
    struct attest_replay_setup *setup);

/*
 * For who makes a store anew for each token, as a command does, and so never knows what a Redis was
 * before. One that nothing was ever written to since it started is then taken for new: what was
 * issued since then passes at once. If it was not new but emptied by that start, a token accepted
 * before can pass once more where its issuer's clock was ahead by more than the start took, or that
 * of Redis behind; and so can one that was accepted elsewhere while this Redis stood idle. Without
 * this nothing passes for two minutes and the skew. A server does not want it.
 */
ATTEST_EXPORT
ATTEST_NONNULL(1) void attest_replay_setup_believe_start(struct attest_replay_setup *setup);

/*
 * Makes it. The setup may be freed at once. ATTEST_E_IO: Redis does not answer (which is no error
 * where memory is fallen back to); ATTEST_E_DENIED: password, or an ACL that does not allow what is
 * needed; ATTEST_E_CONFIG: a Redis that may forget what is alive (maxmemory-policy is not
 * noeviction), a replica, not the node of a Cluster that keeps these keys, a clock more than two
 * minutes from ours, what is no Redis or shows another's certificate, or any other refusal; also
 * two passwords, or none for a user, a password file that cannot be used, certificates without
 * rediss://, and any setting of a Redis without one;
 * ATTEST_E_UNSUPPORTED: built without hiredis; ATTEST_E_NOMEM.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_replay_new(const struct attest_replay_setup *setup, struct attest_replay **ret,
                      struct attest_error *err);

/*
 * Gives up the caller's hold; a verifier made with it keeps its own. NULL is fine. In a child that
 * was forked since it does nothing, as attest_verifier_free().
 */
ATTEST_EXPORT void attest_replay_free(struct attest_replay *replay);

/*
 * What the last call found. Without calls it does not change, so do not use it as a health check.
 * Never waits.
 */
ATTEST_EXPORT ATTEST_NONNULL(1) enum attest_replay_state
    attest_replay_state(const struct attest_replay *replay);
/* "healthy", "degraded", "unhealthy"; "unknown" for any other number. Static. */
ATTEST_EXPORT const char *attest_replay_state_name(enum attest_replay_state state);

/* A number since it was made; 0 for a counter that this library does not know, and in a child that
 * was forked since. Waits for no answer. */
ATTEST_EXPORT ATTEST_NONNULL(1) uint64_t
    attest_replay_count(const struct attest_replay *replay, enum attest_replay_counter counter);
/*
 * The second, Unix time, at which a Redis was last found without its memory: tokens that could have
 * been accepted before get 1014. It may be of before this process, or the first use of a Redis that
 * nobody declared new. 0: none is known here, which for a memory in this process is always so; also
 * in a child that was forked since.
 */
ATTEST_EXPORT
ATTEST_NONNULL(1) int64_t attest_replay_lost_at_s(const struct attest_replay *replay);

#ifdef __cplusplus
}
#endif
#endif
