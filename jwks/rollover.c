/* SPDX-License-Identifier: MIT */
#include "jwks/rollover.h"

const char *
rollover_action_name(enum rollover_action action)
{
    static const char *const names[] = {
        [ROLLOVER_WAIT] = "wait",       [ROLLOVER_GENERATE] = "generate",
        [ROLLOVER_PUBLISH] = "publish", [ROLLOVER_ACTIVATE] = "activate",
        [ROLLOVER_REMOVE] = "remove",   [ROLLOVER_DESTROY] = "destroy",
    };
    return names[action];
}

#define PERIOD_MAX_S (INT64_C(100) * 366 * 86400)

static enum attest_rc
check_ranges(const struct rollover_policy *p, struct attest_error *err)
{
    const struct {
        const char *name;
        int64_t value, min;
    } ranges[] = {
        {"active_period_s", p->active_period_s, 1},
        {"jitter_s", p->jitter_s, 0},
        {"publish_lead_s", p->publish_lead_s, 0},
        {"retire_lag_s", p->retire_lag_s, 0},
        {"destroy_grace_s", p->destroy_grace_s, 0},
        {"overdue_grace_s", p->overdue_grace_s, 0},
        {"lifetime_max_s", p->lifetime_max_s, 1},
        {"jwks_max_age_s", p->jwks_max_age_s, 0},
        {"verifier_cache_max_s", p->verifier_cache_max_s, 0},
        {"propagation_s", p->propagation_s, 0},
        {"skew_s", p->skew_s, 0},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (ranges[i].value < ranges[i].min || ranges[i].value > PERIOD_MAX_S)
            return error_set(err, ATTEST_E_CONFIG, "%s %lld is not between %lld and %lld",
                             ranges[i].name, (long long)ranges[i].value, (long long)ranges[i].min,
                             (long long)PERIOD_MAX_S);
    }
    return ATTEST_OK;
}

enum attest_rc
rollover_policy_check(const struct rollover_policy *p, struct attest_error *err)
{
    enum attest_rc rc = check_ranges(p, err);
    if (rc)
        return rc;
    int64_t caches_s = p->jwks_max_age_s + p->verifier_cache_max_s + p->propagation_s + p->skew_s;
    if (p->publish_lead_s < caches_s)
        return error_set(err, ATTEST_E_CONFIG,
                         "publish_lead_s %lld < %lld = jwks_max_age_s %lld + verifier_cache_max_s "
                         "%lld + propagation_s %lld + skew_s %lld",
                         (long long)p->publish_lead_s, (long long)caches_s,
                         (long long)p->jwks_max_age_s, (long long)p->verifier_cache_max_s,
                         (long long)p->propagation_s, (long long)p->skew_s);
    int64_t last_token_s = p->lifetime_max_s + p->skew_s;
    if (p->retire_lag_s < last_token_s)
        return error_set(err, ATTEST_E_CONFIG,
                         "retire_lag_s %lld < %lld = lifetime_max_s %lld + skew_s %lld",
                         (long long)p->retire_lag_s, (long long)last_token_s,
                         (long long)p->lifetime_max_s, (long long)p->skew_s);
    if (p->active_period_s - p->jitter_s < p->publish_lead_s)
        return error_set(err, ATTEST_E_CONFIG,
                         "active_period_s %lld - jitter_s %lld < publish_lead_s %lld: the standby "
                         "would not be ready",
                         (long long)p->active_period_s, (long long)p->jitter_s,
                         (long long)p->publish_lead_s);
    /* Retired keys pile up in the JWKS when they stay much longer than a key signs. */
    int64_t shown = 2 + p->retire_lag_s / (p->active_period_s - p->jitter_s) + 1;
    if (shown > ROLLOVER_JWKS_KEYS_MAX)
        return error_set(err, ATTEST_E_CONFIG,
                         "%lld keys in the JWKS at once, at most %d: retire_lag_s %lld is too long "
                         "for active_period_s %lld - jitter_s %lld",
                         (long long)shown, ROLLOVER_JWKS_KEYS_MAX, (long long)p->retire_lag_s,
                         (long long)p->active_period_s, (long long)p->jitter_s);
    return ATTEST_OK;
}

static bool
in_jwks(enum key_state state)
{
    return state == KEY_PUBLISHED || state == KEY_ACTIVE || state == KEY_RETIRED;
}

