/* SPDX-License-Identifier: MIT */
#include "wire/frame.h"

#include <string.h>

const struct json_limits frame_limits = {
    .text_max = FRAME_BODY_MAX,
    .string_max = FRAME_BODY_MAX,
    .depth_max = 10,
    .members_max = 64,
};

static const struct {
    enum attest_rc rc;
    const char *name;
} rc_names[] = {
#define RC_NAME(name, number, text) {ATTEST_##name, #name},
    ATTEST_RC_LIST(RC_NAME)
#undef RC_NAME
};

static const char *
rc_name(enum attest_rc rc)
{
    for (size_t i = 0; i < ARRAY_LEN(rc_names); i++) {
        if (rc_names[i].rc == rc)
            return rc_names[i].name;
    }
    return "E_INTERNAL";
}

/* ATTEST_OK is no error and so no error's code. */
static enum attest_rc
rc_from_code(int64_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(rc_names); i++) {
        if ((int64_t)rc_names[i].rc == code && rc_names[i].rc != ATTEST_OK)
            return rc_names[i].rc;
    }
    return ATTEST_E_INTERNAL;
}

enum frame_found
frame_find(char *p, size_t len, struct frame *ret)
{
    if (len < FRAME_HEAD_LEN)
        return FRAME_NONE;
    size_t body_len = be32_get((const uint8_t *)p);
    if (body_len == 0 || body_len > FRAME_BODY_MAX)
        return FRAME_BAD;
    if (len - FRAME_HEAD_LEN < body_len)
        return FRAME_NONE;
    *ret = (struct frame){p + FRAME_HEAD_LEN, body_len, FRAME_HEAD_LEN + body_len};
    return FRAME_WHOLE;
}

size_t
frame_open(struct buf *out)
{
    size_t start = out->len;
    buf_append(out, "\0\0\0\0", FRAME_HEAD_LEN);
    return start;
}

bool
frame_close(struct buf *out, size_t start)
{
    size_t body_len = out->len - start - FRAME_HEAD_LEN;
    if (buf_rc(out) || body_len == 0 || body_len > FRAME_BODY_MAX) {
        out->len = start;
        return false;
    }
    be32_put((uint8_t *)out->p + start, (uint32_t)body_len);
    return true;
}

bool
frame_string(const struct json *j, const struct json_node *object, const char *name,
             struct slice *ret)
{
    const struct json_node *node = json_member(j, object, name);
    if (!node || node->type != JSON_STRING)
        return false;
    *ret = node->text;
    return true;
}

bool
frame_int64(const struct json *j, const struct json_node *object, const char *name, int64_t *ret)
{
    return json_int64(json_member(j, object, name), ret);
}

static enum attest_rc
read_with_id(struct json *j, char *body, size_t body_len, int64_t *id, struct attest_error *err)
{
    enum attest_rc rc = json_read(j, body, body_len, &frame_limits, err);
    if (rc)
        return rc;
    const struct json_node *root = json_root(j);
    if (root->type != JSON_OBJECT)
        return error_set(err, ATTEST_E_MALFORMED, "frame: not an object");
    if (!frame_int64(j, root, "id", id) || *id < 1 || *id > FRAME_ID_MAX)
        return error_set(err, ATTEST_E_MALFORMED, "id: an integer from 1 to 2^53-1 expected");
    return ATTEST_OK;
}

enum attest_rc
frame_read_request(struct json *j, char *body, size_t body_len, struct frame_request *ret,
                   struct attest_error *err)
{
    struct frame_request request = {.json = j};
    enum attest_rc rc = read_with_id(j, body, body_len, &request.id, err);
    if (rc)
        return rc;
    request.root = json_root(j);
    if (!frame_string(j, request.root, "op", &request.op))
        return error_set(err, ATTEST_E_MALFORMED, "op: a string expected");
    *ret = request;
    return ATTEST_OK;
}

bool
frame_put_request(struct buf *out, int64_t id, const char *op, struct slice members)
{
    size_t start = frame_open(out);
    buf_printf(out, "{\"id\":%lld,\"op\":\"%s\"", (long long)id, op);
    if (members.len) {
        buf_char(out, ',');
        buf_slice(out, members);
    }
    buf_char(out, '}');
    return frame_close(out, start);
}

enum attest_rc
frame_read_answer(struct json *j, char *body, size_t body_len, struct frame_answer *ret,
                  struct attest_error *err)
{
    struct frame_answer answer = {.json = j};
    enum attest_rc rc = read_with_id(j, body, body_len, &answer.id, err);
    if (rc)
        return rc;
    answer.root = json_root(j);
    const struct json_node *ok = json_member(j, answer.root, "ok");
    const struct json_node *error = json_member(j, answer.root, "error");
    if (ok && ok->type == JSON_TRUE && !error) {
        *ret = answer;
        return ATTEST_OK;
    }
    int64_t code;
    if (!ok || ok->type != JSON_FALSE || !frame_int64(j, error, "code", &code) ||
        !frame_string(j, error, "text", &answer.text))
        return error_set(err, ATTEST_E_MALFORMED, "answer: neither ok nor an error");
    answer.rc = rc_from_code(code);
    if (!frame_string(j, error, "member", &answer.member))
        answer.member = (struct slice){"", 0};
    *ret = answer;
    return ATTEST_OK;
}

void
frame_put_ok(struct buf *out, int64_t id)
{
    buf_printf(out, "{\"id\":%lld,\"ok\":true", (long long)id);
}

static void
put_short_string(struct buf *out, const char *s)
{
    size_t max = sizeof(((struct attest_error *)0)->text) - 1;
    json_put_string(out, (struct slice){s, strnlen(s, max)});
}

void
frame_put_error(struct buf *out, int64_t id, enum attest_rc rc, const char *text,
                const char *member)
{
    buf_printf(out, "{\"id\":%lld,\"ok\":false,\"error\":{\"code\":%d,\"name\":\"%s\",\"text\":",
               (long long)id, (int)rc, rc_name(rc));
    put_short_string(out, text && *text ? text : attest_strerror(rc));
    if (member && *member) {
        buf_str(out, ",\"member\":");
        put_short_string(out, member);
    }
    buf_str(out, "}}");
}
