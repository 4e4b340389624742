/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_METRICS_H
#define ISSUER_METRICS_H

#include "base/bytes.h"

/*
 * The daemon's numbers, as Prometheus text (format 0.0.4). Counting is a relaxed atomic addition in
 * the calling thread's own share, so it neither locks nor bounces a cache line between threads;
 * reading sums the shares. Thread-safe.
 */

enum metrics_token {
    TOKEN_ISSUED,
    TOKEN_MALFORMED, /* refused by us: 400 and friends */
    TOKEN_DENIED,    /* caller unknown or not allowed */
    TOKEN_BUSY,      /* a queue was full */
    TOKEN_TIMEOUT,   /* no answer within sign_timeout_ms */
    TOKEN_KEY_OUT_OF_REACH,
    TOKEN_LOG_FAILED, /* no record could be written */
    TOKEN_SIGNER_AWAY,
    TOKEN_ERROR,
    TOKEN_OUTCOMES
};

enum metrics_refusal {
    REFUSED_ODD,         /* a request that the audit refused */
    REFUSED_PER_ADDRESS, /* connections over per_address_max */
    REFUSED_FULL,        /* connections refused because all places were taken */
    REFUSED_SHED,        /* connections closed to make room */
    REFUSED_LATE,        /* connections closed at the request deadline */
    REFUSED_IDLE,        /* connections closed for idling */
    REFUSALS
};

struct metrics;

/* n_routes and their names are fixed from here on; names are borrowed. NULL when out of memory. */
struct metrics *metrics_new(const char *const *route_names, size_t n_routes);
void metrics_free(struct metrics *m);
DEFINE_AUTO(metrics, struct metrics *, metrics_free);

/* One request answered: its route, status, and time from first line to answer in microseconds. */
void metrics_request(struct metrics *m, size_t route, unsigned status, int64_t duration_us);
/* The same for the time that minting waited on the signer. */
void metrics_sign(struct metrics *m, int64_t duration_us);
void metrics_token(struct metrics *m, enum metrics_token outcome);
void metrics_refused(struct metrics *m, enum metrics_refusal what);
void metrics_accepted(struct metrics *m);

uint64_t metrics_tokens(const struct metrics *m, enum metrics_token outcome);
uint64_t metrics_refusals(const struct metrics *m, enum metrics_refusal what);

/* What is not counted but asked for when the text is made. */
struct metrics_key {
    const char *kid, *purpose, *state;
    int64_t age_s;
};
struct metrics_gauges {
    unsigned connections, signing;
    bool signer_up, ready;
    const char *keystore; /* the signer's word */
    uint64_t signer_losses, signer_timeouts;
    int64_t jwks_age_s; /* -1: none yet */
    const struct metrics_key *keys;
    size_t n_keys;
    /* The signer's rotation, by its word; times in seconds since the epoch, 0: none. */
    bool rollover_known, rollover_running;
    const char *next_action;
    int64_t next_at_s, rotation_due_s, rotation_overdue_s;
    int64_t signed_exp_s;
};
void metrics_write(const struct metrics *m, const struct metrics_gauges *gauges, struct buf *out);

#endif
