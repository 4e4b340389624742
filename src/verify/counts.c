/* SPDX-License-Identifier: MIT */
#include "verify/counts.h"

#include <stddef.h>
#include <stdlib.h>

_Static_assert(COUNT_CODES == ATTEST_E_PROOF - ATTEST_E_EXPIRED + 1, "one for each verdict");
_Static_assert(COUNT_CODES <= ATTEST_COUNTER_CODES, "the interface has room for them");

struct counts *
counts_new(void)
{
    struct counts *counts = aligned_alloc(METRIC_LINE, METRIC_SHARES * sizeof(*counts));
    for (size_t i = 0; counts && i < METRIC_SHARES; i++)
        counts[i] = (struct counts){0};
    return counts;
}

void
counts_add(struct counts *counts, enum count what, uint64_t n)
{
    metric_add(&counts[metric_share()].n[what], n);
}

void
counts_verdict(struct counts *counts, enum attest_rc rc, int64_t duration_us)
{
    struct counts *mine = &counts[metric_share()];
    size_t code = rc == ATTEST_OK ? 0 : (size_t)rc - ATTEST_E_EXPIRED;
    histogram_observe(&mine->check, duration_us);
    metric_add(&mine->n[rc == ATTEST_OK ? (size_t)COUNT_VERIFIED : COUNT_REFUSED + code], 1);
}

void
counts_fetch(struct counts *counts, enum attest_rc rc, int64_t duration_us)
{
    struct counts *mine = &counts[metric_share()];
    histogram_observe(&mine->fetch, duration_us);
    metric_add(&mine->n[COUNT_FETCHES], 1);
    if (rc != ATTEST_OK)
        metric_add(&mine->n[COUNT_FETCH_ERRORS], 1);
}

static uint64_t
total(const struct counts *counts, size_t what)
{
    return metric_sum(&counts->n[what], sizeof(*counts));
}

void
counts_read(const struct counts *counts, struct attest_counters *ret)
{
    *ret = (struct attest_counters){
        .verified = total(counts, COUNT_VERIFIED),
        .allowed_unverified = total(counts, COUNT_ALLOWED_UNVERIFIED),
        .not_judged = total(counts, COUNT_NOT_JUDGED),
        .verification_us = metric_sum(&counts->check.sum_us, sizeof(*counts)),
        .key_hits = total(counts, COUNT_KEY_HITS),
        .key_misses = total(counts, COUNT_KEY_MISSES),
        .key_fetches = total(counts, COUNT_FETCHES),
        .key_fetch_errors = total(counts, COUNT_FETCH_ERRORS),
        .key_fetch_us = metric_sum(&counts->fetch.sum_us, sizeof(*counts)),
        .circuit_opens = total(counts, COUNT_CIRCUIT_OPENS),
    };
    for (size_t i = 0; i < COUNT_CODES; i++) {
        ret->refused_by_code[i] = total(counts, COUNT_REFUSED + i);
        ret->refused += ret->refused_by_code[i];
    }
    ret->verifications = ret->verified + ret->refused;
    /* Read last, so that hardly anything has ended without having started. */
    uint64_t started = total(counts, COUNT_STARTED);
    uint64_t ended = ret->verifications + ret->not_judged;
    ret->active_verifications = started > ended ? started - ended : 0;
}

/* ---- as text ---- */

/* One row a number that stands for itself. */
static const struct row {
    const char *name, *help;
    size_t at;
    bool gauge;
} rows[] = {
#define AT(member) offsetof(struct attest_counters, member)
    {"attestation_verification_total", "Tokens judged.", AT(verifications), false},
    {"attestation_verification_success_total", "Tokens verified.", AT(verified), false},
    {"attestation_allowed_unverified_total", "Callers let through although not verified.",
     AT(allowed_unverified), false},
    {"attestation_verification_errors_total", "Checks that reached no verdict.", AT(not_judged),
     false},
    {"attestation_active_verifications", "Checks running now.", AT(active_verifications), true},
    {"attestation_cache_hits_total", "Keys wanted that were in hand.", AT(key_hits), false},
    {"attestation_cache_misses_total", "Keys wanted that were not.", AT(key_misses), false},
    {"attestation_cached_keys", "Keys in hand now.", AT(cached_keys), true},
    {"attestation_jwks_fetch_total", "Fetches of a key set that ended.", AT(key_fetches), false},
    {"attestation_jwks_fetch_errors_total", "Fetches that brought none.", AT(key_fetch_errors),
     false},
    {"attestation_circuit_breaker_opens_total", "Times that an issuer was given up for a while.",
     AT(circuit_opens), false},
    {"attestation_replay_unavailable_total", "Times that the replay store gave no answer.",
     AT(replay_unavailable), false},
    {"attestation_replay_fallback_total",
     "Tokens remembered in this process's memory in the place of the shared one.",
     AT(replay_fallback), false},
    {"attestation_replay_unremembered_total", "Tokens let through by a full replay store.",
     AT(replay_unremembered), false},
    {"attestation_replay_losses_total", "Times that the replay store lost what it knew.",
     AT(replay_losses), false},
    {"attestation_replay_state_changes_total", "Changes of the replay store's state.",
     AT(replay_changes), false},
    {"attestation_replay_entries", "Remembered in this process now.", AT(replay_entries), true},
    {"attestation_token_cache_hits_total", "Bound tokens that were known from before.",
     AT(token_cache_hits), false},
    {"attestation_token_cache_misses_total", "Bound tokens that were not.", AT(token_cache_misses),
     false},
    {"attestation_token_cache_entries", "Bound tokens known now.", AT(token_cache_entries), true},
#undef AT
};

static void
write_failures(const struct attest_counters *read, struct buf *out)
{
    static const char name[] = "attestation_verification_failure_total";
    metric_head(out, name, "counter", "Tokens refused, by error code.");
    for (size_t i = 0; i < COUNT_CODES; i++)
        buf_printf(out, "%s{code=\"%zu\"} %llu\n", name, i + ATTEST_E_EXPIRED,
                   (unsigned long long)read->refused_by_code[i]);
    metric_counter(out, "attestation_replay_detected_total", "Tokens and proofs seen before.",
                   read->refused_by_code[ATTEST_E_REPLAY - ATTEST_E_EXPIRED]);
}

void
counts_write(const struct counts *counts, const struct attest_counters *read, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t value = *(const uint64_t *)(const void *)((const char *)read + rows[i].at);
        if (rows[i].gauge)
            metric_gauge(out, rows[i].name, rows[i].help, (int64_t)value);
        else
            metric_counter(out, rows[i].name, rows[i].help, value);
    }
    write_failures(read, out);
    metric_head(out, "attestation_verification_duration_seconds", "histogram",
                "From a token to its verdict.");
    metric_histogram(out, "attestation_verification_duration_seconds", "", &counts->check,
                     sizeof(*counts));
    metric_head(out, "attestation_jwks_fetch_duration_seconds", "histogram",
                "All requests of one attempt to fetch a key set.");
    metric_histogram(out, "attestation_jwks_fetch_duration_seconds", "", &counts->fetch,
                     sizeof(*counts));
}
