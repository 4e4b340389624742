/* SPDX-License-Identifier: MIT */
#include "base/config.h"

#include <string.h>
#include <yaml.h>

#include "base/config_value.h"
#include "base/file.h"

#define TEXT_MAX (1024 * 1024)

#define DEPTH_MAX 4u

struct reader {
    const struct config_schema *schema;
    void *config;
    yaml_parser_t yaml;
    struct slice text;
    const char *source; /* NULL: a file, so that errors name lines */
    char where[CONFIG_NAME_ROOM];
    uint8_t *seen; /* for each key of the schema; NULL while a fall-back is read */
    struct attest_error *err;
};

static void
event_auto(yaml_event_t *event)
{
    yaml_event_delete(event);
}

static void
yaml_auto(yaml_parser_t *const *yaml)
{
    yaml_parser_delete(*yaml);
}

static void
at_line(struct reader *r, size_t line)
{
    if (r->source)
        snprintf(r->where, sizeof(r->where), "%s", r->source);
    else
        snprintf(r->where, sizeof(r->where), "line %zu", line + 1);
}

/* Of what is no text libyaml tells the byte alone, and the rest by lines counted from 0. */
static size_t
problem_line(const struct reader *r)
{
    size_t line = 0;
    if (r->yaml.error != YAML_READER_ERROR)
        return r->yaml.problem_mark.line;
    for (size_t i = 0; i < r->yaml.problem_offset && i < r->text.len; i++) {
        bool crlf = r->text.p[i] == '\r' && i + 1 < r->text.len && r->text.p[i + 1] == '\n';
        line += r->text.p[i] == '\n' || (r->text.p[i] == '\r' && !crlf);
    }
    return line;
}

static enum attest_rc
refuse(struct reader *r, const char *why)
{
    return error_set(r->err, ATTEST_E_CONFIG, "%s: %s", r->where, why);
}

static bool
has_properties(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return e->data.scalar.anchor || e->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return e->data.sequence_start.anchor || e->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return e->data.mapping_start.anchor || e->data.mapping_start.tag;
    default:
        return false;
    }
}

/* The next event, with the parts of YAML that surprise people refused. Errors then name its line.
 */
static enum attest_rc
next(struct reader *r, yaml_event_t *e)
{
    yaml_event_delete(e);
    if (!yaml_parser_parse(&r->yaml, e)) {
        if (r->yaml.error == YAML_MEMORY_ERROR)
            return error_set(r->err, ATTEST_E_NOMEM, "out of memory");
        at_line(r, problem_line(r));
        return refuse(r, r->yaml.problem ? r->yaml.problem : "not YAML");
    }
    at_line(r, e->start_mark.line);
    if (e->type == YAML_ALIAS_EVENT)
        return refuse(
            r, "aliases (*name) are not used here; a text that starts with '*' needs quotes");
    if (has_properties(e))
        return refuse(r, "anchors (&name) and tags (!name) are not used here; quote the text");
    if (e->type == YAML_DOCUMENT_START_EVENT &&
        (e->data.document_start.version_directive ||
         e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end))
        return refuse(r, "directives (%YAML, %TAG) are not used here");
    return ATTEST_OK;
}

static struct slice
scalar_text(const yaml_event_t *e)
{
    return (struct slice){(const char *)e->data.scalar.value, e->data.scalar.length};
}

