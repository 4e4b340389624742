/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_COUNTS_H
#define VERIFY_COUNTS_H

#include <attest/counters.h>

#include "base/metric.h"

/* What a verifier counts. Thread-safe; adding is one relaxed addition. */

enum { COUNT_CODES = 16 }; /* verdicts 1001 to 1016 */

enum count {
    COUNT_STARTED, /* checks */
    COUNT_VERIFIED,
    COUNT_ALLOWED_UNVERIFIED,
    COUNT_NOT_JUDGED,
    COUNT_KEY_HITS,
    COUNT_KEY_MISSES,
    COUNT_FETCHES,
    COUNT_FETCH_ERRORS,
    COUNT_CIRCUIT_OPENS,
    COUNT_REFUSED, /* + code - 1001 */
    COUNT_END = COUNT_REFUSED + COUNT_CODES
};

struct counts {
    _Alignas(METRIC_LINE) _Atomic uint64_t n[COUNT_END];
    struct histogram check, fetch;
};

/* Of METRIC_SHARES; NULL: out of memory. free() it. */
struct counts *counts_new(void);
void counts_add(struct counts *counts, enum count what, uint64_t n);
/* A verdict on a token, which took so long. */
void counts_verdict(struct counts *counts, enum attest_rc rc, int64_t duration_us);
void counts_fetch(struct counts *counts, enum attest_rc rc, int64_t duration_us);

/* All but cached_keys and what the replay memory and the token cache count themselves. */
void counts_read(const struct counts *counts, struct attest_counters *ret);
/* The counters as read, and the histograms. */
void counts_write(const struct counts *counts, const struct attest_counters *read, struct buf *out);

#endif
