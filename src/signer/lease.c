/* SPDX-License-Identifier: MIT */
#include "signer/lease.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum { WATCH_MS = 5000 };

static struct keystore_lease
own_lease(const struct signer *s)
{
    struct keystore_lease own = {.since_s = clock_wall_s()};
    memcpy(own.instance, s->instance, sizeof(own.instance));
    if (gethostname(own.host, sizeof(own.host) - 1) || !own.host[0])
        snprintf(own.host, sizeof(own.host), "unknown");
    for (char *c = own.host; *c; c++)
        if (*c < 0x21 || *c > 0x7e || *c == '"' || *c == '\\')
            *c = '_';
    return own;
}

/* ATTEST_OK also when nobody holds it: held->instance is "" then. */
static enum attest_rc
look(struct signer *s, struct keystore_lease *held, struct attest_error *err)
{
    struct attest_error why = {0};
    *held = (struct keystore_lease){0};
    enum attest_rc rc = keystore_lease_get(s->keystore, held, &why);
    if (rc == ATTEST_OK || rc == ATTEST_E_NOT_FOUND)
        return ATTEST_OK;
    return error_set(err, rc, "%s", why.text);
}

static void
set_holder(struct signer *s, const struct keystore_lease *lease)
{
    pthread_mutex_lock(&s->back.lock);
    s->lease = *lease;
    pthread_mutex_unlock(&s->back.lock);
}

enum attest_rc
lease_load(struct signer *s, bool passive, struct attest_error *err)
{
    char fact[KEY_FACT_MAX];
    enum attest_rc rc = key_records_fact(s->records, "passive", fact, err);
    if (rc)
        return rc;
    atomic_store(&s->passive, passive || fact[0]);
    if ((rc = key_records_fact(s->records, "instance", fact, err)))
        return rc;
    if (!fact[0]) {
        random_uuid(fact);
        if ((rc = key_records_set_fact(s->records, "instance", fact, err)))
            return rc;
    }
    snprintf(s->instance, sizeof(s->instance), "%.36s", fact);
    return ATTEST_OK;
}

/* The token is ours: written there, and in the records, with an event when it was another's. */
static enum attest_rc
take(struct signer *s, const struct keystore_lease *held, const char *caller,
     struct attest_error *err)
{
    char event[256];
    struct keystore_lease own = own_lease(s);
    if (own.since_s <= held->since_s)
        own.since_s = held->since_s + 1; /* each start has a lease of its own */
    bool anothers = strcmp(held->instance, s->instance) != 0 && held->instance[0];
    enum attest_rc rc = keystore_lease_set(s->keystore, held->instance[0] ? held : NULL, &own, err);
    if (rc)
        return rc;
    AUTO(buf) struct buf from;
    buf_init(&from, 128);
    json_put_string(&from, slice_cstr(held->instance));
    snprintf(event, sizeof(event),
             "\"op\":\"key.take_over\",\"from\":%.*s,\"instance\":\"%s\",\"caller\":\"%s\"",
             SLICE_ARG(buf_view(&from)), s->instance, caller);
    struct key_change change = {.fact = "passive", .value = ""};
    if (anothers || atomic_load(&s->passive))
        change.event = slice_cstr(event);
    if ((rc = key_records_apply(s->records, &change, err)))
        return rc;
    pthread_mutex_lock(&s->back.lock);
    s->own_lease = own;
    s->lease = own;
    pthread_mutex_unlock(&s->back.lock);
    atomic_store(&s->passive, false);
    atomic_store(&s->lease_lost, false);
    atomic_store(&s->refresh_wanted, true);
    if (anothers)
        log_event(LOG_LEVEL_WARNING, "lease_taken_over", "from=%s host=%s",
                  LOG_QUOTED(slice_cstr(held->instance)), LOG_QUOTED(slice_cstr(held->host)));
    return ATTEST_OK;
}

