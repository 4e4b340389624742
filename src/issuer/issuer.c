/* SPDX-License-Identifier: MIT */
#include "issuer/issuer.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/service.h"
#include "base/sock.h"
#include "issuer/ask.h"
#include "issuer/discovery.h"
#include "issuer/door.h"
#include "issuer/evidence.h"
#include "issuer/http.h"
#include "issuer/jwks.h"
#include "issuer/routes.h"
#include "issuer/tls.h"
#include "issuer/watch.h"

enum {
    OWN_DESCRIPTORS = 64, /* beyond the clients' */
    SIGNER_IN_FLIGHT_MAX = 4096,
    LAST_ANSWERS_MS = 1000, /* for what the signer's end left without an answer */
    WAIT_STEP_MS = 5,
};

/* ---- the signer's client calls ---- */

static void
on_keyset(void *ctx, const struct frame_answer *answer)
{
    struct issuer *iss = ctx;
    struct attest_error err;
    if (jwks_update(iss->jwks, answer->json, answer->root, &err)) {
        log_event(LOG_LEVEL_ERROR, "keyset_refused", "why=%s", LOG_QUOTED(slice_cstr(err.text)));
        return;
    }
    struct jwks_status status;
    jwks_status(iss->jwks, &status);
    log_event(status.ready ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "keyset",
              "keys=%zu signed=%d keystore=%s ready=%d why=%s", status.n_keys,
              status.signed_exp_s != 0, LOG_QUOTED(slice_cstr(status.keystore)), status.ready,
              LOG_QUOTED(slice_cstr(status.why)));
}

static void
on_link(void *ctx, bool up, const char *why)
{
    struct issuer *iss = ctx;
    jwks_link(iss->jwks, up, why);
    if (up)
        log_event(LOG_LEVEL_INFO, "signer_up", "socket=%s",
                  LOG_QUOTED(slice_cstr(iss->config->signer_socket)));
    else if (!atomic_load(&iss->signer_gone))
        log_event(LOG_LEVEL_WARNING, "signer_away", "socket=%s why=%s",
                  LOG_QUOTED(slice_cstr(iss->config->signer_socket)), LOG_QUOTED(slice_cstr(why)));
}

/* ---- start ---- */

static enum attest_rc
read_proxies(struct issuer *iss, struct attest_error *err)
{
    const struct config_list *list = &iss->config->proxies;
    iss->proxies = calloc(list->n + 1, sizeof(*iss->proxies));
    if (!iss->proxies)
        return error_set(err, ATTEST_E_NOMEM, "no memory");
    for (; iss->n_proxies < list->n; iss->n_proxies++)
        if (!conn_address_read(list->items[iss->n_proxies], &iss->proxies[iss->n_proxies]))
            return error_set(err, ATTEST_E_CONFIG, "proxies: '%s' is no address",
                             list->items[iss->n_proxies]);
    return ATTEST_OK;
}

static enum attest_rc
read_mint_users(struct issuer *iss, struct attest_error *err)
{
    const struct config_list *list = &iss->config->mint_users;
    iss->mint_uids = calloc(list->n + 1, sizeof(*iss->mint_uids));
    if (!iss->mint_uids)
        return error_set(err, ATTEST_E_NOMEM, "no memory");
    for (; iss->n_mint_uids < list->n; iss->n_mint_uids++) {
        enum attest_rc rc =
            sock_uid(list->items[iss->n_mint_uids], &iss->mint_uids[iss->n_mint_uids], err);
        if (rc)
            return rc;
    }
    return ATTEST_OK;
}

static enum attest_rc
bind_all(struct issuer *iss, struct attest_error *err)
{
    const struct issuer_config *config = iss->config;
    enum attest_rc rc = ATTEST_OK;
    if (!listen_inherit(&iss->listeners, "attestd", false))
        for (size_t i = 0; !rc && i < config->listen.n; i++)
            rc = listen_open(&iss->listeners, config->listen.items[i], config->unix_group, false,
                             err);
    if (!rc && !listen_inherit(&iss->listeners, "attestd-admin", true) && config->admin_listen &&
        config->admin_listen[0])
        rc = listen_open(&iss->listeners, config->admin_listen, config->unix_group, true, err);
    return rc;
}

