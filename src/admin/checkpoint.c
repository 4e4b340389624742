/* SPDX-License-Identifier: MIT */
#include "admin/checkpoint.h"

#include <string.h>

#include "base/b64u.h"
#include "base/json.h"
#include "base/pubkey.h"

#define PART_MAX 4096 /* bytes of a header or payload */

static const struct json_limits limits = {
    .text_max = PART_MAX, .string_max = 2048, .depth_max = 1, .members_max = 16};

/* Up to the next dot, which *rest is moved behind; the last part reaches to the end. */
static struct slice
next_part(struct slice *rest)
{
    const char *dot = rest->len ? memchr(rest->p, '.', rest->len) : NULL;
    struct slice part = {rest->p, dot ? (size_t)(dot - rest->p) : rest->len};
    size_t taken = part.len + (dot != NULL);
    *rest = (struct slice){rest->p + taken, rest->len - taken};
    return part;
}

static bool
read_part(struct slice part, char *room, struct json *j)
{
    size_t len;
    return b64u_decode(room, PART_MAX, &len, part) &&
           json_read(j, room, len, &limits, NULL) == ATTEST_OK && json_root(j)->type == JSON_OBJECT;
}

static struct slice
text_of(const struct json *j, const char *name)
{
    const struct json_node *node = json_member(j, json_root(j), name);
    return node && node->type == JSON_STRING ? node->text : (struct slice){"", 0};
}

enum attest_rc
checkpoint_judge(void *log_key, struct slice jws, struct chainlog_head *ret,
                 struct attest_error *err)
{
    char header_room[PART_MAX], payload_room[PART_MAX];
    uint8_t sig[PUBKEY_SIG_LEN];
    struct slice rest = jws;
    struct slice header = next_part(&rest), payload = next_part(&rest);
    size_t signed_len = header.len + 1 + payload.len;
    if (signed_len >= jws.len || !b64u_decode_exact(sig, sizeof(sig), rest))
        return error_set(err, ATTEST_E_CORRUPT, "a checkpoint that is no signed one");
    if (!pubkey_verify(log_key, (struct slice){jws.p, signed_len}, sig))
        return error_set(err, ATTEST_E_CORRUPT, "a checkpoint that this log key did not sign");
    JSON_NODES(h, 40);
    JSON_NODES(p, 40);
    int64_t seq;
    if (!read_part(header, header_room, &h) || !read_part(payload, payload_room, &p) ||
        !slice_is(text_of(&h, "typ"), "attest-checkpoint+jwt") ||
        !json_int64(json_member(&p, json_root(&p), "seq"), &seq) || seq < 0 ||
        !hex_decode(ret->hash, sizeof(ret->hash), text_of(&p, "head")))
        return error_set(err, ATTEST_E_CORRUPT, "a checkpoint that says something else");
    ret->seq = (uint64_t)seq;
    return ATTEST_OK;
}
