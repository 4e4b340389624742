/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/config_value.h"

/* Environment variables over a file's values. */

bool
config_env_name(const struct config_schema *schema, const struct config_key *key, char *out,
                size_t out_size)
{
    int n = snprintf(out, out_size, "%s%s", schema->env_prefix, key->name);
    if (n < 0 || (size_t)n >= out_size)
        return false;
    for (char *p = out + strlen(schema->env_prefix); *p; p++) {
        if (*p == '.')
            *p = '_';
        else if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    }
    return true;
}

static struct slice
trimmed(struct slice s)
{
    while (s.len > 0 && s.p[0] == ' ')
        s = (struct slice){s.p + 1, s.len - 1};
    while (s.len > 0 && s.p[s.len - 1] == ' ')
        s.len--;
    return s;
}

/* Cuts s at the first c: what is before is returned, s becomes what is behind. */
static struct slice
cut(struct slice *s, char c, bool *found)
{
    const char *at = s->len ? memchr(s->p, c, s->len) : NULL;
    struct slice before = {s->p, at ? (size_t)(at - s->p) : s->len};
    *s = at ? (struct slice){at + 1, s->len - before.len - 1} : (struct slice){NULL, 0};
    *found = at != NULL;
    return before;
}

static enum attest_rc
set_from_environment(const struct config_key *key, void *config, const char *variable,
                     struct slice value, struct attest_error *err)
{
    if (key->type != CONFIG_LIST && key->type != CONFIG_MAP)
        return config_set_scalar(key, config, value, variable, err);
    config_clear(key, config);
    bool more = value.len > 0;
    while (more) {
        struct slice name = {0};
        struct slice item = cut(&value, ',', &more);
        if (key->type == CONFIG_MAP) {
            bool pair;
            name = trimmed(cut(&item, '=', &pair));
            if (!pair)
                return error_set(err, ATTEST_E_CONFIG, "%s: %s takes name=value,name=value",
                                 variable, key->name);
        }
        enum attest_rc rc = config_add_item(key, config, name, trimmed(item), variable, err);
        if (rc)
            return rc;
    }
    return ATTEST_OK;
}

static const struct config_key *
find_variable(const struct config_schema *schema, struct slice variable)
{
    char name[CONFIG_NAME_ROOM];
    for (size_t i = 0; i < schema->n_keys; i++) {
        if (config_env_name(schema, &schema->keys[i], name, sizeof(name)) &&
            slice_is(variable, name))
            return &schema->keys[i];
    }
    return NULL;
}

static enum attest_rc
refuse_variable(const struct config_schema *schema, struct slice variable, struct attest_error *err)
{
    char guess[CONFIG_NAME_ROOM], meant[CONFIG_NAME_ROOM];
    size_t prefix_len = strlen(schema->env_prefix), n = 0;
    for (size_t i = prefix_len; i < variable.len && n + 1 < sizeof(guess); i++) {
        char c = variable.p[i];
        guess[n++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    const struct config_key *near = config_nearest(schema, (struct slice){guess, n});
    int shown = variable.len > 60 ? 60 : (int)variable.len;
    if (near && config_env_name(schema, near, meant, sizeof(meant)))
        return error_set(err, ATTEST_E_CONFIG, "environment: %.*s names no key; did you mean %s?",
                         shown, variable.p, meant);
    return error_set(err, ATTEST_E_CONFIG, "environment: %.*s names no key", shown, variable.p);
}

enum attest_rc
config_read_environment(const struct config_schema *schema, const char *const *environ_list,
                        uint8_t *seen, void *config, struct attest_error *err)
{
    for (; environ_list && *environ_list; environ_list++) {
        struct slice value = slice_cstr(*environ_list);
        bool found;
        char where[CONFIG_NAME_ROOM];
        struct slice variable = cut(&value, '=', &found);
        size_t prefix_len = strlen(schema->env_prefix);
        if (!found || variable.len < prefix_len ||
            memcmp(variable.p, schema->env_prefix, prefix_len) != 0)
            continue;
        const struct config_key *key = find_variable(schema, variable);
        if (!key)
            return refuse_variable(schema, variable, err);
        if (seen[key - schema->keys] & SEEN_VARIABLE)
            return error_set(err, ATTEST_E_CONFIG, "environment: %.*s is there twice",
                             SLICE_ARG(variable));
        seen[key - schema->keys] |= SEEN_VALUE | SEEN_VARIABLE;
        snprintf(where, sizeof(where), "%.*s", SLICE_ARG(variable));
        enum attest_rc rc = set_from_environment(key, config, where, value, err);
        if (rc)
            return rc;
    }
    return ATTEST_OK;
}
