/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/command.h"
#include "base/ed25519.h"
#include "base/jsondoc.h"
#include "base/service.h"
#include "jwks/jwk.h"

#define B64U_ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

static const struct option_row {
    const char *name;
    const char
        *value; /* how help shows it; NULL: a bool, which takes none; "[=…]": may go without */
    unsigned bit;
    size_t offset;
    const char *help;
} option_rows[] = {
    {"config", "FILE", OPT_CONFIG, offsetof(struct options, config),
     "the daemon's configuration file"},
    {"daemon", "NAME", OPT_DAEMON, offsetof(struct options, daemon),
     "attestd or attest-signer; guessed from the file when not given"},
    {"socket", "PATH", OPT_SOCKET, offsetof(struct options, socket),
     "attest-signer's admin socket (else ATTEST_SOCKET, else from the configuration)"},
    {"module", "PATH", OPT_MODULE, offsetof(struct options, module), "the PKCS#11 module"},
    {"keystore", "URI", OPT_KEYSTORE, offsetof(struct options, keystore),
     "the token, as pkcs11:token=NAME (RFC 7512)"},
    {"slot", "N", OPT_SLOT, offsetof(struct options, slot), "the slot's number"},
    {"label", "TEXT", OPT_LABEL, offsetof(struct options, label), "a name for people"},
    {"purpose", "WHAT", OPT_PURPOSE, offsetof(struct options, purpose), "token, root or log"},
    {"pin-file", "FILE", OPT_PIN_FILE, offsetof(struct options, pin_file),
     "file with the user PIN; asked for when not given"},
    {"so-pin-file", "FILE", OPT_SO_PIN_FILE, offsetof(struct options, so_pin_file),
     "file with the security officer's PIN; asked for when not given"},
    {"new-pin-file", "FILE", OPT_NEW_PIN_FILE, offsetof(struct options, new_pin_file),
     "file with the new user PIN; asked for when not given"},
    {"log-key", "X", OPT_LOG_KEY, offsetof(struct options, log_key),
     "the log key's x (X.Y where it has a y), as key list --json shows it, verifies checkpoints"},
    {"force", NULL, OPT_FORCE, offsetof(struct options, force),
     "although verifiers may then refuse tokens for a while (with --reason), or although the "
     "sealed keys are not sealed as configured"},
    {"no-pin", NULL, OPT_NO_PIN, offsetof(struct options, no_pin),
     "no PIN besides the PCRs: the signer has none either"},
    {"reason", "TEXT", OPT_REASON, offsetof(struct options, reason), "why, for the record"},
    {"confirm", "ID", OPT_CONFIRM, offsetof(struct options, confirm),
     "what the command would ask for again at the terminal"},
    {"from", "TIME", OPT_FROM, offsetof(struct options, from),
     "where to begin: 2026-01-31 or 2026-01-31T12:00:00Z"},
    {"to", "TIME", OPT_TO, offsetof(struct options, to), "where to end"},
    {"days", "N", OPT_DAYS, offsetof(struct options, days),
     "from so many days ago to as many days ahead"},
    {"svg", "[=FILE]", OPT_SVG, offsetof(struct options, svg),
     "draw it as SVG, to FILE or standard output"},
    {"key", "FILE", OPT_KEY, offsetof(struct options, key), "the approver's private key, PEM"},
    {"values", "FILE", OPT_VALUES, offsetof(struct options, values),
     "what seal-status --json wrote; without it, this machine's TPM is asked"},
    {"serial", "N", OPT_SERIAL, offsetof(struct options, serial),
     "of the approval; without it, one that revokes all before once it is used"},
    {"out", "FILE", OPT_OUT, offsetof(struct options, out),
     "where to; without it, standard output"},
    {"format", "FORM", OPT_FORMAT, offsetof(struct options, format), "jwk, jwks or pem"},
};

/* What the command line is, before any command has seen it. */
struct line {
    struct options options;
    unsigned given; /* bits of the options that were named on the line */
    bool help, version;
    char *words[8];
    int n_words;
};

