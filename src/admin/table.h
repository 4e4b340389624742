/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_TABLE_H
#define ADMIN_TABLE_H

#include <stdio.h>

#include "base/bytes.h"

/*
 * Aligned columns for people: cells are added row by row, left to right, and printed once all are
 * known. What comes from outside is made printable. Out of memory shows as false at the end.
 */
struct table {
    size_t n_columns;
    char **cells;
    size_t n_cells;
    bool failed;
};

/* heads: n_columns titles, or NULL for none. */
void table_init(struct table *t, const char *const *heads, size_t n_columns);
void table_done(struct table *t);
void table_cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints whole rows; false when a cell could not be kept. */
bool table_print(const struct table *t, FILE *to);

static inline void
table_auto(struct table *t)
{
    table_done(t);
}

#endif
