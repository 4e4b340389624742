/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/clock.h"
#include "signer/key_life.h"
#include "signer/requests.h"

/* The members of key requests, as bits for what each takes and needs. */
enum member {
    M_KID = 1 << 0,
    M_PURPOSE = 1 << 1,
    M_LABEL = 1 << 2,
    M_FORCE = 1 << 3,
    M_REASON = 1 << 4,
    M_CONFIRM = 1 << 5,
};

/* What a request says, before it is believed. */
struct asked {
    struct slice kid, purpose, label, reason, confirm;
    bool force;
};

struct key_row {
    const char *op;
    enum key_action action;
    unsigned takes, needs;
    void (*answer)(struct signer *s, const struct key_op *k, struct buf *out);
};

/* ---- answers ---- */

static void
put_kid_or_null(struct buf *out, const char *name, const char *kid)
{
    if (kid[0])
        buf_printf(out, ",\"%s\":\"%s\"", name, kid);
    else
        buf_printf(out, ",\"%s\":null", name);
}

static void
answer_key(struct signer *s, const struct key_op *k, struct buf *out)
{
    (void)s;
    buf_str(out, ",\"key\":");
    key_record_write(&k->key, clock_wall_s(), out);
}

static void
answer_activate(struct signer *s, const struct key_op *k, struct buf *out)
{
    answer_key(s, k, out);
    put_kid_or_null(out, "retired", k->other);
}

static void
answer_rotate(struct signer *s, const struct key_op *k, struct buf *out)
{
    (void)s;
    buf_printf(out, ",\"from\":\"%s\",\"to\":\"%s\",\"when\":%lld", k->other, k->key.kid,
               (long long)k->when_s);
}

static void
answer_retire(struct signer *s, const struct key_op *k, struct buf *out)
{
    answer_key(s, k, out);
    put_kid_or_null(out, "active", k->other);
    if (k->when_s)
        buf_printf(out, ",\"signs_from\":%lld", (long long)k->when_s);
}

static int64_t
earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/*
 * Until the caches have let go of the key. That its own tokens have expired by then is no comfort:
 * who stole it makes others.
 */
static void
answer_revoke(struct signer *s, const struct key_op *k, struct buf *out)
{
    int64_t until_s =
        rollover_revocation_complete_s(&s->policy, k->key.times.revoked_s) + s->policy.skew_s;
    answer_retire(s, k, out);
    if (k->key.purpose != KEY_PURPOSE_TOKEN)
        return;
    buf_printf(out, ",\"accepted_until\":%lld", (long long)until_s);
    if (s->publication.exp)
        buf_printf(out, ",\"pinned_until\":%lld",
                   (long long)earlier(until_s, s->publication.exp + s->policy.skew_s));
}

static const struct key_row rows[] = {
    {"key.generate", KEY_GENERATE, M_PURPOSE | M_LABEL, M_PURPOSE, answer_key},
    {"key.publish", KEY_PUBLISH, M_KID, M_KID, answer_key},
    {"key.activate", KEY_ACTIVATE, M_KID | M_FORCE | M_REASON, M_KID, answer_activate},
    {"key.rotate", KEY_ROTATE, M_PURPOSE, 0, answer_rotate},
    {"key.retire", KEY_RETIRE, M_KID | M_FORCE | M_REASON, M_KID, answer_retire},
    {"key.revoke", KEY_REVOKE, M_KID | M_REASON, M_KID | M_REASON, answer_revoke},
    {"key.destroy", KEY_DESTROY, M_KID | M_CONFIRM, M_KID | M_CONFIRM, answer_key},
    {"key.root_rotate", KEY_ROOT_ROTATE, 0, 0, answer_rotate},
};

static const struct key_row *
row_of(struct slice op)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(op, rows[i].op))
            return &rows[i];
    }
    return NULL;
}

static const struct key_row *
row_for(enum key_action action)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].action == action)
            return &rows[i];
    }
    return NULL;
}

static void
answer_done(struct signer *s, struct op *op)
{
    struct key_op *k = (struct key_op *)op;
    s->ops_pending--;
    key_life_take(s, k);
    struct answer a;
    if (answer_begin_op(s, op, &a)) {
        row_for(k->action)->answer(s, k, a.out);
        answer_end(&a);
    }
    if (k->action == KEY_REVOKE)
        key_events_flush_later(s);
    key_op_free(op);
    key_life_tick(s);
}

/* ---- requests ---- */

