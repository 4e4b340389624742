/* SPDX-License-Identifier: MIT */
#include "tests/bench/median.h"

#include <stdlib.h>
#include <string.h>

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double
median(const double *values, size_t n)
{
    double sorted[MEDIAN_MAX];
    if (n == 0 || n > MEDIAN_MAX)
        abort();
    memcpy(sorted, values, n * sizeof(*values));
    qsort(sorted, n, sizeof(*sorted), compare_doubles);
    return sorted[n / 2];
}
