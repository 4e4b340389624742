/* SPDX-License-Identifier: MIT */
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "admin/answer.h"
#include "admin/keys.h"
#include "admin/words.h"
#include "base/file.h"
#include "base/jsondoc.h"

#define DRAWING_MAX (16 << 20)
#define DAYS_MAX 36525 /* a century */

static bool
environment_says(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

/* What this standard output can show. COLUMNS wins over what the terminal says of itself. */
static struct timeline_style
style_here(void)
{
    struct timeline_style style = {.width = 80};
    bool terminal = isatty(STDOUT_FILENO);
    const char *term = getenv("TERM"), *columns = getenv("COLUMNS");
    struct winsize size;
    if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        style.width = size.ws_col;
    if (columns && *columns >= '1' && *columns <= '9')
        style.width = (unsigned)strtoul(columns, NULL, 10);
    bool able = terminal && !(term && strcmp(term, "dumb") == 0);
    style.unicode = able && setlocale(LC_CTYPE, "") && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    style.colour = able && !environment_says("NO_COLOR");
    return style;
}

static enum exit_status
read_range(const struct options *o, struct timeline *t)
{
    timeline_range(t);
    if (o->days) {
        char *end;
        long days = strtol(o->days, &end, 10);
        if (*o->days < '0' || *o->days > '9' || *end || days < 1 || days > DAYS_MAX)
            return complain(EXIT_USAGE, "--days takes a number from 1 to %d", DAYS_MAX);
        t->from_s = t->now_s - days * 86400;
        t->to_s = t->now_s + days * 86400;
    }
    if (o->from && !words_read_time(o->from, &t->from_s))
        return complain(EXIT_USAGE, "--from takes 2026-01-31 or 2026-01-31T12:00:00Z");
    if (o->to && !words_read_time(o->to, &t->to_s))
        return complain(EXIT_USAGE, "--to takes 2026-01-31 or 2026-01-31T12:00:00Z");
    if (t->from_s >= t->to_s)
        return complain(EXIT_USAGE, "the range ends before it begins; see --from and --to");
    return EXIT_DONE;
}

/* Before anything is asked: what can be wrong with the line alone. */
static enum exit_status
check_line(const struct options *o, int n_args, const char **file)
{
    if (o->days && (o->from || o->to))
        return complain(EXIT_USAGE, "give --days, or --from and --to");
    if (n_args && !o->svg)
        return complain(EXIT_USAGE, "a FILE is for --svg");
    if (n_args && *o->svg)
        return complain(EXIT_USAGE, "the file is named twice; give FILE or --svg=FILE");
    if (o->svg && o->json)
        return complain(EXIT_USAGE, "give --svg or --json, not both");
    if (o->svg && *o->svg)
        *file = o->svg;
    if (*file && strcmp(*file, "-") == 0)
        *file = NULL;
    return EXIT_DONE;
}

static enum exit_status
put_out(const struct buf *out, const char *file)
{
    struct attest_error err = {0};
    if (buf_rc(out))
        return complain(EXIT_FAILED, "the drawing is too large; draw less with --from and --to");
    if (file && file_replace(file, 0644, buf_view(out), &err))
        return complain(EXIT_FAILED, "%s; name a file that you may write", err.text);
    if (!file)
        fwrite(out->p, 1, out->len, stdout);
    return EXIT_DONE;
}

enum exit_status
cmd_key_timeline(const struct options *o, char **args, int n_args)
{
    const char *file = n_args ? args[0] : NULL;
    AUTO(json_t) json_t *list = NULL;
    enum exit_status status = check_line(o, n_args, &file);
    if (status == EXIT_DONE)
        status = keys_ask(o, &list);
    if (status)
        return status;
    if (o->json)
        return print_json(list);
    struct timeline t;
    status = keys_timeline(list, &t);
    if (status)
        return status;
    AUTO(mem) struct timeline_key *keys = t.keys;
    status = read_range(o, &t);
    if (status)
        return status;
    if (t.n == 0 && !o->svg) {
        printf("no keys yet; make one with: attestctl key generate --purpose token\n");
        return EXIT_DONE;
    }
    AUTO(buf) struct buf out;
    buf_init(&out, DRAWING_MAX);
    if (o->svg) {
        timeline_svg(&t, &out);
        return put_out(&out, file);
    }
    struct timeline_style style = style_here();
    timeline_text(&t, &style, &out);
    status = put_out(&out, NULL);
    keys_print_rollover(json_object_get(list, "rollover"), t.now_s);
    return status;
}
