/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ed25519.h"
#include "base/jsondoc.h"
#include "cli/command.h"

/* What the command line is, before the command has seen it. */
struct line {
    struct cli_args args;
    bool help, version;
    int n_operands;
};

static int
option_index(const struct cli_command *command, struct slice name)
{
    for (int i = 0; i < CLI_OPTIONS_MAX && command->options[i].name; i++) {
        if (slice_is(name, command->options[i].name))
            return i;
    }
    return -1;
}

const char *
cli_value(const struct cli_args *args, const char *name)
{
    int i = option_index(args->command, slice_cstr(name));
    return i < 0 ? NULL : args->value[i];
}

const char *
cli_value_at(const struct cli_args *args, const char *name, size_t n)
{
    int index = option_index(args->command, slice_cstr(name));
    if (n == 0)
        return cli_value(args, name);
    for (size_t i = 0; i < args->n_more; i++) {
        if (args->more[i].option == index && --n == 0)
            return args->more[i].value;
    }
    return NULL;
}

bool
cli_need(const struct cli_args *args, const char *name, const char **ret)
{
    *ret = cli_value(args, name);
    if (!*ret)
        cli_complain(EXIT_USAGE, args->command->name,
                     "--%s is missing; see attest %s --help for an example", name,
                     args->command->name);
    return *ret != NULL;
}

static bool
is_choice(const char *choice, const char *value)
{
    size_t len = strlen(value);
    for (const char *p = choice; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
        if (strncmp(p, value, len) == 0 && (p[len] == '\0' || p[len] == '|'))
            return true;
    }
    return false;
}

static enum exit_status
set_option(struct line *line, int index, const char *value, const char *from)
{
    const struct cli_option *option = &line->args.command->options[index];
    if (option->choice && !is_choice(option->choice, value))
        return cli_complain(EXIT_USAGE, line->args.command->name, "%s is %s, not '%s'", from,
                            option->choice, value);
    if (!line->args.value[index]) {
        line->args.value[index] = value;
        return EXIT_DONE;
    }
    if (line->args.n_more == CLI_MORE_MAX)
        return cli_complain(EXIT_USAGE, line->args.command->name, "%s is given too often", from);
    line->args.more[line->args.n_more].option = index;
    line->args.more[line->args.n_more++].value = value;
    return EXIT_DONE;
}

/* --json, --help and --version are everyone's. */
static bool *
common_flag(struct line *line, struct slice name)
{
    return slice_is(name, "json")      ? &line->args.json
           : slice_is(name, "help")    ? &line->help
           : slice_is(name, "version") ? &line->version
                                       : NULL;
}

/* Names are never completed: a later option must not change what an old script means. */
static enum exit_status
read_option(struct line *line, int argc, char **argv, int *at)
{
    const char *command = line->args.command->name, *arg = argv[*at];
    const char *equals = strchr(arg, '=');
    struct slice name = {arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg + 2)};
    bool *flag = common_flag(line, name);
    if (flag) {
        if (equals)
            return cli_complain(EXIT_USAGE, command, "%.*s takes no value", (int)(equals - arg),
                                arg);
        *flag = true;
        return EXIT_DONE;
    }
    int i = option_index(line->args.command, name);
    if (i < 0)
        return cli_complain(EXIT_USAGE, command, "unknown option '--%.*s'; see attest %s --help",
                            SLICE_ARG(name), command);
    const struct cli_option *option = &line->args.command->options[i];
    const char *value = equals ? equals + 1 : ++*at < argc ? argv[*at] : NULL;
    if (!value || !*value)
        return cli_complain(EXIT_USAGE, command, "--%s wants a value: --%s %s", option->name,
                            option->name, option->value);
    if (line->args.value[i] && !option->many)
        return cli_complain(EXIT_USAGE, command, "--%s is given twice", option->name);
    char from[64];
    snprintf(from, sizeof(from), "--%s", option->name);
    return set_option(line, i, value, from);
}

