/* SPDX-License-Identifier: MIT */
#include "issuer/metrics.h"

#include <string.h>

#include "base/metric.h"

/* Statuses that we send; another is counted as the first of its hundred. */
static const unsigned statuses[] = {200, 201, 304, 400, 401, 403, 404, 405, 411,
                                    413, 415, 417, 429, 431, 500, 501, 503, 505};

enum { N_STATUSES = ARRAY_LEN(statuses) };

struct share {
    _Alignas(METRIC_LINE) _Atomic uint64_t tokens[TOKEN_OUTCOMES];
    _Atomic uint64_t refused[REFUSALS];
    _Atomic uint64_t accepted;
    struct histogram sign;
};

struct route_counts {
    _Atomic uint64_t by_status[N_STATUSES];
    struct histogram duration;
};

struct metrics {
    const char *const *route_names;
    size_t n_routes;
    struct share *shares;        /* METRIC_SHARES */
    struct route_counts *routes; /* METRIC_SHARES * n_routes */
};

static const char *const token_names[TOKEN_OUTCOMES] = {
    [TOKEN_ISSUED] = "issued",         [TOKEN_MALFORMED] = "malformed",
    [TOKEN_DENIED] = "denied",         [TOKEN_BUSY] = "busy",
    [TOKEN_TIMEOUT] = "timeout",       [TOKEN_KEY_OUT_OF_REACH] = "key_out_of_reach",
    [TOKEN_LOG_FAILED] = "log_failed", [TOKEN_SIGNER_AWAY] = "signer_away",
    [TOKEN_ERROR] = "error",
};

static const char *const refusal_names[REFUSALS] = {
    [REFUSED_ODD] = "odd_request", [REFUSED_PER_ADDRESS] = "per_address", [REFUSED_FULL] = "full",
    [REFUSED_SHED] = "shed",       [REFUSED_LATE] = "request_late",       [REFUSED_IDLE] = "idle",
};

struct metrics *
metrics_new(const char *const *route_names, size_t n_routes)
{
    struct metrics *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->route_names = route_names;
    m->n_routes = n_routes;
    m->shares = aligned_alloc(METRIC_LINE, METRIC_SHARES * sizeof(*m->shares));
    m->routes = calloc(METRIC_SHARES * n_routes, sizeof(*m->routes));
    if (!m->shares || !m->routes) {
        metrics_free(m);
        return NULL;
    }
    for (size_t i = 0; i < METRIC_SHARES; i++)
        m->shares[i] = (struct share){0};
    return m;
}

void
metrics_free(struct metrics *m)
{
    if (!m)
        return;
    free(m->shares);
    free(m->routes);
    free(m);
}

static size_t
status_index(unsigned status)
{
    size_t hundred = 0;
    for (size_t i = 0; i < N_STATUSES; i++) {
        if (statuses[i] == status)
            return i;
        if (statuses[i] / 100 <= status / 100 && statuses[hundred] / 100 != statuses[i] / 100)
            hundred = i;
    }
    return hundred;
}

void
metrics_request(struct metrics *m, size_t route, unsigned status, int64_t duration_us)
{
    struct route_counts *counts = &m->routes[metric_share() * m->n_routes + route];
    metric_add(&counts->by_status[status_index(status)], 1);
    histogram_observe(&counts->duration, duration_us);
}

void
metrics_sign(struct metrics *m, int64_t duration_us)
{
    histogram_observe(&m->shares[metric_share()].sign, duration_us);
}

void
metrics_token(struct metrics *m, enum metrics_token outcome)
{
    metric_add(&m->shares[metric_share()].tokens[outcome], 1);
}

void
metrics_refused(struct metrics *m, enum metrics_refusal what)
{
    metric_add(&m->shares[metric_share()].refused[what], 1);
}

void
metrics_accepted(struct metrics *m)
{
    metric_add(&m->shares[metric_share()].accepted, 1);
}

uint64_t
metrics_tokens(const struct metrics *m, enum metrics_token outcome)
{
    return metric_sum(&m->shares[0].tokens[outcome], sizeof(struct share));
}

uint64_t
metrics_refusals(const struct metrics *m, enum metrics_refusal what)
{
    return metric_sum(&m->shares[0].refused[what], sizeof(struct share));
}

static void
write_routes(const struct metrics *m, struct buf *out)
{
    size_t stride = m->n_routes * sizeof(struct route_counts);
    metric_head(out, "attestd_http_requests_total", "counter", "Requests answered.");
    for (size_t r = 0; r < m->n_routes; r++)
        for (size_t s = 0; s < N_STATUSES; s++) {
            uint64_t n = metric_sum(&m->routes[r].by_status[s], stride);
            if (n)
                buf_printf(out, "attestd_http_requests_total{route=\"%s\",status=\"%u\"} %llu\n",
                           m->route_names[r], statuses[s], (unsigned long long)n);
        }
    metric_head(out, "attestd_http_request_duration_seconds", "histogram",
                "From a request's first line to its answer.");
    for (size_t r = 0; r < m->n_routes; r++) {
        char label[64];
        snprintf(label, sizeof(label), "route=\"%s\",", m->route_names[r]);
        metric_histogram(out, "attestd_http_request_duration_seconds", label,
                         &m->routes[r].duration, stride);
    }
}

