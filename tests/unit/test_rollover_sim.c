/* SPDX-License-Identifier: MIT */

/*
 * Ten years of key life for each of many random policies, with a signer that crashes, operators who
 * rotate and revoke when they like, verifiers that cache as long as they may, and clocks that
 * differ. Everything follows from the seed; a failure prints the seed and the shortest horizon that
 * still fails, and SIM_SEED=… runs that one alone.
 *
 * SIM_POLICIES (default 10,000) and SIM_YEARS (default 10) say how much.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jwks/rollover.h"

#define YEAR_S (INT64_C(365) * 86400)
#define START_S INT64_C(1700000000)
#define KEYS_MAX 65536

struct world {
    uint64_t rng;
    struct rollover_policy policy;
    size_t n;
    size_t first; /* keys before this one are destroyed and forgotten */
    int64_t signer_offset_s;
    int64_t true_s;
    size_t first_published;
    int64_t down_until_s;
    int64_t ahead_s; /* how far ahead the loop plans an activation: 0 or 1 */
    unsigned zeal;   /* operators act once in so many moments, and the moments come closer */
    uint64_t tokens, checks, rotations, revocations, retirements, crashes, forced;
    bool forced_now;
    bool nobody_retires; /* what the loop planned last takes over from no one */
    bool must_sign;      /* what the operator did may not leave us without a signing key */
    char why[200];
    struct rollover_key keys[KEYS_MAX]; /* last: it is too large to be cleared each time */
};

