/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/service.h"
#include "signer/key_life.h"
#include "signer/lease.h"

struct checkpoint_op {
    struct op op;
    struct key_record key; /* the log key; without a kid there is none */
    uint64_t covers;       /* records */
};

/* ---- in the ops thread ---- */

static void
write_checkpoint_input(struct signer *s, const struct key_record *key,
                       const struct chainlog_head *head, int64_t now_s, struct buf *out)
{
    char hex[2 * SHA256_LEN + 1];
    hex_encode(hex, head->hash, SHA256_LEN);
    AUTO(buf) struct buf payload;
    buf_init(&payload, 4096);
    buf_str(&payload, "{\"iss\":");
    json_put_string(&payload, s->limits.issuer);
    buf_printf(&payload, ",\"iat\":%lld,\"seq\":%llu,\"head\":\"%s\"}", (long long)now_s,
               (unsigned long long)head->seq, hex);
    jws_write_signing_input(out, key->alg, "attest-checkpoint+jwt", slice_cstr(key->kid),
                            buf_view(&payload));
}

static enum attest_rc
checkpoint(struct signer *s, struct checkpoint_op *op, const struct chainlog_head *head)
{
    struct attest_error *err = &op->op.err;
    uint8_t sig[PUBKEY_SIG_LEN];
    AUTO(buf) struct buf jws, body;
    buf_init(&jws, 4096);
    buf_init(&body, 8192);
    write_checkpoint_input(s, &op->key, head, clock_wall_s(), &jws);
    enum attest_rc rc =
        keystore_sign_wait(s->keystore, &op->key.ref, buf_view(&jws),
                           clock_mono_ms() + s->config->request_timeout_ms, sig, err);
    if (rc)
        return rc;
    jws_write_signature(&jws, sig);
    buf_str(&body, "\"op\":\"checkpoint\",\"checkpoint\":\"");
    buf_slice(&body, buf_view(&jws));
    buf_char(&body, '"');
    return ops_record(s, &body, err);
}

static void
run_checkpoint(struct signer *s, struct op *op)
{
    struct checkpoint_op *c = (struct checkpoint_op *)op;
    struct issuance_log_status at;
    issuance_log_status(s->log, &at);
    op->rc = c->key.kid[0] ? checkpoint(s, c, &at.head) : ATTEST_OK;
    if (op->rc)
        return;
    issuance_log_status(s->log, &at);
    op->rc = key_records_set_head(s->records, &at.head, &op->err);
    if (!op->rc)
        op->rc = key_life_remember(s, &op->err);
}

static enum attest_rc
record_config(struct signer *s, struct attest_error *err)
{
    AUTO(buf) struct buf dump, body;
    uint8_t hash[SHA256_LEN], known[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    buf_init(&dump, 1 << 20);
    buf_init(&body, 1024);
    enum attest_rc rc = config_dump(&signer_config_schema, s->config, true, &dump);
    if (rc)
        return error_set(err, rc, "configuration: %s", attest_strerror(rc));
    sha256(hash, dump.p, dump.len);
    if ((rc = key_records_config(s->records, known, err)) || memcmp(hash, known, SHA256_LEN) == 0)
        return rc;
    hex_encode(hex, hash, SHA256_LEN);
    buf_printf(&body, "\"op\":\"config\",\"sha256\":\"%s\"", hex);
    if ((rc = ops_record(s, &body, err)))
        return rc;
    return key_records_set_config(s->records, hash, err);
}

static void
run_start(struct signer *s, struct op *op)
{
    AUTO(buf) struct buf body;
    buf_init(&body, 4096);
    buf_printf(&body,
               "\"op\":\"start\",\"version\":\"%s\",\"development\":%s,\"iss\":", PACKAGE_VERSION,
               s->config->development ? "true" : "false");
    json_put_string(&body, s->limits.issuer);
    op->rc = ops_record(s, &body, &op->err);
    if (!op->rc)
        op->rc = record_config(s, &op->err);
    if (!op->rc)
        op->rc = key_events_flush(s, &op->err);
    if (!op->rc)
        op->rc = key_life_remember(s, &op->err);
    struct issuance_log_status at;
    issuance_log_status(s->log, &at);
    if (!op->rc)
        op->rc = key_records_set_head(s->records, &at.head, &op->err);
}

/* ---- in the loop ---- */

static void
checkpoint_done(struct signer *s, struct op *op)
{
    const struct checkpoint_op *c = (const struct checkpoint_op *)op;
    s->checkpoint_running = false;
    s->covered_ms = clock_mono_ms();
    if (!op->rc)
        s->covered = c->covers + (c->key.kid[0] != '\0');
    else
        log_event(LOG_LEVEL_WARNING, "checkpoint_failed", "why=%s",
                  LOG_QUOTED(slice_cstr(op->err.text)));
    free(op);
}

uint64_t
checkpoint_uncovered(struct signer *s, struct issuance_log_status *log)
{
    issuance_log_status(s->log, log);
    return log->records > s->covered ? log->records - s->covered : 0;
}

void
checkpoint_start(struct signer *s, uint64_t covers)
{
    struct checkpoint_op *op = calloc(1, sizeof(*op));
    if (!op)
        return;
    op->op.run = run_checkpoint;
    op->op.done = checkpoint_done;
    struct attest_error why;
    const struct key_record *key = key_list_active(&s->keys, KEY_PURPOSE_LOG, clock_wall_s());
    /* Whose token it is signs for the one log that there is. */
    if (key && !lease_known(s, &why))
        op->key = *key;
    op->covers = covers;
    s->checkpoint_running = true;
    ops_push(s->ops, &op->op);
}

void
checkpoint_if_due(struct signer *s)
{
    struct issuance_log_status log;
    if (s->checkpoint_running || s->stopping || !s->start_recorded ||
        atomic_load(&s->keystore_state) != KEYSTORE_READY)
        return;
    uint64_t n = checkpoint_uncovered(s, &log);
    bool late = clock_mono_ms() - s->covered_ms >= s->config->checkpoint_interval_s * 1000;
    if (log.ok && n > 0 && (late || n >= (uint64_t)s->config->checkpoint_records))
        checkpoint_start(s, log.records);
}

/* Serving, and the start recorded or known not to be: what the first caller meets is then settled.
 * Whether tokens can be minted is another question, and `ready` of the key set answers it. */
void
signer_say_ready(struct signer *s)
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
    signer_say_ready(s);
    lease_watch(s);
}

void
record_start(struct signer *s)
{
    struct issuance_log_status log;
    issuance_log_status(s->log, &log);
    struct op *op = log.ok ? calloc(1, sizeof(*op)) : NULL;
    if (!op)
        return;
    op->run = run_start;
    op->done = start_recorded;
    s->start_running = true;
    ops_push(s->ops, op);
}
