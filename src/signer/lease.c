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

enum attest_rc
lease_take(struct signer *s, bool take_over, struct attest_error *err)
{
    struct keystore_lease held, own = own_lease(s);
    char since[CLOCK_TEXT_SIZE];
    enum attest_rc rc = look(s, &held, err);
    if (rc)
        return rc;
    bool nobody = !held.instance[0];
    if (!nobody)
        set_holder(s, &held);
    if (!nobody && strcmp(held.instance, s->instance) == 0)
        return ATTEST_OK;
    if (atomic_load(&s->passive) && !take_over)
        return ATTEST_OK;
    if (!nobody && !take_over) {
        clock_format(since, held.since_s);
        return error_set(err, ATTEST_E_DENIED,
                         "token held by %s on %s since %s: stop it, then --take-over; or --passive",
                         held.instance, held.host, since);
    }
    if ((rc = keystore_lease_set(s->keystore, nobody ? NULL : &held, &own, err)) ||
        (rc = key_records_set_fact(s->records, "passive", "", err)))
        return rc;
    atomic_store(&s->passive, false);
    set_holder(s, &own);
    if (!nobody)
        log_event(LOG_LEVEL_WARNING, "lease_taken_over", "from=%s host=%s", held.instance,
                  held.host);
    return ATTEST_OK;
}

enum attest_rc
lease_check(struct signer *s, struct attest_error *err)
{
    struct keystore_lease held;
    if (atomic_load(&s->passive))
        return error_set(err, ATTEST_E_DENIED,
                         "this signer is passive: attestctl key take-over makes it the one");
    enum attest_rc rc = look(s, &held, err);
    if (rc)
        return rc;
    bool gone = !held.instance[0];
    if (!gone && strcmp(held.instance, s->instance) == 0)
        return ATTEST_OK;
    if (!gone)
        set_holder(s, &held);
    if (!atomic_exchange(&s->lease_lost, true)) {
        log_event(LOG_LEVEL_ERROR, "lease_lost", "holder=%s host=%s note=\"no token is made\"",
                  gone ? "nobody" : held.instance, gone ? "-" : held.host);
        atomic_store(&s->refresh_wanted, true);
        server_wake(s->server);
    }
    return error_set(err, ATTEST_E_DENIED, "the token is held by %s now: see attestctl status",
                     gone ? "nobody" : held.instance);
}

enum attest_rc
lease_take_over(struct signer *s, const char *holder, struct attest_error *err)
{
    struct keystore_lease held, own = own_lease(s);
    enum attest_rc rc = look(s, &held, err);
    if (rc)
        return rc;
    bool nobody = !held.instance[0];
    if (strcmp(nobody ? "" : held.instance, holder) != 0)
        return error_set(err, ATTEST_E_ARGUMENT, "the holder is %s: confirm with that",
                         nobody ? "nobody" : held.instance);
    if ((rc = keystore_lease_set(s->keystore, nobody ? NULL : &held, &own, err)) ||
        (rc = key_records_set_fact(s->records, "passive", "", err)))
        return rc;
    set_holder(s, &own);
    atomic_store(&s->passive, false);
    atomic_store(&s->lease_lost, false);
    atomic_store(&s->refresh_wanted, true);
    return ATTEST_OK;
}

static void
run_check(struct signer *s, struct op *op)
{
    op->rc = lease_check(s, &op->err);
}

static void
checked(struct signer *s, struct op *op)
{
    s->lease_checking = false;
    free(op);
}

void
lease_watch(struct signer *s)
{
    int64_t now_ms = clock_mono_ms();
    if (s->lease_checking || s->stopping || atomic_load(&s->passive) ||
        now_ms - s->lease_checked_ms < WATCH_MS ||
        atomic_load(&s->keystore_state) != KEYSTORE_READY)
        return;
    struct op *op = calloc(1, sizeof(*op));
    if (!op)
        return;
    op->run = run_check;
    op->done = checked;
    s->lease_checking = true;
    s->lease_checked_ms = now_ms;
    ops_push(s->ops, op);
}
