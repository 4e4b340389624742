/* SPDX-License-Identifier: MIT */
#include "signer/key_ops.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "signer/key_life.h"
#include "signer/key_work.h"
#include "signer/lease.h"

/* ---- the schedule ---- */

static enum attest_rc
step_generate(struct key_work *w, const struct rollover_step *step, struct attest_error *err)
{
    (void)step;
    return key_work_generate(w, "generate", KEY_PURPOSE_TOKEN, "attestd token", err);
}

static enum attest_rc
step_publish(struct key_work *w, const struct rollover_step *step, struct attest_error *err)
{
    w->view.keys[step->key].times.published_s = w->now_s;
    return key_work_commit(w, "publish", step->key, err, "%s", "");
}

/*
 * At the next full second, so that the loop has the change before it holds: what the key signed
 * last is then what its record says.
 */
static enum attest_rc
step_activate(struct key_work *w, const struct rollover_step *step, struct attest_error *err)
{
    int64_t at_s = w->now_s + 1;
    const char *retired = "";
    w->view.keys[step->key].times.active_s = at_s;
    if (step->retiring != ROLLOVER_NO_KEY) {
        w->view.keys[step->retiring].times.retired_s = at_s;
        retired = w->list.keys[w->view.at[step->retiring]].kid;
    }
    return key_work_commit(w, "activate", step->key, err, ",\"retired\":\"%s\",\"when\":%lld",
                           retired, (long long)at_s);
}

static enum attest_rc
step_remove(struct key_work *w, const struct rollover_step *step, struct attest_error *err)
{
    w->view.keys[step->key].times.removed_s = w->now_s;
    return key_work_commit(w, "remove", step->key, err, "%s", "");
}

static enum attest_rc
step_destroy(struct key_work *w, const struct rollover_step *step, struct attest_error *err)
{
    return key_work_destroy(w, w->view.at[step->key], err);
}

static enum attest_rc
take_step(struct key_work *w, const struct rollover_step *step, struct attest_error *err)
{
    static enum attest_rc (*const steps[])(struct key_work * w, const struct rollover_step *step,
                                           struct attest_error *err) = {
        [ROLLOVER_WAIT] = NULL,
        [ROLLOVER_GENERATE] = step_generate,
        [ROLLOVER_PUBLISH] = step_publish,
        [ROLLOVER_ACTIVATE] = step_activate,
        [ROLLOVER_REMOVE] = step_remove,
        [ROLLOVER_DESTROY] = step_destroy,
    };
    return steps[step->action] ? steps[step->action](w, step, err) : ATTEST_OK;
}

static enum attest_rc
run_step(struct key_work *w, struct attest_error *err)
{
    enum attest_rc rc = key_work_look(w, KEY_PURPOSE_TOKEN, err);
    if (rc)
        return rc;
    struct rollover_step step = rollover_next(w->view.keys, w->view.n, &w->policy, w->now_s);
    return take_step(w, &step, err);
}

/* ---- what operators ask for ---- */

static enum attest_rc
run_generate(struct key_work *w, struct attest_error *err)
{
    return key_work_generate(w, "generate", w->k->purpose, w->k->label, err);
}

static enum attest_rc
run_publish(struct key_work *w, struct attest_error *err)
{
    enum attest_rc rc = key_work_find(w, w->k->kid, err);
    if (rc)
        return rc;
    if (w->list.keys[w->at].purpose == KEY_PURPOSE_ROOT)
        return error_set(err, ATTEST_E_ARGUMENT, "a root key is announced by key root-rotate");
    rc = rollover_publish(w->view.keys, w->view.n, w->i, w->now_s, err);
    return rc ? rc : key_work_commit(w, "publish", w->i, err, "%s", "");
}

static void
set_other(struct key_work *w, size_t i)
{
    if (i != ROLLOVER_NO_KEY)
        memcpy(w->k->other, w->list.keys[w->view.at[i]].kid, sizeof(w->k->other));
}

/* The view's key that signs at this moment. */
static size_t
active_in(const struct key_view *view, int64_t now_s)
{
    size_t found = ROLLOVER_NO_KEY;
    for (size_t i = 0; i < view->n; i++) {
        if (key_state(&view->keys[i].times, now_s) == KEY_ACTIVE)
            found = i;
    }
    return found;
}

/* A log key need not be known to anybody before it signs: checkpoints are looked at later. */
static enum attest_rc
activate_log_key(struct key_work *w, size_t i, struct attest_error *err)
{
    struct key_times *times = &w->view.keys[i].times;
    enum key_state state = key_state(times, w->now_s);
    if (state != KEY_CREATED && state != KEY_PUBLISHED)
        return error_set(err, ATTEST_E_ARGUMENT, "the key is %s", key_state_name(state));
    size_t active = active_in(&w->view, w->now_s);
    if (active != ROLLOVER_NO_KEY)
        w->view.keys[active].times.retired_s = w->now_s;
    if (!times->published_s)
        times->published_s = w->now_s;
    times->active_s = w->now_s;
    return ATTEST_OK;
}

