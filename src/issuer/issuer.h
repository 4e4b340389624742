/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_ISSUER_H
#define ISSUER_ISSUER_H

#include <microhttpd.h>

#include "issuer/conns.h"
#include "issuer/issuer_config.h"
#include "issuer/listen.h"
#include "issuer/metrics.h"
#include "wire/client.h"

/* attestd: what its parts share, and its life. */
struct issuer {
    const struct issuer_config *config; /* borrowed */
    bool open_mint;                     /* --insecure-open-mint */
    uid_t *mint_uids;
    size_t n_mint_uids;
    struct conn_address *proxies;
    size_t n_proxies;
    struct listeners listeners;
    struct metrics *metrics;
    struct conns *conns;
    struct jwks *jwks;
    struct MHD_Response *discovery[2]; /* without and with ES256 */
    struct evidence_source *evidence;
    struct wire_client *signer;
    struct http *http;
    struct door *door;
    _Atomic bool draining;
    _Atomic bool signer_gone; /* stopping: the client is about to be freed */
};

struct issuer_options {
    const struct issuer_config *config; /* outlives the issuer */
    bool open_mint;
    void (*observe)(void *ctx, const char *method, struct slice path); /* tests only */
    void *observe_ctx;
};

/*
 * Binds, starts the threads and serves. Logs each listener. Call from the main thread,
 * crypto_init() and log_init() done.
 */
enum attest_rc issuer_start(const struct issuer_options *options, struct issuer **ret,
                            struct attest_error *err);

/* Reads certificate and key again; connections go on, and so does the old pair on failure. */
enum attest_rc issuer_reload(struct issuer *iss, struct attest_error *err);

/* Lets nobody in, finishes what was accepted, for at most stop_s, and frees everything. */
void issuer_stop(struct issuer *iss);

#endif