/* value: what stood behind a "=", or NULL. */
static enum exit_status
set_option(struct line *line, const struct option_row *row, int argc, char **argv, int *at,
           const char *value)
{
    void *place = (char *)&line->options + row->offset;
    if (!row->value) {
        if (value)
            return complain(EXIT_USAGE, "--%s takes no value", row->name);
        *(bool *)place = true;
        return EXIT_DONE;
    }
    bool optional = row->value[0] == '[';
    if (!value && optional) {
        *(const char **)place = "";
        return EXIT_DONE;
    }
    if (!value)
        value = ++*at < argc ? argv[*at] : NULL;
    if (!value || !*value)
        return complain(EXIT_USAGE, "--%s wants a value: --%s%s%s", row->name, row->name,
                        optional ? "" : " ", row->value);
    *(const char **)place = value;
    return EXIT_DONE;
}

/* A whole kid may begin with "-"; no option is as long and made of these characters only. */
static bool
is_kid(const char *arg)
{
    return strlen(arg) == JWK_THUMBPRINT_LEN && strspn(arg, B64U_ALPHABET) == JWK_THUMBPRINT_LEN;
}

static enum exit_status
read_option(struct line *line, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t name_len = equals ? (size_t)(equals - name) : strlen(name);
    struct slice wanted = {name, name_len};
    /* Names are never completed: `--pin 1234` must not become `--pin-file 1234`. */
    if (slice_is(wanted, "pin") || slice_is(wanted, "so-pin"))
        return complain(EXIT_USAGE,
                        "a PIN is never given on the command line; use --%.*s-file "
                        "or answer at the prompt",
                        SLICE_ARG(wanted));
    bool *flag = slice_is(wanted, "json")      ? &line->options.json
                 : slice_is(wanted, "help")    ? &line->help
                 : slice_is(wanted, "version") ? &line->version
                                               : NULL;
    if (flag) {
        if (equals)
            return complain(EXIT_USAGE, "--%.*s takes no value", SLICE_ARG(wanted));
        *flag = true;
        return EXIT_DONE;
    }
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        if (!slice_is(wanted, row->name))
            continue;
        if (line->given & row->bit)
            return complain(EXIT_USAGE, "--%s is given twice", row->name);
        line->given |= row->bit;
        return set_option(line, row, argc, argv, at, equals ? equals + 1 : NULL);
    }
    return complain(EXIT_USAGE, "unknown option '--%.*s'; see attestctl --help", SLICE_ARG(wanted));
}

static enum exit_status
read_line(struct line *line, int argc, char **argv)
{
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        enum exit_status status = EXIT_DONE;
        if (!only_words && strcmp(arg, "--") == 0)
            only_words = true;
        else if (!only_words && is_kid(arg) && line->n_words < (int)ARRAY_LEN(line->words))
            line->words[line->n_words++] = argv[i];
        else if (!only_words && strncmp(arg, "--", 2) == 0)
            status = read_option(line, argc, argv, &i);
        else if (!only_words && strcmp(arg, "-h") == 0)
            line->help = true;
        else if (!only_words && strcmp(arg, "-V") == 0)
            line->version = true;
        else if (!only_words && arg[0] == '-' && arg[1])
            status = complain(EXIT_USAGE,
                              "unknown option '%s'; a kid that begins with - goes behind --, and "
                              "options are in attestctl --help",
                              arg);
        else if (line->n_words == (int)ARRAY_LEN(line->words))
            status = complain(EXIT_USAGE, "too many arguments; see attestctl --help");
        else
            line->words[line->n_words++] = argv[i];
        if (status)
            return status;
    }
    return EXIT_DONE;
}

static void
print_synopsis(const struct command *c, char *out, size_t out_size)
{
    snprintf(out, out_size, "%s%s%s%s%s", c->group, c->name ? " " : "", c->name ? c->name : "",
             *c->operands ? " " : "", c->operands);
}

/* All commands, or those of one group. */
static void
help_commands(const char *group)
{
    printf("usage: attestctl COMMAND [options]\n\n");
    for (size_t i = 0; i < n_commands; i++) {
        if (group && strcmp(group, commands[i].group) != 0)
            continue;
        char synopsis[80];
        print_synopsis(&commands[i], synopsis, sizeof(synopsis));
        printf("  %-28s  %s\n", synopsis, commands[i].help);
    }
    printf("\nEvery command takes --help, --version and --json. "
           "See attestctl COMMAND --help and attestctl(1).\n");
}

