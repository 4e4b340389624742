/* SPDX-License-Identifier: MIT */
#include "admin/answer.h"

#include <string.h>

#include "base/clock.h"
#include "base/jsondoc.h"

/* What one frame can hold, and how deep the answers of section 6 nest. */
#define ANSWER_MAX 65536
#define ANSWER_DEPTH_MAX 8

static enum exit_status
ask(const struct options *o, const char *op, const json_t *members, const struct advice *advice,
    json_t **ret)
{
    AUTO(mem) char *text = members ? json_dumps(members, JSON_COMPACT) : strdup("{}");
    if (!text)
        return complain(EXIT_FAILED, "out of memory");
    struct slice inside = {text + 1, strlen(text) - 2};
    AUTO(buf) struct buf answer;
    buf_init(&answer, ANSWER_MAX);
    enum exit_status status = ask_signer(o, op, inside, advice, &answer);
    if (status)
        return status;
    struct attest_error err = {0};
    AUTO(json_t)
    json_t *object = jsondoc_read(answer.p, answer.len, ANSWER_MAX, ANSWER_DEPTH_MAX, &err);
    if (!object)
        return report(o, &err, NULL);
    json_object_del(object, "id");
    json_object_del(object, "ok");
    *ret = STEAL(object);
    return EXIT_DONE;
}

enum exit_status
ask_json(const struct options *o, const char *op, const json_t *members, json_t **ret)
{
    return ask(o, op, members, NULL, ret);
}

enum exit_status
ask_change(const struct options *o, const char *op, json_t *members, const struct advice *advice,
           json_t **ret)
{
    AUTO(json_t) json_t *own = members;
    if (!own)
        return complain(EXIT_USAGE, "give text that is UTF-8");
    return ask(o, op, own, advice, ret);
}

enum exit_status
print_json(json_t *object)
{
    if (!object || json_dumpf(object, stdout, JSON_COMPACT) < 0)
        return complain(EXIT_FAILED, "cannot print the answer: out of memory");
    putchar('\n');
    return EXIT_DONE;
}

const char *
cell_text(struct cell *room, const json_t *value)
{
    if (json_is_string(value))
        snprintf(room->text, sizeof(room->text), "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(room->text, sizeof(room->text), "%" JSON_INTEGER_FORMAT,
                 json_integer_value(value));
    else if (json_is_boolean(value))
        snprintf(room->text, sizeof(room->text), "%s", json_is_true(value) ? "yes" : "no");
    else
        room->text[0] = '\0';
    return room->text;
}

const char *
cell_time(struct cell *room, const json_t *value)
{
    room->text[0] = '\0';
    if (json_is_integer(value) && json_integer_value(value) > 0)
        clock_format(room->text, json_integer_value(value));
    return room->text;
}
