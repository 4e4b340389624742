/* SPDX-License-Identifier: MIT */
#include "signer/signer.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/service.h"
#include "hsm/approver_key.h"
#include "signer/key_life.h"
#include "signer/lease.h"
#include "signer/start.h"
#include "token/profile.h"

enum {
    TICK_MS = 250,
    FREE_JOBS_MAX = 256,
    LOST_STOP_MS = 1000, /* what there still is to be answered when the keystore is lost */
    END_MS = 5000,       /* what end() has at least, with no time left of stop_s */
    DEADLINE_STACK = 512 * 1024,
    KEYSET_MAX = FRAME_BODY_MAX,
    STATUS_CANNOT = 3,
    STATUS_PIN_REFUSED = 1,
};

/* ---- back to the loop ---- */

static void
back_jobs(struct signer *s, struct log_entry *first, struct log_entry *last)
{
    last->next = NULL;
    pthread_mutex_lock(&s->back.lock);
    *s->back.last_job = first;
    s->back.last_job = &last->next;
    pthread_mutex_unlock(&s->back.lock);
    server_wake(s->server);
}

void
signer_back_job(struct signer *s, struct mint_job *job)
{
    back_jobs(s, &job->entry, &job->entry);
}

void
signer_back_op(struct signer *s, struct op *op)
{
    op->next = NULL;
    pthread_mutex_lock(&s->back.lock);
    *s->back.last_op = op;
    s->back.last_op = &op->next;
    pthread_mutex_unlock(&s->back.lock);
    server_wake(s->server);
}

/* The log's thread: a whole batch comes back at once. */
static void
on_written(void *ctx, struct log_entry *list)
{
    struct log_entry *last = list;
    for (struct log_entry *entry = list; entry; entry = entry->next) {
        ((struct mint_job *)(void *)entry)->rc = entry->rc;
        last = entry;
    }
    back_jobs(ctx, list, last);
}

static void
on_log_state(void *ctx, bool ok, const char *why)
{
    struct signer *s = ctx;
    if (ok)
        log_event(LOG_LEVEL_WARNING, "issuance_log_recovered",
                  "note=\"tokens are released again\"");
    else
        log_event(LOG_LEVEL_ERROR, "issuance_log_failed", "why=%s note=\"no token is released\"",
                  LOG_QUOTED(slice_cstr(why)));
    atomic_store(&s->refresh_wanted, true);
    server_wake(s->server);
}

static void
on_keystore_state(void *ctx, enum keystore_state state, const char *why)
{
    struct signer *s = ctx;
    atomic_store(&s->keystore_state, (int)state);
    log_event(state == KEYSTORE_READY ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "keystore",
              "state=\"%s\" why=%s", keystore_state_name(state), LOG_QUOTED(slice_cstr(why)));
    atomic_store(&s->refresh_wanted, true);
    server_wake(s->server);
}

/* ---- jobs ---- */

struct mint_job *
signer_job_take(struct signer *s)
{
    struct mint_job *job = s->free_jobs;
    if (!job)
        return mint_job_new();
    s->free_jobs = job->next_free;
    s->n_free_jobs--;
    return job;
}

void
signer_job_give(struct signer *s, struct mint_job *job)
{
    if (s->n_free_jobs >= FREE_JOBS_MAX) {
        mint_job_free(job);
        return;
    }
    mint_job_reset(job);
    job->next_free = s->free_jobs;
    s->free_jobs = job;
    s->n_free_jobs++;
}

/* ---- stopping ---- */

static void
stop(struct signer *s, int64_t within_ms, const char *why)
{
    if (s->stopping)
        return;
    log_event(LOG_LEVEL_INFO, "stopping", "why=\"%s\" in_flight=%u", why, s->in_flight);
    service_notify("STOPPING=1");
    s->stopping = true;
    s->stop_by_ms = clock_mono_ms() + within_ms;
    server_stop_accepting(s->server);
}

/* What was recorded since the last checkpoint gets one more. True when it has been begun. */
static bool
last_checkpoint(struct signer *s)
{
    struct issuance_log_status log;
    const char *why;
    if (s->final_checkpoint || s->exit_status)
        return false;
    s->final_checkpoint = true;
    if (checkpoint_uncovered(s, &log) == 0 || signer_ready(s, clock_wall_s(), &why))
        return false;
    checkpoint_start(s, log.records);
    return true;
}

static void
stop_if_done(struct signer *s)
{
    if (!s->stopping)
        return;
    bool idle = s->in_flight == 0 && s->ops_pending == 0 && !s->checkpoint_running &&
                !s->start_running && !s->stepping && !s->publication.running && !s->lease_checking;
    bool late = clock_mono_ms() >= s->stop_by_ms;
    if (idle && !late && last_checkpoint(s))
        return;
    if (late && !idle) {
        log_event(LOG_LEVEL_ERROR, "stop_timeout", "in_flight=%u", s->in_flight);
        s->exit_status = STATUS_CANNOT;
        s->abandoned = true;
    }
    if (late || (idle && server_flushed(s->server)))
        server_quit(s->server);
}

