/* SPDX-License-Identifier: MIT */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include "base/bytes.h"

/*
 * One table for each daemon stands behind the YAML parser, the environment overrides, `config
 * dump`, `config check`, and the test that holds the man page to it. A key is a row:
 *
 *     {"tls.certificate", CONFIG_STRING, offsetof(struct issuer_config, tls_certificate),
 *      .help = "PEM file with the certificate chain"},
 *
 * A dot in a name is a YAML mapping: `tls: {certificate: …}`. The environment variable is the
 * prefix and the name in capitals with '_' for '.': ATTESTD_TLS_CERTIFICATE. It wins over the file.
 * Nothing is in a list twice. In the environment a list is separated by commas, a map is name=value
 * pairs separated by commas; rows are for the file alone.
 */

enum config_type {
    CONFIG_STRING, /* char * */
    CONFIG_INT,    /* int64_t, between min and max */
    CONFIG_BOOL,   /* bool; true or false and nothing else */
    CONFIG_LIST,   /* struct config_list */
    CONFIG_MAP,    /* struct config_list of name, value, name, value… */
    CONFIG_ENUM,   /* int, the index in choices */
    CONFIG_ROWS,   /* struct config_rows: a list of mappings, each with the keys of `row` */
};

/* With where each item stands, for whoever finds fault with it: "line 7", or the variable. */
struct config_list {
    char **items;
    char **where;
    size_t n;
};

struct config_rows {
    void **items; /* each of row_size bytes, filled as its schema says */
    char **where;
    size_t n;
};

struct config_schema;
struct config_key {
    const char *name;
    enum config_type type;
    size_t offset; /* of the member in the daemon's struct */
    bool required;
    const char *fallback; /* as written in YAML (lists: flow form); NULL is NULL, 0, false, empty */
    int64_t min, max;
    const char *const *choices;      /* NULL-terminated */
    const char *help;                /* one line, the unit included */
    const struct config_schema *row; /* CONFIG_ROWS: names without dots, no rows in rows */
    size_t row_size;
};

struct config_schema {
    const char *program;    /* "attestd" */
    const char *env_prefix; /* "ATTESTD_"; NULL: the file alone */
    const struct config_key *keys;
    size_t n_keys;
    bool no_empty; /* null, [] and {} are refused: what restricts nothing is to be left out */
};

/*
 * Fills *config (zeroed by the caller) from the fall-backs, then text, then environ_list
 * (NULL-terminated "NAME=value", may be NULL). Errors are ATTEST_E_CONFIG and name the line or the
 * variable and the key: "line 7: unknown key 'isuer'; did you mean 'issuer'?". An unknown variable
 * with the prefix is an error too. On failure *config is emptied.
 */
enum attest_rc config_parse(const struct config_schema *schema, struct slice text,
                            const char *const *environ_list, void *config,
                            struct attest_error *err);

/* The same from a file of at most 1 MiB; path NULL reads no file. */
enum attest_rc config_load(const struct config_schema *schema, const char *path,
                           const char *const *environ_list, void *config, struct attest_error *err);

/* Every key with its value in force, as YAML that config_parse() reads back to the same, or JSON.
 */
enum attest_rc config_dump(const struct config_schema *schema, const void *config, bool as_json,
                           struct buf *out);

/* Frees what the members own. */
void config_done(const struct config_schema *schema, void *config);

#endif