static enum attest_rc
run_activate(struct key_work *w, struct attest_error *err)
{
    struct key_op *k = w->k;
    enum attest_rc rc = key_work_find(w, k->kid, err);
    if (rc)
        return rc;
    struct key_record *key = &w->list.keys[w->at];
    size_t active = active_in(&w->view, w->now_s);
    if (key->purpose == KEY_PURPOSE_ROOT)
        return error_set(err, ATTEST_E_ARGUMENT, "a root key takes over by key root-rotate");
    rc = key->purpose == KEY_PURPOSE_LOG ? activate_log_key(w, w->i, err)
                                         : rollover_activate(w->view.keys, w->view.n, &w->policy,
                                                             w->i, k->force, w->now_s, err);
    if (rc)
        return rc;
    if (k->force)
        memcpy(key->reason, k->reason, sizeof(key->reason));
    set_other(w, active);
    return key_work_commit(w, "activate", w->i, err,
                           ",\"retired\":\"%s\",\"force\":%s,\"reason\":\"%s\"", k->other,
                           k->force ? "true" : "false", k->reason);
}

/* A standby is made and published first when there is none: the rules say which of the two. */
static enum attest_rc
make_standby(struct key_work *w, struct attest_error *err)
{
    for (int i = 0; i < 2; i++) {
        enum attest_rc rc = key_work_look(w, KEY_PURPOSE_TOKEN, err);
        if (rc)
            return rc;
        struct rollover_step step = rollover_next(w->view.keys, w->view.n, &w->policy, w->now_s);
        if (step.action != ROLLOVER_GENERATE && step.action != ROLLOVER_PUBLISH)
            break;
        if ((rc = take_step(w, &step, err)))
            return rc;
    }
    return key_work_look(w, KEY_PURPOSE_TOKEN, err);
}

static size_t
planned_in(const struct key_view *view, int64_t at_s)
{
    for (size_t i = 0; i < view->n; i++) {
        if (view->keys[i].times.active_s == at_s && !view->keys[i].times.revoked_s)
            return i;
    }
    return ROLLOVER_NO_KEY;
}

static enum attest_rc
rotate_log(struct key_work *w, struct attest_error *err)
{
    enum attest_rc rc = key_work_look(w, KEY_PURPOSE_LOG, err);
    if (rc)
        return rc;
    size_t active = active_in(&w->view, w->now_s);
    if (active == ROLLOVER_NO_KEY)
        return error_set(err, ATTEST_E_NOT_FOUND, "no log key is active: key generate makes one");
    set_other(w, active);
    if ((rc = key_work_generate(w, "generate", KEY_PURPOSE_LOG, "attestd log", err)) ||
        (rc = key_work_look(w, KEY_PURPOSE_LOG, err)))
        return rc;
    w->i = key_view_find(&w->view, w->at);
    if ((rc = activate_log_key(w, w->i, err)))
        return rc;
    w->k->when_s = w->now_s;
    return key_work_commit(w, "activate", w->i, err, ",\"retired\":\"%s\"", w->k->other);
}

/* Of two who ask at once, the second gets this. */
static enum attest_rc
planned_already(int64_t when_s, struct attest_error *err)
{
    char when[CLOCK_TEXT_SIZE];
    clock_format(when, when_s);
    return error_set(err, ATTEST_E_EXISTS, "this is already planned, for %s", when);
}

static enum attest_rc
run_rotate(struct key_work *w, struct attest_error *err)
{
    struct key_op *k = w->k;
    if (k->purpose == KEY_PURPOSE_LOG)
        return rotate_log(w, err);
    if (k->purpose == KEY_PURPOSE_ROOT)
        return error_set(err, ATTEST_E_ARGUMENT, "the root key is rotated by key root-rotate");
    enum attest_rc rc = key_work_look(w, KEY_PURPOSE_TOKEN, err);
    if (rc)
        return rc;
    size_t from = active_in(&w->view, w->now_s);
    if (from == ROLLOVER_NO_KEY)
        return error_set(err, ATTEST_E_NOT_FOUND, "no token key is active: see attestctl key list");
    if (k->kid[0] && strcmp(k->kid, w->list.keys[w->view.at[from]].kid) != 0)
        return error_set(err, ATTEST_E_EXISTS, "somebody else has just rotated: see key list");
    if ((rc = make_standby(w, err)))
        return rc;
    from = active_in(&w->view, w->now_s);
    rc = rollover_rotate(w->view.keys, w->view.n, &w->policy, w->now_s, &k->when_s, err);
    if (rc == ATTEST_E_EXISTS)
        return planned_already(k->when_s, err);
    if (rc)
        return rc;
    set_other(w, from);
    return key_work_commit(w, "rotate", planned_in(&w->view, k->when_s), err,
                           ",\"from\":\"%s\",\"when\":%lld", k->other, (long long)k->when_s);
}

