/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_FETCH_OPTIONS_H
#define VERIFY_FETCH_OPTIONS_H

#include <attest/fetch.h>

#include "base/auto.h"
#include "fetch/schedule.h"

/* The inside of <attest/fetch.h>. */

#define FETCH_URLS_MAX 64

struct attest_fetch {
    struct schedule_limits limits;
    int64_t timeout_ms, wait_ms;
    char *ca_file;
    size_t n_urls;
    struct fetch_url {
        char *issuer, *url;
    } urls[FETCH_URLS_MAX];
};

/* A copy; of the defaults when fetch is NULL. NULL: out of memory. */
struct attest_fetch *fetch_options_copy(const struct attest_fetch *fetch);
/* The URL that was set for this issuer, or NULL. */
const char *fetch_options_url(const struct attest_fetch *fetch, const char *issuer);

DEFINE_AUTO(attest_fetch, struct attest_fetch *, attest_fetch_free);

#endif
