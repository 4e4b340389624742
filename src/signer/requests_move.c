/* SPDX-License-Identifier: MIT */

/* From one host to another, and the two decisions that only an operator can take: that this signer
 * is the one now, and that the clock is right. */

#include <string.h>

#include "base/b64u.h"
#include "base/clock.h"
#include "base/log.h"
#include "signer/key_life.h"
#include "signer/lease.h"
#include "signer/requests.h"

#define FORMAT "attestd-key-records/1"

enum { IMPORT_KEYS_MAX = 65536 };

struct move_op {
    struct op op;
    char holder[37];      /* take-over: who is believed to hold the token */
    struct key_list keys; /* import */
};

static void
move_op_free(struct op *op)
{
    key_list_done(&((struct move_op *)op)->keys);
    free(op);
}

static struct move_op *
move_op_new(struct signer *s, struct server_conn *conn, const struct frame_request *r,
            void (*run)(struct signer *s, struct op *op),
            void (*done)(struct signer *s, struct op *op))
{
    bool room = s->ops_pending < OPS_MAX;
    struct move_op *m = s->stopping || !room ? NULL : calloc(1, sizeof(*m));
    if (!m) {
        answer_error(conn, r->id, ATTEST_E_BUSY, NULL, NULL);
        return NULL;
    }
    m->op.run = run;
    m->op.done = done;
    m->op.release = move_op_free;
    m->op.conn = server_conn_id(conn);
    m->op.id = r->id;
    m->op.uid = server_conn_peer(conn)->uid;
    s->ops_pending++;
    return m;
}

/* ---- export ---- */

static void
put_exported(const struct key_record *key, int64_t now_s, struct buf *out)
{
    char hex[2 * KEYSTORE_ID_LEN + 1];
    hex_encode(hex, key->ref.id, KEYSTORE_ID_LEN);
    buf_printf(out, "{\"id\":\"%s\",", hex);
    key_record_write_members(key, now_s, out);
    buf_char(out, '}');
}

void
on_key_export(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    int64_t now_s = clock_wall_s();
    size_t from;
    if (!answer_page(conn, r, &from))
        return;
    struct answer a = answer_begin(conn, r->id);
    struct buf *out = a.out;
    size_t end = from + KEY_LIST_PAGE;
    buf_str(out, ",\"format\":\"" FORMAT "\",\"issuer\":");
    json_put_string(out, s->limits.issuer);
    buf_printf(out, ",\"instance\":\"%s\",\"total\":%zu,\"keys\":[", s->instance, s->keys.n);
    for (size_t i = from; i < s->keys.n && i < end; i++) {
        if (i > from)
            buf_char(out, ',');
        put_exported(&s->keys.keys[i], now_s, out);
    }
    buf_char(out, ']');
    if (end < s->keys.n)
        buf_printf(out, ",\"next\":%zu", end);
    answer_end(&a);
}

/* ---- import ---- */

static bool
read_key(const struct json *j, const struct json_node *node, struct key_record *key)
{
    struct slice id, x, y = {"", 0}, kid, purpose, alg, label, reason = {"", 0};
    *key = (struct key_record){.purpose = KEY_PURPOSE_TOKEN};
    if (!frame_string(j, node, "id", &id) || !frame_string(j, node, "x", &x) ||
        !frame_string(j, node, "kid", &kid) || !frame_string(j, node, "purpose", &purpose) ||
        !frame_string(j, node, "alg", &alg) || !frame_string(j, node, "label", &label) ||
        (json_member(j, node, "y") && !frame_string(j, node, "y", &y)) ||
        (json_member(j, node, "reason") && !frame_string(j, node, "reason", &reason)))
        return false;
    if (!hex_decode(key->ref.id, KEYSTORE_ID_LEN, id) ||
        !key_purpose_from(purpose, &key->purpose) || !jwk_alg_from(alg, &key->alg) ||
        jwk_decode(&key->ref.public_key, jwk_alg_type(key->alg), x, y) ||
        !key_text_ok(label, KEY_LABEL_MAX) || !key_text_ok(reason, KEY_REASON_MAX) ||
        !key_times_read(j, node, &key->times))
        return false;
    memcpy(key->label, label.p, label.len);
    memcpy(key->reason, reason.p, reason.len);
    jwk_thumbprint(key->kid, &key->ref.public_key);
    return slice_is(kid, key->kid);
}