static bool
is_plain(const yaml_event_t *e)
{
    return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool
is_null(const yaml_event_t *e)
{
    return is_plain(e) && (slice_is(scalar_text(e), "null") || slice_is(scalar_text(e), "~"));
}

static enum attest_rc
refuse_empty(struct reader *r, const struct config_key *key)
{
    return error_set(r->err, ATTEST_E_CONFIG,
                     "%s: %s is empty; leave the key out where nothing is meant by it", r->where,
                     key->name);
}

static enum attest_rc
read_scalar(struct reader *r, const struct config_key *key, const yaml_event_t *e)
{
    struct slice text = scalar_text(e);
    if (is_null(e) && r->schema->no_empty)
        return refuse_empty(r, key);
    if (is_null(e))
        return ATTEST_OK; /* as if the key were not there */
    if (is_plain(e) && text.len == 0)
        return error_set(r->err, ATTEST_E_CONFIG, "%s: %s has no value", r->where, key->name);
    if (!is_plain(e) && (key->type == CONFIG_INT || key->type == CONFIG_BOOL))
        return error_set(r->err, ATTEST_E_CONFIG, "%s: %s takes no quotes", r->where, key->name);
    if (r->seen)
        r->seen[key - r->schema->keys] |= SEEN_VALUE;
    return config_set_scalar(key, r->config, text, r->where, r->err);
}

/* The items of a list, or name and value by turns of a map, up to the end of the collection. */
static enum attest_rc
read_items(struct reader *r, const struct config_key *key)
{
    bool map = key->type == CONFIG_MAP;
    if (r->seen)
        r->seen[key - r->schema->keys] |= SEEN_VALUE;
    config_clear(key, r->config);
    for (bool empty = true;; empty = false) {
        AUTO(event) yaml_event_t name = {0}, value = {0};
        enum attest_rc rc = next(r, &name);
        if (rc)
            return rc;
        if (name.type == (map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT))
            return empty && r->schema->no_empty ? refuse_empty(r, key) : ATTEST_OK;
        if (map && (rc = next(r, &value)))
            return rc;
        const yaml_event_t *e = map ? &value : &name;
        if (name.type != YAML_SCALAR_EVENT || e->type != YAML_SCALAR_EVENT)
            return error_set(r->err, ATTEST_E_CONFIG, "%s: %s holds texts only", r->where,
                             key->name);
        if (is_null(e))
            return error_set(r->err, ATTEST_E_CONFIG, "%s: %s has an empty item", r->where,
                             key->name);
        rc = config_add_item(key, r->config, map ? scalar_text(&name) : (struct slice){0},
                             scalar_text(e), r->where, r->err);
        if (rc)
            return rc;
    }
}

static enum attest_rc read_mapping(struct reader *r, const char *prefix, unsigned depth);
static enum attest_rc set_fallbacks(const struct config_schema *schema, void *config,
                                    struct attest_error *err);

/* One mapping of a list of them, as if it were a file of its own. */
static enum attest_rc
read_row(struct reader *r, const struct config_key *key)
{
    const struct config_schema *schema = r->schema, *row = key->row;
    void *config = r->config;
    uint8_t *around = r->seen;
    char begins[CONFIG_NAME_ROOM];
    memcpy(begins, r->where, sizeof(begins));
    AUTO(mem) uint8_t *seen = calloc(row->n_keys + 1, 1);
    enum attest_rc rc = seen ? config_add_row(key, config, &r->config, r->where, r->err)
                             : error_set(r->err, ATTEST_E_NOMEM, "out of memory");
    r->schema = row;
    r->seen = seen;
    if (!rc)
        rc = set_fallbacks(row, r->config, r->err);
    if (!rc)
        rc = read_mapping(r, "", 0);
    r->schema = schema;
    r->config = config;
    r->seen = around;
    for (size_t i = 0; i < row->n_keys && !rc; i++) {
        if (row->keys[i].required && !(seen[i] & SEEN_VALUE))
            rc = error_set(r->err, ATTEST_E_CONFIG, "%s: %s: %s is required in each", begins,
                           key->name, row->keys[i].name);
    }
    return rc;
}

static enum attest_rc
read_rows(struct reader *r, const struct config_key *key)
{
    if (r->seen)
        r->seen[key - r->schema->keys] |= SEEN_VALUE;
    config_clear(key, r->config);
    for (bool empty = true;; empty = false) {
        AUTO(event) yaml_event_t e = {0};
        enum attest_rc rc = next(r, &e);
        if (rc == ATTEST_OK && e.type == YAML_SEQUENCE_END_EVENT && empty && r->schema->no_empty)
            return refuse_empty(r, key);
        if (rc || e.type == YAML_SEQUENCE_END_EVENT)
            return rc;
        if (e.type != YAML_MAPPING_START_EVENT)
            return error_set(r->err, ATTEST_E_CONFIG,
                             "%s: %s holds mappings only, such as {%s: ...}", r->where, key->name,
                             key->row->keys[0].name);
        rc = read_row(r, key);
        if (rc)
            return rc;
    }
}

static enum attest_rc
read_value(struct reader *r, const struct config_key *key)
{
    AUTO(event) yaml_event_t e = {0};
    enum attest_rc rc = next(r, &e);
    if (rc)
        return rc;
    if (e.type == YAML_SCALAR_EVENT)
        return read_scalar(r, key, &e);
    if ((e.type == YAML_SEQUENCE_START_EVENT && key->type == CONFIG_LIST) ||
        (e.type == YAML_MAPPING_START_EVENT && key->type == CONFIG_MAP))
        return read_items(r, key);
    if (e.type == YAML_SEQUENCE_START_EVENT && key->type == CONFIG_ROWS)
        return read_rows(r, key);
    return config_refuse_kind(key, r->where, r->err);
}

static const struct config_key *
find_key(const struct config_schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->n_keys; i++) {
        if (strcmp(schema->keys[i].name, name) == 0)
            return &schema->keys[i];
    }
    return NULL;
}

