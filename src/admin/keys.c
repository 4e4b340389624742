/* SPDX-License-Identifier: MIT */
#include "admin/keys.h"

#include "admin/answer.h"
#include "admin/table.h"
#include "admin/words.h"
#include "base/clock.h"
#include "base/jsondoc.h"
#include "jwks/jwk.h"

/* Far more pages than keys that anyone ever makes: an end for a signer that never says the last. */
#define PAGES_MAX 10000
#define TIME_MAX_S INT64_C(253402300799) /* the end of the year 9999 */

int64_t
keys_time(const json_t *object, const char *name)
{
    int64_t at_s = json_integer_value(json_object_get(object, name));
    return at_s < 0 || at_s > TIME_MAX_S ? 0 : at_s;
}

const char *
keys_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

int64_t
keys_policy(const json_t *answer, const char *name)
{
    return keys_time(json_object_get(json_object_get(answer, "rollover"), "policy"), name);
}

/* ---- asking ---- */

static enum exit_status
ask_page(const struct options *o, int64_t from, json_t **ret)
{
    AUTO(json_t) json_t *members = from ? json_pack("{s:I}", "from", (json_int_t)from) : NULL;
    if (from && !members)
        return complain(EXIT_FAILED, "out of memory");
    enum exit_status status = ask_json(o, "key.list", members, ret);
    if (status)
        return status;
    if (json_is_array(json_object_get(*ret, "keys")))
        return EXIT_DONE;
    json_decref(*ret);
    *ret = NULL;
    return complain(EXIT_FAILED, "the answer has no keys: is this attest-signer's admin socket?");
}

enum exit_status
keys_ask(const struct options *o, json_t **ret)
{
    AUTO(json_t) json_t *list = NULL;
    enum exit_status status = ask_page(o, 0, &list);
    if (status)
        return status;
    int64_t next = keys_time(list, "next"), from = 0;
    for (int page = 0; next > from; page++) {
        AUTO(json_t) json_t *more = NULL;
        if (page == PAGES_MAX)
            return complain(EXIT_FAILED, "the list of keys has no end; see the signer's log");
        from = next;
        status = ask_page(o, from, &more);
        if (status)
            return status;
        if (json_array_extend(json_object_get(list, "keys"), json_object_get(more, "keys")))
            return complain(EXIT_FAILED, "out of memory");
        next = keys_time(more, "next");
    }
    json_object_del(list, "next");
    *ret = STEAL(list);
    return EXIT_DONE;
}

static enum exit_status
refuse_several(const struct options *o, const char *kid, const json_t *keys)
{
    char text[400] = "";
    size_t len = 0, left = 0, i;
    const json_t *key;
    json_array_foreach(keys, i, key)
    {
        if (strncmp(keys_text(key, "kid"), kid, strlen(kid)) != 0)
            continue;
        if (len > sizeof(text) - 100) {
            left++;
            continue;
        }
        int n = snprintf(text + len, sizeof(text) - len, "%s%.43s (%.10s, %.10s)", len ? ", " : "",
                         keys_text(key, "kid"), keys_text(key, "purpose"), keys_text(key, "state"));
        len += n > 0 ? (size_t)n : 0;
    }
    return refuse(o, "several keys begin with '%s': %s%s; give more of it", kid, text,
                  left ? " and more" : "");
}

enum exit_status
keys_find(const struct options *o, const char *kid, json_t **list, const json_t **ret)
{
    size_t len = strlen(kid), n_found = 0, i;
    if (len < KID_PREFIX_MIN || len > JWK_THUMBPRINT_LEN)
        return complain(EXIT_USAGE,
                        "a kid has %d characters, of which at least the first %d are needed; see "
                        "attestctl key list",
                        JWK_THUMBPRINT_LEN, KID_PREFIX_MIN);
    AUTO(json_t) json_t *all = NULL;
    enum exit_status status = keys_ask(o, &all);
    if (status)
        return status;
    const json_t *keys = json_object_get(all, "keys"), *key, *found = NULL;
    json_array_foreach(keys, i, key)
    {
        if (strncmp(keys_text(key, "kid"), kid, len) == 0) {
            found = key;
            n_found++;
        }
    }
    if (n_found == 0)
        return complain(EXIT_FAILED, "no kid is or begins with '%s'; see attestctl key list", kid);
    if (n_found > 1)
        return refuse_several(o, kid, keys);
    *list = STEAL(all);
    *ret = found;
    return EXIT_DONE;
}

const json_t *
keys_active(const json_t *list, const char *purpose)
{
    const json_t *key;
    size_t i;
    json_array_foreach(json_object_get(list, "keys"), i, key)
    {
        if (strcmp(keys_text(key, "purpose"), purpose) == 0 &&
            strcmp(keys_text(key, "state"), "active") == 0)
            return key;
    }
    return NULL;
}

/* ---- showing ---- */

static struct key_times
read_times(const json_t *key)
{
    return (struct key_times){
        .created_s = keys_time(key, "created"),
        .published_s = keys_time(key, "published"),
        .active_s = keys_time(key, "active"),
        .retired_s = keys_time(key, "retired"),
        .removed_s = keys_time(key, "removed"),
        .revoked_s = keys_time(key, "revoked"),
        .destroyed_s = keys_time(key, "destroyed"),
    };
}

