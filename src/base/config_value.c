/* SPDX-License-Identifier: MIT */
#include "base/config_value.h"

#include <string.h>

#define CUT 40 /* of a text that is shown in an error */
#define CHOICES_MAX 100

static void *
member(const struct config_key *key, void *config)
{
    return (char *)config + key->offset;
}

/* The code point at p, its length in *n; 0 in *n when it is no valid UTF-8 (RFC 3629). */
static uint32_t
utf8_at(const uint8_t *p, size_t left, size_t *n)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    *n = 0;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if ((p[0] & forms[i].mask) != forms[i].lead)
            continue;
        if (left < i + 1)
            return 0;
        uint32_t c = p[0] & (uint8_t)~forms[i].mask;
        for (size_t k = 1; k <= i; k++) {
            if ((p[k] & 0xc0) != 0x80)
                return 0;
            c = c << 6 | (p[k] & 0x3f);
        }
        if (c < forms[i].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return 0;
        *n = i + 1;
        return c;
    }
    return 0;
}

/*
 * No control characters, no line ends of any kind, no byte order mark: nothing that a configuration
 * needs, and nothing that would not come back from a dump as it went in.
 */
static bool
text_ok(struct slice s)
{
    for (size_t i = 0, n; i < s.len; i += n) {
        uint32_t c = utf8_at((const uint8_t *)s.p + i, s.len - i, &n);
        if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 ||
            c == 0xfeff || c == 0xfffe || c == 0xffff)
            return false;
    }
    return true;
}

static enum attest_rc
dup_text(const struct config_key *key, struct slice text, char **ret, const char *where,
         struct attest_error *err)
{
    if (text.len > CONFIG_STRING_MAX)
        return error_set(err, ATTEST_E_CONFIG, "%s: %s is longer than %d bytes", where, key->name,
                         CONFIG_STRING_MAX);
    if (!text_ok(text))
        return error_set(err, ATTEST_E_CONFIG, "%s: %s holds a control character or is not UTF-8",
                         where, key->name);
    *ret = slice_dup(text);
    return *ret ? ATTEST_OK : error_set(err, ATTEST_E_NOMEM, "out of memory");
}

static enum attest_rc
set_string(const struct config_key *key, void *config, struct slice text, const char *where,
           struct attest_error *err)
{
    char *copy = NULL;
    if (key->required && text.len == 0)
        return error_set(err, ATTEST_E_CONFIG, "%s: %s must not be empty", where, key->name);
    enum attest_rc rc = dup_text(key, text, &copy, where, err);
    if (rc)
        return rc;
    char **at = member(key, config);
    free(*at);
    *at = copy;
    return ATTEST_OK;
}

/* Decimal as a person writes it: no sign but '-', no leading zero (octal to some), no blanks. */
static bool
read_int(struct slice text, int64_t *ret)
{
    bool negative = text.len > 0 && text.p[0] == '-';
    size_t i = negative;
    int64_t v = 0;
    if (i == text.len || (text.p[i] == '0' && text.len > 1))
        return false;
    for (; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, text.p[i] - '0', &v))
            return false;
    }
    if (!negative && __builtin_sub_overflow(0, v, &v))
        return false;
    *ret = v;
    return true;
}

static enum attest_rc
set_int(const struct config_key *key, void *config, struct slice text, const char *where,
        struct attest_error *err)
{
    int64_t v;
    if (!read_int(text, &v))
        return error_set(err, ATTEST_E_CONFIG, "%s: %s must be a whole number, not '%.*s'", where,
                         key->name, text.len > CUT ? CUT : (int)text.len, text.p);
    if (v < key->min || v > key->max)
        return error_set(err, ATTEST_E_CONFIG, "%s: %s is %lld; it must be between %lld and %lld",
                         where, key->name, (long long)v, (long long)key->min, (long long)key->max);
    *(int64_t *)member(key, config) = v;
    return ATTEST_OK;
}

static enum attest_rc
set_bool(const struct config_key *key, void *config, struct slice text, const char *where,
         struct attest_error *err)
{
    bool yes = slice_is(text, "true");
    if (!yes && !slice_is(text, "false"))
        return error_set(err, ATTEST_E_CONFIG, "%s: %s must be true or false, not '%.*s'", where,
                         key->name, text.len > CUT ? CUT : (int)text.len, text.p);
    *(bool *)member(key, config) = yes;
    return ATTEST_OK;
}

