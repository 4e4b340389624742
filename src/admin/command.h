/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_COMMAND_H
#define ADMIN_COMMAND_H

#include "base/bytes.h"
#include "base/output.h"

/* What the command line said. Strings borrow from argv, the environment or nothing (NULL). */
struct options {
    const char *config;
    const char *daemon; /* "attestd" or "attest-signer" */
    const char *socket;
    const char *module;
    const char *keystore; /* an RFC 7512 URI */
    const char *slot;     /* a number in decimal */
    const char *label;
    const char *purpose;
    const char *pin_file;
    const char *so_pin_file;
    const char *new_pin_file;
    const char *log_key; /* base64url */
    const char *reason;  /* why, for the record */
    const char *confirm; /* what the command is about, once more */
    const char *from, *to, *days;
    const char *svg; /* a file, or "" for standard output */
    const char *format;
    const char *key, *values, *serial, *out; /* of approvals */
    bool force, no_pin;
    bool json;
};

/* Which of them a command takes; --json, --help and --version are everyone's. */
enum option_bit {
    OPT_CONFIG = 1 << 0,
    OPT_DAEMON = 1 << 1,
    OPT_SOCKET = 1 << 2,
    OPT_MODULE = 1 << 3,
    OPT_KEYSTORE = 1 << 4,
    OPT_SLOT = 1 << 5,
    OPT_LABEL = 1 << 6,
    OPT_PURPOSE = 1 << 7,
    OPT_PIN_FILE = 1 << 8,
    OPT_SO_PIN_FILE = 1 << 9,
    OPT_NEW_PIN_FILE = 1 << 10,
    OPT_LOG_KEY = 1 << 11,
    OPT_REASON = 1 << 12,
    OPT_CONFIRM = 1 << 13,
    OPT_FROM = 1 << 14,
    OPT_TO = 1 << 15,
    OPT_DAYS = 1 << 16,
    OPT_SVG = 1 << 17,
    OPT_FORMAT = 1 << 18,
    OPT_FORCE = 1 << 19,
    OPT_KEY = 1 << 20,
    OPT_VALUES = 1 << 21,
    OPT_SERIAL = 1 << 22,
    OPT_OUT = 1 << 23,
    OPT_NO_PIN = 1 << 24,
};

struct command {
    const char *group;
    const char *name; /* NULL: the group is the command */
    /* args has n_args operands, already counted against the table. */
    enum exit_status (*run)(const struct options *o, char **args, int n_args);
    const char *operands; /* as usage shows them, or "" */
    int args_min, args_max;
    unsigned options; /* of enum option_bit */
    const char *help; /* one line */
};

extern const struct command commands[];
extern const size_t n_commands;

/* Everything behind main(): parses, runs one row of the table, returns the exit status. */
int admin_run(int argc, char **argv);

/* "attestctl: …" on standard error; returns status, so that a failing path is one line. */
enum exit_status complain(enum exit_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A refusal on standard output: a line, or {"refused": "…"} with --json. EXIT_REFUSED. */
enum exit_status refuse(const struct options *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The status that an error's kind stands for: is it an answer, a wrong use, or a failure? */
enum exit_status status_of(enum attest_rc rc);

/* refuse() or complain(), whichever err's kind asks for, with advice (may be NULL) behind. */
enum exit_status report(const struct options *o, const struct attest_error *err,
                        const char *advice);

enum exit_status cmd_config_check(const struct options *o, char **args, int n_args);
enum exit_status cmd_config_dump(const struct options *o, char **args, int n_args);
enum exit_status cmd_hsm_slots(const struct options *o, char **args, int n_args);
enum exit_status cmd_hsm_init(const struct options *o, char **args, int n_args);
enum exit_status cmd_hsm_pin(const struct options *o, char **args, int n_args);
enum exit_status cmd_hsm_info(const struct options *o, char **args, int n_args);
enum exit_status cmd_hsm_seal(const struct options *o, char **args, int n_args);
enum exit_status cmd_hsm_seal_pin(const struct options *o, char **args, int n_args);
enum exit_status cmd_hsm_seal_status(const struct options *o, char **args, int n_args);
enum exit_status cmd_hsm_reseal(const struct options *o, char **args, int n_args);
enum exit_status cmd_hsm_approve_pcrs(const struct options *o, char **args, int n_args);
enum exit_status cmd_hsm_check(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_list(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_generate(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_publish(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_activate(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_rotate(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_retire(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_revoke(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_destroy(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_timeline(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_root_rotate(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_export_records(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_import_records(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_take_over(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_accept_clock(const struct options *o, char **args, int n_args);
enum exit_status cmd_key_public(const struct options *o, char **args, int n_args);
enum exit_status cmd_audit_verify(const struct options *o, char **args, int n_args);
enum exit_status cmd_audit_show(const struct options *o, char **args, int n_args);
enum exit_status cmd_status(const struct options *o, char **args, int n_args);

#endif
