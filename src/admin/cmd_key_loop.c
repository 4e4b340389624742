/* SPDX-License-Identifier: MIT */
#include "admin/answer.h"
#include "admin/keys.h"
#include "admin/words.h"
#include "base/clock.h"
#include "base/jsondoc.h"
#include "base/prompt.h"

enum exit_status
cmd_key_root_rotate(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    static const struct advice advice[] = {
        {ATTEST_E_EXISTS, NULL},
        {ATTEST_E_NOT_FOUND, "make one with attestctl key generate --purpose root"},
        {ATTEST_E_ARGUMENT, "see attestctl key list"},
        {ATTEST_E_DENIED, "see attestctl status"},
        {ATTEST_E_LIMIT, NULL},
        {ATTEST_OK, NULL},
    };
    AUTO(json_t) json_t *answer = NULL;
    enum exit_status status = ask_change(o, "key.root_rotate", json_object(), advice, &answer);
    if (status)
        return status;
    if (o->json)
        return print_json(answer);
    const char *to = keys_text(answer, "to");
    printf("now announcing the next root key: %s\n", to);
    printf("it signs key sets in place of %s from %s\n", keys_text(answer, "from"),
           WORDS_WHEN(keys_time(answer, "when"), clock_wall_s()));
    printf("verifiers that fetch a signed key set until then follow by themselves; for those that "
           "do not: attestctl key public %s\n",
           to);
    return EXIT_DONE;
}

enum exit_status
cmd_key_accept_clock(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    static const struct advice advice[] = {
        {ATTEST_E_ARGUMENT, NULL},
        {ATTEST_E_EXISTS, NULL},
        {ATTEST_E_DENIED, "see attestctl status"},
        {ATTEST_OK, NULL},
    };
    AUTO(json_t) json_t *answer = NULL;
    enum exit_status status = ask_change(o, "key.accept_clock", json_object(), advice, &answer);
    if (status)
        return status;
    if (o->json)
        return print_json(answer);
    printf("the rollover goes on from %s\n", CELL_TIME(answer, "now"));
    return EXIT_DONE;
}

/* Shows who owns the token's keys now, and has that one's id typed again. */
static enum exit_status
confirm_holder(const struct options *o, const char *holder, const json_t *lease)
{
    char question[400], typed[64];
    struct attest_error err = {0};
    int64_t since_s = keys_time(lease, "since"), now_s = clock_wall_s();
    snprintf(question, sizeof(question),
             "The rollover on this token belongs to instance %.40s on %.70s, since %s.\n"
             "Two that rotate one token's keys break the key set. When that one is stopped for "
             "good, type its instance again: ",
             holder, keys_text(lease, "host"), since_s ? WORDS_WHEN(since_s, now_s) : "?");
    enum attest_rc rc = prompt_line(question, typed, sizeof(typed), &err);
    if (rc == ATTEST_E_IO)
        return complain(EXIT_USAGE,
                        "%s; instance %s on %s owns the token: when it is stopped for good, give "
                        "--confirm %s",
                        err.text, holder, keys_text(lease, "host"), holder);
    if (rc && rc != ATTEST_E_LIMIT && rc != ATTEST_E_ARGUMENT)
        return report(o, &err, "nothing was taken over");
    if (rc || strcmp(typed, holder) != 0)
        return refuse(o, "that is not the instance; nothing was taken over");
    return EXIT_DONE;
}

enum exit_status
cmd_key_take_over(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    static const struct advice advice[] = {
        {ATTEST_E_EXISTS, "see attestctl status for who owns the token now"},
        {ATTEST_E_ARGUMENT, "see attestctl status"},
        {ATTEST_E_DENIED, "see attestctl status"},
        {ATTEST_OK, NULL},
    };
    AUTO(json_t) json_t *before = NULL, *answer = NULL;
    const char *holder = o->confirm;
    if (!holder) {
        enum exit_status status = ask_json(o, "status", NULL, &before);
        if (status)
            return status;
        const json_t *lease = json_object_get(before, "lease");
        holder = keys_text(lease, "instance");
        if (*holder && strcmp(holder, keys_text(before, "instance")) != 0)
            status = confirm_holder(o, holder, lease);
        if (status)
            return status;
    }
    enum exit_status status =
        ask_change(o, "key.take_over", json_pack("{s:s}", "confirm", holder), advice, &answer);
    if (status)
        return status;
    if (o->json)
        return print_json(answer);
    const char *from = keys_text(answer, "from"), *to = keys_text(answer, "instance");
    bool same = strcmp(from, to) == 0;
    printf("instance %s owns the token's rollover now%s%s\n", to,
           same    ? ", as it did before"
           : *from ? ", before it was "
                   : "",
           same ? "" : from);
    return EXIT_DONE;
}
