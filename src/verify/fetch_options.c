/* SPDX-License-Identifier: MIT */
#include "verify/fetch_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fetch/fetch.h"
#include "token/subject.h"

enum attest_rc
attest_fetch_new(struct attest_fetch **ret, struct attest_error *err)
{
    struct attest_fetch *fetch = fetch_options_copy(NULL);
    if (!fetch)
        return error_set(err, ATTEST_E_NOMEM, "fetch: out of memory");
    *ret = fetch;
    return ATTEST_OK;
}

void
attest_fetch_free(struct attest_fetch *fetch)
{
    if (!fetch)
        return;
    for (size_t i = 0; i < fetch->n_urls; i++) {
        free(fetch->urls[i].issuer);
        free(fetch->urls[i].url);
    }
    free(fetch->ca_file);
    free(fetch);
}

static bool
add_url(struct attest_fetch *fetch, const char *issuer, const char *url)
{
    struct fetch_url to = {strdup(issuer), strdup(url)};
    if (!to.issuer || !to.url) {
        free(to.issuer);
        free(to.url);
        return false;
    }
    fetch->urls[fetch->n_urls++] = to;
    return true;
}

struct attest_fetch *
fetch_options_copy(const struct attest_fetch *fetch)
{
    AUTO(attest_fetch) struct attest_fetch *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return NULL;
    if (!fetch) {
        copy->limits = schedule_defaults;
        copy->timeout_ms = 10000;
        return STEAL(copy);
    }
    copy->limits = fetch->limits;
    copy->timeout_ms = fetch->timeout_ms;
    copy->wait_ms = fetch->wait_ms;
    if (fetch->ca_file && !(copy->ca_file = strdup(fetch->ca_file)))
        return NULL;
    for (size_t i = 0; i < fetch->n_urls; i++) {
        if (!add_url(copy, fetch->urls[i].issuer, fetch->urls[i].url))
            return NULL;
    }
    return STEAL(copy);
}

const char *
fetch_options_url(const struct attest_fetch *fetch, const char *issuer)
{
    for (size_t i = 0; i < fetch->n_urls; i++) {
        if (strcmp(fetch->urls[i].issuer, issuer) == 0)
            return fetch->urls[i].url;
    }
    return NULL;
}

static enum attest_rc
check_range(const char *what, int64_t n, int64_t least, int64_t most, struct attest_error *err)
{
    if (n >= least && n <= most)
        return ATTEST_OK;
    return error_set(err, ATTEST_E_CONFIG, "fetch: %s is %lld, not %lld to %lld", what,
                     (long long)n, (long long)least, (long long)most);
}

enum attest_rc
attest_fetch_set_ttl_s(struct attest_fetch *fetch, int64_t unsaid, int64_t max,
                       struct attest_error *err)
{
    const int64_t least = fetch->limits.ttl_min_ms / 1000;
    enum attest_rc rc = check_range("ttl max", max, least, ATTEST_FETCH_TTL_MAX_S, err);
    if (rc == ATTEST_OK)
        rc = check_range("ttl", unsaid, least, max, err);
    if (rc != ATTEST_OK)
        return rc;
    fetch->limits.ttl_default_ms = unsaid * 1000;
    fetch->limits.ttl_max_ms = max * 1000;
    return ATTEST_OK;
}

enum attest_rc
attest_fetch_set_stale_s(struct attest_fetch *fetch, int64_t stale_s, struct attest_error *err)
{
    enum attest_rc rc = check_range("stale", stale_s, 0, ATTEST_FETCH_STALE_MAX_S, err);
    if (rc == ATTEST_OK)
        fetch->limits.stale_max_ms = stale_s * 1000;
    return rc;
}

enum attest_rc
attest_fetch_set_cooldown_s(struct attest_fetch *fetch, int64_t cooldown_s,
                            struct attest_error *err)
{
    enum attest_rc rc = check_range("cooldown", cooldown_s, 1, 3600, err);
    if (rc == ATTEST_OK)
        fetch->limits.cooldown_ms = cooldown_s * 1000;
    return rc;
}

enum attest_rc
attest_fetch_set_timeout_ms(struct attest_fetch *fetch, int64_t timeout_ms,
                            struct attest_error *err)
{
    enum attest_rc rc = check_range("timeout", timeout_ms, 100, 60000, err);
    if (rc == ATTEST_OK)
        fetch->timeout_ms = timeout_ms;
    return rc;
}

enum attest_rc
attest_fetch_set_wait_ms(struct attest_fetch *fetch, int64_t wait_ms, struct attest_error *err)
{
    enum attest_rc rc = check_range("wait", wait_ms, 0, 60000, err);
    if (rc == ATTEST_OK)
        fetch->wait_ms = wait_ms;
    return rc;
}

enum attest_rc
attest_fetch_set_ca_file(struct attest_fetch *fetch, const char *path, struct attest_error *err)
{
    char *copy = path ? strdup(path) : NULL;
    if (path && !copy)
        return error_set(err, ATTEST_E_NOMEM, "fetch: out of memory");
    free(fetch->ca_file);
    fetch->ca_file = copy;
    return ATTEST_OK;
}

enum attest_rc
attest_fetch_set_url(struct attest_fetch *fetch, const char *issuer, const char *url,
                     struct attest_error *err)
{
    enum attest_rc rc = issuer_check(slice_cstr(issuer), true, err);
    if (rc == ATTEST_OK)
        rc = fetch_url_check(url, err);
    if (rc != ATTEST_OK)
        return rc;
    if (fetch_options_url(fetch, issuer))
        return error_set(err, ATTEST_E_CONFIG, "fetch: %.100s has a URL already", issuer);
    if (fetch->n_urls == FETCH_URLS_MAX)
        return error_set(err, ATTEST_E_LIMIT, "fetch: at most %d URLs", FETCH_URLS_MAX);
    return add_url(fetch, issuer, url) ? ATTEST_OK
                                       : error_set(err, ATTEST_E_NOMEM, "fetch: out of memory");
}
