/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "signer/key_life.h"
#include "signer/requests.h"

enum { REQUEST_NODES = 4096 };

/* One row a request: what it is called, on which sockets, what answers it. A handler writes its
 * answer to the connection now, or sees to it that it comes later. */
struct request_row {
    const char *op;
    unsigned sockets; /* enum server_socket, or'ed */
    void (*handle)(struct signer *s, struct server_conn *conn, const struct frame_request *r);
};

/* ---- answers ---- */

/* Whole answers that do not fit into the connection's buffer fail that buffer, and so close it. */
void
answer_error(struct server_conn *conn, int64_t id, enum attest_rc rc, const char *text,
             const char *member)
{
    struct buf *out = server_conn_out(conn);
    size_t start = frame_open(out);
    frame_put_error(out, id, rc, text, member);
    frame_close(out, start);
}

struct answer
answer_begin(struct server_conn *conn, int64_t id)
{
    struct answer a = {.conn = conn, .id = id, .out = server_conn_out(conn)};
    a.start = frame_open(a.out);
    frame_put_ok(a.out, id);
    return a;
}

void
answer_end(struct answer *a)
{
    buf_char(a->out, '}');
    if (!frame_close(a->out, a->start) && !buf_rc(a->out))
        answer_error(a->conn, a->id, ATTEST_E_LIMIT, "the answer is larger than a frame", NULL);
}

bool
answer_begin_op(struct signer *s, const struct op *op, struct answer *ret)
{
    struct server_conn *conn = server_conn_find(s->server, op->conn);
    if (conn && op->rc)
        answer_error(conn, op->id, op->rc, op->err.text, NULL);
    if (!conn || op->rc)
        return false;
    *ret = answer_begin(conn, op->id);
    return true;
}

bool
answer_page(struct server_conn *conn, const struct frame_request *r, size_t *from)
{
    int64_t n = 0;
    if (json_member(r->json, r->root, "from") &&
        (!frame_int64(r->json, r->root, "from", &n) || n < 0)) {
        answer_error(conn, r->id, ATTEST_E_ARGUMENT, "from: a number of a key expected", "from");
        return false;
    }
    *from = (size_t)n;
    return true;
}

void
signer_answer(struct signer *s, const struct mint_job *job)
{
    struct server_conn *conn = server_conn_find(s->server, job->conn);
    if (!conn)
        return;
    struct buf *out = server_conn_out(conn);
    size_t start = frame_open(out);
    mint_answer(job, out);
    frame_close(out, start);
}

/* ---- both sockets ---- */

static void
on_ping(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    struct answer a = answer_begin(conn, r->id);
    struct buf *out = a.out;
    buf_printf(out, ",\"state\":\"%s\",\"now\":%lld",
               keystore_state_name((enum keystore_state)atomic_load(&s->keystore_state)),
               (long long)clock_wall_s());
    answer_end(&a);
}

/* ---- signer.sock ---- */

/* From a worker: the signature is there, or there is none. */
static void
mint_signed(void *ctx, enum attest_rc rc, const uint8_t sig[PUBKEY_SIG_LEN])
{
    struct mint_job *job = ctx;
    struct signer *s = job->signer;
    job->rc = rc ? rc : mint_finish(job, sig);
    if (job->rc)
        signer_back_job(s, job);
    else
        issuance_log_append(s->log, &job->entry);
}

static enum attest_rc
mint_start(struct signer *s, struct server_conn *conn, const struct frame_request *r,
           struct mint_job *job, char *member, size_t member_size, struct attest_error *err)
{
    const char *why;
    int64_t now_s;
    if (!key_life_clock(s, &now_s))
        atomic_store(&s->clock_jumped, true); /* the loop's tick would be too late for this one */
    enum attest_rc rc = signer_ready(s, now_s, &why);
    if (rc)
        return error_set(err, rc, "%s", why);
    const struct key_record *key = key_list_active(&s->keys, KEY_PURPOSE_TOKEN, now_s);
    rc = mint_begin(&s->limits, r, key, now_s, clock_mono_ms(), job, member, member_size, err);
    if (rc)
        return rc;
    job->conn = server_conn_id(conn);
    job->signer = s;
    s->in_flight++;
    rc = keystore_sign(s->keystore, &job->key, buf_view(&job->token), job->deadline_ms, mint_signed,
                       job);
    if (rc) {
        s->in_flight--;
        return error_set(err, rc, "%s", attest_strerror(rc));
    }
    issuance_log_under_way(s->log, s->in_flight);
    return ATTEST_OK;
}

static void
on_sign(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    char member[128] = "";
    struct attest_error err = {0};
    if (s->stopping || s->in_flight >= (unsigned)s->config->queue_max) {
        answer_error(conn, r->id, ATTEST_E_BUSY, s->stopping ? "the signer is stopping" : NULL,
                     NULL);
        return;
    }
    struct mint_job *job = signer_job_take(s);
    if (!job) {
        answer_error(conn, r->id, ATTEST_E_NOMEM, NULL, NULL);
        return;
    }
    enum attest_rc rc = mint_start(s, conn, r, job, member, sizeof(member), &err);
    if (rc) {
        answer_error(conn, r->id, rc, err.text, member);
        signer_job_give(s, job);
    }
}

static void
on_keyset(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    server_conn_subscribe(conn, r->id);
    struct answer a = answer_begin(conn, r->id);
    struct buf *out = a.out;
    signer_write_keyset(s, out);
    answer_end(&a);
}

/* ---- signer-admin.sock ---- */