static uint64_t
rnd(struct world *w)
{
    uint64_t z = (w->rng += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int64_t
between(struct world *w, int64_t low, int64_t high)
{
    return low + (int64_t)(rnd(w) % (uint64_t)(high - low + 1));
}

static bool
one_in(struct world *w, unsigned n)
{
    return rnd(w) % n == 0;
}

static int64_t
signer_s(const struct world *w)
{
    return w->true_s + w->signer_offset_s;
}

static void
random_policy(struct world *w)
{
    struct rollover_policy *p = &w->policy;
    p->lifetime_max_s = between(w, 60, 900);
    p->jwks_max_age_s = between(w, 0, 3600);
    p->verifier_cache_max_s = between(w, 0, 86400);
    p->propagation_s = between(w, 0, 600);
    p->skew_s = between(w, 0, 60);
    p->publish_lead_s = p->jwks_max_age_s + p->verifier_cache_max_s + p->propagation_s + p->skew_s;
    p->retire_lag_s = p->lifetime_max_s + p->skew_s;
    /* Half of the policies stand exactly on the edge of what is allowed. */
    if (one_in(w, 2))
        p->publish_lead_s += between(w, 0, 86400);
    if (one_in(w, 2))
        p->retire_lag_s += between(w, 0, 86400);
    p->jitter_s = between(w, 0, 86400);
    p->active_period_s = p->publish_lead_s + p->jitter_s + between(w, 5 * 86400, 90 * 86400);
    p->destroy_grace_s = between(w, 0, 7 * 86400);
    p->overdue_grace_s = between(w, 3600, 7 * 86400);
}

static enum key_state
state_at(const struct world *w, size_t i, int64_t at_true_s)
{
    return key_state_at(&w->keys[i].times, at_true_s + w->signer_offset_s);
}

static bool
shown_at(const struct world *w, size_t i, int64_t at_true_s)
{
    enum key_state s = state_at(w, i, at_true_s);
    return s == KEY_PUBLISHED || s == KEY_ACTIVE || s == KEY_RETIRED;
}

static size_t
active_key(const struct world *w, int64_t at_true_s, size_t *count)
{
    size_t found = ROLLOVER_NO_KEY;
    *count = 0;
    for (size_t i = w->first; i < w->n; i++) {
        if (state_at(w, i, at_true_s) == KEY_ACTIVE) {
            found = i;
            ++*count;
        }
    }
    return found;
}

static bool
broken(struct world *w, const char *what, size_t key)
{
    snprintf(w->why, sizeof(w->why), "%s: key %zu at true time %+lld s", what, key,
             (long long)(w->true_s - START_S));
    return false;
}

/* What holds at every moment. */
static bool
check_invariants(struct world *w)
{
    size_t active;
    active_key(w, w->true_s, &active);
    if (active > 1)
        return broken(w, "two active keys", active);
    if (w->must_sign && active == 0)
        return broken(w, "nobody signs after retire", 0);
    w->must_sign = false;
    size_t shown = rollover_jwks_count(w->keys + w->first, w->n - w->first, signer_s(w));
    if (shown > ROLLOVER_JWKS_KEYS_MAX)
        return broken(w, "JWKS too long", shown);
    return true;
}

/*
 * One token signed at true time t: every verifier that may see it must know its key, however old
 * its copy of the key set may be, unless the key was revoked meanwhile.
 */
static bool
check_token(struct world *w, size_t key, int64_t minted_true_s, int64_t exp_signer_s)
{
    const struct rollover_policy *p = &w->policy;
    const struct key_times *t = &w->keys[key].times;
    /* A verifier's clock may be behind the signer's by all the skew; at exp itself it refuses. */
    int64_t last_true_s = exp_signer_s - w->signer_offset_s + p->skew_s - 1;
    int64_t cache_s = p->jwks_max_age_s + p->verifier_cache_max_s;
    for (int i = 0; i < 6; i++) {
        int64_t seen_s = i == 0   ? minted_true_s
                         : i == 1 ? last_true_s
                                  : between(w, minted_true_s, last_true_s);
        int64_t age_s = i == 1 ? 0 : i % 2 == 0 ? cache_s : between(w, 0, cache_s);
        int64_t content_s = seen_s - age_s - (i % 2 == 0 ? p->propagation_s : 0);
        /* Before the first publication there was no set to be cached. */
        int64_t first_s = w->keys[w->first_published].times.published_s - w->signer_offset_s;
        if (content_s < first_s)
            content_s = first_s;
        bool revoked = t->revoked_s && t->revoked_s <= seen_s + w->signer_offset_s;
        w->checks++;
        if (!shown_at(w, key, content_s) && !revoked)
            return broken(w, "valid token refused", key);
        int64_t complete_s =
            t->revoked_s ? rollover_revocation_complete_s(p, t->revoked_s) : INT64_MAX;
        if (shown_at(w, key, content_s) && seen_s + w->signer_offset_s > complete_s)
            return broken(w, "token accepted after revocation", key);
    }
    return true;
}

/* Tokens wait here until time has passed over all that can happen to them. */
#define PENDING_MAX 64
struct pending {
    size_t key;
    int64_t minted_true_s, exp_signer_s;
};

static bool
settle(struct world *w, struct pending *pending, size_t *n, bool all)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        if (!all && pending[i].exp_signer_s + w->policy.skew_s > signer_s(w)) {
            pending[kept++] = pending[i];
            continue;
        }
        if (!check_token(w, pending[i].key, pending[i].minted_true_s, pending[i].exp_signer_s))
            return false;
    }
    *n = kept;
    return true;
}

/* No key may be active only while there is none that verifiers can be expected to know. */
static bool
none_is_right(const struct world *w)
{
    bool ready = false;
    for (size_t i = w->first; i < w->n; i++) {
        const struct key_times *t = &w->keys[i].times;
        if (state_at(w, i, w->true_s) != KEY_PUBLISHED)
            continue;
        if (w->nobody_retires && t->active_s && t->active_s <= signer_s(w) + w->ahead_s)
            return true; /* the loop has done its part */
        ready |= rollover_ready_s(&w->keys[i], &w->policy) <= signer_s(w);
    }
    return !ready;
}

static bool
mint(struct world *w, struct pending *pending, size_t *n)
{
    size_t count;
    size_t key = active_key(w, w->true_s, &count);
    if (signer_s(w) < w->down_until_s)
        return true;
    if (key == ROLLOVER_NO_KEY)
        return none_is_right(w) || broken(w, "no active key", 0);
    if (signer_s(w) > rollover_overdue_s(&w->keys[key], &w->policy) || *n == PENDING_MAX)
        return true;
    /* A forced activation is the operator's word that some verifiers may refuse for a while. */
    if (signer_s(w) < rollover_ready_s(&w->keys[key], &w->policy) && key != w->first_published)
        return w->forced_now || broken(w, "active before caches allow", key);
    w->tokens++;
    pending[(*n)++] = (struct pending){key, w->true_s,
                                       rollover_exp_max_s(&w->keys[key], &w->policy, signer_s(w))};
    return true;
}