/* The first key inside the mapping `name`, NULL when there is no such mapping. */
static const struct config_key *
find_group(const struct config_schema *schema, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < schema->n_keys; i++) {
        if (strncmp(schema->keys[i].name, name, len) == 0 && schema->keys[i].name[len] == '.')
            return &schema->keys[i];
    }
    return NULL;
}

static enum attest_rc
refuse_unknown(struct reader *r, const char *name)
{
    const struct config_key *near = config_nearest(r->schema, slice_cstr(name));
    if (!near)
        return error_set(r->err, ATTEST_E_CONFIG, "%s: unknown key '%.60s'", r->where, name);
    return error_set(r->err, ATTEST_E_CONFIG, "%s: unknown key '%.60s'; did you mean '%s'?",
                     r->where, name, near->name);
}

static enum attest_rc
read_group(struct reader *r, const struct config_key *first, const char *name, unsigned depth)
{
    AUTO(event) yaml_event_t e = {0};
    uint8_t bit = (uint8_t)(SEEN_GROUP << depth);
    if (r->seen[first - r->schema->keys] & bit)
        return error_set(r->err, ATTEST_E_CONFIG, "%s: key '%s' is there twice", r->where, name);
    r->seen[first - r->schema->keys] |= bit;
    enum attest_rc rc = next(r, &e);
    if (rc)
        return rc;
    if (e.type != YAML_MAPPING_START_EVENT)
        return error_set(r->err, ATTEST_E_CONFIG, "%s: %s must be a mapping, such as %s: {%s: ...}",
                         r->where, name, name, first->name + strlen(name) + 1);
    return read_mapping(r, name, depth + 1);
}

static enum attest_rc
read_member(struct reader *r, const char *prefix, unsigned depth, const yaml_event_t *e)
{
    char name[CONFIG_NAME_ROOM];
    if (e->type != YAML_SCALAR_EVENT)
        return refuse(r, "a key must be a word");
    struct slice text = scalar_text(e);
    if (memchr(text.p, '\0', text.len))
        return refuse(r, "a key must be a word");
    if (memchr(text.p, '.', text.len))
        return error_set(r->err, ATTEST_E_CONFIG, "%s: write '%.60s' as nested mappings, one a dot",
                         r->where, text.p);
    int n = snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", text.p);
    if (n < 0 || (size_t)n >= sizeof(name))
        return error_set(r->err, ATTEST_E_CONFIG, "%s: unknown key '%.60s'", r->where, text.p);
    const struct config_key *key = find_key(r->schema, name);
    if (key) {
        if (r->seen[key - r->schema->keys] & SEEN_PLACE)
            return error_set(r->err, ATTEST_E_CONFIG, "%s: key '%s' is there twice", r->where,
                             name);
        r->seen[key - r->schema->keys] |= SEEN_PLACE;
        return read_value(r, key);
    }
    const struct config_key *first = find_group(r->schema, name);
    if (first && depth < DEPTH_MAX)
        return read_group(r, first, name, depth);
    return refuse_unknown(r, name);
}

static enum attest_rc
read_mapping(struct reader *r, const char *prefix, unsigned depth)
{
    for (;;) {
        AUTO(event) yaml_event_t e = {0};
        enum attest_rc rc = next(r, &e);
        if (rc)
            return rc;
        if (e.type == YAML_MAPPING_END_EVENT)
            return ATTEST_OK;
        rc = read_member(r, prefix, depth, &e);
        if (rc)
            return rc;
    }
}

/* The document's top: an empty one is a file in which everything is commented out. */
static enum attest_rc
read_top(struct reader *r, const struct config_key *only)
{
    if (only)
        return read_value(r, only);
    AUTO(event) yaml_event_t e = {0};
    enum attest_rc rc = next(r, &e);
    if (rc)
        return rc;
    if (e.type == YAML_SCALAR_EVENT && is_plain(&e) && e.data.scalar.length == 0)
        return ATTEST_OK;
    if (e.type != YAML_MAPPING_START_EVENT)
        return refuse(r, "the file must hold 'key: value' lines");
    return read_mapping(r, "", 0);
}

/* What some editors put in front; libyaml skips it only where it guesses the encoding. */
static struct slice
without_byte_order_mark(struct slice text)
{
    static const char mark[] = "\xef\xbb\xbf";
    if (text.len >= 3 && memcmp(text.p, mark, 3) == 0)
        return (struct slice){text.p + 3, text.len - 3};
    return text.p ? text : (struct slice){"", 0};
}

