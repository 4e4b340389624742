/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "replay/redis_stream.h"

DEFINE_AUTO(SSL_CTX, SSL_CTX *, SSL_CTX_free);
DEFINE_AUTO(SSL, SSL *, SSL_free);

/*
 * OpenSSL writes without MSG_NOSIGNAL: to a server that went away that would end a program which
 * leaves SIGPIPE at its default. Held back in this thread, and taken off if it came by us.
 */
struct held_pipe {
    sigset_t before;
    bool was_pending;
};

/* Behind it comes one call of OpenSSL and outcome(). */
static void
begin(struct held_pipe *held)
{
    sigset_t pipe_only, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    held->was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &held->before);
    ERR_clear_error();
    errno = 0;
}

static void
release_pipe(const struct held_pipe *held)
{
    sigset_t pipe_only;
    const struct timespec at_once = {0};
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    while (!held->was_pending && sigtimedwait(&pipe_only, NULL, &at_once) == SIGPIPE)
        ;
    pthread_sigmask(SIG_SETMASK, &held->before, NULL);
}

static const char *
reason(const SSL *ssl, int sys_errno)
{
    long verdict = SSL_get_verify_result(ssl);
    const char *text = ERR_reason_error_string(ERR_peek_error());
    if (verdict != X509_V_OK)
        return X509_verify_cert_error_string(verdict);
    if (text)
        return text;
    return sys_errno ? strerror(sys_errno) : "Redis has closed the connection";
}

/* Of a call that gave n: as a try gives it. */
static ssize_t
outcome(const SSL *ssl, int n, const struct held_pipe *held, short *awaited,
        struct attest_error *err)
{
    int sys_errno = errno, why = SSL_get_error(ssl, n);
    release_pipe(held);
    if (why == SSL_ERROR_NONE)
        return n;
    *awaited = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return 0;
    error_set(err, ATTEST_E_IO, "replay store: TLS: %s", reason(ssl, sys_errno));
    ERR_clear_error();
    return -1;
}

ssize_t
redis_tls_send(struct ssl_st *tls, struct slice bytes, short *awaited, struct attest_error *err)
{
    struct held_pipe held;
    begin(&held);
    return outcome(tls, SSL_write(tls, bytes.p, (int)bytes.len), &held, awaited, err);
}

ssize_t
redis_tls_receive(struct ssl_st *tls, char *p, size_t len, short *awaited, struct attest_error *err)
{
    struct held_pipe held;
    begin(&held);
    return outcome(tls, SSL_read(tls, p, (int)len), &held, awaited, err);
}

static enum attest_rc
shake_hands(struct redis_stream *s, int64_t deadline_ms, struct attest_error *err)
{
    for (;;) {
        struct held_pipe held;
        short awaited = 0;
        begin(&held);
        ssize_t n = outcome(s->tls, SSL_connect(s->tls), &held, &awaited, err);
        if (n > 0)
            return ATTEST_OK;
        if (n < 0) /* whoever answers under this name is not merely away */
            return SSL_get_verify_result(s->tls) == X509_V_OK ? ATTEST_E_IO : ATTEST_E_CONFIG;
        enum attest_rc rc = redis_stream_wait(s, awaited, deadline_ms, err);
        if (rc != ATTEST_OK)
            return rc;
    }
}

static bool
expect_host(SSL *ssl, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1)
        return true;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

enum attest_rc
redis_tls_start(struct redis_stream *s, const struct redis_target *target, int64_t deadline_ms,
                struct attest_error *err)
{
    AUTO(SSL_CTX) SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        return error_set(err, ATTEST_E_NOMEM, "replay store: TLS cannot be set up");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (target->ca_file ? SSL_CTX_load_verify_locations(ctx, target->ca_file, NULL) != 1
                        : SSL_CTX_set_default_verify_paths(ctx) != 1) {
        ERR_clear_error();
        return error_set(err, ATTEST_E_CONFIG, "replay store: %s holds no certificates",
                         target->ca_file ? target->ca_file : "the system's store");
    }
    AUTO(SSL) SSL *ssl = SSL_new(ctx);
    if (!ssl || !expect_host(ssl, target->url.host) || SSL_set_fd(ssl, s->fd) != 1)
        return error_set(err, ATTEST_E_NOMEM, "replay store: TLS cannot be set up");
    s->tls = STEAL(ssl);
    return shake_hands(s, deadline_ms, err);
}

void
redis_tls_end(struct redis_stream *s)
{
    SSL_free(s->tls);
    s->tls = NULL;
}
