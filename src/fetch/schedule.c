/* SPDX-License-Identifier: MIT */
#include "fetch/schedule.h"

#include "base/auto.h"

const struct schedule_limits schedule_defaults = {
    .ttl_default_ms = 3600 * 1000,
    .ttl_min_ms = 10 * 1000,
    .ttl_max_ms = 3600 * 1000,
    .stale_max_ms = 3600 * 1000,
    .cooldown_ms = 30 * 1000,
    .retry_first_ms = 500,
    .retry_max_ms = 10 * 1000,
    .open_after = 5,
    .open_ms = 30 * 1000,
};

const char *
schedule_circuit_name(enum schedule_circuit circuit)
{
    static const char *const names[] = {
        [CIRCUIT_CLOSED] = "closed", [CIRCUIT_OPEN] = "open", [CIRCUIT_HALF_OPEN] = "half-open"};
    return (unsigned)circuit < ARRAY_LEN(names) ? names[circuit] : "?";
}

int64_t
schedule_due_ms(const struct schedule *s)
{
    if (s->in_flight)
        return INT64_MAX;
    /* Whatever is wanted waits for the next try that failures allow: nobody's kid is a reason to
       press a server that is down. */
    if (s->failures > 0)
        return s->retry_ms;
    return !s->fetched || s->wanted ? INT64_MIN : s->refresh_ms;
}

void
schedule_started(struct schedule *s)
{
    s->in_flight = true;
    s->wanted = false;
}

static int64_t
clamp(int64_t n, int64_t least, int64_t most)
{
    return n < least ? least : n > most ? most : n;
}

bool
schedule_succeeded(struct schedule *s, const struct schedule_limits *limits, int64_t now_ms,
                   int64_t ttl_ms, uint32_t chance)
{
    int64_t ttl =
        clamp(ttl_ms < 0 ? limits->ttl_default_ms : ttl_ms, limits->ttl_min_ms, limits->ttl_max_ms);
    /* At eight tenths of its time, or up to a tenth before. */
    int64_t ahead = ttl / 5 + (int64_t)((uint64_t)(ttl / 10) * (chance % 1024) / 1024);
    s->in_flight = false;
    s->failures = 0;
    if (s->outdated) {
        s->outdated = false;
        return false;
    }
    s->fetched = true;
    s->fresh_until_ms = now_ms + ttl;
    s->refresh_ms = now_ms + ttl - ahead;
    return true;
}

/* Half to one and a half of it. */
static int64_t
vary(int64_t ms, uint32_t chance)
{
    return ms / 2 + (int64_t)((uint64_t)ms * (chance % 1024) / 1024);
}

void
schedule_failed(struct schedule *s, const struct schedule_limits *limits, int64_t now_ms,
                int64_t retry_after_ms, uint32_t chance)
{
    s->in_flight = s->outdated = false;
    if (s->failures < UINT32_MAX)
        s->failures++;
    int64_t wait = limits->retry_first_ms;
    for (unsigned i = 1; i < s->failures && wait < limits->retry_max_ms; i++)
        wait *= 2;
    if (wait > limits->retry_max_ms)
        wait = limits->retry_max_ms;
    wait = s->failures >= limits->open_after ? limits->open_ms : vary(wait, chance);
    int64_t asked = clamp(retry_after_ms, 0, limits->open_ms);
    s->retry_ms = now_ms + (asked > wait ? asked : wait);
}

bool
schedule_unknown_kid(struct schedule *s, const struct schedule_limits *limits, int64_t now_ms)
{
    if (s->in_flight || s->wanted || !s->fetched)
        return true;
    if (s->asked_for_kid && now_ms - s->asked_ms < limits->cooldown_ms)
        return false;
    s->asked_for_kid = true;
    s->asked_ms = now_ms;
    s->wanted = true;
    return true;
}

void
schedule_clear(struct schedule *s)
{
    s->fetched = false;
    s->wanted = true;
    s->outdated = s->in_flight;
}

void
schedule_invalidate(struct schedule *s)
{
    s->wanted = true;
}

int64_t
schedule_usable_until_ms(const struct schedule *s, const struct schedule_limits *limits)
{
    return s->fetched ? s->fresh_until_ms + limits->stale_max_ms : INT64_MIN;
}

enum schedule_circuit
schedule_circuit(const struct schedule *s, const struct schedule_limits *limits, int64_t now_ms)
{
    if (s->failures < limits->open_after)
        return CIRCUIT_CLOSED;
    return s->in_flight || now_ms >= s->retry_ms ? CIRCUIT_HALF_OPEN : CIRCUIT_OPEN;
}