static void
announce(const struct issuer *iss)
{
    bool open_door = false;
    for (size_t i = 0; i < iss->listeners.n; i++) {
        const struct listener *l = &iss->listeners.at[i];
        bool tls = iss->config->tls_certificate && !l->is_unix && !l->admin;
        open_door |= iss->open_mint && l->loopback && !l->admin;
        log_event(LOG_LEVEL_INFO, "listening", "at=%s for=%s tls=%d",
                  LOG_QUOTED(slice_cstr(l->name)), l->admin ? "admin" : "public", tls);
    }
    if (iss->config->development)
        log_event(LOG_LEVEL_WARNING, "development_mode",
                  "meaning=\"not for production: this configuration sets development\"");
    if (open_door)
        log_event(LOG_LEVEL_WARNING, "INSECURE_OPEN_MINT",
                  "meaning=\"anyone on this machine can mint any token\"");
    else if (iss->open_mint)
        log_event(
            LOG_LEVEL_WARNING, "open_mint_unused",
            "why=\"--insecure-open-mint is for loopback addresses, and none is listened on\"");
    if (geteuid() == 0)
        log_event(LOG_LEVEL_WARNING, "running_as_root",
                  "action=\"start attestd as a user of its own; it needs no privilege\"");
}

/* As many connections as there are descriptors for. */
static unsigned
connections_max(const struct issuer_config *config)
{
    size_t want = (size_t)config->connections_max;
    size_t have = service_raise_nofile(want + OWN_DESCRIPTORS);
    if (have >= want + OWN_DESCRIPTORS)
        return (unsigned)want;
    size_t left = have > 2 * OWN_DESCRIPTORS ? have - OWN_DESCRIPTORS : OWN_DESCRIPTORS;
    log_event(LOG_LEVEL_WARNING, "few_descriptors",
              "connections_max=%zu now=%zu action=\"raise the limit on open files\"", want, left);
    return (unsigned)left;
}

static bool
has_plain_public(const struct issuer *iss)
{
    for (size_t i = 0; i < iss->listeners.n; i++)
        if (iss->listeners.at[i].is_unix && !iss->listeners.at[i].admin)
            return true;
    return !iss->config->tls_certificate;
}

static enum attest_rc
start_conns(struct issuer *iss, unsigned max, struct attest_error *err)
{
    struct conns_config config = {
        .connections_max = max,
        .per_address_max = (unsigned)iss->config->per_address_max,
        .request_timeout_ms = iss->config->request_timeout_ms,
        .idle_timeout_ms = iss->config->idle_timeout_s * 1000,
        .proxies = iss->proxies,
        .n_proxies = iss->n_proxies,
    };
    enum attest_rc rc = conns_new(&config, &iss->conns, err);
    if (!rc)
        watch_begin(iss->conns);
    return rc;
}

static enum attest_rc
start_http(struct issuer *iss, const struct issuer_options *options, unsigned max,
           struct attest_error *err)
{
    struct http_config config = {
        .issuer = iss,
        .conns = iss->conns,
        .threads = (unsigned)iss->config->threads,
        .connections_max = max,
        .tls = iss->config->tls_certificate != NULL,
        .plain_is_rare = !has_plain_public(iss),
        .observe = options->observe,
        .observe_ctx = options->observe_ctx,
    };
    return http_new(&config, &iss->http, err);
}

static enum attest_rc
start_signer_client(struct issuer *iss, struct attest_error *err)
{
    struct wire_client_config config = {
        .socket_path = iss->config->signer_socket,
        .in_flight_max = SIGNER_IN_FLIGHT_MAX,
        .on_keyset = on_keyset,
        .on_link = on_link,
        .ctx = iss,
    };
    return wire_client_new(&config, &iss->signer, err);
}

static enum attest_rc
start_door(struct issuer *iss, struct attest_error *err)
{
    struct door_config config = {
        .listeners = &iss->listeners,
        .tls = iss->config->tls_certificate != NULL,
        .conns = iss->conns,
        .metrics = iss->metrics,
        .serve = http_serve,
        .ctx = iss->http,
    };
    return door_open(&config, &iss->door, err);
}

