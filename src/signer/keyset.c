/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "signer/key_life.h"

enum { KEYSET_MAX = FRAME_BODY_MAX };

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
    const struct key_record *active = key_list_active(&s->keys, KEY_PURPOSE_TOKEN, now_s);
    const char *objection = key_life_objection(s, active, now_s);
    if (objection)
        return not_ready(s, ATTEST_E_KEY_OUT_OF_REACH, objection, "");
    if (!active)
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
    int64_t now_s;
    struct issuance_log_status log;
    key_life_clock(s, &now_s);
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
    if (s->publication.jwt.len) {
        buf_str(out, ",\"signed\":");
        json_put_string(out, buf_view(&s->publication.jwt));
    }
    if (keystore_quotes(s->keystore))
        buf_str(out, ",\"evidence\":true");
    buf_str(out, ",\"rollover\":");
    key_life_write(s, now_s, false, out);
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