size_t
rollover_jwks_count(const struct rollover_key *keys, size_t n, int64_t now_s)
{
    size_t shown = 0;
    for (size_t i = 0; i < n; i++)
        shown += in_jwks(key_state(&keys[i].times, now_s));
    return shown;
}

int64_t
rollover_ready_s(const struct rollover_key *key, const struct rollover_policy *policy)
{
    if (key->times.published_s == 0)
        return INT64_MAX;
    return key->times.published_s + policy->publish_lead_s;
}

int64_t
rollover_due_s(const struct rollover_key *key, const struct rollover_policy *policy)
{
    int64_t early_s = policy->jitter_s ? key->jitter % (policy->jitter_s + 1) : 0;
    return key->times.active_s + policy->active_period_s - early_s;
}

int64_t
rollover_overdue_s(const struct rollover_key *key, const struct rollover_policy *policy)
{
    return key->times.active_s + policy->active_period_s + policy->overdue_grace_s;
}

int64_t
rollover_exp_max_s(const struct rollover_key *key, const struct rollover_policy *policy,
                   int64_t now_s)
{
    int64_t exp_s = now_s + policy->lifetime_max_s;
    if (key->times.retired_s) {
        int64_t leaves_s = key->times.retired_s + policy->retire_lag_s - policy->skew_s;
        if (leaves_s < exp_s)
            exp_s = leaves_s;
    }
    return exp_s;
}

static int64_t
earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static struct rollover_step
step(enum rollover_action action, size_t key, size_t retiring)
{
    return (struct rollover_step){.action = action, .key = key, .retiring = retiring};
}

/* What the keys are now, gathered once. */
struct view {
    size_t active, standby, created; /* the oldest of each, or ROLLOVER_NO_KEY */
    size_t shown;                    /* in the JWKS now */
    size_t ever_published;
};

static struct view
look(const struct rollover_key *keys, size_t n, int64_t now_s)
{
    struct view v = {
        .active = ROLLOVER_NO_KEY, .standby = ROLLOVER_NO_KEY, .created = ROLLOVER_NO_KEY};
    for (size_t i = 0; i < n; i++) {
        const struct key_times *t = &keys[i].times;
        enum key_state state = key_state(t, now_s);
        v.ever_published += t->published_s != 0;
        v.shown += in_jwks(state);
        if (state == KEY_ACTIVE)
            v.active = i;
        else if (state == KEY_PUBLISHED && (v.standby == ROLLOVER_NO_KEY ||
                                            t->published_s < keys[v.standby].times.published_s))
            v.standby = i;
        else if (state == KEY_CREATED &&
                 (v.created == ROLLOVER_NO_KEY || t->created_s < keys[v.created].times.created_s))
            v.created = i;
    }
    return v;
}

/* What leaves the JWKS goes first: room may be waited for. */
static struct rollover_step
next_removal(const struct rollover_key *keys, size_t n, const struct rollover_policy *policy,
             int64_t now_s)
{
    struct rollover_step wait = {ROLLOVER_WAIT, ROLLOVER_NO_KEY, ROLLOVER_NO_KEY, INT64_MAX};
    for (size_t i = 0; i < n; i++) {
        if (key_state(&keys[i].times, now_s) != KEY_RETIRED)
            continue;
        int64_t at_s = keys[i].times.retired_s + policy->retire_lag_s;
        if (at_s <= now_s)
            return step(ROLLOVER_REMOVE, i, ROLLOVER_NO_KEY);
        wait.at_s = earlier(wait.at_s, at_s);
    }
    return wait;
}

/* Destroying comes last: a token that will not do it must not hold up the rest. */
static struct rollover_step
next_destruction(const struct rollover_key *keys, size_t n, const struct rollover_policy *policy,
                 int64_t now_s)
{
    struct rollover_step wait = {ROLLOVER_WAIT, ROLLOVER_NO_KEY, ROLLOVER_NO_KEY, INT64_MAX};
    for (size_t i = 0; i < n; i++) {
        const struct key_times *t = &keys[i].times;
        enum key_state state = key_state(t, now_s);
        if (t->destroyed_s || (state != KEY_REMOVED && state != KEY_REVOKED))
            continue;
        int64_t at_s = (t->revoked_s ? t->revoked_s : t->removed_s) + policy->destroy_grace_s;
        if (at_s <= now_s)
            return step(ROLLOVER_DESTROY, i, ROLLOVER_NO_KEY);
        wait.at_s = earlier(wait.at_s, at_s);
    }
    return wait;
}