static void
put_choices(const struct config_key *key, struct buf *out)
{
    for (int i = 0; key->choices && key->choices[i]; i++)
        buf_printf(out, "%s%s", i ? ", " : "", key->choices[i]);
}

enum attest_rc
config_refuse_kind(const struct config_key *key, const char *where, struct attest_error *err)
{
    static const char *const wanted[] = {
        [CONFIG_STRING] = "a text",
        [CONFIG_INT] = "a whole number",
        [CONFIG_BOOL] = "true or false",
        [CONFIG_LIST] = "a list: [one, two]",
        [CONFIG_MAP] = "a mapping: {name: value}",
        [CONFIG_ENUM] = "one of ",
        [CONFIG_ROWS] = "a list of mappings",
    };
    AUTO(buf) struct buf choices;
    buf_init(&choices, CHOICES_MAX);
    put_choices(key, &choices);
    struct slice list = buf_view(&choices);
    return error_set(err, ATTEST_E_CONFIG, "%s: %s must be %s%.*s", where, key->name,
                     wanted[key->type], SLICE_ARG(list));
}

static enum attest_rc
set_enum(const struct config_key *key, void *config, struct slice text, const char *where,
         struct attest_error *err)
{
    for (int i = 0; key->choices[i]; i++) {
        if (slice_is(text, key->choices[i])) {
            *(int *)member(key, config) = i;
            return ATTEST_OK;
        }
    }
    AUTO(buf) struct buf choices;
    buf_init(&choices, CHOICES_MAX);
    put_choices(key, &choices);
    struct slice list = buf_view(&choices);
    return error_set(err, ATTEST_E_CONFIG, "%s: %s must be one of %.*s, not '%.*s'", where,
                     key->name, SLICE_ARG(list), text.len > CUT ? CUT : (int)text.len, text.p);
}

enum attest_rc
config_set_scalar(const struct config_key *key, void *config, struct slice text, const char *where,
                  struct attest_error *err)
{
    static enum attest_rc (*const setters[])(const struct config_key *, void *, struct slice,
                                             const char *, struct attest_error *) = {
        [CONFIG_STRING] = set_string,
        [CONFIG_INT] = set_int,
        [CONFIG_BOOL] = set_bool,
        [CONFIG_ENUM] = set_enum,
    };
    if (key->type >= ARRAY_LEN(setters) || !setters[key->type])
        return config_refuse_kind(key, where, err);
    return setters[key->type](key, config, text, where, err);
}

/* Room for one more, and where it stands: *items and *where may both have been moved. */
static bool
grow(void ***items, char ***where, size_t n, const char *place)
{
    void **more = realloc(*items, (n + 1) * sizeof(*more));
    *items = more ? more : *items;
    char **places = more ? realloc(*where, (n + 1) * sizeof(*places)) : NULL;
    *where = places ? places : *where;
    return places && (places[n] = strdup(place));
}

static enum attest_rc
push(struct config_list *list, const struct config_key *key, struct slice text, const char *where,
     struct attest_error *err)
{
    char *copy = NULL;
    void **items = (void **)list->items;
    if (text.len == 0)
        return error_set(err, ATTEST_E_CONFIG, "%s: %s has an empty item", where, key->name);
    if (list->n >= CONFIG_ITEMS_MAX)
        return error_set(err, ATTEST_E_CONFIG, "%s: %s has too many items", where, key->name);
    enum attest_rc rc = dup_text(key, text, &copy, where, err);
    if (rc)
        return rc;
    bool grown = grow(&items, &list->where, list->n, where);
    list->items = (char **)items;
    if (!grown) {
        free(copy);
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    }
    list->items[list->n++] = copy;
    return ATTEST_OK;
}

static void
pop(struct config_list *list)
{
    list->n--;
    free(list->items[list->n]);
    free(list->where[list->n]);
}

