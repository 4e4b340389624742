/* SPDX-License-Identifier: MIT */
#include "signer/key_list.h"

#include <string.h>

#include "base/b64u.h"
#include "jwks/keyset.h"

void
key_list_done(struct key_list *list)
{
    free(list->keys);
    *list = (struct key_list){0};
}

enum attest_rc
key_list_add(struct key_list *list, const struct key_record *key)
{
    struct key_record *keys = realloc(list->keys, (list->n + 1) * sizeof(*keys));
    if (!keys)
        return ATTEST_E_NOMEM;
    list->keys = keys;
    keys[list->n++] = *key;
    return ATTEST_OK;
}

const struct key_record *
key_list_active(const struct key_list *list, enum key_purpose purpose, int64_t now_s)
{
    const struct key_record *best = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct key_record *key = &list->keys[i];
        if (key->purpose != purpose || key_state(&key->times, now_s) != KEY_ACTIVE)
            continue;
        if (!best || key->times.active_s > best->times.active_s)
            best = key;
    }
    return best;
}

size_t
key_list_find(const struct key_list *list, struct slice kid)
{
    size_t i = 0;
    while (i < list->n && !slice_is(kid, list->keys[i].kid))
        i++;
    return i;
}

enum attest_rc
key_list_copy(const struct key_list *list, struct key_list *ret)
{
    struct key_record *keys = calloc(list->n + 1, sizeof(*keys));
    if (!keys)
        return ATTEST_E_NOMEM;
    if (list->n)
        memcpy(keys, list->keys, list->n * sizeof(*keys));
    *ret = (struct key_list){keys, list->n};
    return ATTEST_OK;
}

struct key_times
key_list_new_times(const struct key_list *list, enum key_purpose purpose, int64_t now_s)
{
    struct key_times times = {.created_s = now_s};
    for (size_t i = 0; i < list->n; i++) {
        enum key_state state = key_state(&list->keys[i].times, now_s);
        bool in_use = state == KEY_PUBLISHED || state == KEY_ACTIVE;
        if (list->keys[i].purpose == purpose && (in_use || purpose == KEY_PURPOSE_TOKEN))
            return times;
    }
    times.published_s = times.active_s = now_s;
    return times;
}

size_t
key_list_entries(const struct key_list *list, enum key_purpose purpose, int64_t now_s,
                 struct keyset_entry *entries)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct key_record *key = &list->keys[i];
        if (key->purpose != purpose)
            continue;
        entries[n].public_key = key->ref.public_key;
        entries[n].alg = key->alg;
        entries[n++].state = key_state(&key->times, now_s);
    }
    return n;
}

enum attest_rc
key_list_write_jwks(const struct key_list *list, int64_t now_s, struct buf *out)
{
    AUTO(mem) struct keyset_entry *entries = calloc(list->n + 1, sizeof(*entries));
    if (!entries)
        return ATTEST_E_NOMEM;
    keyset_write(entries, key_list_entries(list, KEY_PURPOSE_TOKEN, now_s, entries), out);
    return buf_rc(out);
}

static void
write_short(const struct key_record *key, int64_t now_s, struct buf *out)
{
    buf_printf(out, "{\"kid\":\"%s\",\"purpose\":\"%s\",\"state\":\"%s\",\"created\":%lld",
               key->kid, key_purpose_name(key->purpose),
               key_state_name(key_state(&key->times, now_s)), (long long)key->times.created_s);
    if (key->times.active_s)
        buf_printf(out, ",\"active\":%lld", (long long)key->times.active_s);
    buf_char(out, '}');
}

void
key_list_write_short(const struct key_list *list, int64_t now_s, struct buf *out)
{
    char comma = '[';
    for (size_t i = 0; i < list->n; i++) {
        const struct key_record *key = &list->keys[i];
        if (key->times.destroyed_s || key_state(&key->times, now_s) == KEY_REMOVED)
            continue;
        buf_char(out, comma);
        write_short(key, now_s, out);
        comma = ',';
    }
    buf_str(out, comma == '[' ? "[]" : "]");
}

/* The names of the time stamps, for both directions. */
static const struct {
    const char *name;
    size_t offset;
} time_rows[] = {
    {"created", offsetof(struct key_times, created_s)},
    {"published", offsetof(struct key_times, published_s)},
    {"active", offsetof(struct key_times, active_s)},
    {"retired", offsetof(struct key_times, retired_s)},
    {"removed", offsetof(struct key_times, removed_s)},
    {"revoked", offsetof(struct key_times, revoked_s)},
    {"destroyed", offsetof(struct key_times, destroyed_s)},
};

static void
write_times(const struct key_times *times, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(time_rows); i++) {
        int64_t at_s = *(const int64_t *)((const char *)times + time_rows[i].offset);
        if (at_s)
            buf_printf(out, ",\"%s\":%lld", time_rows[i].name, (long long)at_s);
    }
}

bool
key_times_read(const struct json *j, const struct json_node *key, struct key_times *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(time_rows); i++) {
        int64_t *at_s = (int64_t *)((char *)ret + time_rows[i].offset);
        const struct json_node *node = json_member(j, key, time_rows[i].name);
        *at_s = 0;
        if (node && (!json_int64(node, at_s) || *at_s < 1))
            return false;
    }
    return ret->created_s > 0;
}

void
key_record_write_members(const struct key_record *key, int64_t now_s, struct buf *out)
{
    buf_printf(out, "\"kid\":\"%s\",\"purpose\":\"%s\",\"label\":", key->kid,
               key_purpose_name(key->purpose));
    json_put_string(out, slice_cstr(key->label));
    buf_printf(out, ",\"state\":\"%s\",\"alg\":\"%s\"",
               key_state_name(key_state(&key->times, now_s)), jwk_alg_name(key->alg));
    jwk_write_coords(&key->ref.public_key, out);
    write_times(&key->times, out);
    if (key->reason[0]) {
        buf_str(out, ",\"reason\":");
        json_put_string(out, slice_cstr(key->reason));
    }
}

void
key_record_write(const struct key_record *key, int64_t now_s, struct buf *out)
{
    buf_char(out, '{');
    key_record_write_members(key, now_s, out);
    buf_char(out, '}');
}

void
key_list_write(const struct key_list *list, size_t from, int64_t now_s, struct buf *out)
{
    buf_char(out, '[');
    for (size_t i = from; i < list->n && i < from + KEY_LIST_PAGE; i++) {
        if (i > from)
            buf_char(out, ',');
        key_record_write(&list->keys[i], now_s, out);
    }
    buf_char(out, ']');
}

void
key_list_write_present(const struct key_list *list, int64_t now_s, struct buf *out)
{
    size_t first = list->n, n = 0;
    while (first > 0 && n < KEY_LIST_PAGE)
        n += list->keys[--first].times.destroyed_s == 0;
    char comma = '[';
    for (size_t i = first; i < list->n; i++) {
        if (list->keys[i].times.destroyed_s)
            continue;
        buf_char(out, comma);
        key_record_write(&list->keys[i], now_s, out);
        comma = ',';
    }
    buf_str(out, comma == '[' ? "[]" : "]");
}