/* Every member that is there, by name; one that does not belong is refused. */
static const char *
read_members(const struct frame_request *r, const struct key_row *row, struct asked *a,
             const char **member)
{
    const struct {
        const char *name;
        enum member bit;
        struct slice *text; /* NULL: a truth value */
    } members[] = {
        {"kid", M_KID, &a->kid},          {"purpose", M_PURPOSE, &a->purpose},
        {"label", M_LABEL, &a->label},    {"force", M_FORCE, NULL},
        {"reason", M_REASON, &a->reason}, {"confirm", M_CONFIRM, &a->confirm},
    };
    unsigned seen = 0;
    struct slice name;
    for (const struct json_node *v = NULL; json_each(r->json, r->root, &name, &v);) {
        size_t i = 0;
        if (slice_is(name, "id") || slice_is(name, "op"))
            continue;
        while (i < ARRAY_LEN(members) && !slice_is(name, members[i].name))
            i++;
        if (i == ARRAY_LEN(members) || !(row->takes & members[i].bit))
            return "there is a member that this request does not take";
        *member = members[i].name;
        if (members[i].text ? v->type != JSON_STRING
                            : v->type != JSON_TRUE && v->type != JSON_FALSE)
            return "of the wrong type";
        if (members[i].text)
            *members[i].text = v->text;
        else
            a->force = v->type == JSON_TRUE;
        seen |= members[i].bit;
    }
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        *member = members[i].name;
        if (row->needs & members[i].bit & ~seen)
            return "missing";
    }
    return NULL;
}

/* What is wrong with them, and which member it is; NULL when nothing is. */
static const char *
check(const struct asked *a, const struct key_row *row, enum key_purpose *purpose,
      const char **member)
{
    *member = "purpose";
    *purpose = KEY_PURPOSE_TOKEN;
    if (a->purpose.p && !key_purpose_from(a->purpose, purpose))
        return "token, root or log expected";
    *member = "label";
    if (a->label.p && (!a->label.len || !key_text_ok(a->label, KEY_LABEL_MAX)))
        return "1 to 64 printable ASCII characters, no quotes or backslashes";
    *member = "reason";
    if (a->reason.p && (!a->reason.len || !key_text_ok(a->reason, KEY_REASON_MAX)))
        return "1 to 128 printable ASCII characters, no quotes or backslashes";
    if (a->force && !a->reason.p)
        return "force needs a reason: it is recorded";
    *member = "kid";
    if (row->takes & M_KID && a->kid.len != JWK_THUMBPRINT_LEN)
        return "43 characters expected";
    *member = "confirm";
    if (row->takes & M_CONFIRM && !slice_eq(a->confirm, a->kid))
        return "not the kid again; nothing was destroyed";
    return NULL;
}

static void
fill(struct key_op *k, const struct asked *a)
{
    snprintf(k->kid, sizeof(k->kid), "%.*s", SLICE_ARG(a->kid));
    snprintf(k->reason, sizeof(k->reason), "%.*s", SLICE_ARG(a->reason));
    if (a->label.p)
        snprintf(k->label, sizeof(k->label), "%.*s", SLICE_ARG(a->label));
    else
        snprintf(k->label, sizeof(k->label), "attestd %s", key_purpose_name(k->purpose));
    k->force = a->force;
}

/* Who asks to rotate means the key that signs at this moment, and no later one. */
static void
expect_active(struct signer *s, struct key_op *k)
{
    int64_t now_s;
    key_life_clock(s, &now_s);
    const struct key_record *active = key_list_active(&s->keys, KEY_PURPOSE_TOKEN, now_s);
    if (active)
        memcpy(k->kid, active->kid, sizeof(k->kid));
}

void
on_key_change(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    static const struct slice none = {NULL, 0};
    const struct key_row *row = row_of(r->op);
    struct asked a = {none, none, none, none, none, false};
    enum key_purpose purpose = KEY_PURPOSE_TOKEN;
    const char *member = NULL;
    const char *why = read_members(r, row, &a, &member);
    if (!why)
        why = check(&a, row, &purpose, &member);
    if (why) {
        answer_error(conn, r->id, ATTEST_E_ARGUMENT, why, member);
        return;
    }
    /* There is always room for a revocation. */
    bool urgent = row->action == KEY_REVOKE;
    bool room = s->ops_pending < (urgent ? 2 * OPS_MAX : OPS_MAX);
    struct key_op *k = s->stopping || !room ? NULL : calloc(1, sizeof(*k));
    if (!k) {
        answer_error(conn, r->id, ATTEST_E_BUSY, NULL, NULL);
        return;
    }
    k->op.run = key_op_run;
    k->op.done = answer_done;
    k->op.release = key_op_free;
    k->op.conn = server_conn_id(conn);
    k->op.id = r->id;
    k->op.uid = server_conn_peer(conn)->uid;
    k->action = row->action;
    k->purpose = purpose;
    fill(k, &a);
    if (row->action == KEY_ROTATE && purpose == KEY_PURPOSE_TOKEN)
        expect_active(s, k);
    s->ops_pending++;
    if (urgent)
        ops_push_urgent(s->ops, &k->op);
    else
        ops_push(s->ops, &k->op);
}

/* ---- what is there ---- */

void
on_key_list(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    int64_t now_s = clock_wall_s();
    size_t from;
    if (!answer_page(conn, r, &from))
        return;
    struct answer a = answer_begin(conn, r->id);
    struct buf *out = a.out;
    buf_printf(out, ",\"now\":%lld,\"rollover\":", (long long)now_s);
    key_life_write(s, now_s, true, out);
    buf_str(out, ",\"keys\":");
    key_list_write(&s->keys, from, now_s, out);
    if (from + KEY_LIST_PAGE < s->keys.n)
        buf_printf(out, ",\"next\":%zu", from + KEY_LIST_PAGE);
    answer_end(&a);
}
