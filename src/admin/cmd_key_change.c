/* SPDX-License-Identifier: MIT */
#include "admin/answer.h"
#include "admin/keys.h"
#include "admin/words.h"
#include "base/clock.h"
#include "base/jsondoc.h"
#include "base/prompt.h"

enum { REASON_MAX = 128 }; /* characters */

/* What the signer refuses of any change, unless an operation has better advice. */
#define ADVICE_STATE                                                                               \
    {                                                                                              \
        ATTEST_E_ARGUMENT, "see attestctl key list"                                                \
    }
#define ADVICE_DENIED                                                                              \
    {                                                                                              \
        ATTEST_E_DENIED, "see attestctl status"                                                    \
    }
#define ADVICE_END                                                                                 \
    {                                                                                              \
        ATTEST_OK, NULL                                                                            \
    }

/* As the signer takes it: it becomes part of a log record and of the signed key set. */
static bool
reason_ok(const char *reason)
{
    size_t len = strlen(reason);
    for (const char *p = reason; *p; p++) {
        if (*p < 0x20 || *p > 0x7e || *p == '"' || *p == '\\')
            return false;
    }
    return len >= 1 && len <= REASON_MAX;
}

/* Sends op with the kid that args[0] means, and what o has of --force and --reason. *list are the
 * keys before the change. */
static enum exit_status
change(const struct options *o, char **args, const char *op, const struct advice *advice,
       json_t **list, json_t **ret)
{
    const json_t *key;
    if (o->force && !o->reason)
        return complain(EXIT_USAGE, "--force goes on record: say why with --reason TEXT");
    if (o->reason && !reason_ok(o->reason))
        return complain(EXIT_USAGE,
                        "--reason takes 1 to %d printable ASCII characters, no quotes or "
                        "backslashes",
                        REASON_MAX);
    enum exit_status status = keys_find(o, args[0], list, &key);
    if (status)
        return status;
    json_t *members = json_pack("{s:s, s:s*}", "kid", keys_text(key, "kid"), "reason", o->reason);
    if (members && o->force)
        json_object_set_new(members, "force", json_true());
    status = ask_change(o, op, members, advice, ret);
    if (status || !o->json)
        return status;
    return print_json(*ret);
}

/* Who signs after a change: "active", or the standby from "signs_from" on, or nobody. */
static void
print_who_signs(const json_t *answer, const json_t *list, const char *purpose, int64_t now_s)
{
    const char *active = keys_text(answer, "active");
    int64_t from_s = keys_time(answer, "signs_from");
    if (*active) {
        printf("signing now: %s\n", active);
        return;
    }
    if (from_s) {
        printf("no key signs now: the standby does from %s, when every cache knows it\n",
               WORDS_WHEN(from_s, now_s));
        printf("not to wait, and have some tokens refused until then: attestctl key activate KID "
               "--force --reason TEXT\n");
        return;
    }
    /* A standby or log key that went leaves the active one as it was. */
    const json_t *other = keys_active(list, purpose);
    if (other &&
        strcmp(keys_text(other, "kid"), keys_text(json_object_get(answer, "key"), "kid")) != 0)
        printf("signing now: %s\n", keys_text(other, "kid"));
    else
        printf("no %s key signs now, and none is ready to: attestctl key generate --purpose %s\n",
               purpose, purpose);
}

enum exit_status
cmd_key_publish(const struct options *o, char **args, int n_args)
{
    (void)n_args;
    static const struct advice advice[] = {
        ADVICE_STATE, ADVICE_DENIED, {ATTEST_E_LIMIT, "see attestctl key timeline"}, ADVICE_END};
    AUTO(json_t) json_t *list = NULL, *answer = NULL;
    enum exit_status status = change(o, args, "key.publish", advice, &list, &answer);
    if (status || o->json)
        return status;
    const json_t *key = json_object_get(answer, "key");
    int64_t now_s = clock_wall_s(), lead_s = keys_policy(list, "publish_lead_s");
    printf("published: %s\n", keys_text(key, "kid"));
    if (lead_s && strcmp(keys_text(key, "purpose"), "token") == 0)
        printf("it may sign from %s, when every cache knows it\n",
               WORDS_WHEN(keys_time(key, "published") + lead_s, now_s));
    return EXIT_DONE;
}

enum exit_status
cmd_key_activate(const struct options *o, char **args, int n_args)
{
    (void)n_args;
    static const struct advice advice[] = {
        ADVICE_STATE,
        {ATTEST_E_DENIED, "wait, or add --force --reason TEXT: verifiers with an older key set "
                          "then refuse its tokens until they fetch the new one"},
        ADVICE_END,
    };
    AUTO(json_t) json_t *list = NULL, *answer = NULL;
    enum exit_status status = change(o, args, "key.activate", advice, &list, &answer);
    if (status || o->json)
        return status;
    int64_t now_s = clock_wall_s(), lag_s = keys_policy(list, "retire_lag_s");
    const char *retired = keys_text(answer, "retired");
    printf("signing now: %s\n", keys_text(json_object_get(answer, "key"), "kid"));
    if (*retired)
        printf("retired: %s; what it signed stays good, and it stays in the key set until %s\n",
               retired, WORDS_WHEN(now_s + lag_s, now_s));
    return EXIT_DONE;
}

