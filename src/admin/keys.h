/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_KEYS_H
#define ADMIN_KEYS_H

#include <jansson.h>

#include "admin/command.h"
#include "admin/timeline.h"

/*
 * The keys as the signer tells of them. Whatever is not EXIT_DONE has been said to the user.
 */

/* The whole list: every page of key.list in one answer, without `next`. A new reference. */
enum exit_status keys_ask(const struct options *o, json_t **ret);

/*
 * The key whose kid is, or begins with, these at least 6 characters. *list as from keys_ask(),
 * *key borrowed from it. None: EXIT_FAILED; several: EXIT_REFUSED, naming them.
 */
#define KID_PREFIX_MIN 6
enum exit_status keys_find(const struct options *o, const char *kid, json_t **list,
                           const json_t **key);

/* The active key of a purpose in a list, NULL when there is none. */
const json_t *keys_active(const json_t *list, const char *purpose);

/* An integer member, 0 when it is absent or none. */
int64_t keys_time(const json_t *object, const char *name);
/* A string member, "" when it is absent or none. */
const char *keys_text(const json_t *object, const char *name);
/* A member of rollover.policy of an answer that has `rollover`, 0 when it is absent. */
int64_t keys_policy(const json_t *answer, const char *name);

/* The keys of a list with their plans, for drawing; borrows from list. free() ret->keys. */
enum exit_status keys_timeline(const json_t *list, struct timeline *ret);

/* As a table, or what to do when there are none; list has `keys`, and maybe `now`, `rollover`. */
enum exit_status keys_print(const json_t *list);
/* One key as such a table. */
enum exit_status keys_print_one(const json_t *key);
/* What the rollover loop will do next, in one line; nothing when rollover is no object. */
void keys_print_rollover(const json_t *rollover, int64_t now_s);

#endif
