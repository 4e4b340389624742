/* SPDX-License-Identifier: MIT */
#include "signer/signer.h"

#include <limits.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/service.h"
#include "signer/signer_impl.h"
#include "signer/start.h"
#include "token/profile.h"

enum {
    TICK_MS = 250,
    FREE_JOBS_MAX = 256,
    LOST_STOP_MS = 1000, /* what there still is to be answered when the keystore is lost */
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

/* ---- readiness and the key set ---- */

static enum attest_rc
not_ready(struct signer *s, enum attest_rc rc, const char *what, const char *more)
{
    snprintf(s->why, sizeof(s->why), "%s%s", what, more);
    return rc;
}

enum attest_rc
signer_ready(struct signer *s, int64_t now_s, const char **why)
{
    struct issuance_log_status log;
    enum keystore_state state = (enum keystore_state)atomic_load(&s->keystore_state);
    *why = s->why;
    if (state != KEYSTORE_READY)
        return not_ready(s, ATTEST_E_KEY_OUT_OF_REACH, "keystore: ", keystore_state_name(state));
    issuance_log_status(s->log, &log);
    if (!log.ok)
        return not_ready(s, ATTEST_E_LOG, "issuance log: ", log.why);
    if (log.busy_since_ms && clock_mono_ms() - log.busy_since_ms > s->config->request_timeout_ms)
        return not_ready(s, ATTEST_E_LOG, "issuance log: a write hangs", "");
    if (!s->start_recorded)
        return not_ready(s, ATTEST_E_LOG, "issuance log: the start is not recorded yet", "");
    if (!key_list_active(&s->keys, KEY_PURPOSE_TOKEN, now_s))
        return not_ready(s, ATTEST_E_KEY_OUT_OF_REACH,
                         "no active token key: attestctl key generate --purpose token", "");
    if (!key_list_active(&s->keys, KEY_PURPOSE_LOG, now_s))
        return not_ready(s, ATTEST_E_KEY_OUT_OF_REACH,
                         "no active log key: attestctl key generate --purpose log", "");
    s->why[0] = '\0';
    return ATTEST_OK;
}

static void
build_keyset(struct signer *s, struct buf *out)
{
    const char *why;
    int64_t now_s = clock_wall_s();
    struct issuance_log_status log;
    AUTO(buf) struct buf jwks;
    buf_init(&jwks, KEYSET_MAX);
    if (key_list_write_jwks(&s->keys, now_s, &jwks))
        return;
    issuance_log_status(s->log, &log);
    bool ready = signer_ready(s, now_s, &why) == ATTEST_OK;
    buf_str(out, ",\"jwks\":");
    json_put_string(out, buf_view(&jwks));
    buf_printf(out, ",\"max_age_s\":%lld,\"keystore\":\"%s\",\"log\":\"%s\",\"ready\":%s,\"why\":",
               (long long)s->config->jwks_max_age_s,
               keystore_state_name((enum keystore_state)atomic_load(&s->keystore_state)),
               log.ok ? "ok" : "failed", ready ? "true" : "false");
    json_put_string(out, slice_cstr(why));
    buf_str(out, ",\"keys\":");
    key_list_write_short(&s->keys, now_s, out);
    if (s->was_ready != (int)ready)
        log_event(ready ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, ready ? "can_mint" : "cannot_mint",
                  "why=%s", LOG_QUOTED(slice_cstr(why)));
    s->was_ready = ready;
}

void
signer_write_keyset(struct signer *s, struct buf *out)
{
    buf_slice(out, buf_view(&s->keyset));
}

static void
push_keyset(void *ctx, struct server_conn *conn, int64_t id)
{
    struct buf *out = server_conn_out(conn);
    size_t start = frame_open(out);
    frame_put_ok(out, id);
    signer_write_keyset(ctx, out);
    buf_char(out, '}');
    frame_close(out, start);
}

void
signer_refresh(struct signer *s)
{
    buf_reset(&s->scratch);
    build_keyset(s, &s->scratch);
    if (buf_rc(&s->scratch) || s->scratch.len == 0) {
        log_event(LOG_LEVEL_ERROR, "keyset_failed", "note=\"the key set before it stays\"");
        return;
    }
    if (slice_eq(buf_view(&s->scratch), buf_view(&s->keyset)))
        return;
    struct buf newer = s->scratch;
    s->scratch = s->keyset;
    s->keyset = newer;
    server_each_subscriber(s->server, push_keyset, s);
}

/* ---- checkpoints and the start's record ---- */

static struct op *
op_new(void (*run)(struct signer *s, struct op *op), void (*done)(struct signer *s, struct op *op))
{
    struct op *op = calloc(1, sizeof(*op));
    if (op) {
        op->run = run;
        op->done = done;
    }
    return op;
}

static void
checkpoint_done(struct signer *s, struct op *op)
{
    s->checkpoint_running = false;
    s->covered_ms = clock_mono_ms();
    if (!op->rc)
        s->covered = op->covers + (op->key.kid[0] != '\0');
    else
        log_event(LOG_LEVEL_WARNING, "checkpoint_failed", "why=%s",
                  LOG_QUOTED(slice_cstr(op->err.text)));
    free(op);
}

static uint64_t
uncovered(struct signer *s, struct issuance_log_status *log)
{
    issuance_log_status(s->log, log);
    return log->records > s->covered ? log->records - s->covered : 0;
}

static void
checkpoint_start(struct signer *s, uint64_t covers)
{
    struct op *op = op_new(op_checkpoint, checkpoint_done);
    if (!op)
        return;
    const struct key_record *key = key_list_active(&s->keys, KEY_PURPOSE_LOG, clock_wall_s());
    if (key)
        op->key = *key;
    op->covers = covers;
    s->checkpoint_running = true;
    ops_push(s->ops, op);
}

static void
checkpoint_if_due(struct signer *s)
{
    struct issuance_log_status log;
    if (s->checkpoint_running || s->stopping || !s->start_recorded ||
        atomic_load(&s->keystore_state) != KEYSTORE_READY)
        return;
    uint64_t n = uncovered(s, &log);
    bool late = clock_mono_ms() - s->covered_ms >= s->config->checkpoint_interval_s * 1000;
    if (log.ok && n > 0 && (late || n >= (uint64_t)s->config->checkpoint_records))
        checkpoint_start(s, log.records);
}

/* Serving, and the start recorded or known not to be: what the first caller meets is then settled.
 * Whether tokens can be minted is another question, and `ready` of the key set answers it. */
static void
say_ready(struct signer *s)
{
    if (s->said_ready)
        return;
    s->said_ready = true;
    log_event(LOG_LEVEL_INFO, "ready", "issuer=%s keys=%zu development=%s",
              LOG_QUOTED(s->limits.issuer), s->keys.n, s->config->development ? "true" : "false");
    service_notify("READY=1");
}

static void
start_recorded(struct signer *s, struct op *op)
{
    s->start_running = false;
    s->start_recorded = !op->rc;
    if (op->rc)
        log_event(LOG_LEVEL_ERROR, "start_not_recorded", "why=%s",
                  LOG_QUOTED(slice_cstr(op->err.text)));
    free(op);
    signer_refresh(s);
    say_ready(s);
}

static void
record_start(struct signer *s)
{
    struct issuance_log_status log;
    issuance_log_status(s->log, &log);
    struct op *op = log.ok ? op_new(op_start_record, start_recorded) : NULL;
    if (!op)
        return;
    s->start_running = true;
    ops_push(s->ops, op);
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
    if (uncovered(s, &log) == 0 || signer_ready(s, clock_wall_s(), &why))
        return false;
    checkpoint_start(s, log.records);
    return true;
}

static void
stop_if_done(struct signer *s)
{
    if (!s->stopping)
        return;
    bool idle =
        s->in_flight == 0 && s->ops_pending == 0 && !s->checkpoint_running && !s->start_running;
    bool late = clock_mono_ms() >= s->stop_by_ms;
    if (idle && !late && last_checkpoint(s))
        return;
    if (late && !idle) {
        log_event(LOG_LEVEL_ERROR, "stop_timeout", "in_flight=%u", s->in_flight);
        s->exit_status = STATUS_CANNOT;
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
    AUTO(secret) struct secret pin = {0};
    enum attest_rc rc = start_pin(c, &pin, err);
    if (rc)
        return rc;
    struct keystore_config config = {
        .uri = c->keystore,
        .module_path = c->module,
        .pin = &pin,
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
    atomic_store(&s->keystore_state, (int)stats.state);
    return ATTEST_OK;
}

static bool
is_on_token(const struct key_record *key, const struct key_ref *refs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&refs[i], &key->ref, sizeof(*refs)) == 0)
            return true;
    }
    return false;
}

