/* SPDX-License-Identifier: MIT */
#include "issuer/health.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "issuer/issuer.h"
#include "issuer/jwks.h"

enum { METRICS_MAX = 256 * 1024 };

enum MHD_Result
health_get(struct exchange *x)
{
    return http_answer_bytes(x, 200, "application/json", "no-store",
                             slice_cstr("{\"status\":\"ok\"}"));
}

/* A rotation that stands still does not keep tokens from being made, until it is overdue. */
static void
put_rollover(const struct jwks_rollover *rollover, struct buf *out)
{
    char text[256];
    if (!rollover->known)
        return;
    snprintf(text, sizeof(text), "%s%s%s", rollover->loop, rollover->why[0] ? ": " : "",
             rollover->why);
    buf_str(out, ",\"rollover\":");
    json_put_string(out, slice_cstr(text));
}

enum MHD_Result
ready_get(struct exchange *x)
{
    struct jwks_status status;
    jwks_status(x->issuer->jwks, &status);
    bool stopping = atomic_load(&x->issuer->draining);
    bool ready = status.link_up && status.ready && !stopping;
    AUTO(buf) struct buf text;
    buf_init(&text, 4096);
    buf_printf(&text, "{\"ready\":%s,\"reasons\":[", ready ? "true" : "false");
    if (stopping)
        buf_str(&text, "\"stopping\"");
    if (!status.link_up || !status.ready) {
        buf_str(&text, stopping ? "," : "");
        json_put_string(&text,
                        slice_cstr(status.why[0] ? status.why : "attest-signer is not ready"));
    }
    buf_str(&text, "],\"keystore\":");
    json_put_string(&text, slice_cstr(status.keystore[0] ? status.keystore : "unknown"));
    put_rollover(&status.rollover, &text);
    buf_char(&text, '}');
    return http_answer_bytes(x, ready ? 200 : 503, "application/json", "no-store", buf_view(&text));
}

enum MHD_Result
metrics_get(struct exchange *x)
{
    struct issuer *iss = x->issuer;
    struct jwks_status status;
    jwks_status(iss->jwks, &status);
    struct metrics_key keys[JWKS_KEYS_MAX];
    int64_t now_s = clock_wall_s();
    for (size_t i = 0; i < status.n_keys; i++)
        keys[i] = (struct metrics_key){
            .kid = status.keys[i].kid,
            .purpose = status.keys[i].purpose,
            .state = status.keys[i].state,
            .age_s = status.keys[i].since_s ? now_s - status.keys[i].since_s : 0,
        };
    struct conns_counts counts;
    conns_count(iss->conns, &counts);
    struct wire_client_stats signer = {0};
    if (iss->signer)
        wire_client_stats(iss->signer, &signer);
    struct metrics_gauges gauges = {
        .connections = counts.open_public,
        .signing = signer.in_flight,
        .signer_up = status.link_up,
        .ready = status.link_up && status.ready,
        .keystore = status.keystore,
        .signer_losses = signer.losses,
        .signer_timeouts = signer.timeouts,
        .jwks_age_s = status.have ? (clock_mono_ms() - status.updated_ms) / 1000 : -1,
        .keys = keys,
        .n_keys = status.n_keys,
        .rollover_known = status.rollover.known,
        .rollover_running = strcmp(status.rollover.loop, "running") == 0,
        .next_action = status.rollover.next_action,
        .next_at_s = status.rollover.next_at_s,
        .rotation_due_s = status.rollover.due_s,
        .rotation_overdue_s = status.rollover.overdue_s,
        .signed_exp_s = status.signed_exp_s,
    };
    AUTO(buf) struct buf text;
    buf_init(&text, METRICS_MAX);
    metrics_write(iss->metrics, &gauges, &text);
    if (buf_rc(&text))
        return http_problem(x, 500, "no memory for the metrics", NULL, NULL, NULL);
    return http_answer_bytes(x, 200, "text/plain; version=0.0.4; charset=utf-8", "no-store",
                             buf_view(&text));
}
