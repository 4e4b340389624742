/* SPDX-License-Identifier: MIT */
#include "replay/redis_target.h"

/* Built without hiredis. A URL that is none is still said to be none. */
enum attest_rc
replay_redis_new(const struct replay_redis *options, struct replay_store **ret,
                 struct attest_error *err)
{
    AUTO(redis_url) struct redis_url url = {0};
    enum attest_rc rc = redis_options_check(options, &url, err);
    (void)ret;
    if (rc != ATTEST_OK)
        return rc;
    return error_set(err, ATTEST_E_UNSUPPORTED, "replay store: built without hiredis");
}
