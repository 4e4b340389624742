/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_SEEING_H
#define VERIFY_SEEING_H

#include <attest/events.h>
#include <attest/trace.h>
#include <attest/verifier.h>

#include "verify/counts.h"
#include "verify/replay_api.h"
#include "verify/resolver.h"
#include "verify/traceparent.h"

/* What a verifier shows of itself: counters, events, spans. */
struct seeing {
    struct counts *counts;
    struct attest_replay *replay;
    _Atomic uint64_t replay_seen; /* changes of its state that were told */
    atomic_bool telling_replay;   /* somebody is at it */
    attest_event_fn *on_event;
    void *event_ctx;
    attest_span_fn *on_span;
    void *span_ctx;
};

/* One check as it is seen; on the stack. */
struct sight {
    int64_t started_us;      /* monotonic */
    int64_t started_wall_us; /* when somebody wants spans */
    struct trace trace;
};

/* traceparent may be NULL. */
void seeing_begin(struct seeing *seeing, const char *traceparent, struct sight *ret);
/* How many keys it wanted and found, and did not find. */
void seeing_keys(struct seeing *seeing, unsigned hits, unsigned misses);
/*
 * The check has come to this: result, or NULL when there is no verdict. warn: it was let through
 * although it should not go unnoticed.
 */
void seeing_end(struct seeing *seeing, const struct sight *sight, enum attest_rc rc,
                const struct attest_result *result, bool warn);
/* What a resolver has to tell; ctx is a struct seeing. */
void seeing_news(void *ctx, const struct resolver_news *news);

#endif