static void
check_lost(struct signer *s)
{
    if (atomic_load(&s->keystore_state) != KEYSTORE_LOST || s->exit_status)
        return;
    s->exit_status = STATUS_CANNOT;
    s->stop_by_ms = clock_mono_ms() + LOST_STOP_MS;
    stop(s, LOST_STOP_MS, "the keystore is lost; the service manager is to start us again");
}

/* ---- the loop's callbacks ---- */

static void
on_wake(void *ctx)
{
    struct signer *s = ctx;
    pthread_mutex_lock(&s->back.lock);
    struct log_entry *jobs = s->back.jobs;
    struct op *ops = s->back.ops;
    s->back.jobs = NULL;
    s->back.last_job = &s->back.jobs;
    s->back.ops = NULL;
    s->back.last_op = &s->back.ops;
    pthread_mutex_unlock(&s->back.lock);
    while (jobs) {
        struct mint_job *job = (struct mint_job *)(void *)jobs;
        jobs = jobs->next;
        s->in_flight--;
        signer_answer(s, job);
        signer_job_give(s, job);
    }
    issuance_log_under_way(s->log, s->in_flight);
    while (ops) {
        struct op *op = ops;
        ops = op->next;
        op->done(s, op);
    }
    if (atomic_exchange(&s->refresh_wanted, false)) {
        check_lost(s);
        signer_refresh(s);
    }
    checkpoint_if_due(s);
    stop_if_done(s);
}

static void
on_tick(void *ctx)
{
    struct signer *s = ctx;
    int64_t now_ms = clock_mono_ms();
    if (!s->start_recorded && !s->start_running)
        record_start(s);
    check_lost(s);
    key_life_tick(s);
    signer_refresh(s);
    checkpoint_if_due(s);
    stop_if_done(s);
    bool alive = atomic_load(&s->keystore_state) != KEYSTORE_LOST;
    if (s->watchdog_ms && alive && now_ms - s->watchdog_last_ms >= s->watchdog_ms) {
        s->watchdog_last_ms = now_ms;
        service_notify("WATCHDOG=1");
    }
}

static void
on_signal(void *ctx, int signo)
{
    struct signer *s = ctx;
    if (signo == SIGHUP) {
        log_event(LOG_LEVEL_WARNING, "signal",
                  "signal=HUP note=\"ignored: the configuration is read at start only\"");
        return;
    }
    stop(s, s->config->stop_s * 1000, signo == SIGTERM ? "SIGTERM" : "SIGINT");
    stop_if_done(s);
}

/* ---- start and end ---- */

static enum attest_rc
take_limits(struct signer *s, struct attest_error *err)
{
    const struct signer_config *config = s->config;
    struct mint_limits *limits = &s->limits;
    limits->issuer = slice_cstr(config->issuer);
    if (config->trust_domain)
        limits->trust_domain = slice_cstr(config->trust_domain);
    else if (!issuer_trust_domain(limits->issuer, &limits->trust_domain))
        return error_set(err, ATTEST_E_CONFIG, "issuer: has no host");
    limits->typ = profile_get(PROFILE_ATTESTATION)->typ[config->token_typ];
    limits->lifetime_default_s = config->lifetime_default_s;
    limits->lifetime_max_s = config->lifetime_max_s;
    limits->timeout_max_ms = config->request_timeout_ms;
    limits->policy = &s->policy;
    size_t n = config->subject_names.n / 2;
    s->names = calloc(n + 1, sizeof(*s->names));
    if (!s->names)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the subject names");
    for (size_t i = 0; i < n; i++)
        s->names[i] = (struct subject_name){slice_cstr(config->subject_names.items[2 * i]),
                                            slice_cstr(config->subject_names.items[2 * i + 1])};
    limits->names = (struct subject_names){s->names, n};
    return ATTEST_OK;
}

static enum attest_rc
open_state(struct signer *s, const struct signer_options *options, struct attest_error *err)
{
    char db[PATH_MAX], dir[PATH_MAX];
    const char *state = s->config->state_dir;
    if (snprintf(db, sizeof(db), "%s/records.db", state) >= (int)sizeof(db) ||
        snprintf(dir, sizeof(dir), "%s/log", state) >= (int)sizeof(dir))
        return error_set(err, ATTEST_E_CONFIG, "state_dir: name too long");
    struct issuance_log_config log = {
        .chain = {.dir = dir,
                  .segment_bytes = (size_t)s->config->log_segment_bytes,
                  .accept_cut_off = options->accept_log_cut},
        .on_written = on_written,
        .on_state = on_log_state,
        .ctx = s,
    };
    enum attest_rc rc = file_mkdirs(state, 0700, err);
    if (rc || (rc = key_records_open(db, &s->records, err)) ||
        (rc = key_records_load(s->records, &s->keys.keys, &s->keys.n, err)) ||
        (rc = key_records_head(s->records, &log.chain.known, err)))
        return rc;
    rc = issuance_log_open(&log, &s->log, err);
    if (rc == ATTEST_E_CORRUPT)
        log_event(LOG_LEVEL_ERROR, "issuance_log_cut_off",
                  "next=\"restore %s from a copy, or start once with --accept-log-cut\"", dir);
    return rc;
}

