/* SPDX-License-Identifier: MIT */
#include "replay/redis_url.h"
#include "replay/replay.h"

/* Built without hiredis. A URL that is none is still said to be none. */
enum attest_rc
replay_redis_new(const char *url, unsigned timeout_ms, struct replay_store **ret,
                 struct attest_error *err)
{
    struct redis_url parts;
    (void)ret;
    if (!redis_url_read(url, &parts) || timeout_ms == 0)
        return error_set(err, ATTEST_E_ARGUMENT, "replay store: no URL of a Redis");
    return error_set(err, ATTEST_E_UNSUPPORTED, "replay store: built without hiredis");
}
