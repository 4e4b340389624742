/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_TRACE_H
#define ATTEST_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attest/error.h>

struct attest_verifier;
struct attest_result;

/*
 * Spans for a tracing system, told when they end: "attestation.verify", one a check, and
 * "attestation.jwks_fetch", one for all requests that one attempt to fetch an issuer's keys takes.
 * Ids are those of W3C Trace Context, so that an exporter of any kind can build on them. Without a
 * function to tell, nothing of this costs anything.
 */
struct attest_span;

/* As attest_event_fn: in the thread in which it ends, no lock held. */
typedef void attest_span_fn(void *ctx, const struct attest_span *span);

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One function a verifier; NULL: none. ATTEST_E_ARGUMENT, and nothing changes, once the verifier
 * has made a check or a step or started its thread; ATTEST_E_FORKED.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_verifier_on_span(struct attest_verifier *verifier, attest_span_fn *fn, void *ctx,
                            struct attest_error *err);

/*
 * attest_verifier_check() as part of a trace.
 *
 * traceparent   the value of the request's header field of that name (W3C Trace Context level 1,
 *               section 3.2), NUL-terminated; NULL for none. One that is not right to the letter
 *               counts as none, as the standard has it: it never changes a verdict.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 7) enum attest_rc
    attest_verifier_check_traced(struct attest_verifier *verifier, const char *token,
                                 size_t token_len, const char *proof, size_t proof_len,
                                 const char *traceparent, struct attest_result **ret);

ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_span_name(const struct attest_span *span);
/* 32 lower-case hexadecimal digits: the request's, or new where there was none. */
ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_span_trace_id(const struct attest_span *span);
/* 16 of them: the span's own, and its parent's or NULL. */
ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_span_id(const struct attest_span *span);
ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_span_parent_id(const struct attest_span *span);
/* What the traceparent says of sampling; true where there was none. */
ATTEST_EXPORT ATTEST_NONNULL(1) bool attest_span_sampled(const struct attest_span *span);
/* Microseconds since the Unix epoch. */
ATTEST_EXPORT ATTEST_NONNULL(1) int64_t attest_span_start_us(const struct attest_span *span);
ATTEST_EXPORT ATTEST_NONNULL(1) int64_t attest_span_duration_us(const struct attest_span *span);
/* ATTEST_OK, or why not. */
ATTEST_EXPORT ATTEST_NONNULL(1) enum attest_rc attest_span_code(const struct attest_span *span);
/* Whose keys, or whose token when it was verified; else NULL. */
ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_span_issuer(const struct attest_span *span);

#ifdef __cplusplus
}
#endif
#endif