static enum attest_rc
open_keystore(struct signer *s, struct attest_error *err)
{
    const struct signer_config *c = s->config;
    AUTO(secret) struct secret pin = {0}, owner_auth = {0};
    enum attest_rc rc = start_pin(c, &pin, err);
    if (rc || (rc = start_owner_auth(c, &owner_auth, err)))
        return rc;
    uint8_t approver[ES256_POINT_LEN], sealed_id[SHA256_LEN];
    bool approved = c->approver && signer_config_pin_optional(c);
    bool named = c->sealed_id && signer_config_pin_optional(c);
    struct attest_error why = {0};
    if (approved && approver_key_public(c->approver, approver, &why))
        return error_set(err, why.rc, "approver: %s", why.text);
    if (named && !signer_config_sealed_id(c, sealed_id))
        return error_set(err, ATTEST_E_CONFIG, "sealed_id: not fit");
    AUTO(mem) char *sealed_path = signer_config_sealed_path(c);
    struct keystore_config config = {
        .uri = c->keystore,
        .module_path = c->module,
        .sealed_path = sealed_path,
        .pcrs = c->pcrs,
        .approver = approved ? approver : NULL,
        .sealed_id = named ? sealed_id : NULL,
        .pin = &pin,
        .owner_auth = &owner_auth,
        .workers = (unsigned)c->workers,
        .queue_max = (unsigned)c->queue_max,
        .call_timeout_ms = (unsigned)c->call_timeout_ms,
        .ec_params_name_first = c->ec_params == SIGNER_EC_PARAMS_NAME,
        .on_state = on_keystore_state,
        .ctx = s,
    };
    rc = keystore_open(&config, &s->keystore, err);
    if (rc)
        return rc;
    struct keystore_stats stats;
    keystore_stats(s->keystore, &stats);
    /* Unless a worker has told of something newer meanwhile. */
    int untold = KEYSTORE_READY;
    atomic_compare_exchange_strong(&s->keystore_state, &untold, (int)stats.state);
    return ATTEST_OK;
}

/* What a crash left is put right, and then the keys are read. */
static enum attest_rc
repair(struct signer *s, struct attest_error *err)
{
    key_repair(s);
    key_list_done(&s->keys);
    return key_records_load(s->records, &s->keys.keys, &s->keys.n, err);
}

static enum attest_rc
start(struct signer *s, const struct signer_options *options, struct attest_error *err)
{
    rollover_policy_from(s->config, &s->policy);
    enum attest_rc rc = take_limits(s, err);
    if (rc || (rc = open_state(s, options, err)) || (rc = lease_load(s, options->passive, err)) ||
        (rc = key_life_start(s, err)) || (rc = publish_start(s, err)) ||
        (rc = open_keystore(s, err)) || (rc = lease_take(s, options->take_over, err)))
        return rc;
    if (!atomic_load(&s->passive) && (rc = repair(s, err)))
        return rc;
    key_compare(s);
    struct issuance_log_status log;
    issuance_log_status(s->log, &log);
    if (!log.ok)
        on_log_state(s, false, log.why);
    if ((rc = issuance_log_start(s->log, err)) || (rc = ops_start(s, &s->ops, err)) ||
        (rc = ops_start(s, &s->quoting, err)))
        return rc;
    record_start(s);
    return ATTEST_OK;
}

/*
 * end() waits for the module and for the disk (the log's thread, SQLite's last checkpoint), either
 * of which may hang for ever. Nothing that waits ends by itself then, so this thread waits for
 * nobody. It outlives signer_run(), hence no part of struct signer.
 */
static struct {
    int64_t by_ms;
    int status;
    atomic_bool over;
} deadline;