/* Reads a whole file, or with `only` the fall-back of one key. */
static enum attest_rc
read_text(struct reader *r, struct slice text, const struct config_key *only)
{
    r->text = without_byte_order_mark(text);
    if (!yaml_parser_initialize(&r->yaml))
        return error_set(r->err, ATTEST_E_NOMEM, "out of memory");
    AUTO(yaml) yaml_parser_t *yaml = &r->yaml;
    AUTO(event) yaml_event_t e = {0};
    yaml_parser_set_encoding(yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(yaml, (const unsigned char *)r->text.p, r->text.len);
    for (bool first = true;;) {
        enum attest_rc rc = next(r, &e);
        if (rc)
            return rc;
        if (e.type == YAML_STREAM_END_EVENT)
            return ATTEST_OK;
        if (e.type != YAML_DOCUMENT_START_EVENT)
            continue;
        if (!first)
            return refuse(r, "a second document; one file is one document");
        first = false;
        rc = read_top(r, only);
        if (rc)
            return rc;
    }
}

/* libyaml has no use for an empty text as a fall-back: it would be a null. */
static enum attest_rc
set_fallback(const struct config_schema *schema, const struct config_key *key, void *config,
             struct attest_error *err)
{
    if (!key->fallback)
        return ATTEST_OK;
    struct reader r = {.schema = schema, .config = config, .source = "fall-back", .err = err};
    if (*key->fallback == '\0')
        return config_set_scalar(key, config, (struct slice){"", 0}, r.source, err);
    return read_text(&r, slice_cstr(key->fallback), key);
}

static enum attest_rc
set_fallbacks(const struct config_schema *schema, void *config, struct attest_error *err)
{
    enum attest_rc rc = ATTEST_OK;
    for (size_t i = 0; i < schema->n_keys && !rc; i++)
        rc = set_fallback(schema, &schema->keys[i], config, err);
    return rc;
}

static enum attest_rc
read_file_text(const struct config_schema *schema, struct slice text, uint8_t *seen, void *config,
               struct attest_error *err)
{
    if (text.len > TEXT_MAX)
        return error_set(err, ATTEST_E_CONFIG, "the configuration is longer than 1 MiB");
    struct reader r = {.schema = schema, .config = config, .seen = seen, .err = err};
    return read_text(&r, text, NULL);
}

static enum attest_rc
check_required(const struct config_schema *schema, const uint8_t *seen, struct attest_error *err)
{
    for (size_t i = 0; i < schema->n_keys; i++) {
        const struct config_key *key = &schema->keys[i];
        char variable[CONFIG_NAME_ROOM];
        if (!key->required || (seen[i] & SEEN_VALUE))
            continue;
        if (!schema->env_prefix)
            return error_set(err, ATTEST_E_CONFIG, "%s is required", key->name);
        config_env_name(schema, key, variable, sizeof(variable));
        return error_set(err, ATTEST_E_CONFIG, "%s is required: add it to the file or set %s",
                         key->name, variable);
    }
    return ATTEST_OK;
}

enum attest_rc
config_parse(const struct config_schema *schema, struct slice text, const char *const *environ_list,
             void *config, struct attest_error *err)
{
    AUTO(mem) uint8_t *seen = calloc(schema->n_keys + 1, 1);
    enum attest_rc rc = seen ? ATTEST_OK : error_set(err, ATTEST_E_NOMEM, "out of memory");
    if (!rc)
        rc = set_fallbacks(schema, config, err);
    if (!rc)
        rc = read_file_text(schema, text, seen, config, err);
    if (!rc)
        rc = config_read_environment(schema, environ_list, seen, config, err);
    if (!rc)
        rc = check_required(schema, seen, err);
    if (rc)
        config_done(schema, config);
    return rc;
}

enum attest_rc
config_load(const struct config_schema *schema, const char *path, const char *const *environ_list,
            void *config, struct attest_error *err)
{
    AUTO(buf) struct buf text;
    struct attest_error why = {0};
    buf_init(&text, TEXT_MAX);
    if (!path)
        return config_parse(schema, (struct slice){0}, environ_list, config, err);
    enum attest_rc rc = file_read(path, TEXT_MAX, &text, err);
    if (rc)
        return rc;
    rc = config_parse(schema, buf_view(&text), environ_list, config, &why);
    if (rc && strncmp(why.text, "line ", 5) == 0)
        return error_set(err, rc, "%s: %s", path, why.text);
    return rc ? error_set(err, rc, "%s", why.text) : ATTEST_OK;
}

void
config_done(const struct config_schema *schema, void *config)
{
    for (size_t i = 0; i < schema->n_keys; i++)
        config_clear(&schema->keys[i], config);
}
