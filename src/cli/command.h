/* SPDX-License-Identifier: MIT */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "base/bytes.h"
#include "base/output.h"

#define CLI_OPTIONS_MAX 16
#define CLI_MORE_MAX 32

struct cli_option {
    const char *name;   /* without the dashes */
    const char *value;  /* how help shows it; NULL: a flag */
    const char *env;    /* stands for it when it is not given; NULL: none */
    const char *help;   /* one line */
    const char *choice; /* "a|b": nothing else is right; NULL: anything */
    bool many;          /* may be given several times */
};

struct cli_args;

struct cli_command {
    const char *name;
    const char *summary;  /* one line */
    const char *operands; /* how usage shows them, "" for none */
    int operands_max;
    struct cli_option options[CLI_OPTIONS_MAX];
    const char *text; /* what it does, and examples */
    enum exit_status (*run)(const struct cli_args *args);
};

/* What the command line and the environment said. */
struct cli_args {
    const struct cli_command *command;
    const char *value[CLI_OPTIONS_MAX]; /* by index in the command's options; NULL: not given */
    struct {
        int option;
        const char *value;
    } more[CLI_MORE_MAX]; /* what was given behind the first, of options that may be many */
    size_t n_more;
    const char *operand;
    bool json;
};

extern const struct cli_command cmd_token, cmd_verify, cmd_verify_evidence, cmd_inspect, cmd_keygen,
    cmd_prove, cmd_attack;

/* NULL-terminated: the table. */
extern const struct cli_command *const cli_commands[];

/* The option's value or NULL. The name is one of the command's own. */
const char *cli_value(const struct cli_args *args, const char *name);
/* The nth of an option that may be given several times, from 0; NULL behind the last. */
const char *cli_value_at(const struct cli_args *args, const char *name, size_t n);
/* The first, and a complaint when there is none. */
bool cli_need(const struct cli_args *args, const char *name, const char **ret);

int cli_run(int argc, char **argv);

/* "attest COMMAND: …" on standard error; returns status. */
enum exit_status cli_complain(enum exit_status status, const char *command, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * A token from the operand: the operand itself, or standard input when it is "-" or not there.
 * White space around it is dropped. out is initialised by the caller.
 */
enum attest_rc cli_read_token(const char *operand, struct buf *out, struct attest_error *err);

#endif
