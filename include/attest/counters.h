/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_COUNTERS_H
#define ATTEST_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include <attest/error.h>

/* What a verifier counts: as a struct, and as text for Prometheus. */

struct attest_verifier;

/* Room for codes 1001 to 1032, more than there are. */
#define ATTEST_COUNTER_CODES 32

/*
 * Since the verifier was made; the ones marked "now" are what is. Members may be added at the end:
 * hence the size in the call below.
 */
struct attest_counters {
    uint64_t verifications; /* checks that ended in a verdict: verified + refused */
    uint64_t verified;
    uint64_t refused; /* also those that the policy's mode let through */
    uint64_t refused_by_code[ATTEST_COUNTER_CODES]; /* [code - 1001] */
    uint64_t allowed_unverified;                    /* of those refused */
    uint64_t not_judged;                            /* checks without a verdict: out of memory */
    uint64_t verification_us;      /* microseconds, of all that ended in a verdict together */
    uint64_t active_verifications; /* now */
    uint64_t key_hits;             /* a key was wanted and in hand */
    uint64_t key_misses;           /* … and was not */
    uint64_t cached_keys;          /* now, of all issuers of the policy: that may be used */
    uint64_t key_fetches;          /* that ended, well or not */
    uint64_t key_fetch_errors;
    uint64_t key_fetch_us;
    uint64_t circuit_opens;
    /* Of the replay store, which other verifiers may share. */
    uint64_t replay_unavailable;  /* it gave no answer: 1014 */
    uint64_t replay_fallback;     /* this process's memory answered in its place */
    uint64_t replay_unremembered; /* let through by a full memory */
    uint64_t replay_losses;       /* it was found to have lost what it knew */
    uint64_t replay_changes;      /* of state */
    uint64_t replay_entries;      /* in this process now */
    /* Of bound tokens that were verified before; a hit may still be verified anew. */
    uint64_t token_cache_hits;
    uint64_t token_cache_misses;
    uint64_t token_cache_entries; /* now */
};

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Fills the first ret_len bytes of *ret (sizeof(*ret)); members that this library does not know are
 * 0. Each number is true, but not all of the same moment. ATTEST_E_FORKED. Thread-safe.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_verifier_counters(const struct attest_verifier *verifier, struct attest_counters *ret,
                             size_t ret_len);

/*
 * The counters and more as Prometheus text (format 0.0.4), durations as histograms in seconds: for
 * the body of an answer at /metrics. Names begin with attestation_; libattest(3) lists them. One
 * verifier's text on a page: the names would be there twice. free() it; NULL: no memory, or after
 * fork(). Thread-safe.
 */
ATTEST_EXPORT ATTEST_MUST_USE
    ATTEST_NONNULL(1) char *attest_verifier_metrics(const struct attest_verifier *verifier);

#ifdef __cplusplus
}
#endif
#endif