static enum attest_rc
start(struct issuer *iss, const struct issuer_options *options, struct attest_error *err)
{
    const struct issuer_config *config = iss->config;
    enum attest_rc rc;
    if ((rc = issuer_config_check(config, err)) || (rc = read_proxies(iss, err)) ||
        (rc = read_mint_users(iss, err)))
        return rc;
    if (config->tls_certificate && (rc = tls_init(config->tls_certificate, config->tls_key, err)))
        return rc;
    iss->metrics = metrics_new(route_names, n_routes + 1);
    iss->jwks = jwks_new();
    for (size_t i = 0; i < ARRAY_LEN(iss->discovery); i++)
        iss->discovery[i] = discovery_new(config->issuer, i != 0);
    iss->evidence = evidence_source_new(config->event_log);
    if (!iss->metrics || !iss->jwks || !iss->discovery[0] || !iss->discovery[1] || !iss->evidence)
        return error_set(err, ATTEST_E_NOMEM, "no memory to start");
    unsigned max = connections_max(config);
    if ((rc = bind_all(iss, err)) || (rc = start_conns(iss, max, err)) ||
        (rc = start_signer_client(iss, err)) || (rc = start_http(iss, options, max, err)))
        return rc;
    announce(iss);
    return start_door(iss, err);
}

/* ---- the end ---- */

static void
wait_step(void)
{
    nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_MS * 1000000L}, NULL);
}

/* Until no request is under way or the time is over. */
static void
wait_quiet(struct issuer *iss, int64_t deadline_ms)
{
    struct conns_counts counts;
    for (;;) {
        conns_count(iss->conns, &counts);
        if (counts.busy == 0 && ask_waiting() == 0)
            return;
        if (clock_mono_ms() >= deadline_ms) {
            log_event(LOG_LEVEL_WARNING, "stop_unfinished", "requests=%u", counts.busy);
            return;
        }
        wait_step();
    }
}

/* Every step is safe on what was never started. */
static void
teardown(struct issuer *iss)
{
    atomic_store(&iss->signer_gone, true);
    while (ask_sending())
        wait_step();
    wire_client_stop(iss->signer); /* answers what waits, which wakes its connections */
    if (iss->door)
        wait_quiet(iss, clock_mono_ms() + LAST_ANSWERS_MS);
    door_free(iss->door);
    listen_close(&iss->listeners);
    http_free(iss->http);
    wire_client_free(iss->signer); /* /metrics asks it to the last */
    watch_end();
    conns_free(iss->conns);
    if (iss->config->tls_certificate)
        tls_done();
    for (size_t i = 0; i < ARRAY_LEN(iss->discovery); i++) {
        if (iss->discovery[i])
            MHD_destroy_response(iss->discovery[i]);
    }
    evidence_source_free(iss->evidence);
    jwks_free(iss->jwks);
    metrics_free(iss->metrics);
    free(iss->mint_uids);
    free(iss->proxies);
    free(iss);
}

enum attest_rc
issuer_start(const struct issuer_options *options, struct issuer **ret, struct attest_error *err)
{
    struct issuer *iss = calloc(1, sizeof(*iss));
    if (!iss)
        return error_set(err, ATTEST_E_NOMEM, "no memory to start");
    iss->config = options->config;
    iss->open_mint = options->open_mint;
    enum attest_rc rc = start(iss, options, err);
    if (rc) {
        teardown(iss);
        return rc;
    }
    *ret = iss;
    return ATTEST_OK;
}

enum attest_rc
issuer_reload(struct issuer *iss, struct attest_error *err)
{
    if (!iss->config->tls_certificate)
        return ATTEST_OK;
    return tls_reload(iss->config->request_timeout_ms + 1000, err);
}

void
issuer_stop(struct issuer *iss)
{
    if (!iss)
        return;
    atomic_store(&iss->draining, true);
    door_drain(iss->door);
    wait_quiet(iss, clock_mono_ms() + iss->config->stop_s * 1000);
    teardown(iss);
}