enum exit_status
cmd_key_rotate(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    static const struct advice advice[] = {
        {ATTEST_E_EXISTS, NULL},
        {ATTEST_E_NOT_FOUND, "see attestctl key list"},
        {ATTEST_E_LIMIT, "see attestctl key timeline"},
        ADVICE_STATE,
        ADVICE_DENIED,
        ADVICE_END,
    };
    const char *purpose = o->purpose ? o->purpose : "token";
    if (strcmp(purpose, "root") == 0)
        return complain(EXIT_USAGE, "a root key changes with attestctl key root-rotate");
    if (strcmp(purpose, "token") != 0 && strcmp(purpose, "log") != 0)
        return complain(EXIT_USAGE, "--purpose is token or log here");
    AUTO(json_t) json_t *answer = NULL;
    enum exit_status status =
        ask_change(o, "key.rotate", json_pack("{s:s}", "purpose", purpose), advice, &answer);
    if (status)
        return status;
    if (o->json)
        return print_json(answer);
    int64_t now_s = clock_wall_s(), when_s = keys_time(answer, "when");
    const char *from = keys_text(answer, "from"), *to = keys_text(answer, "to");
    if (when_s <= now_s)
        printf("%s signs now; %s has retired, and what it signed stays good\n", to, from);
    else
        printf("now publishing %s\nit takes over from %s and signs from %s, when every cache "
               "knows it\n",
               to, from, WORDS_WHEN(when_s, now_s));
    return EXIT_DONE;
}

enum exit_status
cmd_key_retire(const struct options *o, char **args, int n_args)
{
    (void)n_args;
    static const struct advice advice[] = {
        ADVICE_STATE,
        {ATTEST_E_DENIED, "attestctl key rotate lets the next key take over first; or add --force "
                          "--reason TEXT"},
        ADVICE_END,
    };
    AUTO(json_t) json_t *list = NULL, *answer = NULL;
    enum exit_status status = change(o, args, "key.retire", advice, &list, &answer);
    if (status || o->json)
        return status;
    const json_t *key = json_object_get(answer, "key");
    int64_t now_s = clock_wall_s(), leaves_s = keys_time(key, "removed");
    if (!leaves_s)
        leaves_s = keys_time(key, "retired") + keys_policy(list, "retire_lag_s");
    printf("retired: %s; what it signed stays good\n", keys_text(key, "kid"));
    if (strcmp(keys_text(key, "purpose"), "token") == 0)
        printf("it leaves the key set at %s\n", WORDS_WHEN(leaves_s, now_s));
    print_who_signs(answer, list, keys_text(key, "purpose"), now_s);
    return EXIT_DONE;
}

enum exit_status
cmd_key_revoke(const struct options *o, char **args, int n_args)
{
    (void)n_args;
    static const struct advice advice[] = {
        ADVICE_STATE, ADVICE_DENIED, {ATTEST_E_EXISTS, "see attestctl key list"}, ADVICE_END};
    if (!o->reason)
        return complain(EXIT_USAGE, "a revocation goes on record and to those who pin: say why "
                                    "with --reason TEXT");
    AUTO(json_t) json_t *list = NULL, *answer = NULL;
    enum exit_status status = change(o, args, "key.revoke", advice, &list, &answer);
    if (status || o->json)
        return status;
    const json_t *key = json_object_get(answer, "key");
    int64_t now_s = clock_wall_s(), until_s = keys_time(answer, "accepted_until"),
            pinned_s = keys_time(answer, "pinned_until");
    printf("revoked: %s\n", keys_text(key, "kid"));
    if (until_s)
        printf("a verifier that does not pin may accept its tokens until %s\n",
               WORDS_WHEN(until_s, now_s));
    if (pinned_s)
        printf("one that pins the root, until %s\n", WORDS_WHEN(pinned_s, now_s));
    print_who_signs(answer, list, keys_text(key, "purpose"), now_s);
    return EXIT_DONE;
}

/* The kid, typed once more; a beginning is not enough here. */
static enum exit_status
confirm_kid(const struct options *o, const json_t *key)
{
    const char *kid = keys_text(key, "kid");
    char question[400], typed[64];
    struct attest_error err = {0};
    if (o->confirm) {
        if (strcmp(o->confirm, kid) == 0)
            return EXIT_DONE;
        return refuse(o, "--confirm is not the whole kid of %s; nothing was destroyed", kid);
    }
    snprintf(question, sizeof(question),
             "About to destroy on the token, for good: the %.10s key %s (%.10s, \"%.64s\").\n"
             "Its kid again, in full: ",
             keys_text(key, "purpose"), kid, keys_text(key, "state"), keys_text(key, "label"));
    enum attest_rc rc = prompt_line(question, typed, sizeof(typed), &err);
    if (rc == ATTEST_E_IO)
        return complain(EXIT_USAGE, "%s; give the kid again with --confirm %s", err.text, kid);
    if (rc && rc != ATTEST_E_LIMIT && rc != ATTEST_E_ARGUMENT)
        return report(o, &err, "nothing was destroyed");
    if (rc || strcmp(typed, kid) != 0)
        return refuse(o, "that is not its kid; nothing was destroyed");
    return EXIT_DONE;
}

enum exit_status
cmd_key_destroy(const struct options *o, char **args, int n_args)
{
    (void)n_args;
    static const struct advice advice[] = {
        {ATTEST_E_ARGUMENT, "only a key that is created, removed or revoked can be destroyed"},
        {ATTEST_E_EXISTS, "see attestctl key list"},
        ADVICE_DENIED,
        ADVICE_END,
    };
    AUTO(json_t) json_t *list = NULL, *answer = NULL;
    const json_t *key;
    enum exit_status status = keys_find(o, args[0], &list, &key);
    if (status == EXIT_DONE)
        status = confirm_kid(o, key);
    if (status)
        return status;
    const char *kid = keys_text(key, "kid");
    status = ask_change(o, "key.destroy", json_pack("{s:s, s:s}", "kid", kid, "confirm", kid),
                        advice, &answer);
    if (status)
        return status;
    if (o->json)
        return print_json(answer);
    printf("destroyed: %s; its record stays\n", kid);
    return EXIT_DONE;
}