static enum exit_status
read_line(struct line *line, int argc, char **argv)
{
    const struct cli_command *command = line->args.command;
    bool only_operands = false;
    for (int i = 2; i < argc; i++) {
        const char *arg = argv[i];
        enum exit_status status = EXIT_DONE;
        if (!only_operands && strcmp(arg, "--") == 0)
            only_operands = true;
        else if (!only_operands && strncmp(arg, "--", 2) == 0)
            status = read_option(line, argc, argv, &i);
        else if (!only_operands && strcmp(arg, "-h") == 0)
            line->help = true;
        else if (!only_operands && strcmp(arg, "-V") == 0)
            line->version = true;
        else if (!only_operands && arg[0] == '-' && arg[1])
            status = cli_complain(EXIT_USAGE, command->name,
                                  "unknown option '%s'; see attest %s --help", arg, command->name);
        else if (++line->n_operands > command->operands_max)
            status = cli_complain(EXIT_USAGE, command->name, "too many arguments; it takes %s",
                                  *command->operands ? command->operands : "options only");
        else
            line->args.operand = arg;
        if (status != EXIT_DONE)
            return status;
    }
    return EXIT_DONE;
}

static enum exit_status
read_environment(struct line *line)
{
    for (int i = 0; i < CLI_OPTIONS_MAX && line->args.command->options[i].name; i++) {
        const char *env = line->args.command->options[i].env;
        const char *value = env && !line->args.value[i] ? getenv(env) : NULL;
        enum exit_status status =
            value && *value ? set_option(line, i, value, env) : (enum exit_status)EXIT_DONE;
        if (status != EXIT_DONE)
            return status;
    }
    return EXIT_DONE;
}

static void
help_all(void)
{
    printf("usage: attest COMMAND [options]\n\n"
           "Attestations of AI agents: ask for them, verify them, look into them.\n\n");
    for (size_t i = 0; cli_commands[i]; i++)
        printf("  %-15s  %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    printf("\nA token from the daemon on this machine, verified at once:\n\n"
           "  export ATTEST_ISSUER=http://127.0.0.1:8080 ATTEST_SOCKET=run/attestd.sock\n"
           "  attest token --audience https://mcp.example.com --model-family claude-4 \\\n"
           "      --model-version claude-sonnet-4 --provider anthropic |\n"
           "    attest verify --audience https://mcp.example.com\n\n"
           "Exit status: 0 done or verified, 1 refused, 2 wrong use, 3 could not be done.\n"
           "Every command takes --help, --version and --json; see attest(1).\n");
}

static void
help_command(const struct cli_command *c)
{
    printf("usage: attest %s [options]%s%s\n\n%s\n", c->name, *c->operands ? " " : "", c->operands,
           c->text);
    for (int i = 0; i < CLI_OPTIONS_MAX && c->options[i].name; i++) {
        char name[48];
        snprintf(name, sizeof(name), "--%s %s", c->options[i].name, c->options[i].value);
        printf("  %-24s  %s", name, c->options[i].help);
        if (c->options[i].env)
            printf(" (%s)", c->options[i].env);
        printf("\n");
    }
    printf("  %-24s  %s\n  %-24s  %s\n", "--json", "answer with one JSON object", "--help",
           "print this");
}

static const struct cli_command *
find(const char *name)
{
    for (size_t i = 0; cli_commands[i]; i++) {
        if (strcmp(cli_commands[i]->name, name) == 0)
            return cli_commands[i];
    }
    return NULL;
}

static enum exit_status
start(const struct cli_args *args)
{
    struct attest_error err = {0};
    if (crypto_init(&err) != ATTEST_OK)
        return cli_complain(EXIT_FAILED, args->command->name, "%s", err.text);
    jsondoc_init();
    return args->command->run(args);
}

static enum exit_status
run(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "attest: no command; see attest --help\n");
        return EXIT_USAGE;
    }
    bool help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0;
    if (help || strcmp(argv[1], "help") == 0) {
        help_all();
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("attest (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        return EXIT_DONE;
    }
    struct line line = {.args.command = find(argv[1])};
    if (!line.args.command) {
        fprintf(stderr, "attest: unknown command '%s'; see attest --help\n", argv[1]);
        return EXIT_USAGE;
    }
    enum exit_status status = read_line(&line, argc, argv);
    if (status != EXIT_DONE)
        return status;
    if (line.help)
        help_command(line.args.command);
    else if (line.version)
        printf("attest (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
    if (line.help || line.version)
        return EXIT_DONE;
    status = read_environment(&line);
    return status != EXIT_DONE ? status : start(&line.args);
}

int
cli_run(int argc, char **argv)
{
    return output_end("attest", run(argc, argv));
}
