/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_ANSWER_H
#define ADMIN_ANSWER_H

#include <jansson.h>

#include "admin/ask.h"

/*
 * Asks attest-signer and reads its answer, without `id` and `ok`: a new reference in *ret on
 * EXIT_DONE. Anything else has been said to the user already. members is an object or NULL.
 */
enum exit_status ask_json(const struct options *o, const char *op, const json_t *members,
                          json_t **ret);

/*
 * The same, and what the signer refuses as advice (ask.h) has it is a refusal. members is given
 * away; NULL stands for text that is no UTF-8, which is wrong use.
 */
enum exit_status ask_change(const struct options *o, const char *op, json_t *members,
                            const struct advice *advice, json_t **ret);

/* One compact line on standard output; EXIT_FAILED when out of memory. */
enum exit_status print_json(json_t *object);

/* A member as text for a table: strings as they are, numbers in decimal, "" when absent. */
struct cell {
    char text[512];
};
const char *cell_text(struct cell *room, const json_t *value);
#define CELL(object, name) (cell_text(&(struct cell){{0}}, json_object_get((object), (name))))

/* A time stamp in seconds as RFC 3339, "" when absent or 0. */
const char *cell_time(struct cell *room, const json_t *value);
#define CELL_TIME(object, name) (cell_time(&(struct cell){{0}}, json_object_get((object), (name))))

#endif
