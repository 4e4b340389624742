/* SPDX-License-Identifier: MIT */
#include "fuzz/json_oracle.h"

#include <jansson.h>
#include <string.h>

static void
put_string(struct buf *out, const char *p, size_t len)
{
    buf_printf(out, "s%zu:", len);
    buf_append(out, p, len);
}

static void
put_value(struct buf *out, json_t *v)
{
    const char *key;
    json_t *item;
    size_t i;
    switch (json_typeof(v)) {
    case JSON_NULL:
        buf_char(out, 'n');
        break;
    case JSON_TRUE:
        buf_char(out, 't');
        break;
    case JSON_FALSE:
        buf_char(out, 'f');
        break;
    case JSON_INTEGER:
        buf_printf(out, "i%lld;", (long long)json_integer_value(v));
        break;
    case JSON_REAL:
        buf_char(out, 'r');
        break;
    case JSON_STRING:
        put_string(out, json_string_value(v), json_string_length(v));
        break;
    case JSON_ARRAY:
        buf_char(out, '[');
        json_array_foreach(v, i, item) put_value(out, item);
        buf_char(out, ']');
        break;
    case JSON_OBJECT:
        buf_char(out, '{');
        json_object_foreach(v, key, item)
        {
            put_string(out, key, strlen(key));
            put_value(out, item);
        }
        buf_char(out, '}');
        break;
    }
}

enum oracle
json_oracle(const char *text, size_t len, struct buf *out)
{
    json_error_t err;
    json_t *doc = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &err);
    if (!doc)
        return json_error_code(&err) == json_error_numeric_overflow ? ORACLE_OVERFLOWS
                                                                    : ORACLE_REFUSES;
    put_value(out, doc);
    json_decref(doc);
    return ORACLE_ACCEPTS;
}
