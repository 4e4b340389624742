/* SPDX-License-Identifier: MIT */
#include "base/metric.h"

#include <sched.h>

/* Upper bounds in microseconds and as Prometheus wants them, in seconds. */
static const struct bucket {
    int64_t le_us;
    const char *le;
} buckets[] = {
    {25, "0.000025"}, {50, "0.00005"},  {100, "0.0001"},  {250, "0.00025"}, {500, "0.0005"},
    {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},  {25000, "0.025"},
    {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},  {1000000, "1"},
    {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"},
};
_Static_assert(ARRAY_LEN(buckets) + 1 == METRIC_BUCKETS, "and one for what is longer");

size_t
metric_share(void)
{
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : (size_t)cpu % METRIC_SHARES;
}

uint64_t
metric_sum(const _Atomic uint64_t *first, size_t stride)
{
    uint64_t total = 0;
    for (size_t i = 0; i < METRIC_SHARES; i++)
        total += atomic_load_explicit(
            (const _Atomic uint64_t *)(const void *)((const char *)first + i * stride),
            memory_order_relaxed);
    return total;
}

void
histogram_observe(struct histogram *h, int64_t duration_us)
{
    size_t i = 0;
    while (i < ARRAY_LEN(buckets) && duration_us > buckets[i].le_us)
        i++;
    metric_add(&h->bucket[i], 1);
    metric_add(&h->sum_us, duration_us < 0 ? 0 : (uint64_t)duration_us);
}

void
metric_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void
metric_gauge(struct buf *out, const char *name, const char *help, int64_t value)
{
    metric_head(out, name, "gauge", help);
    buf_printf(out, "%s %lld\n", name, (long long)value);
}

void
metric_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    metric_head(out, name, "counter", help);
    buf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

void
metric_histogram(struct buf *out, const char *name, const char *label,
                 const struct histogram *first, size_t stride)
{
    uint64_t count = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        count += metric_sum(&first->bucket[i], stride);
        buf_printf(out, "%s_bucket{%sle=\"%s\"} %llu\n", name, label,
                   i < ARRAY_LEN(buckets) ? buckets[i].le : "+Inf", (unsigned long long)count);
    }
    int bare = label[0] ? (int)strlen(label) - 1 : 0; /* without the comma */
    const char *open = bare ? "{" : "", *close = bare ? "}" : "";
    uint64_t sum_us = metric_sum(&first->sum_us, stride);
    buf_printf(out, "%s_sum%s%.*s%s %llu.%06llu\n", name, open, bare, label, close,
               (unsigned long long)(sum_us / 1000000), (unsigned long long)(sum_us % 1000000));
    buf_printf(out, "%s_count%s%.*s%s %llu\n", name, open, bare, label, close,
               (unsigned long long)count);
}

void
metric_label(struct buf *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n') {
            buf_str(out, "\\n");
            continue;
        }
        if (*value == '\\' || *value == '"')
            buf_char(out, '\\');
        buf_char(out, *value);
    }
}