/* One chunk behind those that came before; *why says what is wrong. */
static enum attest_rc
take_chunk(struct signer *s, const struct frame_request *r, int64_t *total, const char **why)
{
    struct slice format, issuer, name;
    int64_t from = 0;
    const struct json_node *keys = json_member(r->json, r->root, "keys");
    *why = "format: not " FORMAT;
    if (!frame_string(r->json, r->root, "format", &format) || !slice_is(format, FORMAT))
        return ATTEST_E_ARGUMENT;
    *why = "issuer: these records belong to another issuer";
    if (!frame_string(r->json, r->root, "issuer", &issuer) || !slice_eq(issuer, s->limits.issuer))
        return ATTEST_E_ARGUMENT;
    *why = "from, total, keys: missing or out of order";
    if (!frame_int64(r->json, r->root, "from", &from) ||
        !frame_int64(r->json, r->root, "total", total) || *total < 1 || *total > IMPORT_KEYS_MAX ||
        !keys || keys->type != JSON_ARRAY)
        return ATTEST_E_ARGUMENT;
    if (from == 0)
        key_list_done(&s->imported);
    if (from != (int64_t)s->imported.n || from + keys->count > *total || keys->count == 0)
        return ATTEST_E_ARGUMENT;
    *why = "keys: one of them is no key record";
    for (const struct json_node *v = NULL; json_each(r->json, keys, &name, &v);) {
        struct key_record key;
        if (!read_key(r->json, v, &key))
            return ATTEST_E_ARGUMENT;
        if (key_list_add(&s->imported, &key))
            return ATTEST_E_NOMEM;
    }
    return ATTEST_OK;
}

static void
run_import(struct signer *s, struct op *op)
{
    struct move_op *m = (struct move_op *)op;
    char event[128];
    snprintf(event, sizeof(event), "\"op\":\"key.import\",\"keys\":%zu,\"caller\":\"uid:%u\"",
             m->keys.n, (unsigned)op->uid);
    struct key_change change = {.keys = m->keys.keys,
                                .n_keys = m->keys.n,
                                .event = slice_cstr(event),
                                .fact = "passive",
                                .value = "imported"};
    struct key_list there = {0};
    op->rc = key_records_load(s->records, &there.keys, &there.n, &op->err);
    if (!op->rc && (there.n || !atomic_load(&s->passive)))
        op->rc =
            error_set(&op->err, ATTEST_E_DENIED, "there are keys by now, or it is not passive");
    key_list_done(&there);
    if (!op->rc)
        op->rc = key_records_apply(s->records, &change, &op->err);
}

static void
imported(struct signer *s, struct op *op)
{
    struct move_op *m = (struct move_op *)op;
    struct answer a;
    size_t n = m->keys.n;
    s->ops_pending--;
    if (!op->rc) {
        struct key_list old = s->keys;
        s->keys = m->keys;
        m->keys = old;
        log_event(LOG_LEVEL_WARNING, "keys_imported", "n=%zu uid=%u", n, (unsigned)op->uid);
        key_events_flush_later(s);
        signer_refresh(s);
    }
    if (answer_begin_op(s, op, &a)) {
        buf_printf(a.out, ",\"received\":%zu,\"imported\":%zu", n, n);
        answer_end(&a);
    }
    move_op_free(op);
}

