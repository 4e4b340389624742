/* SPDX-License-Identifier: MIT */
#include "replay/redis_link.h"

#ifdef HAVE_HIREDIS_SSL

#include <hiredis/hiredis_ssl.h>
#include <openssl/ssl.h>

DEFINE_AUTO(SSL_CTX, SSL_CTX *, SSL_CTX_free);
DEFINE_AUTO(SSL, SSL *, SSL_free);

enum attest_rc
redis_tls_supported(struct attest_error *err)
{
    (void)err;
    return ATTEST_OK;
}

/* hiredis by itself would check the certificate and not whose it is. */
static bool
expect_host(SSL *ssl, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1)
        return true;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

enum attest_rc
redis_tls_start(redisContext *context, const struct redis_target *target, struct attest_error *err)
{
    AUTO(SSL_CTX) SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        return error_set(err, ATTEST_E_NOMEM, "replay store: TLS cannot be set up");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (target->ca_file ? SSL_CTX_load_verify_locations(ctx, target->ca_file, NULL) != 1
                        : SSL_CTX_set_default_verify_paths(ctx) != 1)
        return error_set(err, ATTEST_E_CONFIG, "replay store: %s holds no certificates",
                         target->ca_file ? target->ca_file : "the system's store");
    AUTO(SSL) SSL *ssl = SSL_new(ctx);
    if (!ssl || !expect_host(ssl, target->url.host))
        return error_set(err, ATTEST_E_NOMEM, "replay store: TLS cannot be set up");
    struct held_pipe held;
    hold_pipe(&held);
    int rc = redisInitiateSSL(context, ssl);
    release_pipe(&held);
    if (rc != REDIS_OK)
        return error_set(err, ATTEST_E_IO, "replay store: TLS: %s", context->errstr);
    STEAL(ssl); /* the context's now */
    return ATTEST_OK;
}

#else

enum attest_rc
redis_tls_supported(struct attest_error *err)
{
    return error_set(err, ATTEST_E_UNSUPPORTED,
                     "replay store: rediss:// needs a hiredis with TLS; this one has none");
}

enum attest_rc
redis_tls_start(redisContext *context, const struct redis_target *target, struct attest_error *err)
{
    (void)context;
    (void)target;
    return redis_tls_supported(err);
}

#endif
