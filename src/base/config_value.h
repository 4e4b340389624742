/* SPDX-License-Identifier: MIT */
#ifndef BASE_CONFIG_VALUE_H
#define BASE_CONFIG_VALUE_H

#include "base/config.h"

/*
 * One value of a configuration, wherever its text came from: the parser, the environment and the
 * fall-backs meet here. `where` is put in front of error texts ("line 7", "ATTESTD_THREADS").
 * Internal to config*.c.
 */
#define CONFIG_STRING_MAX 4096
#define CONFIG_NAME_MAX 256
#define CONFIG_ITEMS_MAX 1024
#define CONFIG_ROWS_MAX 256
#define CONFIG_NAME_ROOM 128 /* of a key or a variable, with NUL */

/*
 * What was met of a key: a value in force, its place in the file, its variable, and, as it may be
 * the first of its mapping and of the mappings around that, those too.
 */
#define SEEN_VALUE 1u
#define SEEN_PLACE 2u
#define SEEN_VARIABLE 4u
#define SEEN_GROUP 8u /* shifted by the depth */

/* Sets a STRING, INT, BOOL or ENUM, freeing what was there. */
enum attest_rc config_set_scalar(const struct config_key *key, void *config, struct slice text,
                                 const char *where, struct attest_error *err);

/* "line 7: mode must be one of required, preferred": not a text where one is wanted, or the like.
 */
enum attest_rc config_refuse_kind(const struct config_key *key, const char *where,
                                  struct attest_error *err);

/* Adds to a LIST (name empty) or a MAP; what is there, or a name that is, is refused. */
enum attest_rc config_add_item(const struct config_key *key, void *config, struct slice name,
                               struct slice text, const char *where, struct attest_error *err);

/* One more row, zeroed. */
enum attest_rc config_add_row(const struct config_key *key, void *config, void **ret,
                              const char *where, struct attest_error *err);

/* Frees and zeroes. */
void config_clear(const struct config_key *key, void *config);

/*
 * The key a person may have meant by `name`, a full dotted name, or NULL. Near misspellings and a
 * right last part under a wrong parent count.
 */
const struct config_key *config_nearest(const struct config_schema *schema, struct slice name);

/* The environment variable of a key with NUL; false when it does not fit. */
bool config_env_name(const struct config_schema *schema, const struct config_key *key, char *out,
                     size_t out_size);

/* Sets what environ_list has variables for; marks that in seen, which has a byte for each key. */
enum attest_rc config_read_environment(const struct config_schema *schema,
                                       const char *const *environ_list, uint8_t *seen, void *config,
                                       struct attest_error *err);

#endif
