/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "admin/answer.h"
#include "admin/daemons.h"
#include "base/file.h"
#include "base/jsondoc.h"

#define DUMP_MAX (4 << 20)

/* A file and whose it is. */
struct source {
    const struct daemon *daemon;
    const char *path;
    struct buf text;
};

/* FILE or --config, read, and --daemon or a guess. */
static enum exit_status
find_source(const struct options *o, char **args, int n_args, struct source *s)
{
    if (n_args && o->config)
        return complain(EXIT_USAGE, "the file is named twice; give FILE or --config");
    s->path = n_args ? args[0] : o->config;
    s->daemon = o->daemon ? daemon_named(o->daemon) : NULL;
    if (o->daemon && !s->daemon)
        return complain(EXIT_USAGE, "unknown daemon '%s'; say --daemon attestd or attest-signer",
                        o->daemon);
    if (!s->path && !s->daemon)
        return complain(EXIT_USAGE, "name a FILE, or a daemon with --daemon");
    if (!s->path)
        s->path = s->daemon->usual_path;
    struct attest_error err = {0};
    if (file_read(s->path, CONFIG_FILE_MAX, &s->text, &err))
        return complain(EXIT_FAILED, "%s; name a file that you may read", err.text);
    if (!s->daemon)
        s->daemon = daemon_guess(s->path, buf_view(&s->text));
    if (!s->daemon)
        return complain(EXIT_USAGE,
                        "%s: whose configuration is this? say --daemon attestd or attest-signer",
                        s->path);
    return EXIT_DONE;
}

/* What the daemon would not start with is a refusal, not a failure. */
static enum exit_status
load(const struct options *o, char **args, int n_args, const struct daemon **d, void **config)
{
    struct source s = {0};
    buf_init(&s.text, CONFIG_FILE_MAX);
    enum exit_status status = find_source(o, args, n_args, &s);
    struct attest_error err = {0};
    enum attest_rc rc = ATTEST_OK;
    if (status == EXIT_DONE)
        rc = daemon_config(s.daemon, buf_view(&s.text), config, &err);
    if (rc == ATTEST_E_NOMEM)
        status = report(o, &err, NULL);
    else if (rc)
        status = refuse(o, "%s: %s", s.path, err.text);
    buf_done(&s.text);
    *d = s.daemon;
    return status;
}

enum exit_status
cmd_config_check(const struct options *o, char **args, int n_args)
{
    const struct daemon *d;
    void *config;
    enum exit_status status = load(o, args, n_args, &d, &config);
    if (status)
        return status;
    daemon_config_free(d, config);
    if (!o->json) {
        printf("good for %s\n", d->name);
        return EXIT_DONE;
    }
    AUTO(json_t) json_t *object = json_pack("{s:b, s:s}", "ok", 1, "daemon", d->name);
    return print_json(object);
}

enum exit_status
cmd_config_dump(const struct options *o, char **args, int n_args)
{
    const struct daemon *d;
    void *config;
    enum exit_status status = load(o, args, n_args, &d, &config);
    if (status)
        return status;
    AUTO(buf) struct buf out;
    buf_init(&out, DUMP_MAX);
    enum attest_rc rc = config_dump(d->schema, config, o->json, &out);
    daemon_config_free(d, config);
    if (rc)
        return complain(EXIT_FAILED, "cannot print the configuration: %s", attest_strerror(rc));
    fwrite(out.p, 1, out.len, stdout);
    if (out.len && out.p[out.len - 1] != '\n')
        putchar('\n');
    return EXIT_DONE;
}
