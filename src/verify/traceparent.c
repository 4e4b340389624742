/* SPDX-License-Identifier: MIT */
#include "verify/traceparent.h"

#include "base/ed25519.h"

enum { TRACE_DIGITS = 32, SPAN_DIGITS = 16, LEN_00 = 55 };

static bool
read_hex(struct slice text, size_t at, uint8_t *out, size_t len)
{
    return hex_decode(out, len, (struct slice){text.p + at, 2 * len});
}

static bool
all_zero(const uint8_t *p, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= p[i];
    return any == 0;
}

bool
traceparent_read(struct slice text, struct trace *ret)
{
    uint8_t version, trace_id[16], parent_id[8], flags;
    if (text.len < LEN_00 || text.p[2] != '-' || text.p[35] != '-' || text.p[52] != '-')
        return false;
    if (!read_hex(text, 0, &version, 1) || !read_hex(text, 3, trace_id, sizeof(trace_id)) ||
        !read_hex(text, 36, parent_id, sizeof(parent_id)) || !read_hex(text, 53, &flags, 1))
        return false;
    if (version == 0xff || (version == 0 && text.len != LEN_00) ||
        (text.len > LEN_00 && text.p[LEN_00] != '-'))
        return false;
    if (all_zero(trace_id, sizeof(trace_id)) || all_zero(parent_id, sizeof(parent_id)))
        return false;
    hex_encode(ret->trace_id, trace_id, sizeof(trace_id));
    hex_encode(ret->parent_id, parent_id, sizeof(parent_id));
    ret->sampled = flags & 1;
    return true;
}

/* Chance makes no zeros; this is for who has no luck at all. */
static void
new_id(char *out, size_t len)
{
    uint8_t id[16];
    do
        random_bytes(id, len);
    while (all_zero(id, len));
    hex_encode(out, id, len);
}

void
trace_begin(struct trace *trace)
{
    if (!trace->trace_id[0]) {
        new_id(trace->trace_id, TRACE_DIGITS / 2);
        trace->sampled = true;
    }
    new_id(trace->span_id, SPAN_DIGITS / 2);
}
