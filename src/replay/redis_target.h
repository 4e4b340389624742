/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REDIS_TARGET_H
#define REPLAY_REDIS_TARGET_H

#include "replay/redis_url.h"
#include "replay/replay.h"

/* Which Redis, and how it is spoken to: the options, checked, and copies that outlive them. */
struct redis_target {
    struct redis_url url;
    char *password_file;    /* NULL: as the URL says; read anew for each log-in */
    char *ca_file;          /* of PEM certificates, for rediss; NULL: the system's */
    struct ssl_ctx_st *tls; /* the certificates, read; NULL: in the clear */
    unsigned timeout_ms;
};

/*
 * In redis_options.c, also without hiredis. ATTEST_E_CONFIG, with a sentence that holds nothing
 * of the URL, which is to be ended also then.
 */
enum attest_rc redis_options_check(const struct replay_redis *options, struct redis_url *url,
                                   struct attest_error *err);

/* Zeroed before; to be ended also when it failed. */
enum attest_rc redis_target_init(struct redis_target *target, const struct replay_redis *options,
                                 struct attest_error *err);
void redis_target_done(struct redis_target *target);

/* In redis_tls.c. ca_file NULL: the system's. ATTEST_E_CONFIG (no certificates), ATTEST_E_NOMEM. */
enum attest_rc redis_tls_context(const char *ca_file, struct ssl_ctx_st **ret,
                                 struct attest_error *err);
void redis_tls_context_free(struct ssl_ctx_st *ctx);

#endif
