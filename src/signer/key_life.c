/* SPDX-License-Identifier: MIT */
#include "signer/key_life.h"

#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "signer/key_view.h"
#include "signer/lease.h"

enum { BACK_OFF_FIRST_MS = 1000, BACK_OFF_MOST_MS = 60000 };

/* What is next, for those who ask and for those who are to be told ahead. */
struct forecast {
    const char *action; /* "wait" when nothing is */
    char kid[JWK_THUMBPRINT_LEN + 1];
    int64_t at_s;             /* 0: now */
    int64_t takeover_s;       /* when another key is to sign; INT64_MAX unknown */
    int64_t due_s, overdue_s; /* of the active key; 0 without one */
};

/* ---- the clock ---- */

static void
read_boot_id(char out[41])
{
    out[0] = '\0';
    AUTO(fd) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, 36);
    out[n == 36 ? 36 : 0] = '\0';
}

static int64_t
longer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/*
 * A configuration with shorter terms holds for what is made under it. What was promised under the
 * one before is kept until it has run out, over further starts too: the fact "terms" knows the
 * longest terms, and when they have run out if they are no longer configured.
 */
static enum attest_rc
keep_promises(struct signer *s, struct attest_error *err)
{
    char text[KEY_FACT_MAX];
    long long lead_s = 0, lag_s = 0, life_s = 0, until_s = 0;
    struct rollover_policy *p = &s->policy;
    int64_t now_s;
    key_life_clock(s, &now_s);
    enum attest_rc rc = key_records_fact(s->records, "terms", text, err);
    if (rc)
        return rc;
    bool known = sscanf(text, "%lld %lld %lld %lld", &lead_s, &lag_s, &life_s, &until_s) == 4 &&
                 (!until_s || now_s < until_s);
    bool shorter = known && (lead_s > p->publish_lead_s || lag_s > p->retire_lag_s ||
                             life_s > p->lifetime_max_s);
    if (shorter) {
        p->publish_lead_s = longer(lead_s, p->publish_lead_s);
        p->retire_lag_s = longer(lag_s, p->retire_lag_s);
        p->lifetime_max_s = longer(life_s, p->lifetime_max_s);
        s->relax_s = until_s ? until_s : now_s + longer(lead_s, lag_s);
        log_event(LOG_LEVEL_INFO, "policy_kept",
                  "publish_lead_s=%lld retire_lag_s=%lld lifetime_max_s=%lld "
                  "note=\"the longer terms of before hold until they have run out\"",
                  (long long)p->publish_lead_s, (long long)p->retire_lag_s,
                  (long long)p->lifetime_max_s);
    }
    snprintf(text, sizeof(text), "%lld %lld %lld %lld", (long long)p->publish_lead_s,
             (long long)p->retire_lag_s, (long long)p->lifetime_max_s, (long long)s->relax_s);
    return key_records_set_fact(s->records, "terms", text, err);
}

enum attest_rc
key_life_start(struct signer *s, struct attest_error *err)
{
    char text[KEY_FACT_MAX];
    enum attest_rc rc = key_records_fact(s->records, "clock", text, err);
    if (rc)
        return rc;
    read_boot_id(s->boot_id);
    s->clock.jump_max_ms = s->config->clock_jump_max_s * 1000;
    clock_watch_resume(&s->clock, text, s->boot_id, clock_wall_ms(), clock_boot_ms());
    return keep_promises(s, err);
}

static bool
look(struct signer *s, int64_t *wall_ms, int64_t *now_ms, int64_t *off_ms)
{
    pthread_mutex_lock(&s->back.lock);
    int64_t boot_ms = clock_boot_ms();
    *wall_ms = clock_wall_ms();
    bool good = clock_watch_look(&s->clock, *wall_ms, boot_ms);
    *now_ms = clock_watch_now_ms(&s->clock, *wall_ms, boot_ms);
    *off_ms = s->clock.jumped_ms;
    pthread_mutex_unlock(&s->back.lock);
    return good;
}

