/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/config_value.h"
#include "base/json.h"

struct dump {
    const struct config_schema *schema;
    const void *config;
    bool json;
    struct buf *out;
};

static void
put_list(struct buf *out, const struct config_list *list, bool map)
{
    buf_char(out, map ? '{' : '[');
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0)
            buf_str(out, map && i % 2 ? ": " : ", ");
        json_put_string(out, slice_cstr(list->items[i]));
    }
    buf_char(out, map ? '}' : ']');
}

static void put_rows(struct buf *out, const struct config_key *key, const struct config_rows *rows);

/* Written the same way in JSON and in YAML, which holds JSON's values as its flow form. */
static void
put_value(struct buf *out, const struct config_key *key, const void *config)
{
    const void *at = (const char *)config + key->offset;
    switch (key->type) {
    case CONFIG_STRING:
        if (*(char *const *)at)
            json_put_string(out, slice_cstr(*(char *const *)at));
        else
            buf_str(out, "null");
        return;
    case CONFIG_INT: {
        int64_t v = *(const int64_t *)at;
        /* Zero below the least is "not set": null reads back as that. */
        if (v < key->min || v > key->max)
            buf_str(out, "null");
        else
            buf_printf(out, "%lld", (long long)v);
        return;
    }
    case CONFIG_BOOL:
        buf_str(out, *(const bool *)at ? "true" : "false");
        return;
    case CONFIG_ENUM:
        json_put_string(out, slice_cstr(key->choices[*(const int *)at]));
        return;
    case CONFIG_LIST:
    case CONFIG_MAP:
        put_list(out, at, key->type == CONFIG_MAP);
        return;
    case CONFIG_ROWS:
        put_rows(out, key, at);
        return;
    }
}

static void
put_rows(struct buf *out, const struct config_key *key, const struct config_rows *rows)
{
    buf_char(out, '[');
    for (size_t i = 0; i < rows->n; i++) {
        buf_str(out, i ? ", {" : "{");
        for (size_t k = 0; k < key->row->n_keys; k++) {
            buf_printf(out, "%s\"%s\": ", k ? ", " : "", key->row->keys[k].name);
            put_value(out, &key->row->keys[k], rows->items[i]);
        }
        buf_char(out, '}');
    }
    buf_char(out, ']');
}

/* The part of a name that stands at the level under prefix_len, up to its dot or end. */
static size_t
part_len(const char *name, size_t prefix_len)
{
    return strcspn(name + prefix_len, ".");
}

static bool
same_level(const char *a, const char *b, size_t len)
{
    return strncmp(a, b, len) == 0;
}

/* Whether a key before `index` stands in the same mapping and begins the same part. */
static bool
written_before(const struct config_schema *schema, size_t index, size_t len)
{
    const char *name = schema->keys[index].name;
    for (size_t i = 0; i < index; i++) {
        const char *other = schema->keys[i].name;
        if (same_level(other, name, len) && other[len] == '.')
            return true;
    }
    return false;
}

static void
put_level(const struct dump *d, const char *prefix, size_t prefix_len, int indent)
{
    bool first = true;
    for (size_t i = 0; i < d->schema->n_keys; i++) {
        const struct config_key *key = &d->schema->keys[i];
        if (!same_level(key->name, prefix, prefix_len))
            continue;
        size_t len = part_len(key->name, prefix_len);
        bool group = key->name[prefix_len + len] == '.';
        if (group && written_before(d->schema, i, prefix_len + len))
            continue;
        if (d->json)
            buf_str(d->out, first ? "\n" : ",\n");
        first = false;
        buf_printf(d->out, d->json ? "%*s\"%.*s\":" : "%*s%.*s:", indent, "", (int)len,
                   key->name + prefix_len);
        if (!group) {
            buf_char(d->out, ' ');
            put_value(d->out, key, d->config);
            buf_str(d->out, d->json ? "" : "\n");
            continue;
        }
        buf_str(d->out, d->json ? " {" : "\n");
        put_level(d, key->name, prefix_len + len + 1, indent + 2);
        if (d->json)
            buf_printf(d->out, "\n%*s}", indent, "");
    }
}

enum attest_rc
config_dump(const struct config_schema *schema, const void *config, bool as_json, struct buf *out)
{
    struct dump d = {schema, config, as_json, out};
    if (as_json)
        buf_char(out, '{');
    put_level(&d, "", 0, as_json ? 2 : 0);
    if (as_json)
        buf_str(out, "\n}\n");
    return buf_rc(out);
}
