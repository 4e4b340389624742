/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

#include <stdint.h>

/*
 * Counts of latencies in microseconds, in buckets no wider than 1/64 of what they hold, so that a
 * percentile is right to 2 %. Zero-initialised. Not thread-safe; each thread has its own, and they
 * are added up at the end.
 */
#define LATENCY_SUB_BITS 6
#define LATENCY_BUCKETS (32 << LATENCY_SUB_BITS)

struct latency {
    uint64_t n;
    uint64_t sum_us;
    uint32_t max_us;
    uint32_t count[LATENCY_BUCKETS];
};

void latency_add(struct latency *l, int64_t us);
void latency_merge(struct latency *into, const struct latency *from);
/* The value that a share (0 to 1) of the counts does not exceed; 0 when there is none. */
uint32_t latency_percentile(const struct latency *l, double share);

#endif
