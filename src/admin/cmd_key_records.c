/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "admin/answer.h"
#include "admin/keys.h"
#include "base/file.h"
#include "base/jsondoc.h"

#define RECORDS_FORMAT "attestd-key-records/1"
#define RECORDS_MAX_BYTES (64 << 20)
#define RECORDS_MAX 65536
#define RECORDS_DEPTH 4
/* So many fit into one frame, whatever is in them: a record has at most 2 KiB. */
#define RECORDS_AT_ONCE 20

/* ---- export ---- */

static enum exit_status
ask_export(const struct options *o, json_t **ret)
{
    AUTO(json_t) json_t *all = NULL;
    int64_t from = 0, next;
    do {
        AUTO(json_t) json_t *page = NULL, *members = json_pack("{s:I}", "from", (json_int_t)from);
        enum exit_status status = members ? ask_json(o, "key.export", members, &page) : EXIT_FAILED;
        if (status)
            return members ? status : complain(EXIT_FAILED, "out of memory");
        next = keys_time(page, "next");
        json_object_del(page, "next");
        if (!all)
            all = STEAL(page);
        else if (json_array_extend(json_object_get(all, "keys"), json_object_get(page, "keys")))
            return complain(EXIT_FAILED, "out of memory");
        if (next && next <= from)
            return complain(EXIT_FAILED, "the export has no end; see the signer's log");
        from = next;
    } while (next);
    if ((int64_t)json_array_size(json_object_get(all, "keys")) != keys_time(all, "total"))
        return complain(EXIT_FAILED, "the keys changed meanwhile; do it again");
    *ret = STEAL(all);
    return EXIT_DONE;
}

enum exit_status
cmd_key_export_records(const struct options *o, char **args, int n_args)
{
    const char *file = n_args && strcmp(args[0], "-") != 0 ? args[0] : NULL;
    AUTO(json_t) json_t *all = NULL;
    enum exit_status status = ask_export(o, &all);
    if (status)
        return status;
    if (!file)
        return print_json(all);
    AUTO(mem) char *text = json_dumps(all, JSON_INDENT(1));
    AUTO(buf) struct buf out;
    struct attest_error err = {0};
    buf_init(&out, RECORDS_MAX_BYTES);
    buf_str(&out, text ? text : "");
    buf_char(&out, '\n');
    if (!text || buf_rc(&out))
        return complain(EXIT_FAILED, "out of memory");
    if (file_replace(file, 0600, buf_view(&out), &err))
        return complain(EXIT_FAILED, "%s; name a file that you may write", err.text);
    size_t n = json_array_size(json_object_get(all, "keys"));
    if (o->json) {
        AUTO(json_t)
        json_t *said = json_pack("{s:b, s:s, s:I}", "ok", 1, "file", file, "total", (json_int_t)n);
        return print_json(said);
    }
    printf("%zu records written to %s; the keys themselves stay on the token\n", n, file);
    return EXIT_DONE;
}

/* ---- import ---- */

static const char *const record_members[] = {
    "kid",       "purpose", "label",   "state",   "alg",     "x",         "y",      "created",
    "published", "active",  "retired", "removed", "revoked", "destroyed", "reason", "id",
};

static bool
is_record(const json_t *key)
{
    const char *name;
    const json_t *value;
    size_t n_known = 0;
    json_object_foreach((json_t *)(uintptr_t)key, name, value)
    {
        for (size_t i = 0; i < ARRAY_LEN(record_members); i++)
            n_known += strcmp(name, record_members[i]) == 0 &&
                       (json_is_string(value) || json_is_integer(value));
    }
    return json_is_object(key) && n_known == json_object_size(key) && *keys_text(key, "kid") &&
           *keys_text(key, "purpose") && *keys_text(key, "x") && *keys_text(key, "id");
}

