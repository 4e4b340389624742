/* SPDX-License-Identifier: MIT */
#include "signer/key_work.h"

#include <stdarg.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"

enum {
    EVENT_MAX = 2048,
    PURPOSE_KEYS_MAX = 32, /* on the token: what is said of all of them fits a frame */
};

void
key_work_done(struct key_work *w)
{
    key_list_done(&w->list);
    key_list_done(&w->before);
    key_view_done(&w->view);
}

enum attest_rc
key_work_load(struct key_work *w, struct attest_error *err)
{
    key_list_done(&w->list);
    key_list_done(&w->before);
    enum attest_rc rc = key_records_load(w->s->records, &w->list.keys, &w->list.n, err);
    if (!rc && key_list_copy(&w->list, &w->before))
        rc = error_set(err, ATTEST_E_NOMEM, "no memory for the keys");
    return rc;
}

enum attest_rc
key_work_look(struct key_work *w, enum key_purpose purpose, struct attest_error *err)
{
    key_view_done(&w->view);
    if (key_view_make(&w->list, purpose, &w->view))
        return error_set(err, ATTEST_E_NOMEM, "no memory for the keys");
    return ATTEST_OK;
}

enum attest_rc
key_work_find(struct key_work *w, const char *kid, struct attest_error *err)
{
    w->at = key_list_find(&w->list, slice_cstr(kid));
    if (w->at == w->list.n)
        return error_set(err, ATTEST_E_NOT_FOUND, "no key has this kid: see attestctl key list");
    enum attest_rc rc = key_work_look(w, w->list.keys[w->at].purpose, err);
    w->i = key_view_find(&w->view, w->at);
    return rc;
}

/* ---- from a change to the issuance log ---- */

enum attest_rc
key_events_flush(struct signer *s, struct attest_error *err)
{
    AUTO(buf) struct buf body;
    buf_init(&body, EVENT_MAX + 64);
    for (;;) {
        int64_t n = 0;
        buf_reset(&body);
        enum attest_rc rc = key_records_event(s->records, &n, &body, err);
        if (rc || n == 0)
            return rc;
        buf_printf(&body, ",\"event\":%lld", (long long)n);
        if ((rc = ops_record(s, &body, err)))
            return rc;
        fault_point("event", "recorded");
        if ((rc = key_records_logged(s->records, n, err)))
            return rc;
    }
}

/* What is in list and not in before, at the front of changed. */
static size_t
gather(const struct key_work *w, struct key_record *changed)
{
    size_t n = 0;
    for (size_t i = 0; i < w->list.n; i++) {
        const struct key_record *key = &w->list.keys[i];
        const struct key_record *was = i < w->before.n ? &w->before.keys[i] : NULL;
        if (!was || memcmp(&key->times, &was->times, sizeof(key->times)) != 0 ||
            strcmp(key->reason, was->reason) != 0)
            changed[n++] = *key;
    }
    return n;
}

static void
event_begin(struct buf *event, const char *action, const struct key_record *key, const char *caller)
{
    buf_printf(event, "\"op\":\"key.%s\",\"kid\":\"%s\",\"purpose\":\"%s\",\"caller\":\"%s\"",
               action, key->kid, key_purpose_name(key->purpose), caller);
}

/*
 * The transaction, then the record. When the record cannot be written the change stands: it is in
 * the database, the record follows, and until it has, no other change but a revocation is begun.
 */
static enum attest_rc
commit(struct key_work *w, const char *action, const struct key_record *key,
       const uint8_t *fulfilled, struct slice more, struct attest_error *err)
{
    AUTO(buf) struct buf event;
    AUTO(mem) struct key_record *changed = calloc(w->list.n + 1, sizeof(*changed));
    struct attest_error later = {0};
    buf_init(&event, EVENT_MAX);
    event_begin(&event, action, key, w->caller);
    buf_slice(&event, more);
    if (!changed || buf_rc(&event))
        return error_set(err, ATTEST_E_NOMEM, "no memory for the change");
    struct key_change change = {.keys = changed,
                                .n_keys = gather(w, changed),
                                .fulfilled = fulfilled,
                                .event = buf_view(&event)};
    enum attest_rc rc = key_records_apply(w->s->records, &change, err);
    if (rc)
        return rc;
    fault_point(action, "database");
    if (!w->urgent && key_events_flush(w->s, &later))
        log_event(LOG_LEVEL_ERROR, "key_event_waits",
                  "why=%s note=\"recorded when the log is back\"",
                  LOG_QUOTED(slice_cstr(later.text)));
    fault_point(action, "log");
    log_event(LOG_LEVEL_INFO, "key_changed", "action=%s kid=%s purpose=%s caller=%s", action,
              key->kid, key_purpose_name(key->purpose), w->caller);
    w->k->key = *key;
    key_list_done(&w->before);
    if (key_list_copy(&w->list, &w->before))
        return error_set(err, ATTEST_E_NOMEM, "no memory for the keys; restart attest-signer");
    return ATTEST_OK;
}