void
on_key_import(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    int64_t total = 0;
    const char *why;
    if (!atomic_load(&s->passive) || s->keys.n) {
        answer_error(conn, r->id, ATTEST_E_DENIED,
                     "records are imported into a signer without keys, started with --passive",
                     NULL);
        return;
    }
    enum attest_rc rc = take_chunk(s, r, &total, &why);
    if (rc) {
        answer_error(conn, r->id, rc, why, NULL);
        key_list_done(&s->imported);
        return;
    }
    if ((int64_t)s->imported.n < total) {
        struct answer a = answer_begin(conn, r->id);
        struct buf *out = a.out;
        buf_printf(out, ",\"received\":%zu", s->imported.n);
        answer_end(&a);
        return;
    }
    struct move_op *m = move_op_new(s, conn, r, run_import, imported);
    if (!m)
        return;
    m->keys = s->imported;
    s->imported = (struct key_list){0};
    ops_push(s->ops, &m->op);
}

/* ---- take-over ---- */

static void
run_take_over(struct signer *s, struct op *op)
{
    struct move_op *m = (struct move_op *)op;
    op->rc = lease_take_over(s, m->holder, op->uid, &op->err);
}

static void
taken_over(struct signer *s, struct op *op)
{
    struct move_op *m = (struct move_op *)op;
    struct answer a;
    s->ops_pending--;
    log_event(op->rc ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "take_over", "from=%s uid=%u why=%s",
              m->holder[0] ? "another" : "nobody", (unsigned)op->uid,
              LOG_QUOTED(slice_cstr(op->err.text)));
    key_events_flush_later(s);
    signer_refresh(s);
    if (answer_begin_op(s, op, &a)) {
        buf_printf(a.out, ",\"instance\":\"%s\",\"from\":", s->instance);
        json_put_string(a.out, slice_cstr(m->holder));
        answer_end(&a);
    }
    move_op_free(op);
    key_life_tick(s);
}

void
on_key_take_over(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    struct slice holder;
    if (!frame_string(r->json, r->root, "confirm", &holder) || holder.len > 36) {
        answer_error(conn, r->id, ATTEST_E_ARGUMENT,
                     "confirm: the instance that holds the token now, or \"\" for nobody",
                     "confirm");
        return;
    }
    struct move_op *m = move_op_new(s, conn, r, run_take_over, taken_over);
    if (!m)
        return;
    memcpy(m->holder, holder.p, holder.len);
    ops_push(s->ops, &m->op);
}

/* ---- the clock ---- */

static void
run_accept_clock(struct signer *s, struct op *op)
{
    char event[128];
    pthread_mutex_lock(&s->back.lock);
    int64_t boot_ms = clock_boot_ms(), wall_ms = clock_wall_ms();
    struct clock_watch as_it_was = s->clock;
    clock_watch_look(&as_it_was, wall_ms, boot_ms);
    pthread_mutex_unlock(&s->back.lock);
    snprintf(event, sizeof(event), "\"op\":\"clock.accept\",\"by_s\":%lld,\"caller\":\"uid:%u\"",
             (long long)(as_it_was.jumped_ms / 1000), (unsigned)op->uid);
    struct key_change change = {.event = slice_cstr(event)};
    if ((op->rc = key_records_apply(s->records, &change, &op->err)))
        return;
    pthread_mutex_lock(&s->back.lock);
    clock_watch_accept(&s->clock, wall_ms, boot_ms);
    pthread_mutex_unlock(&s->back.lock);
    op->rc = key_life_remember(s, &op->err);
}

static void
clock_accepted(struct signer *s, struct op *op)
{
    struct answer a;
    s->ops_pending--;
    key_events_flush_later(s);
    key_life_tick(s);
    signer_refresh(s);
    if (answer_begin_op(s, op, &a)) {
        buf_printf(a.out, ",\"now\":%lld", (long long)clock_wall_s());
        answer_end(&a);
    }
    move_op_free(op);
}

void
on_accept_clock(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    struct move_op *m = move_op_new(s, conn, r, run_accept_clock, clock_accepted);
    if (m)
        ops_push(s->ops, &m->op);
}
