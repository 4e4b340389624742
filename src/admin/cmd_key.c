/* SPDX-License-Identifier: MIT */
#include "admin/answer.h"
#include "admin/keys.h"
#include "base/jsondoc.h"

static const char *const key_heads[] = {"PURPOSE", "STATE", "KID", "CREATED", "ACTIVE", "LABEL"};

static void
add_key(struct table *t, const json_t *key)
{
    table_cell(t, "%s", CELL(key, "purpose"));
    table_cell(t, "%s", CELL(key, "state"));
    table_cell(t, "%s", CELL(key, "kid"));
    table_cell(t, "%s", CELL_TIME(key, "created"));
    table_cell(t, "%s", CELL_TIME(key, "active"));
    table_cell(t, "%s", CELL(key, "label"));
}

enum exit_status
print_keys(const json_t *keys)
{
    if (json_array_size(keys) == 0) {
        printf("no keys yet; make one with: attestctl key generate --purpose token\n");
        return EXIT_DONE;
    }
    AUTO(table) struct table t;
    table_init(&t, key_heads, ARRAY_LEN(key_heads));
    for (size_t i = 0; i < json_array_size(keys); i++)
        add_key(&t, json_array_get(keys, i));
    return table_print(&t, stdout) ? EXIT_DONE : complain(EXIT_FAILED, "out of memory");
}

enum exit_status
cmd_key_list(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    AUTO(json_t) json_t *answer = NULL;
    enum exit_status status = ask_json(o, "key.list", NULL, &answer);
    if (status)
        return status;
    return o->json ? print_json(answer) : print_keys(json_object_get(answer, "keys"));
}

enum exit_status
cmd_key_generate(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    if (!o->purpose)
        return complain(EXIT_USAGE, "say what the key is for: --purpose token, root or log");
    AUTO(json_t)
    json_t *members = json_pack("{s:s, s:s*}", "purpose", o->purpose, "label", o->label);
    if (!members)
        return complain(EXIT_USAGE, "--purpose and --label take UTF-8 text");
    AUTO(json_t) json_t *answer = NULL;
    enum exit_status status = ask_json(o, "key.generate", members, &answer);
    if (status)
        return status;
    if (o->json)
        return print_json(answer);
    AUTO(table) struct table t;
    table_init(&t, key_heads, ARRAY_LEN(key_heads));
    add_key(&t, json_object_get(answer, "key"));
    return table_print(&t, stdout) ? EXIT_DONE : complain(EXIT_FAILED, "out of memory");
}