/* When the standby should take over: planned by hand, else by schedule, never before it is ready.
 */
static int64_t
takeover_s(const struct rollover_key *keys, const struct view *v,
           const struct rollover_policy *policy)
{
    const struct rollover_key *standby = &keys[v->standby];
    if (standby->times.active_s)
        return standby->times.active_s;
    /* Nobody can hold a key set that lacks the very first key: it need not wait for caches. */
    if (v->ever_published == 1)
        return standby->times.published_s;
    int64_t ready_s = rollover_ready_s(standby, policy);
    if (v->active == ROLLOVER_NO_KEY)
        return ready_s;
    int64_t due_s = rollover_due_s(&keys[v->active], policy);
    return due_s > ready_s ? due_s : ready_s;
}

int64_t
rollover_takeover_s(const struct rollover_key *keys, size_t n, const struct rollover_policy *policy,
                    int64_t now_s)
{
    struct view v = look(keys, n, now_s);
    return v.standby == ROLLOVER_NO_KEY ? INT64_MAX : takeover_s(keys, &v, policy);
}

static struct rollover_step
next_use(const struct rollover_key *keys, size_t n, const struct rollover_policy *policy,
         int64_t now_s)
{
    struct rollover_step wait = {ROLLOVER_WAIT, ROLLOVER_NO_KEY, ROLLOVER_NO_KEY, INT64_MAX};
    struct view v = look(keys, n, now_s);
    if (v.standby != ROLLOVER_NO_KEY) {
        wait.at_s = takeover_s(keys, &v, policy);
        return wait.at_s <= now_s ? step(ROLLOVER_ACTIVATE, v.standby, v.active) : wait;
    }
    if (v.shown >= ROLLOVER_JWKS_KEYS_MAX)
        return wait;
    if (v.created != ROLLOVER_NO_KEY)
        return step(ROLLOVER_PUBLISH, v.created, ROLLOVER_NO_KEY);
    return step(ROLLOVER_GENERATE, ROLLOVER_NO_KEY, ROLLOVER_NO_KEY);
}

struct rollover_step
rollover_next(const struct rollover_key *keys, size_t n, const struct rollover_policy *policy,
              int64_t now_s)
{
    static struct rollover_step (*const order[])(
        const struct rollover_key *keys, size_t n, const struct rollover_policy *policy,
        int64_t now_s) = {next_removal, next_use, next_destruction};
    struct rollover_step wait = {ROLLOVER_WAIT, ROLLOVER_NO_KEY, ROLLOVER_NO_KEY, INT64_MAX};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        struct rollover_step next = order[i](keys, n, policy, now_s);
        if (next.action != ROLLOVER_WAIT)
            return next;
        wait.at_s = earlier(wait.at_s, next.at_s);
    }
    return wait;
}

enum attest_rc
rollover_rotate(struct rollover_key *keys, size_t n, const struct rollover_policy *policy,
                int64_t now_s, int64_t *when_s, struct attest_error *err)
{
    struct view v = look(keys, n, now_s);
    if (v.active == ROLLOVER_NO_KEY)
        return error_set(err, ATTEST_E_NOT_FOUND, "no key is active");
    if (v.standby == ROLLOVER_NO_KEY)
        return error_set(err, ATTEST_E_NOT_FOUND, "no standby key is published yet");
    struct key_times *standby = &keys[v.standby].times, *active = &keys[v.active].times;
    if (standby->active_s) {
        *when_s = standby->active_s;
        return error_set(err, ATTEST_E_EXISTS, "a rotation is already planned");
    }
    /* The next standby needs a place beside all that is there now. */
    if (v.shown >= ROLLOVER_JWKS_KEYS_MAX)
        return error_set(err, ATTEST_E_LIMIT,
                         "the JWKS holds %zu keys already; wait until a retired one leaves",
                         v.shown);
    int64_t at_s = rollover_ready_s(&keys[v.standby], policy);
    if (at_s <= now_s)
        at_s = now_s + 1; /* who asks at the same time finds it planned */
    standby->active_s = at_s;
    active->retired_s = at_s;
    *when_s = at_s;
    return ATTEST_OK;
}

