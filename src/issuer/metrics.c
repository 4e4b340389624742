/* SPDX-License-Identifier: MIT */
#include "issuer/metrics.h"

#include <stdatomic.h>
#include <string.h>

enum { SHARES = 8, CACHE_LINE = 64 };

/* Statuses that we send; another is counted as the first of its hundred. */
static const unsigned statuses[] = {200, 201, 304, 400, 401, 403, 404, 405, 411,
                                    413, 415, 417, 429, 431, 500, 501, 503, 505};

/* Upper bounds in microseconds and as Prometheus wants them, in seconds. */
static const struct bucket {
    int64_t le_us;
    const char *le;
} buckets[] = {
    {100, "0.0001"},  {250, "0.00025"}, {500, "0.0005"},  {1000, "0.001"},
    {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},  {25000, "0.025"},
    {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},
    {1000000, "1"},   {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"},
};

enum { N_STATUSES = ARRAY_LEN(statuses), N_BUCKETS = ARRAY_LEN(buckets) + 1 };

struct histogram {
    _Atomic uint64_t bucket[N_BUCKETS]; /* not cumulative; the last is +Inf */
    _Atomic uint64_t sum_us;
};

struct share {
    _Alignas(CACHE_LINE) _Atomic uint64_t tokens[TOKEN_OUTCOMES];
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
    struct share *shares;        /* SHARES */
    struct route_counts *routes; /* SHARES * n_routes */
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
    m->shares = aligned_alloc(CACHE_LINE, SHARES * sizeof(*m->shares));
    m->routes = calloc(SHARES * n_routes, sizeof(*m->routes));
    if (!m->shares || !m->routes) {
        metrics_free(m);
        return NULL;
    }
    for (size_t i = 0; i < SHARES; i++)
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
share_of_thread(void)
{
    static _Atomic size_t threads;
    static _Thread_local size_t mine; /* share + 1; 0: none chosen yet */
    if (mine == 0)
        mine = atomic_fetch_add(&threads, 1) % SHARES + 1;
    return mine - 1;
}

static void
add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static void
observe(struct histogram *h, int64_t duration_us)
{
    size_t i = 0;
    while (i < ARRAY_LEN(buckets) && duration_us > buckets[i].le_us)
        i++;
    add(&h->bucket[i], 1);
    add(&h->sum_us, duration_us < 0 ? 0 : (uint64_t)duration_us);
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
    struct route_counts *counts = &m->routes[share_of_thread() * m->n_routes + route];
    add(&counts->by_status[status_index(status)], 1);
    observe(&counts->duration, duration_us);
}

void
metrics_sign(struct metrics *m, int64_t duration_us)
{
    observe(&m->shares[share_of_thread()].sign, duration_us);
}

void
metrics_token(struct metrics *m, enum metrics_token outcome)
{
    add(&m->shares[share_of_thread()].tokens[outcome], 1);
}

void
metrics_refused(struct metrics *m, enum metrics_refusal what)
{
    add(&m->shares[share_of_thread()].refused[what], 1);
}

void
metrics_accepted(struct metrics *m)
{
    add(&m->shares[share_of_thread()].accepted, 1);
}

/* Sums one counter over the shares: first and the distance to the next share, in bytes. */
static uint64_t
sum(const _Atomic uint64_t *first, size_t stride)
{
    uint64_t total = 0;
    for (size_t i = 0; i < SHARES; i++)
        total += atomic_load_explicit(
            (const _Atomic uint64_t *)(const void *)((const char *)first + i * stride),
            memory_order_relaxed);
    return total;
}

uint64_t
metrics_tokens(const struct metrics *m, enum metrics_token outcome)
{
    return sum(&m->shares[0].tokens[outcome], sizeof(struct share));
}

uint64_t
metrics_refusals(const struct metrics *m, enum metrics_refusal what)
{
    return sum(&m->shares[0].refused[what], sizeof(struct share));
}

static void
head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
gauge(struct buf *out, const char *name, const char *help, int64_t value)
{
    head(out, name, "gauge", help);
    buf_printf(out, "%s %lld\n", name, (long long)value);
}

/* label is empty or `name="value",` */
static void
write_histogram(struct buf *out, const char *name, const char *label, const struct histogram *h,
                size_t stride)
{
    uint64_t count = 0;
    for (size_t i = 0; i < N_BUCKETS; i++) {
        count += sum(&h->bucket[i], stride);
        buf_printf(out, "%s_bucket{%sle=\"%s\"} %llu\n", name, label,
                   i < ARRAY_LEN(buckets) ? buckets[i].le : "+Inf", (unsigned long long)count);
    }
    int bare = label[0] ? (int)strlen(label) - 1 : 0; /* without the comma */
    const char *open = bare ? "{" : "", *close = bare ? "}" : "";
    uint64_t sum_us = sum(&h->sum_us, stride);
    buf_printf(out, "%s_sum%s%.*s%s %llu.%06llu\n", name, open, bare, label, close,
               (unsigned long long)(sum_us / 1000000), (unsigned long long)(sum_us % 1000000));
    buf_printf(out, "%s_count%s%.*s%s %llu\n", name, open, bare, label, close,
               (unsigned long long)count);
}

static void
write_routes(const struct metrics *m, struct buf *out)
{
    size_t stride = m->n_routes * sizeof(struct route_counts);
    head(out, "attestd_http_requests_total", "counter", "Requests answered.");
    for (size_t r = 0; r < m->n_routes; r++)
        for (size_t s = 0; s < N_STATUSES; s++) {
            uint64_t n = sum(&m->routes[r].by_status[s], stride);
            if (n)
                buf_printf(out, "attestd_http_requests_total{route=\"%s\",status=\"%u\"} %llu\n",
                           m->route_names[r], statuses[s], (unsigned long long)n);
        }
    head(out, "attestd_http_request_duration_seconds", "histogram",
         "From a request's first line to its answer.");
    for (size_t r = 0; r < m->n_routes; r++) {
        char label[64];
        snprintf(label, sizeof(label), "route=\"%s\",", m->route_names[r]);
        write_histogram(out, "attestd_http_request_duration_seconds", label, &m->routes[r].duration,
                        stride);
    }
}

static void
write_counters(const struct metrics *m, struct buf *out)
{
    head(out, "attestd_tokens_total", "counter", "Requests for a token by outcome.");
    for (size_t i = 0; i < TOKEN_OUTCOMES; i++)
        buf_printf(out, "attestd_tokens_total{outcome=\"%s\"} %llu\n", token_names[i],
                   (unsigned long long)metrics_tokens(m, (enum metrics_token)i));
    head(out, "attestd_refused_total", "counter",
         "Requests and connections refused or closed to protect the others.");
    for (size_t i = 0; i < REFUSALS; i++)
        buf_printf(out, "attestd_refused_total{reason=\"%s\"} %llu\n", refusal_names[i],
                   (unsigned long long)metrics_refusals(m, (enum metrics_refusal)i));
    head(out, "attestd_connections_accepted_total", "counter", "Connections accepted.");
    buf_printf(out, "attestd_connections_accepted_total %llu\n",
               (unsigned long long)sum(&m->shares[0].accepted, sizeof(struct share)));
    head(out, "attestd_sign_duration_seconds", "histogram",
         "From the request to attest-signer to its answer.");
    write_histogram(out, "attestd_sign_duration_seconds", "", &m->shares[0].sign,
                    sizeof(struct share));
}

static void
write_keys(const struct metrics_gauges *g, struct buf *out)
{
    static const char *const states[] = {"ready", "key out of reach", "PIN refused", "lost"};
    head(out, "attestd_keystore_state", "gauge", "1 for the state the signer last reported.");
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        buf_printf(out, "attestd_keystore_state{state=\"%s\"} %d\n", states[i],
                   g->keystore && slice_is(slice_cstr(states[i]), g->keystore));
    head(out, "attestd_key_age_seconds", "gauge",
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
        gauge(out, "attestd_signed_jwks_expiry_timestamp_seconds",
              "When the signed key set that is served ends.", g->signed_exp_s);
    if (!g->rollover_known)
        return;
    gauge(out, "attestd_rollover_running", "1 while the signer's rotation runs.",
          g->rollover_running);
    if (g->next_at_s) {
        head(out, "attestd_rollover_next_action_timestamp_seconds", "gauge",
             "When the rotation does its next step, and which.");
        buf_printf(out, "attestd_rollover_next_action_timestamp_seconds{action=\"%s\"} %lld\n",
                   g->next_action, (long long)g->next_at_s);
    }
    if (g->rotation_due_s)
        gauge(out, "attestd_rotation_due_timestamp_seconds",
              "When the active key's successor is to take over.", g->rotation_due_s);
    if (g->rotation_overdue_s)
        gauge(out, "attestd_rotation_overdue_timestamp_seconds",
              "When minting stops unless a successor has taken over.", g->rotation_overdue_s);
}

void
metrics_write(const struct metrics *m, const struct metrics_gauges *g, struct buf *out)
{
    write_routes(m, out);
    write_counters(m, out);
    gauge(out, "attestd_connections", "Connections open now, the admin's apart.", g->connections);
    gauge(out, "attestd_sign_queue", "Requests waiting for the signer now.", g->signing);
    gauge(out, "attestd_ready", "1 when a token could be minted now.", g->ready);
    gauge(out, "attestd_signer_up", "1 while connected to attest-signer.", g->signer_up);
    head(out, "attestd_signer_losses_total", "counter", "Connections to attest-signer lost.");
    buf_printf(out, "attestd_signer_losses_total %llu\n", (unsigned long long)g->signer_losses);
    head(out, "attestd_signer_timeouts_total", "counter", "Answers that did not come in time.");
    buf_printf(out, "attestd_signer_timeouts_total %llu\n", (unsigned long long)g->signer_timeouts);
    if (g->jwks_age_s >= 0)
        gauge(out, "attestd_jwks_age_seconds", "Time since the signer last sent its key set.",
              g->jwks_age_s);
    write_keys(g, out);
    write_rollover(g, out);
}
