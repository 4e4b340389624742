/* SPDX-License-Identifier: MIT */
#include "admin/timeline.h"

#include "base/clock.h"

/* ---- what there is to draw ---- */

static bool
is_token(const struct timeline_key *key)
{
    return strcmp(key->purpose, "token") == 0;
}

static void
expect(int64_t *at_s, int64_t wanted_s)
{
    if (*at_s == 0)
        *at_s = wanted_s;
}

static void
plan_end(struct key_times *plan, const struct rollover_policy *policy)
{
    if (plan->retired_s && !plan->revoked_s)
        expect(&plan->removed_s, plan->retired_s + policy->retire_lag_s);
    if (plan->revoked_s || plan->removed_s)
        expect(&plan->destroyed_s,
               (plan->revoked_s ? plan->revoked_s : plan->removed_s) + policy->destroy_grace_s);
}

void
timeline_plan(struct timeline *t, const struct rollover_policy *policy, int64_t due_s)
{
    struct timeline_key *active = NULL, *standby = NULL;
    for (size_t i = 0; i < t->n; i++) {
        struct timeline_key *key = &t->keys[i];
        key->plan = key->times;
        if (!is_token(key))
            continue;
        enum key_state state = key_state(&key->times, t->now_s);
        if (state == KEY_ACTIVE)
            active = key;
        else if (state == KEY_PUBLISHED &&
                 (!standby || key->times.published_s < standby->times.published_s))
            standby = key;
    }
    if (standby && !standby->times.active_s) {
        int64_t ready_s = standby->times.published_s + policy->publish_lead_s;
        if (!active)
            standby->plan.active_s = ready_s;
        else if (due_s)
            standby->plan.active_s = due_s > ready_s ? due_s : ready_s;
    }
    if (active && !active->times.retired_s)
        active->plan.retired_s = standby && standby->plan.active_s ? standby->plan.active_s : due_s;
    for (size_t i = 0; i < t->n; i++) {
        if (is_token(&t->keys[i]))
            plan_end(&t->keys[i].plan, policy);
    }
}

/* The stamps of a life, in the order in which they are told. */
static const struct stamp {
    size_t offset;
    const char *verb; /* what the key will do then */
} stamps[] = {
    {offsetof(struct key_times, created_s), "is made"},
    {offsetof(struct key_times, published_s), "is published"},
    {offsetof(struct key_times, active_s), "signs"},
    {offsetof(struct key_times, retired_s), "retires"},
    {offsetof(struct key_times, removed_s), "leaves the key set"},
    {offsetof(struct key_times, revoked_s), "is revoked"},
    {offsetof(struct key_times, destroyed_s), "is destroyed"},
};

static int64_t
stamp_of(const struct key_times *times, const struct stamp *stamp)
{
    int64_t at_s;
    memcpy(&at_s, (const char *)times + stamp->offset, sizeof(at_s));
    return at_s;
}

const char *
timeline_next(const struct timeline_key *key, int64_t now_s, int64_t *at_s)
{
    const char *verb = NULL;
    for (size_t i = 0; i < ARRAY_LEN(stamps); i++) {
        int64_t stamp_s = stamp_of(&key->plan, &stamps[i]);
        if (stamp_s > now_s && (!verb || stamp_s < *at_s)) {
            *at_s = stamp_s;
            verb = stamps[i].verb;
        }
    }
    return verb;
}

void
timeline_range(struct timeline *t)
{
    int64_t from_s = t->now_s, to_s = t->now_s;
    /* Root and log keys live for years: with token keys there, they do not set the scale. */
    bool any_token = false;
    for (size_t i = 0; i < t->n; i++)
        any_token |= is_token(&t->keys[i]);
    for (size_t i = 0; i < t->n; i++) {
        const struct timeline_key *key = &t->keys[i];
        const struct key_times *plan = &key->plan;
        if ((plan->destroyed_s && plan->destroyed_s <= t->now_s) || (any_token && !is_token(key)))
            continue;
        if (plan->created_s < from_s)
            from_s = plan->created_s;
        /* The end of the bar, but not the grace behind it, which may be longer than the rest. */
        int64_t end_s = plan->removed_s ? plan->removed_s : plan->active_s;
        if (end_s > to_s)
            to_s = end_s;
    }
    int64_t margin_s = (to_s - from_s) / 16;
    t->from_s = from_s - margin_s - 1;
    t->to_s = to_s + margin_s + 1;
    /* Something of the future is always seen. */
    int64_t ahead_s = (t->now_s - t->from_s) / 8;
    if (t->to_s < t->now_s + ahead_s)
        t->to_s = t->now_s + ahead_s;
}

static void
sort(int64_t *at, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        int64_t v = at[i];
        size_t k = i;
        for (; k > 0 && at[k - 1] > v; k--)
            at[k] = at[k - 1];
        at[k] = v;
    }
}

size_t
timeline_parts(const struct key_times *times, struct timeline_part parts[TIMELINE_PARTS_MAX])
{
    int64_t at[ARRAY_LEN(stamps)], end_s = times->destroyed_s ? times->destroyed_s : INT64_MAX;
    size_t n_at = 0, n = 0;
    for (size_t i = 0; i < ARRAY_LEN(stamps); i++) {
        int64_t stamp_s = stamp_of(times, &stamps[i]);
        if (stamp_s && stamp_s >= times->created_s && stamp_s < end_s)
            at[n_at++] = stamp_s;
    }
    sort(at, n_at);
    for (size_t i = 0; i < n_at; i++) {
        int64_t to_s = i + 1 < n_at ? at[i + 1] : end_s;
        enum key_state state = key_state_at(times, at[i]);
        if (to_s == at[i])
            continue;
        if (n && parts[n - 1].state == state)
            parts[n - 1].to_s = to_s;
        else
            parts[n++] = (struct timeline_part){state, at[i], to_s};
    }
    return n;
}

int64_t
timeline_ticks(const struct timeline *t, size_t n_max, int64_t *first_s)
{
    static const int64_t steps_s[] = {
        1,     5,     10,     30,     60,      300,     900,     3600,     10800,     21600,
        43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31557600, 157788000, 631152000};
    int64_t span_s = t->to_s - t->from_s;
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(steps_s) && span_s / steps_s[i] >= (int64_t)n_max)
        i++;
    int64_t step_s = steps_s[i];
    *first_s = t->from_s > 0 ? (t->from_s + step_s - 1) / step_s * step_s : step_s;
    return step_s;
}

size_t
timeline_tick(char out[TIMELINE_TICK_SIZE], int64_t at_s, int64_t step_s)
{
    /* The parts of "2026-01-31T12:00:00Z" that tell one tick from the next. */
    static const struct {
        int64_t below_s;
        size_t from, len;
    } cuts[] = {{60, 11, 8}, {10800, 11, 5}, {86400, 5, 11}, {2592000, 5, 5}, {INT64_MAX, 0, 10}};
    char stamp[CLOCK_TEXT_SIZE];
    size_t i = 0;
    while (step_s >= cuts[i].below_s)
        i++;
    clock_format(stamp, at_s);
    memcpy(out, stamp + cuts[i].from, cuts[i].len);
    out[cuts[i].len] = '\0';
    if (cuts[i].len == 11)
        out[5] = ' ';
    return cuts[i].len;
}