enum attest_rc
config_add_item(const struct config_key *key, void *config, struct slice name, struct slice text,
                const char *where, struct attest_error *err)
{
    struct config_list *list = member(key, config);
    bool map = key->type == CONFIG_MAP;
    struct slice once = map ? name : text;
    if (map && name.len > CONFIG_NAME_MAX)
        return error_set(err, ATTEST_E_CONFIG, "%s: %s has a name longer than %d bytes", where,
                         key->name, CONFIG_NAME_MAX);
    for (size_t i = 0; i < list->n; i += map ? 2 : 1) {
        if (slice_is(once, list->items[i]))
            return error_set(err, ATTEST_E_CONFIG, "%s: %s has '%.*s' twice", where, key->name,
                             once.len > CUT ? CUT : (int)once.len, once.p);
    }
    enum attest_rc rc = push(list, key, once, where, err);
    if (rc || !map)
        return rc;
    rc = push(list, key, text, where, err);
    if (rc)
        pop(list);
    return rc;
}

enum attest_rc
config_add_row(const struct config_key *key, void *config, void **ret, const char *where,
               struct attest_error *err)
{
    struct config_rows *rows = member(key, config);
    if (rows->n >= CONFIG_ROWS_MAX)
        return error_set(err, ATTEST_E_CONFIG, "%s: %s has too many items", where, key->name);
    void *row = calloc(1, key->row_size);
    if (!row || !grow(&rows->items, &rows->where, rows->n, where)) {
        free(row);
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    }
    *ret = rows->items[rows->n++] = row;
    return ATTEST_OK;
}

static void
rows_clear(const struct config_key *key, struct config_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        config_done(key->row, rows->items[i]);
        free(rows->items[i]);
        free(rows->where[i]);
    }
    free(rows->items);
    free(rows->where);
    *rows = (struct config_rows){0};
}

static void
list_clear(struct config_list *list)
{
    while (list->n)
        pop(list);
    free(list->items);
    free(list->where);
    *list = (struct config_list){0};
}

void
config_clear(const struct config_key *key, void *config)
{
    void *at = member(key, config);
    switch (key->type) {
    case CONFIG_STRING:
        free(*(char **)at);
        *(char **)at = NULL;
        break;
    case CONFIG_INT:
        *(int64_t *)at = 0;
        break;
    case CONFIG_BOOL:
        *(bool *)at = false;
        break;
    case CONFIG_ENUM:
        *(int *)at = 0;
        break;
    case CONFIG_LIST:
    case CONFIG_MAP:
        list_clear(at);
        break;
    case CONFIG_ROWS:
        rows_clear(key, at);
        break;
    }
}

/* Edits that turn a into b: insert, delete, change, swap two neighbours. Long names are far. */
static size_t
distance(struct slice a, struct slice b)
{
    enum { MAX = 64 };
    size_t d[MAX + 1][MAX + 1];
    if (a.len > MAX || b.len > MAX)
        return SIZE_MAX;
    for (size_t i = 0; i <= a.len; i++) {
        for (size_t k = 0; k <= b.len; k++) {
            if (i == 0 || k == 0) {
                d[i][k] = i + k;
                continue;
            }
            size_t best = d[i - 1][k - 1] + (a.p[i - 1] != b.p[k - 1]);
            if (d[i - 1][k] + 1 < best)
                best = d[i - 1][k] + 1;
            if (d[i][k - 1] + 1 < best)
                best = d[i][k - 1] + 1;
            if (i > 1 && k > 1 && a.p[i - 1] == b.p[k - 2] && a.p[i - 2] == b.p[k - 1] &&
                d[i - 2][k - 2] + 1 < best)
                best = d[i - 2][k - 2] + 1;
            d[i][k] = best;
        }
    }
    return d[a.len][b.len];
}

static struct slice
last_part(struct slice name)
{
    for (size_t i = name.len; i > 0; i--) {
        if (name.p[i - 1] == '.')
            return (struct slice){name.p + i, name.len - i};
    }
    return name;
}

const struct config_key *
config_nearest(const struct config_schema *schema, struct slice name)
{
    const struct config_key *nearest = NULL;
    size_t limit = name.len / 3 < 3 ? name.len / 3 : 3;
    for (size_t i = 0; i < schema->n_keys; i++) {
        struct slice full = slice_cstr(schema->keys[i].name);
        size_t far = distance(name, full);
        if (far > limit && slice_eq(last_part(name), last_part(full)))
            far = limit;
        if (far < limit || (far == limit && !nearest)) {
            nearest = &schema->keys[i];
            limit = far;
        }
    }
    return nearest;
}