/* Does one step and stores it, unless the crash comes first. False when there was nothing to do. */
static bool
loop_once(struct world *w, int64_t *wake_signer_s)
{
    struct rollover_key *keys = w->keys + w->first;
    size_t n = w->n - w->first;
    struct rollover_step s = rollover_next(keys, n, &w->policy, signer_s(w));
    *wake_signer_s = s.at_s;
    if (s.action == ROLLOVER_WAIT)
        return false;
    if (one_in(w, 20)) {
        w->crashes++;
        *wake_signer_s = signer_s(w) + between(w, 1, one_in(w, 10) ? 2 * 86400 : 600);
        w->down_until_s = *wake_signer_s;
        return false;
    }
    switch (s.action) {
    case ROLLOVER_GENERATE:
        if (w->n == KEYS_MAX)
            abort();
        w->keys[w->n] =
            (struct rollover_key){.times = {.created_s = signer_s(w)}, .jitter = (uint32_t)rnd(w)};
        w->n++;
        break;
    case ROLLOVER_PUBLISH:
        keys[s.key].times.published_s = signer_s(w);
        if (w->first_published == ROLLOVER_NO_KEY)
            w->first_published = w->first + s.key;
        break;
    case ROLLOVER_ACTIVATE:
        /* As the signer does it: a moment ahead, by when it is stored; at once is right too. */
        keys[s.key].times.active_s = signer_s(w) + w->ahead_s;
        w->nobody_retires = s.retiring == ROLLOVER_NO_KEY;
        if (s.retiring != ROLLOVER_NO_KEY)
            keys[s.retiring].times.retired_s = signer_s(w) + w->ahead_s;
        w->rotations++;
        w->forced_now = false;
        break;
    case ROLLOVER_REMOVE:
        keys[s.key].times.removed_s = signer_s(w);
        break;
    case ROLLOVER_DESTROY:
        keys[s.key].times.destroyed_s = signer_s(w);
        break;
    case ROLLOVER_WAIT:
        break;
    }
    /* For speed, all but one of the destroyed keys: that others came before must stay known. */
    while (w->first + 1 < w->n && w->keys[w->first].times.destroyed_s &&
           w->keys[w->first + 1].times.destroyed_s && w->keys[w->first + 1].times.published_s)
        w->first++;
    return true;
}

static void
operator_acts(struct world *w)
{
    struct rollover_key *keys = w->keys + w->first;
    size_t n = w->n - w->first;
    int64_t when_s, now_s = signer_s(w);
    if (n == 0)
        return;
    size_t key = (size_t)between(w, 0, (int64_t)n - 1);
    switch (rnd(w) % 10) {
    case 0:
        if (rollover_revoke(keys, n, &w->policy, key, now_s, NULL) == ATTEST_OK)
            w->revocations++;
        break;
    case 1: {
        bool early = rollover_ready_s(&keys[key], &w->policy) > now_s;
        if (rollover_activate(keys, n, &w->policy, key, true, now_s, NULL) == ATTEST_OK && early) {
            w->forced++;
            w->forced_now = true;
        }
        break;
    }
    case 2:
        if (w->n < KEYS_MAX && w->n - w->first < 12)
            w->keys[w->n++] = (struct rollover_key){.times = {.created_s = now_s}};
        break;
    case 3:
        if (rollover_publish(keys, n, key, now_s, NULL) == ATTEST_OK &&
            w->first_published == ROLLOVER_NO_KEY)
            w->first_published = w->first + key;
        break;
    case 4:
        (void)rollover_activate(keys, n, &w->policy, key, false, now_s, NULL);
        break;
    case 5: {
        bool force = one_in(w, 2);
        if (rollover_retire(keys, n, &w->policy, key, force, now_s, NULL) == ATTEST_OK) {
            w->retirements++;
            w->must_sign = !force;
        }
        break;
    }
    default:
        if (rollover_rotate(keys, n, &w->policy, now_s, &when_s, NULL) == ATTEST_OK)
            w->rotations++;
        break;
    }
}

