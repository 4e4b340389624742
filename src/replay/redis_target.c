/* SPDX-License-Identifier: MIT */
#include "replay/redis_target.h"

static bool
copy(const char *text, char **ret)
{
    if (text)
        *ret = slice_dup(slice_cstr(text));
    return !text || *ret;
}

enum attest_rc
redis_target_init(struct redis_target *target, const struct replay_redis *options,
                  struct attest_error *err)
{
    enum attest_rc rc = redis_options_check(options, &target->url, err);
    if (rc != ATTEST_OK)
        return rc;
    target->timeout_ms = options->timeout_ms;
    if (!copy(options->password_file, &target->password_file) ||
        !copy(options->ca_file, &target->ca_file))
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    return target->url.tls ? redis_tls_context(target->ca_file, &target->tls, err) : ATTEST_OK;
}

void
redis_target_done(struct redis_target *target)
{
    redis_tls_context_free(target->tls);
    redis_url_auto(&target->url);
    free(target->password_file);
    free(target->ca_file);
}
