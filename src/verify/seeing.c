/* SPDX-License-Identifier: MIT */
#include "verify/seeing.h"

#include "base/clock.h"

struct attest_event {
    enum attest_event_kind kind;
    enum attest_rc code;
    const char *text, *issuer, *state, *trace_id;
    const struct attest_result *result;
    int64_t duration_us;
};

struct attest_span {
    const char *name, *issuer;
    const struct trace *trace;
    int64_t start_us, duration_us;
    enum attest_rc code;
};

static void
tell(const struct seeing *seeing, const struct attest_event *event)
{
    if (seeing->on_event)
        seeing->on_event(seeing->event_ctx, event);
}

/* ---- a check ---- */

void
seeing_begin(struct seeing *seeing, const char *traceparent, struct sight *ret)
{
    *ret = (struct sight){.started_us = clock_mono_us()};
    counts_add(seeing->counts, COUNT_STARTED, 1);
    if (traceparent && (seeing->on_span || seeing->on_event))
        traceparent_read(slice_cstr(traceparent), &ret->trace);
    if (seeing->on_span) {
        ret->started_wall_us = clock_wall_us();
        trace_begin(&ret->trace);
    }
}

void
seeing_keys(struct seeing *seeing, unsigned hits, unsigned misses)
{
    if (hits)
        counts_add(seeing->counts, COUNT_KEY_HITS, hits);
    if (misses)
        counts_add(seeing->counts, COUNT_KEY_MISSES, misses);
}

static void
tell_verdict(const struct seeing *seeing, const struct sight *sight,
             const struct attest_result *result, int64_t duration_us, bool warn)
{
    enum attest_rc code = attest_result_error_code(result);
    struct attest_event event = {
        .kind = code == ATTEST_OK         ? ATTEST_EVENT_VERIFIED
                : code == ATTEST_E_REPLAY ? ATTEST_EVENT_REPLAY
                                          : ATTEST_EVENT_REFUSED,
        .code = code,
        .text = attest_result_error(result),
        .issuer = attest_result_issuer(result),
        .trace_id = sight->trace.trace_id[0] ? sight->trace.trace_id : NULL,
        .result = result,
        .duration_us = duration_us,
    };
    tell(seeing, &event);
    if (!warn)
        return;
    event.kind = ATTEST_EVENT_ALLOWED_UNVERIFIED;
    tell(seeing, &event);
}

static void
tell_replay_state(const struct seeing *seeing, const struct replay_news *news)
{
    const struct attest_event event = {
        .kind = ATTEST_EVENT_REPLAY_STORE,
        .code = news->state == REPLAY_UNHEALTHY ? ATTEST_E_REPLAY_STORE : ATTEST_OK,
        .text = news->why,
        .state = replay_state_name(news->state),
        .duration_us = -1,
    };
    tell(seeing, &event);
}

/*
 * In the check that found it, or the next one that looks; one at a time, so that a state is told
 * behind the one before it. Who finds somebody at it waits for nothing: that one looks again
 * when the flag is down.
 */
static void
tell_replay_store(struct seeing *seeing)
{
    struct replay_store *store = seeing->replay->store;
    struct replay_news news;
    while (replay_changed(store, &seeing->replay_seen) &&
           !atomic_exchange(&seeing->telling_replay, true)) {
        if (replay_news(store, &seeing->replay_seen, &news))
            tell_replay_state(seeing, &news);
        atomic_store(&seeing->telling_replay, false);
    }
}

void
seeing_end(struct seeing *seeing, const struct sight *sight, enum attest_rc rc,
           const struct attest_result *result, bool warn)
{
    int64_t duration_us = clock_mono_us() - sight->started_us;
    if (!result)
        counts_add(seeing->counts, COUNT_NOT_JUDGED, 1);
    else
        counts_verdict(seeing->counts, rc, duration_us);
    if (result && rc != ATTEST_OK && attest_result_allowed(result))
        counts_add(seeing->counts, COUNT_ALLOWED_UNVERIFIED, 1);
    if (seeing->on_event)
        tell_replay_store(seeing);
    if (result && seeing->on_event)
        tell_verdict(seeing, sight, result, duration_us, warn);
    if (!seeing->on_span)
        return;
    const struct attest_span span = {
        .name = "attestation.verify",
        .issuer = result ? attest_result_issuer(result) : NULL,
        .trace = &sight->trace,
        .start_us = sight->started_wall_us,
        .duration_us = duration_us,
        .code = rc,
    };
    seeing->on_span(seeing->span_ctx, &span);
}

/* ---- a fetch ---- */

