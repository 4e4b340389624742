/* SPDX-License-Identifier: MIT */
#include "admin/answer.h"
#include "admin/keys.h"
#include "base/clock.h"
#include "base/jsondoc.h"

enum exit_status
cmd_key_list(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    AUTO(json_t) json_t *list = NULL;
    enum exit_status status = keys_ask(o, &list);
    if (status)
        return status;
    if (o->json)
        return print_json(list);
    status = keys_print(list);
    int64_t now_s = keys_time(list, "now");
    if (status == EXIT_DONE)
        keys_print_rollover(json_object_get(list, "rollover"), now_s ? now_s : clock_wall_s());
    return status;
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
    return o->json ? print_json(answer) : keys_print_one(json_object_get(answer, "key"));
}