/* Who signs now, or from when on the standby may. */
static void
say_who_signs(struct key_work *w)
{
    set_other(w, active_in(&w->view, w->now_s));
    if (w->k->other[0])
        return;
    for (size_t i = 0; i < w->view.n; i++) {
        int64_t ready_s = rollover_ready_s(&w->view.keys[i], &w->policy);
        if (key_state(&w->view.keys[i].times, w->now_s) == KEY_PUBLISHED &&
            (!w->k->when_s || ready_s < w->k->when_s))
            w->k->when_s = ready_s;
    }
}

static enum attest_rc
run_retire(struct key_work *w, struct attest_error *err)
{
    struct key_op *k = w->k;
    enum attest_rc rc = key_work_find(w, k->kid, err);
    if (rc)
        return rc;
    if (w->list.keys[w->at].purpose != KEY_PURPOSE_TOKEN)
        return error_set(err, ATTEST_E_ARGUMENT,
                         "only a token key is retired; others give way to the next one");
    rc = rollover_retire(w->view.keys, w->view.n, &w->policy, w->i, k->force, w->now_s, err);
    if (rc)
        return rc;
    say_who_signs(w);
    if (k->force)
        memcpy(w->list.keys[w->at].reason, k->reason, sizeof(k->reason));
    return key_work_commit(w, "retire", w->i, err,
                           ",\"active\":\"%s\",\"force\":%s,\"reason\":\"%s\"", k->other,
                           k->force ? "true" : "false", k->reason);
}

/*
 * The root key that was announced takes over at once, since verifiers that saw the announcement
 * follow; or it was that one, and then the one before goes on.
 */
static void
revoke_root(struct key_work *w, bool was_active)
{
    for (size_t i = 0; i < w->view.n; i++) {
        struct key_times *t = &w->view.keys[i].times;
        enum key_state state = key_state(t, w->now_s);
        if (was_active && state == KEY_PUBLISHED)
            t->active_s = w->now_s;
        if (!was_active && state == KEY_ACTIVE && t->retired_s > w->now_s)
            t->retired_s = 0;
    }
}

static enum attest_rc
run_revoke(struct key_work *w, struct attest_error *err)
{
    struct key_op *k = w->k;
    enum attest_rc rc = key_work_find(w, k->kid, err);
    if (rc)
        return rc;
    struct key_record *key = &w->list.keys[w->at];
    bool was_active = key_state(&key->times, w->now_s) == KEY_ACTIVE;
    if (key->purpose == KEY_PURPOSE_TOKEN) {
        rc = rollover_revoke(w->view.keys, w->view.n, &w->policy, w->i, w->now_s, err);
    } else if (key->times.revoked_s) {
        rc = error_set(err, ATTEST_E_EXISTS, "revoked before");
    } else {
        w->view.keys[w->i].times.revoked_s = w->now_s;
        if (key->purpose == KEY_PURPOSE_ROOT)
            revoke_root(w, was_active);
    }
    if (rc)
        return rc;
    memcpy(key->reason, k->reason, sizeof(key->reason));
    say_who_signs(w);
    return key_work_commit(w, "revoke", w->i, err, ",\"active\":\"%s\",\"reason\":\"%s\"", k->other,
                           k->reason);
}

static enum attest_rc
run_destroy(struct key_work *w, struct attest_error *err)
{
    enum attest_rc rc = key_work_find(w, w->k->kid, err);
    if (rc)
        return rc;
    const struct key_record *key = &w->list.keys[w->at];
    enum key_state state = key_state(&key->times, w->now_s);
    if (key->times.destroyed_s)
        return error_set(err, ATTEST_E_EXISTS, "destroyed before");
    bool spare = state == KEY_RETIRED && key->purpose != KEY_PURPOSE_TOKEN;
    if (state != KEY_CREATED && state != KEY_REMOVED && state != KEY_REVOKED && !spare)
        return error_set(err, ATTEST_E_ARGUMENT, "the key is %s: %s", key_state_name(state),
                         state == KEY_RETIRED ? "tokens that it signed may still be good"
                                              : "retire or revoke it first");
    return key_work_destroy(w, w->at, err);
}

