/* SPDX-License-Identifier: MIT */
#include "replay/redis_target.h"

enum attest_rc
redis_options_check(const struct replay_redis *options, struct redis_url *url,
                    struct attest_error *err)
{
    enum attest_rc rc = redis_url_read(options->url, url, err);
    if (rc != ATTEST_OK)
        return rc;
    if (url->user && !url->password && !options->password_file)
        return error_set(err, ATTEST_E_CONFIG, "replay store: a user without a password");
    if (url->password && options->password_file)
        return error_set(err, ATTEST_E_CONFIG, "replay store: two passwords");
    if (options->ca_file && !url->tls)
        return error_set(err, ATTEST_E_CONFIG, "replay store: certificates, and no rediss://");
    if (options->timeout_ms < 1 || options->timeout_ms > REPLAY_TIMEOUT_MAX_MS)
        return error_set(err, ATTEST_E_CONFIG, "replay store: 1 to %d ms", REPLAY_TIMEOUT_MAX_MS);
    if (options->connections_max < 1 || options->connections_max > REPLAY_CONNECTIONS_MAX)
        return error_set(err, ATTEST_E_CONFIG, "replay store: 1 to %d connections",
                         REPLAY_CONNECTIONS_MAX);
    return ATTEST_OK;
}