static void
help_command(const struct command *c)
{
    char synopsis[80];
    print_synopsis(c, synopsis, sizeof(synopsis));
    printf("usage: attestctl %s [options]\n\n%s\n\n", synopsis, c->help);
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        if (!(c->options & row->bit))
            continue;
        char name[40];
        snprintf(name, sizeof(name), "--%s%s%s", row->name,
                 row->value && row->value[0] != '[' ? " " : "", row->value ? row->value : "");
        printf("  %-20s  %s\n", name, row->help);
    }
    printf("  %-20s  %s\n  %-20s  %s\n", "--json", "print one JSON object", "--help", "print this");
}

/* The row that the words name; *n_used says how many of them did. */
static const struct command *
find_command(char **words, int n_words, int *n_used)
{
    for (size_t i = 0; i < n_commands; i++) {
        const struct command *c = &commands[i];
        if (n_words < 1 || strcmp(words[0], c->group) != 0)
            continue;
        if (c->name && (n_words < 2 || strcmp(words[1], c->name) != 0))
            continue;
        *n_used = c->name ? 2 : 1;
        return c;
    }
    return NULL;
}

static bool
is_group(const char *word)
{
    for (size_t i = 0; i < n_commands; i++) {
        if (strcmp(word, commands[i].group) == 0)
            return true;
    }
    return false;
}

static enum exit_status
no_such_command(const struct line *line)
{
    if (line->help && (line->n_words == 0 || is_group(line->words[0]))) {
        help_commands(line->n_words ? line->words[0] : NULL);
        return EXIT_DONE;
    }
    if (line->n_words == 0)
        return complain(EXIT_USAGE, "no command given; see attestctl --help");
    if (!is_group(line->words[0]))
        return complain(EXIT_USAGE, "unknown command '%s'; see attestctl --help", line->words[0]);
    if (line->n_words == 1)
        return complain(EXIT_USAGE, "'%s' wants more; see attestctl %s --help", line->words[0],
                        line->words[0]);
    return complain(EXIT_USAGE, "unknown command '%s %s'; see attestctl %s --help", line->words[0],
                    line->words[1], line->words[0]);
}

static enum exit_status
check_use(const struct command *c, const struct line *line, int n_args)
{
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        unsigned bit = option_rows[i].bit;
        if (line->given & bit & ~c->options)
            return complain(EXIT_USAGE, "'%s%s%s' takes no --%s; see its --help", c->group,
                            c->name ? " " : "", c->name ? c->name : "", option_rows[i].name);
    }
    if (n_args < c->args_min || n_args > c->args_max)
        return complain(EXIT_USAGE, "%s; usage: attestctl %s%s%s %s",
                        n_args < c->args_min ? "an argument is missing" : "too many arguments",
                        c->group, c->name ? " " : "", c->name ? c->name : "", c->operands);
    return EXIT_DONE;
}

static enum exit_status
run(int argc, char **argv)
{
    struct line line = {0};
    enum exit_status status = read_line(&line, argc, argv);
    if (status)
        return status;
    if (line.version) {
        printf("attestctl %s\n", PACKAGE_VERSION);
        return EXIT_DONE;
    }
    int n_used = 0;
    const struct command *c = find_command(line.words, line.n_words, &n_used);
    if (!c)
        return no_such_command(&line);
    if (line.help) {
        help_command(c);
        return EXIT_DONE;
    }
    status = check_use(c, &line, line.n_words - n_used);
    if (status)
        return status;
    struct attest_error err = {0};
    secret_wipe_freed();
    if (service_harden(&err) || crypto_init(&err))
        return report(&line.options, &err, NULL);
    jsondoc_init();
    return c->run(&line.options, line.words + n_used, line.n_words - n_used);
}

int
admin_run(int argc, char **argv)
{
    return output_end("attestctl", run(argc, argv));
}