static void *
deadline_thread(void *arg)
{
    (void)arg;
    const struct timespec t = {.tv_sec = deadline.by_ms / 1000,
                               .tv_nsec = deadline.by_ms % 1000 * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
    if (atomic_load(&deadline.over))
        return NULL;
    log_event(LOG_LEVEL_ERROR, "stop_timeout", "note=\"the token or the disk hangs\"");
    log_event(LOG_LEVEL_ERROR, "stopped", "status=%d note=\"without what still hung\"",
              deadline.status);
    _exit(deadline.status);
}

static void
deadline_start(const struct signer *s)
{
    int64_t now_ms = clock_mono_ms();
    deadline.by_ms = s->stop_by_ms > now_ms + END_MS ? s->stop_by_ms : now_ms + END_MS;
    deadline.status = s->exit_status ? s->exit_status : STATUS_CANNOT;
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, DEADLINE_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attr, deadline_thread, NULL))
        alarm((unsigned)((deadline.by_ms - now_ms) / 1000)); /* says nothing, but ends it */
    pthread_attr_destroy(&attr);
}

static void
deadline_over(void)
{
    atomic_store(&deadline.over, true);
    alarm(0);
}

static void
end(struct signer *s)
{
    deadline_start(s);
    /* Who may still bring something first, what he brings it to afterwards. */
    ops_stop(s->ops);
    ops_stop(s->quoting);
    keystore_close(s->keystore);
    issuance_log_close(s->log);
    key_records_close(s->records);
    while (s->back.jobs) {
        struct mint_job *job = (struct mint_job *)(void *)s->back.jobs;
        s->back.jobs = s->back.jobs->next;
        mint_job_free(job);
    }
    while (s->back.ops) {
        struct op *op = s->back.ops;
        s->back.ops = op->next;
        if (op->release)
            op->release(op);
        else
            free(op);
    }
    while (s->free_jobs) {
        struct mint_job *job = s->free_jobs;
        s->free_jobs = job->next_free;
        mint_job_free(job);
    }
    server_free(s->server);
    key_list_done(&s->keys);
    key_list_done(&s->imported);
    buf_done(&s->publication.jwt);
    buf_done(&s->publication.cover);
    buf_done(&s->keyset);
    buf_done(&s->scratch);
    free(s->names);
    pthread_mutex_destroy(&s->back.lock);
    deadline_over();
}

static enum attest_rc
make_server(struct signer *s, const struct start_socket sockets[2], int signal_fd,
            struct attest_error *err)
{
    struct server_config config = {
        .listeners = {sockets[0].listener, sockets[1].listener},
        .signal_fd = signal_fd,
        .tick_ms = TICK_MS,
        .on_frame = signer_on_frame,
        .on_wake = on_wake,
        .on_tick = on_tick,
        .on_signal = on_signal,
        .ctx = s,
    };
    return server_new(&config, &s->server, err);
}

static enum attest_rc
serve(struct signer *s, struct attest_error *err)
{
    signer_refresh(s);
    if (!s->start_running)
        signer_say_ready(s);
    return server_run(s->server, err);
}

static void
leave(struct signer *s, struct start_socket sockets[2])
{
    if (s->abandoned) {
        /* Some thread hangs in the token or on the disk; waiting for it may be for ever. */
        start_sockets_done(sockets);
        log_event(LOG_LEVEL_ERROR, "stopped", "status=%d note=\"without what still hung\"",
                  s->exit_status);
        _exit(s->exit_status);
    }
    end(s);
    start_sockets_done(sockets);
}

int
signer_run(const struct signer_config *config, const struct signer_options *options)
{
    struct signer s = {.config = config, .was_ready = -1, .started_s = clock_wall_s()};
    struct start_socket sockets[2];
    struct attest_error err = {0};
    AUTO(fd) int signal_fd = service_signal_fd();
    pthread_mutex_init(&s.back.lock, NULL);
    s.back.last_job = &s.back.jobs;
    s.back.last_op = &s.back.ops;
    buf_init(&s.keyset, KEYSET_MAX);
    buf_init(&s.scratch, KEYSET_MAX);
    buf_init(&s.publication.jwt, KEYSET_MAX);
    buf_init(&s.publication.cover, KEYSET_MAX);
    s.covered_ms = clock_mono_ms();
    s.watchdog_ms = service_watchdog_ms();
    service_raise_nofile(SERVER_CONNS_MAX + 128);
    if (config->development)
        log_event(LOG_LEVEL_WARNING, "development", "note=\"not for production\"");
    enum attest_rc rc = start_sockets(config, sockets, &err);
    bool began = !rc;
    if (began && !(rc = make_server(&s, sockets, signal_fd, &err)) &&
        !(rc = start(&s, options, &err)))
        rc = serve(&s, &err);
    if (rc) { /* not err.rc: it may tell of something that was got over */
        log_event(LOG_LEVEL_ERROR, "failed", "why=%s", LOG_QUOTED(slice_cstr(err.text)));
        s.exit_status = rc == ATTEST_E_PIN ? STATUS_PIN_REFUSED : STATUS_CANNOT;
    }
    if (began)
        leave(&s, sockets);
    if (!rc)
        log_event(LOG_LEVEL_INFO, "stopped", "status=%d", s.exit_status);
    return s.exit_status;
}