static bool
live(struct world *w, uint64_t seed, int64_t horizon_s)
{
    memset(w, 0, offsetof(struct world, keys));
    w->rng = seed;
    w->first_published = ROLLOVER_NO_KEY;
    random_policy(w);
    w->ahead_s = one_in(w, 4) ? 0 : 1;
    w->zeal = one_in(w, 10) ? 2 : one_in(w, 2) ? 12 : 60;
    w->true_s = START_S;
    w->signer_offset_s = between(w, -w->policy.skew_s / 2, w->policy.skew_s / 2);
    struct attest_error err;
    if (rollover_policy_check(&w->policy, &err)) {
        snprintf(w->why, sizeof(w->why), "policy refused: %s", err.text);
        return false;
    }
    struct pending pending[PENDING_MAX];
    size_t n_pending = 0;
    int64_t wake_s = signer_s(w);
    /* A zealous year has as much in it as many others. */
    int64_t end_s = START_S + (w->zeal == 2 ? horizon_s / 120 : horizon_s);
    bool started = false;
    while (w->true_s < end_s) {
        while (signer_s(w) >= wake_s && loop_once(w, &wake_s)) {
            if (!check_invariants(w))
                return false;
        }
        started = true;
        if (one_in(w, w->zeal)) {
            w->down_until_s = 0;
            operator_acts(w);
            wake_s = signer_s(w);
            if (!check_invariants(w))
                return false;
            continue;
        }
        if (started && !mint(w, pending, &n_pending))
            return false;
        if (!settle(w, pending, &n_pending, false) || !check_invariants(w))
            return false;
        /* Half of the time straight to the next thing planned, where faults like to live. */
        int64_t next_s = w->true_s + between(w, 1,
                                             one_in(w, 3)   ? 1200
                                             : w->zeal == 2 ? w->policy.retire_lag_s
                                                            : w->policy.active_period_s);
        int64_t wake_true_s = wake_s == INT64_MAX ? INT64_MAX : wake_s - w->signer_offset_s;
        if (wake_true_s > w->true_s && wake_true_s < next_s)
            next_s = wake_true_s - (one_in(w, 2) && wake_true_s - w->true_s > 1 ? 1 : 0);
        w->true_s = next_s;
    }
    return settle(w, pending, &n_pending, true);
}

static long
setting(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 0) : fallback;
}

static void
report_failure(struct world *w, uint64_t seed, int64_t horizon_s)
{
    int64_t low_s = 0, high_s = horizon_s;
    while (high_s - low_s > 1) {
        int64_t middle_s = low_s + (high_s - low_s) / 2;
        if (live(w, seed, middle_s))
            low_s = middle_s;
        else
            high_s = middle_s;
    }
    (void)live(w, seed, high_s);
    printf("FAILED: %s\n  run it alone: SIM_SEED=%llu, fails within %lld s\n", w->why,
           (unsigned long long)seed, (long long)high_s);
}

int
main(void)
{
    static struct world w;
    long policies = setting("SIM_POLICIES", 10000);
    int64_t horizon_s = setting("SIM_YEARS", 10) * YEAR_S;
    uint64_t first = (uint64_t)setting("SIM_SEED", 0);
    uint64_t tokens = 0, checks = 0, rotations = 0, revocations = 0, retirements = 0, crashes = 0,
             forced = 0;
    if (first)
        policies = 1;
    for (long i = 0; i < policies; i++) {
        uint64_t seed = first ? first : (uint64_t)i + 1;
        if (!live(&w, seed, horizon_s)) {
            report_failure(&w, seed, horizon_s);
            return 1;
        }
        tokens += w.tokens;
        checks += w.checks;
        rotations += w.rotations;
        revocations += w.revocations;
        retirements += w.retirements;
        crashes += w.crashes;
        forced += w.forced;
    }
    printf("%ld policies, %lld years each: %llu rotations, %llu revocations, "
           "%llu retirements, %llu forced activations, %llu crashes, %llu tokens, %llu "
           "verifications, none wrong\n",
           policies, (long long)(horizon_s / YEAR_S), (unsigned long long)rotations,
           (unsigned long long)revocations, (unsigned long long)retirements,
           (unsigned long long)forced, (unsigned long long)crashes, (unsigned long long)tokens,
           (unsigned long long)checks);
    return rotations && revocations && retirements && crashes && tokens ? 0 : 1;
}