bool
key_life_clock(struct signer *s, int64_t *now_s)
{
    int64_t wall_ms, now_ms, off_ms;
    bool good = look(s, &wall_ms, &now_ms, &off_ms);
    *now_s = now_ms / 1000;
    return good;
}

enum attest_rc
key_life_remember(struct signer *s, struct attest_error *err)
{
    int64_t wall_ms, now_ms, off_ms;
    char text[CLOCK_WATCH_TEXT_SIZE];
    (void)look(s, &wall_ms, &now_ms, &off_ms);
    pthread_mutex_lock(&s->back.lock);
    clock_watch_write(&s->clock, s->boot_id, wall_ms, text);
    pthread_mutex_unlock(&s->back.lock);
    return key_records_set_fact(s->records, "clock", text, err);
}

/* Says it when the clock is not believed any more, or again. */
static bool
tell_clock(struct signer *s, int64_t *now_s)
{
    int64_t wall_ms, now_ms, off_ms;
    bool good = look(s, &wall_ms, &now_ms, &off_ms);
    *now_s = now_ms / 1000;
    if (atomic_exchange(&s->clock_jumped, !good) == !good)
        return good;
    if (good)
        log_event(LOG_LEVEL_WARNING, "clock_back", "note=\"key life and minting go on\"");
    else
        log_event(LOG_LEVEL_ERROR, "clock_jumped",
                  "by_s=%lld note=\"no key changes and no token is made\" "
                  "next=\"set the clock right, or attestctl key accept-clock\"",
                  (long long)(off_ms / 1000));
    return good;
}

/* ---- what is next ---- */

static void
take_kid(struct forecast *f, const struct signer *s, const struct key_view *view, size_t i)
{
    if (i != ROLLOVER_NO_KEY)
        memcpy(f->kid, s->keys.keys[view->at[i]].kid, sizeof(f->kid));
}

/* A take-over that is written down already needs no step: the moment does it. */
static bool
planned(struct forecast *f, const struct signer *s, const struct key_view *view, int64_t at_s)
{
    for (size_t i = 0; i < view->n; i++) {
        if (view->keys[i].times.active_s != at_s || view->keys[i].times.revoked_s)
            continue;
        take_kid(f, s, view, i);
        return true;
    }
    return false;
}

static enum attest_rc
look_ahead(struct signer *s, int64_t now_s, struct forecast *f)
{
    AUTO(key_view) struct key_view view = {0};
    *f = (struct forecast){.action = "wait", .takeover_s = INT64_MAX};
    if (key_view_make(&s->keys, KEY_PURPOSE_TOKEN, &view))
        return ATTEST_E_NOMEM;
    if (view.n == 0)
        return ATTEST_OK;
    f->takeover_s = rollover_takeover_s(view.keys, view.n, &s->policy, now_s);
    for (size_t i = 0; i < view.n; i++) {
        if (key_state(&view.keys[i].times, now_s) != KEY_ACTIVE)
            continue;
        f->due_s = rollover_due_s(&view.keys[i], &s->policy);
        f->overdue_s = rollover_overdue_s(&view.keys[i], &s->policy);
    }
    struct rollover_step step = rollover_next(view.keys, view.n, &s->policy, now_s);
    if (step.action == ROLLOVER_WAIT && step.at_s != INT64_MAX) {
        f->at_s = step.at_s;
        if (planned(f, s, &view, f->at_s)) {
            f->action = rollover_action_name(ROLLOVER_ACTIVATE);
            return ATTEST_OK;
        }
        step = rollover_next(view.keys, view.n, &s->policy, f->at_s);
    }
    f->action = rollover_action_name(step.action);
    take_kid(f, s, &view, step.key);
    return ATTEST_OK;
}

