/* SPDX-License-Identifier: MIT */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stdatomic.h>

#include "base/bytes.h"

/*
 * Counting, and the counts as Prometheus text (format 0.0.4). A struct of _Atomic uint64_t is kept
 * METRIC_SHARES times, aligned to METRIC_LINE; who counts adds to the share of the processor that
 * he runs on, so that nobody locks and hardly ever a cache line moves between processors. Who reads
 * sums the shares. Thread-safe.
 */
enum { METRIC_SHARES = 8, METRIC_LINE = 64, METRIC_BUCKETS = 19 };

/* 0 to METRIC_SHARES - 1. */
size_t metric_share(void);

static inline void
metric_add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

/* Sums one counter: where it is in the first share, and how many bytes on in the next. */
uint64_t metric_sum(const _Atomic uint64_t *first, size_t stride);

struct histogram {
    _Atomic uint64_t bucket[METRIC_BUCKETS]; /* not cumulative; the last is +Inf */
    _Atomic uint64_t sum_us;
};
void histogram_observe(struct histogram *h, int64_t duration_us);

/* The two lines in front of a metric; type is counter, gauge or histogram. */
void metric_head(struct buf *out, const char *name, const char *type, const char *help);
/* A metric of one value, its head included. */
void metric_gauge(struct buf *out, const char *name, const char *help, int64_t value);
void metric_counter(struct buf *out, const char *name, const char *help, uint64_t value);
/* Seconds, without its head. label is empty or `name="value",`; stride as in metric_sum(). */
void metric_histogram(struct buf *out, const char *name, const char *label,
                      const struct histogram *first, size_t stride);
/* What stands between the quotes of a label: backslash, quote and line feed are escaped. */
void metric_label(struct buf *out, const char *value);

#endif