static enum attest_rc
run_root_rotate(struct key_work *w, struct attest_error *err)
{
    struct key_op *k = w->k;
    enum attest_rc rc = key_work_look(w, KEY_PURPOSE_ROOT, err);
    if (rc)
        return rc;
    size_t active = active_in(&w->view, w->now_s);
    if (active == ROLLOVER_NO_KEY)
        return error_set(err, ATTEST_E_NOT_FOUND,
                         "no root key is active: key generate --purpose root makes one");
    if (w->view.keys[active].times.retired_s)
        return planned_already(w->view.keys[active].times.retired_s, err);
    set_other(w, active);
    size_t old = w->view.at[active];
    k->when_s = w->now_s + w->s->config->root_lead_s;
    w->list.keys[old].times.retired_s = k->when_s; /* in the transaction that brings the new one */
    return key_work_generate(w, "root_rotate", KEY_PURPOSE_ROOT, "attestd root", err);
}

/* The loop learnt of a take-over only after its moment, and let the old key sign until then. */
static enum attest_rc
run_late(struct key_work *w, struct attest_error *err)
{
    enum attest_rc rc = key_work_find(w, w->k->kid, err);
    struct key_times *times = rc ? NULL : &w->view.keys[w->i].times;
    if (rc || !times->retired_s || times->retired_s >= w->k->when_s || times->removed_s ||
        times->revoked_s)
        return rc;
    times->retired_s = w->k->when_s;
    return key_work_commit(w, "retire", w->i, err,
                           ",\"when\":%lld,\"note\":\"it signed until then\"",
                           (long long)w->k->when_s);
}

/* ---- all of them ---- */

struct action_row {
    enum attest_rc (*run)(struct key_work *w, struct attest_error *err);
    bool urgent; /* though the clock jumped or the log is full */
};

static const struct action_row rows[] = {
    [KEY_STEP] = {run_step, false},
    [KEY_GENERATE] = {run_generate, false},
    [KEY_PUBLISH] = {run_publish, false},
    [KEY_ACTIVATE] = {run_activate, false},
    [KEY_ROTATE] = {run_rotate, false},
    [KEY_RETIRE] = {run_retire, false},
    [KEY_REVOKE] = {run_revoke, true},
    [KEY_DESTROY] = {run_destroy, false},
    [KEY_ROOT_ROTATE] = {run_root_rotate, false},
    [KEY_LATE] = {run_late, true},
};

static enum attest_rc
may_begin(struct signer *s, bool urgent, int64_t *now_s, struct attest_error *err)
{
    struct issuance_log_status log;
    /* A revocation asks neither the token nor the log, either of which may hang or be away. */
    enum attest_rc rc = urgent ? lease_known(s, err) : lease_check(s, err);
    bool believed = key_life_clock(s, now_s);
    if (rc || urgent)
        return rc;
    if (!believed)
        return error_set(err, ATTEST_E_DENIED,
                         "the clock jumped: set it right, or attestctl key accept-clock");
    issuance_log_status(s->log, &log);
    if (!log.ok) /* rather no change than one that is not recorded */
        return error_set(err, ATTEST_E_LOG, "%s", log.why);
    if ((rc = key_events_flush(s, err)))
        return rc;
    key_repair(s);
    rc = key_life_remember(s, err);
    /* All that took its time: what follows is stamped with what the clock says now. */
    if (!rc && !key_life_clock(s, now_s))
        rc = error_set(err, ATTEST_E_DENIED, "the clock jumps");
    return rc;
}

void
key_op_run(struct signer *s, struct op *op)
{
    struct key_op *k = (struct key_op *)op;
    const struct action_row *row = &rows[k->action];
    AUTO(key_work) struct key_work w = {.s = s, .k = k, .urgent = row->urgent};
    pthread_mutex_lock(&s->back.lock);
    w.policy = s->policy;
    pthread_mutex_unlock(&s->back.lock);
    if (op->conn)
        snprintf(w.caller, sizeof(w.caller), "uid:%u", (unsigned)op->uid);
    else
        snprintf(w.caller, sizeof(w.caller), "rollover");
    op->rc = may_begin(s, row->urgent, &w.now_s, &op->err);
    if (!op->rc)
        op->rc = key_work_load(&w, &op->err);
    if (!op->rc)
        op->rc = row->run(&w, &op->err);
    k->keys = w.before;
    w.before = (struct key_list){0};
}

void
key_op_free(struct op *op)
{
    key_list_done(&((struct key_op *)op)->keys);
    free(op);
}

static void
run_flush(struct signer *s, struct op *op)
{
    op->rc = key_events_flush(s, &op->err);
}

static void
flushed(struct signer *s, struct op *op)
{
    s->ops_pending--;
    if (op->rc)
        log_event(LOG_LEVEL_ERROR, "key_event_waits",
                  "why=%s note=\"recorded when the log is back\"",
                  LOG_QUOTED(slice_cstr(op->err.text)));
    free(op);
}

void
key_events_flush_later(struct signer *s)
{
    struct op *op = calloc(1, sizeof(*op));
    if (!op)
        return;
    op->run = run_flush;
    op->done = flushed;
    s->ops_pending++;
    ops_push(s->ops, op);
}