/* A file that export-records wrote, whole and with nothing else in it. */
static enum exit_status
read_records(const struct options *o, const char *path, json_t **ret)
{
    AUTO(buf) struct buf text;
    struct attest_error err = {0};
    buf_init(&text, RECORDS_MAX_BYTES);
    if (file_read(path, RECORDS_MAX_BYTES, &text, &err))
        return complain(EXIT_FAILED, "%s; name a file that export-records wrote", err.text);
    AUTO(json_t)
    json_t *all = jsondoc_read(text.p, text.len, RECORDS_MAX_BYTES, RECORDS_DEPTH, &err);
    if (!all)
        return refuse(o, "%s: no key records: %s", path, err.text);
    const char *format = keys_text(all, "format");
    if (strcmp(format, RECORDS_FORMAT) != 0)
        return refuse(o, "%s: the format is '%.60s', not " RECORDS_FORMAT, path, format);
    const json_t *keys = json_object_get(all, "keys"), *key;
    size_t i, n = json_array_size(keys);
    if (!json_is_array(keys) || n == 0 || n > RECORDS_MAX || !*keys_text(all, "issuer") ||
        keys_time(all, "total") != (int64_t)n)
        return refuse(o, "%s: cut off or changed: %zu records, and %lld are announced", path, n,
                      (long long)keys_time(all, "total"));
    json_array_foreach(keys, i, key)
    {
        if (!is_record(key))
            return refuse(o, "%s: record %zu is not one that export-records writes", path, i + 1);
    }
    *ret = STEAL(all);
    return EXIT_DONE;
}

static enum exit_status
same_issuer(const struct options *o, const json_t *all)
{
    AUTO(json_t) json_t *here = NULL;
    enum exit_status status = ask_json(o, "status", NULL, &here);
    if (status)
        return status;
    const char *theirs = keys_text(all, "issuer"), *ours = keys_text(here, "issuer");
    if (strcmp(theirs, ours) == 0)
        return EXIT_DONE;
    return refuse(o, "the records are of issuer %.150s, and this signer is %.150s", theirs, ours);
}

static json_t *
page_of(const json_t *all, size_t from)
{
    const json_t *keys = json_object_get(all, "keys");
    json_t *page = json_pack("{s:s, s:s, s:I, s:I, s:[]}", "format", RECORDS_FORMAT, "issuer",
                             keys_text(all, "issuer"), "from", (json_int_t)from, "total",
                             (json_int_t)json_array_size(keys), "keys");
    json_t *some = json_object_get(page, "keys");
    for (size_t i = from; i < from + RECORDS_AT_ONCE && i < json_array_size(keys); i++)
        json_array_append(some, json_array_get(keys, i));
    return page;
}

enum exit_status
cmd_key_import_records(const struct options *o, char **args, int n_args)
{
    (void)n_args;
    static const struct advice advice[] = {
        {ATTEST_E_DENIED, "records are imported into attest-signer --passive"},
        {ATTEST_E_EXISTS, "only a signer without keys takes them; see attestctl key list"},
        {ATTEST_E_ARGUMENT, "nothing was imported"},
        {ATTEST_E_NOT_FOUND, "nothing was imported; is it the same token?"},
        {ATTEST_E_ISSUER, "nothing was imported"},
        {ATTEST_E_LIMIT, "nothing was imported"},
        {ATTEST_E_MALFORMED, "nothing was imported"},
        {ATTEST_OK, NULL},
    };
    AUTO(json_t) json_t *all = NULL, *answer = NULL;
    enum exit_status status = read_records(o, args[0], &all);
    if (status == EXIT_DONE)
        status = same_issuer(o, all);
    if (status)
        return status;
    size_t n = json_array_size(json_object_get(all, "keys"));
    bool show = n > RECORDS_AT_ONCE && isatty(STDERR_FILENO);
    for (size_t from = 0; from < n; from += RECORDS_AT_ONCE) {
        json_decref(answer);
        answer = NULL;
        status = ask_change(o, "key.import", page_of(all, from), advice, &answer);
        if (status)
            return status;
        if (show)
            fprintf(stderr, "\r%zu of %zu%s",
                    from + RECORDS_AT_ONCE < n ? from + RECORDS_AT_ONCE : n, n,
                    from + RECORDS_AT_ONCE < n ? "" : "\n");
    }
    if (keys_time(answer, "imported") != (int64_t)n)
        return complain(EXIT_FAILED, "the signer does not say that it kept them all; see its log");
    if (o->json)
        return print_json(answer);
    printf("%zu records imported; this signer is passive until attestctl key take-over\n", n);
    return EXIT_DONE;
}