/* Says what the records and the token know differently; neither is changed. */
static void
compare_with_token(struct signer *s)
{
    AUTO(mem) struct key_ref *refs = NULL;
    size_t n = 0, met = 0;
    struct attest_error err = {0};
    if (keystore_list(s->keystore, &refs, &n, &err)) {
        log_event(LOG_LEVEL_WARNING, "keys_not_listed", "why=%s", LOG_QUOTED(slice_cstr(err.text)));
        return;
    }
    for (size_t i = 0; i < s->keys.n; i++) {
        const struct key_record *key = &s->keys.keys[i];
        if (is_on_token(key, refs, n))
            met++;
        else if (key->times.destroyed_s == 0)
            log_event(LOG_LEVEL_ERROR, "key_missing", "kid=%s purpose=%s note=\"not on the token\"",
                      key->kid, key_purpose_name(key->purpose));
    }
    if (n > met)
        log_event(LOG_LEVEL_WARNING, "keys_unknown",
                  "n=%zu note=\"on the token, without a record\"", n - met);
}

static enum attest_rc
start(struct signer *s, const struct signer_options *options, struct attest_error *err)
{
    enum attest_rc rc = take_limits(s, err);
    if (rc || (rc = open_state(s, options, err)) || (rc = open_keystore(s, err)))
        return rc;
    compare_with_token(s);
    struct issuance_log_status log;
    issuance_log_status(s->log, &log);
    if (!log.ok)
        on_log_state(s, false, log.why);
    if ((rc = issuance_log_start(s->log, err)) || (rc = ops_start(s, &s->ops, err)))
        return rc;
    record_start(s);
    return ATTEST_OK;
}