enum attest_rc
lease_take(struct signer *s, bool take_over, struct attest_error *err)
{
    char since[CLOCK_TEXT_SIZE];
    struct keystore_lease held;
    enum attest_rc rc = look(s, &held, err);
    if (rc)
        return rc;
    set_holder(s, &held);
    if (atomic_load(&s->passive) && !take_over)
        return ATTEST_OK;
    if (strcmp(held.instance, s->instance) == 0 && !take_over) {
        /* Ours already; agreeing on a new one takes most of a second, and is done while serving. */
        s->own_lease = held;
        s->lease_renewal = true;
        return ATTEST_OK;
    }
    if (held.instance[0] && !take_over) {
        clock_format(since, held.since_s);
        return error_set(err, ATTEST_E_DENIED,
                         "token held by %s on %s since %s: stop it, then --take-over; or --passive",
                         held.instance, held.host, since);
    }
    return take(s, &held, "start", err);
}

enum attest_rc
lease_known(struct signer *s, struct attest_error *err)
{
    if (atomic_load(&s->passive))
        return error_set(err, ATTEST_E_DENIED,
                         "this signer is passive: attestctl key take-over makes it the one");
    if (atomic_load(&s->lease_lost))
        return error_set(err, ATTEST_E_DENIED,
                         "another attest-signer holds the token now: see attestctl status");
    return ATTEST_OK;
}

/* The same database copied to another host is another signer, so the whole is compared. */
static bool
is_ours(struct signer *s, const struct keystore_lease *held)
{
    pthread_mutex_lock(&s->back.lock);
    bool same = strcmp(held->instance, s->own_lease.instance) == 0 &&
                strcmp(held->host, s->own_lease.host) == 0 && held->since_s == s->own_lease.since_s;
    pthread_mutex_unlock(&s->back.lock);
    return same;
}

static void
lose(struct signer *s, const char *instance, const char *host)
{
    if (atomic_exchange(&s->lease_lost, true))
        return;
    log_event(LOG_LEVEL_ERROR, "lease_lost", "holder=%s host=%s note=\"no token is made\"",
              LOG_QUOTED(slice_cstr(instance)), LOG_QUOTED(slice_cstr(host)));
    atomic_store(&s->refresh_wanted, true);
    server_wake(s->server);
}

enum attest_rc
lease_check(struct signer *s, struct attest_error *err)
{
    struct keystore_lease held;
    enum attest_rc rc = lease_known(s, err);
    if (rc)
        return rc;
    rc = look(s, &held, err);
    if (rc == ATTEST_E_CORRUPT)
        lose(s, "unreadable", "unknown");
    if (rc || is_ours(s, &held))
        return rc;
    set_holder(s, &held);
    lose(s, held.instance[0] ? held.instance : "nobody", held.host);
    return lease_known(s, err);
}

enum attest_rc
lease_take_over(struct signer *s, const char *holder, uid_t uid, struct attest_error *err)
{
    char caller[32];
    struct keystore_lease held;
    enum attest_rc rc = look(s, &held, err);
    if (rc)
        return rc;
    if (strcmp(held.instance, holder) != 0)
        return error_set(err, ATTEST_E_ARGUMENT, "the holder is %s: confirm with that",
                         held.instance[0] ? held.instance : "nobody");
    snprintf(caller, sizeof(caller), "uid:%u", (unsigned)uid);
    return take(s, &held, caller, err);
}

static void
run_check(struct signer *s, struct op *op)
{
    op->rc = lease_check(s, &op->err);
}

/* So that a copy of our database that was started before finds that it is not the one. */
static void
run_renewal(struct signer *s, struct op *op)
{
    const struct keystore_lease held = s->own_lease;
    op->rc = take(s, &held, "start", &op->err);
}

static void
checked(struct signer *s, struct op *op)
{
    s->lease_checking = false;
    if (op->rc && !atomic_load(&s->lease_lost))
        log_event(LOG_LEVEL_WARNING, "lease_unknown", "why=%s",
                  LOG_QUOTED(slice_cstr(op->err.text)));
    free(op);
}

void
lease_watch(struct signer *s)
{
    int64_t now_ms = clock_mono_ms();
    if (s->lease_checking || s->stopping || atomic_load(&s->passive) || !s->start_recorded ||
        (now_ms - s->lease_checked_ms < WATCH_MS && !s->lease_renewal) ||
        atomic_load(&s->keystore_state) != KEYSTORE_READY)
        return;
    struct op *op = calloc(1, sizeof(*op));
    if (!op)
        return;
    op->run = s->lease_renewal ? run_renewal : run_check;
    s->lease_renewal = false;
    op->done = checked;
    s->lease_checking = true;
    s->lease_checked_ms = now_ms;
    ops_push(s->ops, op);
}
