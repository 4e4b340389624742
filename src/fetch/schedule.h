/* SPDX-License-Identifier: MIT */
#ifndef FETCH_SCHEDULE_H
#define FETCH_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * When the key set of one issuer is fetched. Pure: the caller brings the clock (monotonic
 * milliseconds), the chance and what became of each fetch, and carries out what is due. Not
 * thread-safe.
 *
 *  - A set is fresh for as long as its answer said, within bounds, and fetched again before that is
 *    over. When that fails it stays usable for stale_max_ms more, and not a moment longer.
 *  - An unknown kid asks for one fetch, at most once in cooldown_ms, whoever asks and however
 * often.
 *  - Failures are tried again after a time that doubles, and varies so that a thousand verifiers do
 *    not return together. After open_after of them the circuit is open for open_ms: nothing is
 *    tried. Then a single try decides.
 */

struct schedule_limits {
    int64_t ttl_default_ms;         /* when the answer said nothing */
    int64_t ttl_min_ms, ttl_max_ms; /* whatever it said */
    int64_t stale_max_ms;           /* usable so long after it was fresh */
    int64_t cooldown_ms;            /* between two fetches that an unknown kid asks for */
    int64_t retry_first_ms, retry_max_ms;
    unsigned open_after; /* failures in a row */
    int64_t open_ms;
};

/* An hour fresh, an hour stale, 30 s between unknown kids, retries from 0.5 to 10 s, five for the
   circuit to open for 30 s. */
extern const struct schedule_limits schedule_defaults;

enum schedule_circuit { CIRCUIT_CLOSED, CIRCUIT_OPEN, CIRCUIT_HALF_OPEN };

/* "closed", "open", "half-open". */
const char *schedule_circuit_name(enum schedule_circuit circuit);

/* Facts; all else is derived. Zeroed is: never fetched. */
struct schedule {
    bool fetched;           /* there is a set */
    int64_t fresh_until_ms; /* of that set */
    int64_t refresh_ms;     /* when to fetch the next, should all be well */
    bool wanted;            /* asked for out of turn */
    bool in_flight;
    bool outdated;      /* what is in flight was asked for before the set was cleared */
    bool asked_for_kid; /* an unknown kid has been the cause of a fetch before, namely at … */
    int64_t asked_ms;
    unsigned failures; /* since the last success */
    int64_t retry_ms;  /* not before, when there are failures */
};

/* When to start a fetch: now_ms or earlier means at once; INT64_MAX: not before something else
   happens. */
int64_t schedule_due_ms(const struct schedule *s);

/* A fetch was started. It ends with exactly one of the two below. */
void schedule_started(struct schedule *s);

/*
 * A set came. False when it is not to be used, because it may be from before schedule_clear(): the
 * next is due at once. ttl_ms: how long its answer or the set itself lets it be kept, negative when
 * neither says. chance: any number; moves the next fetch forward by up to a tenth of the time.
 */
bool schedule_succeeded(struct schedule *s, const struct schedule_limits *limits, int64_t now_ms,
                        int64_t ttl_ms, uint32_t chance);

/* None came. retry_after_ms: what the server asks for, 0 for nothing; bounded by open_ms. */
void schedule_failed(struct schedule *s, const struct schedule_limits *limits, int64_t now_ms,
                     int64_t retry_after_ms, uint32_t chance);

/*
 * A kid is not in the set. True when a fetch will be made that may bring it: this call asked for
 * it, or one is on its way or due already.
 */
bool schedule_unknown_kid(struct schedule *s, const struct schedule_limits *limits, int64_t now_ms);

/* The set is not to be used any more (clear), or to be fetched anew while it serves. */
void schedule_clear(struct schedule *s);
void schedule_invalidate(struct schedule *s);

/* Until when the set may be used; INT64_MIN when there is none. */
int64_t schedule_usable_until_ms(const struct schedule *s, const struct schedule_limits *limits);

enum schedule_circuit schedule_circuit(const struct schedule *s,
                                       const struct schedule_limits *limits, int64_t now_ms);

#endif