static void
end(struct signer *s)
{
    /* Who may still bring something first, what he brings it to afterwards. */
    ops_stop(s->ops);
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
        free(op);
    }
    while (s->free_jobs) {
        struct mint_job *job = s->free_jobs;
        s->free_jobs = job->next_free;
        mint_job_free(job);
    }
    server_free(s->server);
    key_list_done(&s->keys);
    buf_done(&s->keyset);
    buf_done(&s->scratch);
    free(s->names);
    pthread_mutex_destroy(&s->back.lock);
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

static void
serve(struct signer *s, struct attest_error *err)
{
    signer_refresh(s);
    if (!s->start_running)
        say_ready(s);
    if (server_run(s->server, err))
        s->exit_status = STATUS_CANNOT;
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
    s.covered_ms = clock_mono_ms();
    s.watchdog_ms = service_watchdog_ms();
    service_raise_nofile(SERVER_CONNS_MAX + 128);
    if (config->development)
        log_event(LOG_LEVEL_WARNING, "development", "note=\"not for production\"");
    enum attest_rc rc = start_sockets(config, sockets, &err);
    if (!rc) {
        if (!(rc = make_server(&s, sockets, signal_fd, &err)) && !(rc = start(&s, options, &err)))
            serve(&s, &err);
        end(&s);
        start_sockets_done(sockets);
    }
    if (err.rc) {
        log_event(LOG_LEVEL_ERROR, "failed", "why=%s", LOG_QUOTED(slice_cstr(err.text)));
        s.exit_status = err.rc == ATTEST_E_PIN ? STATUS_PIN_REFUSED : STATUS_CANNOT;
    } else {
        log_event(LOG_LEVEL_INFO, "stopped", "status=%d", s.exit_status);
    }
    return s.exit_status;
}