static void
write_status(struct signer *s, struct buf *out)
{
    const char *why;
    char token[128];
    struct keystore_stats stats;
    int64_t now_s = clock_wall_s();
    bool ready = signer_ready(s, now_s, &why) == ATTEST_OK;
    keystore_stats(s->keystore, &stats);
    keystore_describe(s->keystore, token, sizeof(token));
    buf_printf(out,
               ",\"version\":\"%s\",\"started\":%lld,\"now\":%lld,\"issuer\":", PACKAGE_VERSION,
               (long long)s->started_s, (long long)now_s);
    json_put_string(out, s->limits.issuer);
    buf_printf(out, ",\"keystore\":\"%s\",\"token\":", keystore_state_name(stats.state));
    json_put_string(out, slice_cstr(token));
    buf_printf(out,
               ",\"workers\":%u,\"workers_lost\":%u,\"queue\":%u,\"signatures\":%llu,"
               "\"failures\":%llu,\"reconnects\":%llu,\"sign_cpu_ns\":%llu,\"verify_cpu_ns\":%llu",
               stats.workers, stats.workers_lost, s->in_flight,
               (unsigned long long)stats.signatures, (unsigned long long)stats.failures,
               (unsigned long long)stats.reconnects, (unsigned long long)stats.sign_cpu_ns,
               (unsigned long long)stats.verify_cpu_ns);
    if (s->quotes.ak_name[0])
        buf_printf(out, ",\"attestation_key\":\"%s\"", s->quotes.ak_name);
    struct issuance_log_status log;
    issuance_log_status(s->log, &log);
    buf_printf(out, ",\"log\":\"%s\",\"log_records\":%llu,\"log_commits\":%llu",
               log.ok ? "ok" : "failed", (unsigned long long)log.records,
               (unsigned long long)log.commits);
    buf_printf(out, ",\"ready\":%s,\"why\":", ready ? "true" : "false");
    json_put_string(out, slice_cstr(why));
}

static void
write_life(struct signer *s, struct buf *out)
{
    int64_t now_s = clock_wall_s();
    pthread_mutex_lock(&s->back.lock);
    struct keystore_lease lease = s->lease;
    pthread_mutex_unlock(&s->back.lock);
    buf_printf(out, ",\"instance\":\"%s\",\"lease\":", s->instance);
    if (lease.instance[0]) {
        buf_str(out, "{\"instance\":");
        json_put_string(out, slice_cstr(lease.instance));
        buf_str(out, ",\"host\":");
        json_put_string(out, slice_cstr(lease.host));
        buf_printf(out, ",\"since\":%lld}", (long long)lease.since_s);
    } else {
        buf_str(out, "null");
    }
    buf_printf(out, ",\"keys_unknown\":%zu,\"rollover\":", s->keys_unknown);
    key_life_write(s, now_s, true, out);
    buf_str(out, ",\"keys\":");
    key_list_write_present(&s->keys, now_s, out);
}

static void
on_status(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    struct answer a = answer_begin(conn, r->id);
    struct buf *out = a.out;
    write_status(s, out);
    write_life(s, out);
    answer_end(&a);
}

static void
on_audit_show(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    struct issuance_log_status log;
    char hex[2 * SHA256_LEN + 1];
    issuance_log_status(s->log, &log);
    hex_encode(hex, log.head.hash, SHA256_LEN);
    struct answer a = answer_begin(conn, r->id);
    struct buf *out = a.out;
    buf_printf(out, ",\"segment\":%u,\"seq\":%llu,\"head\":\"%s\"", log.segment,
               (unsigned long long)log.head.seq, hex);
    answer_end(&a);
}

/* ---- the table ---- */

static const struct request_row rows[] = {
    {"sign", SERVER_SIGNER, on_sign},
    {"keyset", SERVER_SIGNER, on_keyset},
    {"quote", SERVER_SIGNER, on_quote},
    {"ping", SERVER_SIGNER | SERVER_ADMIN, on_ping},
    {"status", SERVER_ADMIN, on_status},
    {"key.list", SERVER_ADMIN, on_key_list},
    {"key.generate", SERVER_ADMIN, on_key_change},
    {"key.publish", SERVER_ADMIN, on_key_change},
    {"key.activate", SERVER_ADMIN, on_key_change},
    {"key.rotate", SERVER_ADMIN, on_key_change},
    {"key.retire", SERVER_ADMIN, on_key_change},
    {"key.revoke", SERVER_ADMIN, on_key_change},
    {"key.destroy", SERVER_ADMIN, on_key_change},
    {"key.root_rotate", SERVER_ADMIN, on_key_change},
    {"key.export", SERVER_ADMIN, on_key_export},
    {"key.import", SERVER_ADMIN, on_key_import},
    {"key.take_over", SERVER_ADMIN, on_key_take_over},
    {"key.accept_clock", SERVER_ADMIN, on_accept_clock},
    {"audit.show", SERVER_ADMIN, on_audit_show},
};

static const struct request_row *
find_row(struct slice op, enum server_socket socket)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(op, rows[i].op))
            return rows[i].sockets & (unsigned)socket ? &rows[i] : NULL;
    }
    return NULL;
}

bool
signer_request_permitted(struct slice op, enum server_socket socket)
{
    return find_row(op, socket) != NULL;
}

bool
signer_on_frame(void *ctx, struct server_conn *conn, char *body, size_t body_len,
                struct attest_error *err)
{
    struct signer *s = ctx;
    JSON_NODES(j, REQUEST_NODES);
    struct frame_request r;
    if (frame_read_request(&j, body, body_len, &r, err))
        return false;
    const struct request_row *row = find_row(r.op, server_conn_socket(conn));
    if (!row) {
        error_set(err, ATTEST_E_DENIED, "this socket does not take the request %.*s",
                  (int)(r.op.len < 40 ? r.op.len : 40), r.op.p);
        return false;
    }
    row->handle(s, conn, &r);
    return true;
}