static void
tell_circuit(const struct seeing *seeing, const char *issuer, enum schedule_circuit circuit)
{
    const struct attest_event event = {.kind = ATTEST_EVENT_CIRCUIT,
                                       .text = "",
                                       .issuer = issuer,
                                       .state = schedule_circuit_name(circuit),
                                       .duration_us = -1};
    tell(seeing, &event);
}

static void
tell_fetch(const struct seeing *seeing, const struct resolver_news *news)
{
    struct trace trace = {0};
    struct attest_event event = {
        .kind = news->rc ? ATTEST_EVENT_KEYS_FETCH_FAILED : ATTEST_EVENT_KEYS_FETCHED,
        .code = news->rc,
        .text = news->text,
        .issuer = news->issuer,
        .duration_us = news->duration_us,
    };
    if (seeing->on_span) {
        trace_begin(&trace);
        event.trace_id = trace.trace_id;
    }
    if (!news->dropped)
        tell(seeing, &event);
    if (!seeing->on_span)
        return;
    const struct attest_span span = {
        .name = "attestation.jwks_fetch",
        .issuer = news->issuer,
        .trace = &trace,
        .start_us = clock_wall_us() - news->duration_us,
        .duration_us = news->duration_us,
        .code = news->rc,
    };
    seeing->on_span(seeing->span_ctx, &span);
}

void
seeing_news(void *ctx, const struct resolver_news *news)
{
    struct seeing *seeing = ctx;
    if (news->tried)
        tell_circuit(seeing, news->issuer, CIRCUIT_HALF_OPEN);
    if (!news->ended)
        return;
    counts_fetch(seeing->counts, news->rc, news->duration_us);
    tell_fetch(seeing, news);
    if (!news->circuit_changed)
        return;
    if (news->circuit == CIRCUIT_OPEN)
        counts_add(seeing->counts, COUNT_CIRCUIT_OPENS, 1);
    tell_circuit(seeing, news->issuer, news->circuit);
}

/* ---- what they are asked ---- */

enum attest_event_kind
attest_event_kind(const struct attest_event *event)
{
    return event->kind;
}

const char *
attest_event_name(enum attest_event_kind kind)
{
    static const char *const names[] = {
        [ATTEST_EVENT_VERIFIED] = "verified",
        [ATTEST_EVENT_REFUSED] = "refused",
        [ATTEST_EVENT_REPLAY] = "replay",
        [ATTEST_EVENT_ALLOWED_UNVERIFIED] = "allowed_unverified",
        [ATTEST_EVENT_KEYS_FETCHED] = "keys_fetched",
        [ATTEST_EVENT_KEYS_FETCH_FAILED] = "keys_fetch_failed",
        [ATTEST_EVENT_CIRCUIT] = "circuit",
        [ATTEST_EVENT_REPLAY_STORE] = "replay_store",
    };
    const char *name = (unsigned)kind < ARRAY_LEN(names) ? names[kind] : NULL;
    return name ? name : "unknown";
}

enum attest_rc
attest_event_code(const struct attest_event *event)
{
    return event->code;
}

const char *
attest_event_text(const struct attest_event *event)
{
    return event->text;
}

const struct attest_result *
attest_event_result(const struct attest_event *event)
{
    return event->result;
}

const char *
attest_event_issuer(const struct attest_event *event)
{
    return event->issuer;
}

const char *
attest_event_state(const struct attest_event *event)
{
    return event->state;
}

int64_t
attest_event_duration_us(const struct attest_event *event)
{
    return event->duration_us;
}

const char *
attest_event_trace_id(const struct attest_event *event)
{
    return event->trace_id;
}

const char *
attest_span_name(const struct attest_span *span)
{
    return span->name;
}

const char *
attest_span_trace_id(const struct attest_span *span)
{
    return span->trace->trace_id;
}

const char *
attest_span_id(const struct attest_span *span)
{
    return span->trace->span_id;
}

const char *
attest_span_parent_id(const struct attest_span *span)
{
    return span->trace->parent_id[0] ? span->trace->parent_id : NULL;
}

bool
attest_span_sampled(const struct attest_span *span)
{
    return span->trace->sampled;
}

int64_t
attest_span_start_us(const struct attest_span *span)
{
    return span->start_us;
}

int64_t
attest_span_duration_us(const struct attest_span *span)
{
    return span->duration_us;
}

enum attest_rc
attest_span_code(const struct attest_span *span)
{
    return span->code;
}

const char *
attest_span_issuer(const struct attest_span *span)
{
    return span->issuer;
}
