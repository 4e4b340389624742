/* SPDX-License-Identifier: MIT */
#include "tests/bench/latency.h"

#define SUB (1u << LATENCY_SUB_BITS)

/* Below SUB a bucket is one value; above, the top LATENCY_SUB_BITS + 1 bits name it. */
static unsigned
bucket_of(uint32_t us)
{
    if (us < SUB)
        return us;
    unsigned shift = 31 - (unsigned)__builtin_clz(us) - LATENCY_SUB_BITS;
    return ((shift + 1) << LATENCY_SUB_BITS) + ((us >> shift) & (SUB - 1));
}

static uint32_t
largest_in(unsigned bucket)
{
    if (bucket < SUB)
        return bucket;
    unsigned shift = (bucket >> LATENCY_SUB_BITS) - 1;
    uint64_t first = (uint64_t)(SUB + (bucket & (SUB - 1))) << shift;
    return (uint32_t)(first + ((uint64_t)1 << shift) - 1);
}

void
latency_add(struct latency *l, int64_t us)
{
    uint32_t v = us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    l->n++;
    l->sum_us += v;
    l->count[bucket_of(v)]++;
    if (v > l->max_us)
        l->max_us = v;
}

void
latency_merge(struct latency *into, const struct latency *from)
{
    into->n += from->n;
    into->sum_us += from->sum_us;
    if (from->max_us > into->max_us)
        into->max_us = from->max_us;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        into->count[i] += from->count[i];
}

uint32_t
latency_percentile(const struct latency *l, double share)
{
    uint64_t want = (uint64_t)(share * (double)l->n + 0.5);
    uint64_t seen = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        seen += l->count[i];
        if (seen >= want && seen > 0)
            return largest_in(i) < l->max_us ? largest_in(i) : l->max_us;
    }
    return 0;
}