static void
write_counters(const struct metrics *m, struct buf *out)
{
    metric_head(out, "attestd_tokens_total", "counter", "Requests for a token by outcome.");
    for (size_t i = 0; i < TOKEN_OUTCOMES; i++)
        buf_printf(out, "attestd_tokens_total{outcome=\"%s\"} %llu\n", token_names[i],
                   (unsigned long long)metrics_tokens(m, (enum metrics_token)i));
    metric_head(out, "attestd_refused_total", "counter",
                "Requests and connections refused or closed to protect the others.");
    for (size_t i = 0; i < REFUSALS; i++)
        buf_printf(out, "attestd_refused_total{reason=\"%s\"} %llu\n", refusal_names[i],
                   (unsigned long long)metrics_refusals(m, (enum metrics_refusal)i));
    metric_counter(out, "attestd_connections_accepted_total", "Connections accepted.",
                   metric_sum(&m->shares[0].accepted, sizeof(struct share)));
    metric_head(out, "attestd_sign_duration_seconds", "histogram",
                "From the request to attest-signer to its answer.");
    metric_histogram(out, "attestd_sign_duration_seconds", "", &m->shares[0].sign,
                     sizeof(struct share));
}

static void
write_keys(const struct metrics_gauges *g, struct buf *out)
{
    static const char *const states[] = {"ready", "key out of reach", "PIN refused", "lost"};
    metric_head(out, "attestd_keystore_state", "gauge",
                "1 for the state the signer last reported.");
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        buf_printf(out, "attestd_keystore_state{state=\"%s\"} %d\n", states[i],
                   g->keystore && slice_is(slice_cstr(states[i]), g->keystore));
    metric_head(out, "attestd_key_age_seconds", "gauge",
                "Time since a key became active, or was made when it is not.");
    for (size_t i = 0; i < g->n_keys; i++)
        buf_printf(out, "attestd_key_age_seconds{kid=\"%s\",purpose=\"%s\",state=\"%s\"} %lld\n",
                   g->keys[i].kid, g->keys[i].purpose, g->keys[i].state,
                   (long long)g->keys[i].age_s);
}

static void
write_rollover(const struct metrics_gauges *g, struct buf *out)
{
    if (g->signed_exp_s)
        metric_gauge(out, "attestd_signed_jwks_expiry_timestamp_seconds",
                     "When the signed key set that is served ends.", g->signed_exp_s);
    if (!g->rollover_known)
        return;
    metric_gauge(out, "attestd_rollover_running", "1 while the signer's rotation runs.",
                 g->rollover_running);
    if (g->next_at_s) {
        metric_head(out, "attestd_rollover_next_action_timestamp_seconds", "gauge",
                    "When the rotation does its next step, and which.");
        buf_printf(out, "attestd_rollover_next_action_timestamp_seconds{action=\"%s\"} %lld\n",
                   g->next_action, (long long)g->next_at_s);
    }
    if (g->rotation_due_s)
        metric_gauge(out, "attestd_rotation_due_timestamp_seconds",
                     "When the active key's successor is to take over.", g->rotation_due_s);
    if (g->rotation_overdue_s)
        metric_gauge(out, "attestd_rotation_overdue_timestamp_seconds",
                     "When minting stops unless a successor has taken over.",
                     g->rotation_overdue_s);
}

void
metrics_write(const struct metrics *m, const struct metrics_gauges *g, struct buf *out)
{
    write_routes(m, out);
    write_counters(m, out);
    metric_gauge(out, "attestd_connections", "Connections open now, the admin's apart.",
                 g->connections);
    metric_gauge(out, "attestd_sign_queue", "Requests waiting for the signer now.", g->signing);
    metric_gauge(out, "attestd_ready", "1 when a token could be minted now.", g->ready);
    metric_gauge(out, "attestd_signer_up", "1 while connected to attest-signer.", g->signer_up);
    metric_counter(out, "attestd_signer_losses_total", "Connections to attest-signer lost.",
                   g->signer_losses);
    metric_counter(out, "attestd_signer_timeouts_total", "Answers that did not come in time.",
                   g->signer_timeouts);
    if (g->jwks_age_s >= 0)
        metric_gauge(out, "attestd_jwks_age_seconds",
                     "Time since the signer last sent its key set.", g->jwks_age_s);
    write_keys(g, out);
    write_rollover(g, out);
}
