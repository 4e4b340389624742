/* SPDX-License-Identifier: MIT */
#include "replay/replay.h"

enum attest_rc
replay_redis_new(const char *url, unsigned timeout_ms, struct replay_store **ret,
                 struct attest_error *err)
{
    (void)url;
    (void)timeout_ms;
    (void)ret;
    return error_set(err, ATTEST_E_UNSUPPORTED, "replay store: built without hiredis");
}