enum attest_rc
key_work_commit(struct key_work *w, const char *action, size_t i, struct attest_error *err,
                const char *format, ...)
{
    char more[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(more, sizeof(more), format, ap);
    va_end(ap);
    key_view_store(&w->view, &w->list);
    const struct key_record key = w->list.keys[w->view.at[i]];
    return commit(w, action, &key, NULL, slice_cstr(more), err);
}

/* ---- what both the loop and an operator do ---- */

static bool
is_full(const struct key_list *list, enum key_purpose purpose)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += list->keys[i].purpose == purpose && !list->keys[i].times.destroyed_s;
    return n >= PURPOSE_KEYS_MAX;
}

/*
 * A token that is away for days, and asked for a key each minute, leaves one intent each time: all
 * have to be cleared before the next key can be made.
 */
static enum attest_rc
few_half_made(struct signer *s, struct attest_error *err)
{
    enum { HALF_MADE_MAX = 16 };
    AUTO(mem) struct key_intent *intents = NULL;
    size_t n = 0, half_made = 0;
    enum attest_rc rc = key_records_intents(s->records, &intents, &n, err);
    for (size_t i = 0; i < n; i++)
        half_made += !intents[i].destroy;
    if (rc || half_made < HALF_MADE_MAX)
        return rc;
    return error_set(err, ATTEST_E_KEY_OUT_OF_REACH,
                     "%zu keys are half made; they are looked for on the token once a minute", n);
}

enum attest_rc
key_work_generate(struct key_work *w, const char *action, enum key_purpose purpose,
                  const char *label, struct attest_error *err)
{
    struct signer *s = w->s;
    if (is_full(&w->list, purpose))
        return error_set(err, ATTEST_E_LIMIT,
                         "%d keys of this purpose are on the token: key destroy makes room",
                         PURPOSE_KEYS_MAX);
    struct key_intent intent = {0};
    bool resident = signer_config_resident(s->config, key_purpose_name(purpose));
    struct key_record key = {.purpose = purpose,
                             .alg = resident                                     ? JWK_ALG_ES256
                                    : s->config->token_alg == SIGNER_ALG_ED25519 ? JWK_ALG_ED25519
                                                                                 : JWK_ALG_EDDSA};
    enum attest_rc rc = few_half_made(s, err);
    if (rc)
        return rc;
    random_bytes(intent.id, sizeof(intent.id));
    memcpy(intent.caller, w->caller, sizeof(intent.caller));
    snprintf(key.label, sizeof(key.label), "%s", label);
    struct key_change wish = {.intended = &intent};
    if ((rc = key_records_apply(s->records, &wish, err)))
        return rc;
    fault_point("generate", "intent");
    rc = (resident ? keystore_generate_resident : keystore_generate)(
        s->keystore, intent.id, key_purpose_name(purpose), key.label, &key.ref, err);
    if (rc)
        return rc; /* the intent stays: whatever came of it on the token is taken off again */
    fault_point("generate", "hsm");
    jwk_thumbprint(key.kid, &key.ref.public_key);
    key.times = key_list_new_times(&w->list, purpose, w->now_s);
    if (purpose == KEY_PURPOSE_ROOT && w->k->when_s) { /* announced: see root_rotate() */
        key.times.published_s = w->now_s;
        key.times.active_s = w->k->when_s;
    }
    if (key_list_add(&w->list, &key))
        return error_set(err, ATTEST_E_NOMEM, "no memory for the key");
    w->at = w->list.n - 1;
    AUTO(buf) struct buf more;
    buf_init(&more, 512);
    if (w->k->when_s)
        buf_printf(&more, ",\"from\":\"%s\",\"when\":%lld", w->k->other, (long long)w->k->when_s);
    buf_str(&more, ",\"label\":");
    json_put_string(&more, slice_cstr(key.label));
    return commit(w, action, &key, intent.id, buf_view(&more), err);
}

enum attest_rc
key_work_destroy(struct key_work *w, size_t at, struct attest_error *err)
{
    struct key_intent intent = {.destroy = true};
    struct key_record *key = &w->list.keys[at];
    memcpy(intent.id, key->ref.id, sizeof(intent.id));
    memcpy(intent.caller, w->caller, sizeof(intent.caller));
    struct key_change wish = {.intended = &intent};
    enum attest_rc rc = key_records_apply(w->s->records, &wish, err);
    if (rc)
        return rc;
    fault_point("destroy", "intent");
    rc = keystore_destroy(w->s->keystore, &key->ref, err);
    if (rc && rc != ATTEST_E_NOT_FOUND)
        return rc;
    fault_point("destroy", "hsm");
    key->times.destroyed_s = w->now_s;
    if (!key->times.removed_s && !key->times.revoked_s)
        key->times.removed_s = w->now_s; /* one that was never published */
    const struct key_record copy = *key;
    return commit(w, "destroy", &copy, intent.id,
                  slice_cstr(rc ? ",\"note\":\"it was not on the token\"" : ""), err);
}
