/* SPDX-License-Identifier: MIT */
#ifndef BENCH_MEDIAN_H
#define BENCH_MEDIAN_H

#include <stddef.h>

#define MEDIAN_MAX 20001

/* The middle one of n values, 1 to MEDIAN_MAX; they stay in their order, which may pair them. */
double median(const double *values, size_t n);

#endif
