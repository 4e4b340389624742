/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
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

static enum attest_rc
say(const SSL *ssl, enum attest_rc rc, int sys_errno, struct attest_error *err)
{
    long verdict = SSL_get_verify_result(ssl);
    const char *text = verdict == X509_V_OK ? ERR_reason_error_string(ERR_peek_error())
                                            : X509_verify_cert_error_string(verdict);
    if (!text && sys_errno)
        return redis_stream_failed(sys_errno, "TLS", err);
    return error_set(err, rc, "replay store: TLS: %s",
                     text ? text : "Redis has closed the connection");
}

/* Whoever answers, and refuses or is another, is not merely away. */
static enum attest_rc
rc_of(int why)
{
    bool cut_off = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    return why == SSL_ERROR_SSL && !cut_off ? ATTEST_E_CONFIG : ATTEST_E_IO;
}

/* Of a call that gave n. */
static enum attest_rc
outcome(const SSL *ssl, int n, const struct held_pipe *held, struct redis_tried *ret,
        struct attest_error *err)
{
    int sys_errno = errno, why = SSL_get_error(ssl, n);
    release_pipe(held);
    if (why == SSL_ERROR_NONE)
        ret->n = (size_t)n;
    else if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        ret->awaited = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    else {
        enum attest_rc rc = say(ssl, rc_of(why), sys_errno, err);
        ERR_clear_error();
        return rc;
    }
    return ATTEST_OK;
}

enum attest_rc
redis_tls_send(struct ssl_st *tls, struct slice bytes, struct redis_tried *ret,
               struct attest_error *err)
{
    struct held_pipe held;
    begin(&held);
    return outcome(tls, SSL_write(tls, bytes.p, (int)bytes.len), &held, ret, err);
}

enum attest_rc
redis_tls_receive(struct ssl_st *tls, char *p, size_t len, struct redis_tried *ret,
                  struct attest_error *err)
{
    struct held_pipe held;
    begin(&held);
    return outcome(tls, SSL_read(tls, p, (int)len), &held, ret, err);
}

bool
redis_tls_quiet(const struct ssl_st *tls)
{
    return SSL_pending(tls) == 0;
}

static enum attest_rc
shake_hands(struct redis_stream *s, int64_t deadline_ms, struct attest_error *err)
{
    for (;;) {
        struct held_pipe held;
        struct redis_tried tried = redis_stream_try(deadline_ms);
        begin(&held);
        enum attest_rc rc = outcome(s->tls, SSL_connect(s->tls), &held, &tried, err);
        if (rc == ATTEST_OK && tried.n == 0)
            rc = redis_stream_wait(s, &tried, deadline_ms, err);
        if (rc != ATTEST_OK || tried.n > 0)
            return rc;
    }
}

/* The certificate's names of hosts alone, none of its subject. */
static bool
expect_host(SSL *ssl, const char *host)
{
    SSL_set_hostflags(ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1)
        return true;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

enum attest_rc
redis_tls_context(const char *ca_file, struct ssl_ctx_st **ret, struct attest_error *err)
{
    AUTO(SSL_CTX) SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    bool set_up = ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1;
    bool good = set_up && (ca_file ? SSL_CTX_load_verify_locations(ctx, ca_file, NULL) == 1
                                   : SSL_CTX_set_default_verify_paths(ctx) == 1);
    ERR_clear_error();
    if (!set_up)
        return error_set(err, ATTEST_E_NOMEM, "replay store: TLS cannot be set up");
    if (!good)
        return error_set(err, ATTEST_E_CONFIG, "replay store: %s holds no certificates",
                         ca_file ? ca_file : "the system's store");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    *ret = STEAL(ctx);
    return ATTEST_OK;
}

void
redis_tls_context_free(struct ssl_ctx_st *ctx)
{
    SSL_CTX_free(ctx);
}

enum attest_rc
redis_tls_start(struct redis_stream *s, const struct redis_target *target, int64_t deadline_ms,
                struct attest_error *err)
{
    AUTO(SSL) SSL *ssl = SSL_new(target->tls);
    if (!ssl || !expect_host(ssl, target->url.host) || SSL_set_fd(ssl, s->fd) != 1) {
        ERR_clear_error();
        return error_set(err, ATTEST_E_NOMEM, "replay store: TLS cannot be set up");
    }
    SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY); /* what is no answer does not outlast the deadline */
    s->tls = STEAL(ssl);
    return shake_hands(s, deadline_ms, err);
}

void
redis_tls_end(struct redis_stream *s)
{
    SSL_free(s->tls);
    s->tls = NULL;
}
