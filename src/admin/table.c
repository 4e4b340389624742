/* SPDX-License-Identifier: MIT */
#include "admin/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX 512
#define COLUMNS_MAX 16

void
table_init(struct table *t, const char *const *heads, size_t n_columns)
{
    *t = (struct table){.n_columns = n_columns > COLUMNS_MAX ? COLUMNS_MAX : n_columns};
    for (size_t i = 0; heads && i < t->n_columns; i++)
        table_cell(t, "%s", heads[i]);
}

void
table_done(struct table *t)
{
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}

void
table_cell(struct table *t, const char *format, ...)
{
    char text[CELL_MAX];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    for (char *p = text; *p; p++) {
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    }
    char **cells = realloc(t->cells, (t->n_cells + 1) * sizeof(*cells));
    if (cells)
        t->cells = cells;
    char *copy = cells ? strdup(*text ? text : "-") : NULL;
    if (copy)
        t->cells[t->n_cells++] = copy;
    else
        t->failed = true;
}

bool
table_print(const struct table *t, FILE *to)
{
    size_t width[COLUMNS_MAX] = {0};
    size_t n_whole = t->n_cells - t->n_cells % t->n_columns;
    for (size_t i = 0; i < n_whole; i++) {
        size_t len = strlen(t->cells[i]);
        if (len > width[i % t->n_columns])
            width[i % t->n_columns] = len;
    }
    for (size_t i = 0; i < n_whole; i++) {
        bool last = i % t->n_columns == t->n_columns - 1;
        fprintf(to, "%-*s%s", last ? 0 : (int)width[i % t->n_columns], t->cells[i],
                last ? "\n" : "  ");
    }
    return !t->failed;
}