/* A day and an hour ahead of what verifiers or the token will notice, once each. */
static void
tell_ahead(const struct signer *s, const char *what, int64_t at_s, int64_t now_s,
           struct notice *told)
{
    static const struct {
        int64_t ahead_s;
        const char *text;
    } levels[] = {{86400, "a day"}, {3600, "an hour"}};
    char when[CLOCK_TEXT_SIZE];
    if (told->at_s != at_s)
        *told = (struct notice){.at_s = at_s};
    if (at_s == INT64_MAX || at_s <= now_s)
        return;
    unsigned level = told->level;
    while (level < ARRAY_LEN(levels) && at_s - now_s <= levels[level].ahead_s)
        level++;
    if (level == told->level)
        return;
    told->level = level;
    if (levels[level - 1].ahead_s >= s->policy.active_period_s)
        return; /* where keys live for minutes that would be said all the time */
    clock_format(when, at_s);
    log_event(LOG_LEVEL_INFO, "rollover_ahead", "what=%s at=%s in=\"%lld s, less than %s\"", what,
              when, (long long)(at_s - now_s), levels[level - 1].text);
}

/* ---- the loop ---- */

static const char *
standstill(struct signer *s)
{
    if (atomic_load(&s->passive))
        return "this signer is passive: attestctl key take-over makes it the one";
    if (atomic_load(&s->lease_lost))
        return "another attest-signer took the token over";
    if (atomic_load(&s->clock_jumped))
        return "the clock jumped: set it right, or attestctl key accept-clock";
    return NULL;
}

static void
step_done(struct signer *s, struct op *op)
{
    struct key_op *k = (struct key_op *)op;
    s->stepping = false;
    if (!op->rc) {
        s->step_back_off_ms = 0;
    } else {
        s->step_back_off_ms = s->step_back_off_ms ? 2 * s->step_back_off_ms : BACK_OFF_FIRST_MS;
        if (s->step_back_off_ms > BACK_OFF_MOST_MS)
            s->step_back_off_ms = BACK_OFF_MOST_MS;
        s->step_not_before_ms = clock_mono_ms() + s->step_back_off_ms;
        log_event(LOG_LEVEL_ERROR, "rollover_failed", "why=%s retry_in_ms=%lld",
                  LOG_QUOTED(slice_cstr(op->err.text)), (long long)s->step_back_off_ms);
    }
    key_life_take(s, k);
    key_op_free(op);
    key_life_tick(s);
}

static void
corrected(struct signer *s, struct op *op)
{
    struct key_op *k = (struct key_op *)op;
    s->correcting = false;
    s->ops_pending--;
    if (op->rc) {
        s->correct_not_before_ms = clock_mono_ms() + BACK_OFF_FIRST_MS;
        log_event(LOG_LEVEL_ERROR, "rollover_failed", "why=%s",
                  LOG_QUOTED(slice_cstr(op->err.text)));
    }
    key_life_take(s, k);
    key_op_free(op);
}

static bool
push(struct signer *s, enum key_action action, const char *kid, int64_t when_s,
     void (*done)(struct signer *s, struct op *op))
{
    struct key_op *k = calloc(1, sizeof(*k));
    if (!k)
        return false;
    k->op.run = key_op_run;
    k->op.done = done;
    k->op.release = key_op_free;
    k->action = action;
    snprintf(k->kid, sizeof(k->kid), "%s", kid);
    k->when_s = when_s;
    ops_push(s->ops, &k->op);
    return true;
}

/*
 * Until the new keys came the old one was signed with. What its record says of that must be true,
 * or it leaves the key set before its last token has expired.
 */
static void
correct(struct signer *s)
{
    size_t i = key_list_find(&s->keys, slice_cstr(s->signed_by));
    if (!s->signed_by[0] || s->correcting || s->stopping || i == s->keys.n ||
        clock_mono_ms() < s->correct_not_before_ms)
        return;
    const struct key_times *times = &s->keys.keys[i].times;
    if (!times->retired_s || times->retired_s >= s->signed_last_s || times->removed_s ||
        times->revoked_s)
        return;
    s->correcting = push(s, KEY_LATE, s->signed_by, s->signed_last_s, corrected);
    s->ops_pending += s->correcting;
}