enum attest_rc
rollover_publish(struct rollover_key *keys, size_t n, size_t key, int64_t now_s,
                 struct attest_error *err)
{
    enum key_state state = key_state(&keys[key].times, now_s);
    if (state != KEY_CREATED)
        return error_set(err, ATTEST_E_ARGUMENT, "the key is %s already", key_state_name(state));
    if (rollover_jwks_count(keys, n, now_s) >= ROLLOVER_JWKS_KEYS_MAX)
        return error_set(err, ATTEST_E_LIMIT,
                         "the JWKS holds %d keys already; wait until one leaves",
                         ROLLOVER_JWKS_KEYS_MAX);
    keys[key].times.published_s = now_s;
    return ATTEST_OK;
}

/* A planned take-over by another key, if any, is off. */
static void
forget_plans(struct rollover_key *keys, size_t n, int64_t now_s)
{
    for (size_t i = 0; i < n; i++) {
        if (keys[i].times.active_s > now_s)
            keys[i].times.active_s = 0;
        if (keys[i].times.retired_s > now_s)
            keys[i].times.retired_s = 0;
    }
}

enum attest_rc
rollover_activate(struct rollover_key *keys, size_t n, const struct rollover_policy *policy,
                  size_t key, bool force, int64_t now_s, struct attest_error *err)
{
    enum key_state state = key_state(&keys[key].times, now_s);
    if (state != KEY_PUBLISHED)
        return error_set(err, ATTEST_E_ARGUMENT, "the key is %s, not published",
                         key_state_name(state));
    struct view v = look(keys, n, now_s);
    int64_t ready_s = rollover_ready_s(&keys[key], policy);
    if (ready_s > now_s && v.ever_published > 1 && !force)
        return error_set(err, ATTEST_E_DENIED, "verifiers may not know it for another %lld s",
                         (long long)(ready_s - now_s));
    forget_plans(keys, n, now_s);
    keys[key].times.active_s = now_s;
    if (v.active != ROLLOVER_NO_KEY)
        keys[v.active].times.retired_s = now_s;
    return ATTEST_OK;
}

/* The standby of v takes over now, if caches allow. */
static void
let_standby_take_over(struct rollover_key *keys, const struct view *v,
                      const struct rollover_policy *policy, int64_t now_s)
{
    if (v->standby == ROLLOVER_NO_KEY || rollover_ready_s(&keys[v->standby], policy) > now_s)
        return;
    keys[v->standby].times.active_s = now_s;
}

enum attest_rc
rollover_retire(struct rollover_key *keys, size_t n, const struct rollover_policy *policy,
                size_t key, bool force, int64_t now_s, struct attest_error *err)
{
    enum key_state state = key_state(&keys[key].times, now_s);
    if (state != KEY_ACTIVE)
        return error_set(err, ATTEST_E_ARGUMENT, "the key is %s, not active",
                         key_state_name(state));
    struct view v = look(keys, n, now_s);
    bool ready =
        v.standby != ROLLOVER_NO_KEY && rollover_ready_s(&keys[v.standby], policy) <= now_s;
    if (!ready && !force && v.standby == ROLLOVER_NO_KEY)
        return error_set(err, ATTEST_E_DENIED, "no standby key could take over");
    if (!ready && !force)
        return error_set(err, ATTEST_E_DENIED,
                         "the standby key may not sign for another %lld s; rotate plans that",
                         (long long)(rollover_ready_s(&keys[v.standby], policy) - now_s));
    forget_plans(keys, n, now_s);
    keys[key].times.retired_s = now_s;
    let_standby_take_over(keys, &v, policy, now_s);
    return ATTEST_OK;
}

enum attest_rc
rollover_revoke(struct rollover_key *keys, size_t n, const struct rollover_policy *policy,
                size_t key, int64_t now_s, struct attest_error *err)
{
    if (keys[key].times.revoked_s)
        return error_set(err, ATTEST_E_EXISTS, "revoked before");
    struct view v = look(keys, n, now_s);
    keys[key].times.revoked_s = now_s;
    if (key != v.active && keys[key].times.active_s <= now_s)
        return ATTEST_OK;
    /* Whatever was planned with this key is off; without it the standby goes as soon as it may. */
    forget_plans(keys, n, now_s);
    if (key == v.active)
        let_standby_take_over(keys, &v, policy, now_s);
    return ATTEST_OK;
}

int64_t
rollover_revocation_complete_s(const struct rollover_policy *policy, int64_t revoked_s)
{
    return revoked_s + policy->propagation_s + policy->jwks_max_age_s +
           policy->verifier_cache_max_s;
}