enum exit_status
keys_timeline(const json_t *list, struct timeline *ret)
{
    const json_t *keys = json_object_get(list, "keys"), *key;
    size_t i;
    struct timeline t = {.now_s = keys_time(list, "now"), .n = json_array_size(keys)};
    if (t.now_s == 0)
        t.now_s = clock_wall_s();
    t.keys = calloc(t.n + 1, sizeof(*t.keys));
    if (!t.keys)
        return complain(EXIT_FAILED, "out of memory");
    json_array_foreach(keys, i, key)
    {
        t.keys[i] = (struct timeline_key){
            .kid = keys_text(key, "kid"),
            .purpose = keys_text(key, "purpose"),
            .label = keys_text(key, "label"),
            .times = read_times(key),
        };
    }
    struct rollover_policy policy = {
        .publish_lead_s = keys_policy(list, "publish_lead_s"),
        .retire_lag_s = keys_policy(list, "retire_lag_s"),
        .destroy_grace_s = keys_policy(list, "destroy_grace_s"),
    };
    const json_t *rollover = json_object_get(list, "rollover");
    if (rollover)
        timeline_plan(&t, &policy, keys_time(rollover, "due"));
    for (i = 0; !rollover && i < t.n; i++)
        t.keys[i].plan = t.keys[i].times;
    *ret = t;
    return EXIT_DONE;
}

static const char *const heads[] = {"PURPOSE", "STATE", "KID", "CREATED", "SINCE", "NEXT", "LABEL"};

/* When the key came into the state that it is in. */
static int64_t
since_s(const struct timeline_key *key, int64_t now_s)
{
    struct timeline_part parts[TIMELINE_PARTS_MAX];
    size_t n = timeline_parts(&key->times, parts);
    int64_t at_s = key->times.created_s;
    for (size_t i = 0; i < n && parts[i].from_s <= now_s; i++)
        at_s = parts[i].from_s;
    return at_s;
}

static void
add_key(struct table *t, const json_t *key, const struct timeline_key *life, int64_t now_s)
{
    int64_t at_s = 0;
    bool destroyed = life->times.destroyed_s && life->times.destroyed_s <= now_s;
    const char *verb = destroyed ? NULL : timeline_next(life, now_s, &at_s);
    table_cell(t, "%s", keys_text(key, "purpose"));
    table_cell(t, "%s%s", keys_text(key, "state"), destroyed ? ", destroyed" : "");
    table_cell(t, "%s", keys_text(key, "kid"));
    table_cell(t, "%s", CELL_TIME(key, "created"));
    table_cell(t, "%s", WORDS_RELATIVE(since_s(life, now_s), now_s));
    table_cell(t, "%s%s%s", verb ? verb : "", verb ? " " : "",
               verb ? WORDS_RELATIVE(at_s, now_s) : "");
    table_cell(t, "%s", keys_text(key, "label"));
}

enum exit_status
keys_print(const json_t *list)
{
    const json_t *keys = json_object_get(list, "keys");
    if (json_array_size(keys) == 0) {
        printf("no keys yet; make one with: attestctl key generate --purpose token\n");
        return EXIT_DONE;
    }
    struct timeline life;
    enum exit_status status = keys_timeline(list, &life);
    if (status)
        return status;
    AUTO(mem) struct timeline_key *lives = life.keys;
    AUTO(table) struct table t;
    table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < json_array_size(keys); i++)
        add_key(&t, json_array_get(keys, i), &lives[i], life.now_s);
    return table_print(&t, stdout) ? EXIT_DONE : complain(EXIT_FAILED, "out of memory");
}

enum exit_status
keys_print_one(const json_t *key)
{
    AUTO(json_t) json_t *list = json_pack("{s:[O]}", "keys", (json_t *)(uintptr_t)key);
    return list ? keys_print(list) : complain(EXIT_FAILED, "out of memory");
}

void
keys_print_rollover(const json_t *rollover, int64_t now_s)
{
    if (!json_is_object(rollover))
        return;
    const char *loop = keys_text(rollover, "loop"), *why = keys_text(rollover, "why");
    const char *action = keys_text(rollover, "next_action"), *kid = keys_text(rollover, "next_kid");
    int64_t at_s = keys_time(rollover, "next_at");
    const json_t *overdue = json_object_get(rollover, "overdue");
    if (strcmp(loop, "running") != 0)
        printf("rollover: %s%s%s\n", loop, *why ? ": " : "", why);
    else if (!at_s)
        printf("rollover: nothing to do until something changes\n");
    else
        printf("rollover: next %s%s%s, %s\n", *action ? action : "a look", *kid ? " " : "", kid,
               WORDS_WHEN(at_s, now_s));
    if (json_is_true(overdue) || (json_is_integer(overdue) && json_integer_value(overdue) > 0 &&
                                  json_integer_value(overdue) <= now_s))
        printf("rollover: OVERDUE, so nothing is minted; see attestctl key rotate and docs\n");
}
