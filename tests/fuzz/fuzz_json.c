/* SPDX-License-Identifier: MIT */
/*
 * The token path's JSON reader beside jansson: it accepts what jansson accepts, limits aside, and
 * reads the same values out of it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "fuzz/json_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NODES 4096
#define TEXT_MAX 16384

static const struct json_limits limits = {
    .text_max = TEXT_MAX, .string_max = 4096, .depth_max = 16, .members_max = 64};

static void
must(bool holds)
{
    if (!holds)
        abort();
}

static void
put_number(struct buf *out, struct slice text)
{
    int64_t i;
    struct json_node node = {.type = JSON_NUMBER, .text = text};
    if (json_int64(&node, &i))
        buf_printf(out, "i%lld;", (long long)i);
    else if (slice_is(text, "-0"))
        buf_str(out, "i0;"); /* an integer for jansson, none for us: times have one spelling */
    else
        buf_char(out, 'r');
}

static void
put_string(struct buf *out, struct slice s)
{
    buf_printf(out, "s%zu:", s.len);
    buf_slice(out, s);
}

static void
put_value(struct buf *out, const struct json *j, const struct json_node *v)
{
    static const char simple[] = {[JSON_NULL] = 'n', [JSON_FALSE] = 'f', [JSON_TRUE] = 't'};
    struct slice key;
    uint32_t count = 0;
    if (v->type <= JSON_TRUE) {
        buf_char(out, simple[v->type]);
    } else if (v->type == JSON_NUMBER) {
        put_number(out, v->text);
    } else if (v->type == JSON_STRING) {
        put_string(out, v->text);
    } else {
        bool object = v->type == JSON_OBJECT;
        buf_char(out, object ? '{' : '[');
        for (const struct json_node *item = NULL; json_each(j, v, &key, &item); count++) {
            if (object)
                put_string(out, key);
            put_value(out, j, item);
        }
        buf_char(out, object ? '}' : ']');
        must(count == v->count);
    }
}

/* A refusal that jansson does not share must be for one of our limits. */
static bool
is_limit(const struct attest_error *err)
{
    static const char *const limit_texts[] = {"too many", "too long", "too deep", "at most"};
    for (size_t i = 0; i < ARRAY_LEN(limit_texts); i++) {
        if (strstr(err->text, limit_texts[i]))
            return true;
    }
    return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_node nodes[NODES];
    struct json j = {nodes, NODES, 0};
    struct attest_error err = {0};
    AUTO(mem) char *text = malloc(size ? size : 1);
    must(text);
    memcpy(text, data, size);
    AUTO(buf) struct buf ours, theirs;
    buf_init(&ours, 1 << 20);
    buf_init(&theirs, 1 << 20);

    enum attest_rc rc = json_read(&j, text, size, &limits, &err);
    enum oracle oracle = json_oracle((const char *)data, size, &theirs);
    if (rc) {
        must(rc == ATTEST_E_MALFORMED && err.rc == rc && *err.text);
        /* jansson reads over a NUL behind a number or a word. */
        must(oracle != ORACLE_ACCEPTS || is_limit(&err) || memchr(data, '\0', size));
        return 0;
    }
    must(oracle != ORACLE_REFUSES);
    must(json_root(&j)->next == j.n);
    if (oracle == ORACLE_OVERFLOWS)
        return 0;
    put_value(&ours, &j, json_root(&j));
    must(!buf_rc(&ours) && !buf_rc(&theirs));
    must(slice_eq(buf_view(&ours), buf_view(&theirs)));
    return 0;
}