static void
relax_policy(struct signer *s, int64_t now_s)
{
    if (!s->relax_s || now_s < s->relax_s)
        return;
    s->relax_s = 0;
    pthread_mutex_lock(&s->back.lock);
    rollover_policy_from(s->config, &s->policy);
    pthread_mutex_unlock(&s->back.lock);
    log_event(LOG_LEVEL_INFO, "policy_relaxed", "note=\"the shorter terms hold from now on\"");
}

void
key_life_tick(struct signer *s)
{
    struct forecast f;
    int64_t now_s;
    bool good = tell_clock(s, &now_s);
    lease_watch(s);
    relax_policy(s, now_s);
    correct(s);
    publish_if_due(s);
    if (!good || s->stopping || !s->start_recorded || look_ahead(s, now_s, &f))
        return;
    tell_ahead(s, "activate", f.takeover_s, now_s, &s->told_takeover);
    if (strcmp(f.action, "activate") != 0)
        tell_ahead(s, f.action, f.at_s ? f.at_s : INT64_MAX, now_s, &s->told_next);
    bool due = f.at_s == 0 && strcmp(f.action, "wait") != 0;
    if (!due || s->stepping || standstill(s) || clock_mono_ms() < s->step_not_before_ms ||
        atomic_load(&s->keystore_state) != KEYSTORE_READY)
        return;
    s->stepping = push(s, KEY_STEP, "", 0, step_done);
}

void
key_life_take(struct signer *s, struct key_op *k)
{
    int64_t now_s;
    if (k->keys.n == 0)
        return;
    key_life_clock(s, &now_s);
    const struct key_record *active = key_list_active(&s->keys, KEY_PURPOSE_TOKEN, now_s);
    if (active) {
        memcpy(s->signed_by, active->kid, sizeof(s->signed_by));
        s->signed_last_s = now_s;
    }
    struct key_list old = s->keys;
    s->keys = k->keys;
    k->keys = (struct key_list){0};
    key_list_done(&old);
    correct(s);
    publish_if_due(s);
    signer_refresh(s);
}

const char *
key_life_objection(struct signer *s, const struct key_record *active, int64_t now_s)
{
    const char *why = standstill(s);
    struct forecast f;
    if (why)
        return why;
    if (!active) {
        if (look_ahead(s, now_s, &f) || f.takeover_s == INT64_MAX)
            return NULL;
        char when[CLOCK_TEXT_SIZE];
        clock_format(when, f.takeover_s);
        snprintf(s->objection, sizeof(s->objection),
                 "no token key signs now; the standby does from %s", when);
        return s->objection;
    }
    struct rollover_key key = {.times = active->times};
    if (now_s >= rollover_overdue_s(&key, &s->policy))
        return "the rotation is overdue: see attestctl key timeline";
    return NULL;
}

/* ---- for others ---- */

void
key_life_write(struct signer *s, int64_t now_s, bool with_policy, struct buf *out)
{
    struct forecast f;
    const char *why = standstill(s);
    if (look_ahead(s, now_s, &f))
        f = (struct forecast){.action = "unknown"};
    bool waiting = !why && f.due_s == 0 && f.at_s == 0 && strcmp(f.action, "wait") == 0;
    const char *loop = "running";
    if (atomic_load(&s->passive))
        loop = "passive";
    else if (why)
        loop = "stopped";
    else if (waiting)
        loop = "waiting";
    buf_printf(out, "{\"loop\":\"%s\",\"why\":", loop);
    json_put_string(out, slice_cstr(why ? why : waiting ? "no token key was made yet" : ""));
    buf_printf(out, ",\"next_action\":\"%s\"", f.action);
    if (f.kid[0])
        buf_printf(out, ",\"next_kid\":\"%s\"", f.kid);
    buf_printf(out, ",\"next_at\":%lld,\"due\":%lld,\"overdue\":%lld", (long long)f.at_s,
               (long long)f.due_s, (long long)f.overdue_s);
    if (with_policy) {
        buf_str(out, ",\"policy\":");
        rollover_policy_write(&s->policy, out);
    }
    buf_char(out, '}');
}
