/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_EVENTS_H
#define ATTEST_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include <attest/error.h>

struct attest_verifier;
struct attest_result;

/* ---- events ---- */

/*
 * What a verifier tells as it happens. Kinds may be added: pass over those that you do not know.
 *
 * Every check that ends in a verdict is one of the first three, whatever the policy's mode makes of
 * it. REPLAY is a refusal with the code 1006: somebody else may hold this token.
 */
enum attest_event_kind {
    ATTEST_EVENT_VERIFIED = 1,
    ATTEST_EVENT_REFUSED = 2,
    ATTEST_EVENT_REPLAY = 3,
    /* Follows REFUSED or REPLAY in mode preferred: the caller was let through although not
       verified. The result says why it was not. In mode optional it is not told, and counted all
       the same (allowed_unverified). */
    ATTEST_EVENT_ALLOWED_UNVERIFIED = 4,
    ATTEST_EVENT_KEYS_FETCHED = 5,
    ATTEST_EVENT_KEYS_FETCH_FAILED = 6,
    /* Whether an issuer that does not answer is asked: state is "closed" (yes), "open" (not for a
       while) or "half-open" (one try decides). */
    ATTEST_EVENT_CIRCUIT = 7,
    /* The replay store is "healthy", "degraded" or "unhealthy" now (<attest/replay.h>), as a check
       of this verifier found; also told when it is not healthy from the first. */
    ATTEST_EVENT_REPLAY_STORE = 8
};

/* One event; valid, with all that its accessors return, during the call that tells it. */
struct attest_event;

/*
 * Called without a lock, in the thread of the check or step in which it happens, which waits until
 * it returns. It may use the verifier, and not free it; a check made in here is told from within.
 * Several threads may be in it at once. But news of one issuer (_KEYS_FETCHED, _KEYS_FETCH_FAILED,
 * _CIRCUIT), and of the replay store (_REPLAY_STORE), come one at a time and in order, so that the
 * last state told is the current one; of a replay store that changes faster than it can be told,
 * the last change alone. While it runs with news of an issuer, that one is not asked again: return
 * soon.
 */
typedef void attest_event_fn(void *ctx, const struct attest_event *event);

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One function a verifier; NULL: none. ATTEST_E_ARGUMENT, and nothing changes, once the verifier
 * has made a check or a step or started its thread; ATTEST_E_FORKED.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_verifier_on_event(struct attest_verifier *verifier, attest_event_fn *fn, void *ctx,
                             struct attest_error *err);

ATTEST_EXPORT
ATTEST_NONNULL(1) enum attest_event_kind attest_event_kind(const struct attest_event *event);
/* "verified", "refused", "replay", "allowed_unverified", "keys_fetched", "keys_fetch_failed",
   "circuit", "replay_store"; "unknown" for any other number. Static. */
ATTEST_EXPORT const char *attest_event_name(enum attest_event_kind kind);
/* ATTEST_OK, or why not: a code of protocol for a check, any code for a fetch;
   ATTEST_E_REPLAY_STORE for a replay store that is unhealthy. */
ATTEST_EXPORT ATTEST_NONNULL(1) enum attest_rc attest_event_code(const struct attest_event *event);
/* The same as a sentence, or why the state changed; "" for none. Printable ASCII without secrets:
 * it may be logged. */
ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_event_text(const struct attest_event *event);
/* The verdict, for the events of a check; NULL for others. */
ATTEST_EXPORT
ATTEST_NONNULL(1) const struct attest_result *attest_event_result(const struct attest_event *event);
/* Whose keys, or whose token when it was verified; else NULL: what it claims is not believed. */
ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_event_issuer(const struct attest_event *event);
/* For a change of state: the new one; else NULL. */
ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_event_state(const struct attest_event *event);
/* What a check or a fetch took, in microseconds; -1 for others. */
ATTEST_EXPORT
ATTEST_NONNULL(1) int64_t attest_event_duration_us(const struct attest_event *event);
/* The 32 hexadecimal digits of the trace that it belongs to (<attest/trace.h>), or NULL. */
ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_event_trace_id(const struct attest_event *event);

#ifdef __cplusplus
}
#endif
#endif
