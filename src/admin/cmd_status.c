/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "admin/answer.h"
#include "admin/keys.h"
#include "admin/table.h"
#include "base/jsondoc.h"

/* Members that are moments, not numbers. */
static const char *const time_names[] = {"started", "now", "next_at", "due", "overdue", "since"};

/* Whatever the signer tells, one row a fact: a nested object's members follow a dot. */
static void
add_facts(struct table *t, const char *prefix, json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        char path[128];
        snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", name);
        if (json_is_object(value)) {
            add_facts(t, path, value);
        } else if (!json_is_array(value)) {
            bool is_time = false;
            for (size_t i = 0; i < ARRAY_LEN(time_names); i++)
                is_time |= strcmp(name, time_names[i]) == 0;
            struct cell room;
            table_cell(t, "%s", path);
            table_cell(t, "%s", is_time ? cell_time(&room, value) : cell_text(&room, value));
        }
    }
}

/* All that the signer tells when asked this, as facts and, where it tells of keys, as a table. */
static enum exit_status
show(const struct options *o, const char *op)
{
    AUTO(json_t) json_t *answer = NULL;
    enum exit_status status = ask_json(o, op, NULL, &answer);
    if (status)
        return status;
    if (o->json)
        return print_json(answer);
    AUTO(table) struct table t;
    table_init(&t, NULL, 2);
    add_facts(&t, "", answer);
    if (!table_print(&t, stdout))
        return complain(EXIT_FAILED, "out of memory");
    if (!json_object_get(answer, "keys"))
        return EXIT_DONE;
    putchar('\n');
    return keys_print(answer);
}

enum exit_status
cmd_status(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    return show(o, "status");
}

enum exit_status
cmd_audit_show(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    return show(o, "audit.show");
}
