/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/secret.h"
#include "support/certificate.h"
#include "support/leftovers.h"
#include "support/need.h"
#include "support/replay_store.h"

/* A Redis over the network: whom it is believed to be, how long it may take, what it is told. */

static struct redis_server_run server;
static char port[8], tls_port[8], cert[96];

static void
test_only_whom_the_certificate_names(void **state)
{
    (void)state;
    char url[64];
    struct replay_store *s = NULL;
    struct attest_error err;
    options = (struct replay_redis){
        .url = url, .ca_file = cert, .timeout_ms = 5000, .connections_max = 2};
    snprintf(url, sizeof(url), "rediss://localhost:%s", tls_port);
    s = new_store();
    assert_int_equal(consume(s, "x"), ATTEST_OK);
    assert_int_equal(consume(s, "x"), ATTEST_E_REPLAY);
    assert_int_equal(stats_of(s).connects, 1);
    replay_free(STEAL(s));
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%s", tls_port);
    options.memory_max = 16; /* which decides where Redis is away: this one is another */
    assert_int_equal(replay_redis_new(&options, &s, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "mismatch"));
    options.memory_max = 0;
    snprintf(url, sizeof(url), "rediss://localhost:%s", port);
    options.timeout_ms =
        500; /* not spoken to in its own way, Redis waits for more, Valkey refuses */
    enum attest_rc rc = replay_redis_new(&options, &s, NULL);
    assert_int_equal(rc, rc == ATTEST_E_CONFIG ? rc : ATTEST_E_IO);
    options.timeout_ms = 5000;
    snprintf(url, sizeof(url), "rediss://localhost:%s", tls_port);
    options.ca_file = NULL;
    assert_int_equal(replay_redis_new(&options, &s, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "self-signed"));
    assert_null(s);
}

/* It wants a certificate of ours, which there is none of: never away, however often it hangs up. */
static void
test_a_refusal_in_tls(void **state)
{
    (void)state;
    char url[64];
    struct replay_store *s = NULL;
    struct attest_error err;
    options = (struct replay_redis){
        .url = url, .ca_file = cert, .timeout_ms = 5000, .connections_max = 1, .memory_max = 16};
    snprintf(url, sizeof(url), "rediss://localhost:%s", tls_port);
    assert_true(redis_command(&server, "CONFIG SET tls-auth-clients yes"));
    for (int i = 0; i < 20; i++) {
        assert_int_equal(replay_redis_new(&options, &s, &err), ATTEST_E_CONFIG);
        assert_non_null(strstr(err.text, "certificate required"));
    }
    assert_true(redis_command(&server, "CONFIG SET tls-auth-clients no"));
    replay_free(new_store());
}

/* ---- a handshake that never ends ---- */

#define DRIPS 300 /* some 6 s of them */

struct dripping {
    int fd;
    atomic_int sent;
    pthread_t thread;
};

/* The head of a long record, and then one byte of it after the other. */
static void *
drip(void *arg)
{
    static const char record[DRIPS] = {0x16, 0x03, 0x03, 0x40, 0x00};
    struct dripping *d = arg;
    int fd = accept(d->fd, NULL, NULL);
    for (int i = 0; i < DRIPS && send(fd, record + i, 1, MSG_NOSIGNAL) == 1; i++) {
        atomic_store(&d->sent, i + 1);
        usleep(20000);
    }
    close(fd);
    return NULL;
}

static void
test_a_handshake_has_the_deadline(void **state)
{
    (void)state;
    char url[64];
    struct dripping d = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    assert_int_equal(bind(d.fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(d.fd, 1), 0);
    assert_int_equal(getsockname(d.fd, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(pthread_create(&d.thread, NULL, drip, &d), 0);
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%u", ntohs(at.sin_port));
    struct replay_store *s = NULL;
    struct attest_error err;
    options = (struct replay_redis){.url = url, .timeout_ms = 200, .connections_max = 1};
    assert_int_equal(replay_redis_new(&options, &s, &err), ATTEST_E_IO);
    assert_string_equal(err.text, "replay store: no answer from Redis in time");
    close(d.fd);
    pthread_join(d.thread, NULL);
    assert_in_range(atomic_load(&d.sent), 1, DRIPS - 1);
}

/* ---- an answer that never comes ---- */

/* Who says what TLS wants to be read, and no byte of data, as fast as it is read. */
struct chatty {
    int fd;
    SSL_CTX *ctx;
    atomic_bool stop;
    pthread_t thread;
};

static void *
chat(void *arg)
{
    struct chatty *c = arg;
    int fd = accept(c->fd, NULL, NULL);
    SSL *ssl = SSL_new(c->ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        while (!atomic_load(&c->stop) && SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
               SSL_do_handshake(ssl) == 1)
            ;
    }
    SSL_free(ssl);
    close(fd);
    return NULL;
}

static void
test_an_answer_has_the_deadline(void **state)
{
    (void)state;
    char url[64], key[96];
    struct chatty c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                       .ctx = SSL_CTX_new(TLS_server_method())};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    snprintf(key, sizeof(key), "%s/cert.key", server.dir);
    assert_int_equal(SSL_CTX_use_certificate_file(c.ctx, cert, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(c.ctx, key, SSL_FILETYPE_PEM), 1);
    signal(SIGPIPE, SIG_IGN); /* the server's part here writes without asking */
    assert_int_equal(bind(c.fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(c.fd, 1), 0);
    assert_int_equal(getsockname(c.fd, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(pthread_create(&c.thread, NULL, chat, &c), 0);
    snprintf(url, sizeof(url), "rediss://localhost:%u", ntohs(at.sin_port));
    struct replay_store *s = NULL;
    struct attest_error err;
    options = (struct replay_redis){
        .url = url, .ca_file = cert, .timeout_ms = 1500, .connections_max = 1};
    assert_int_equal(replay_redis_new(&options, &s, &err), ATTEST_E_IO);
    assert_string_equal(err.text, "replay store: no answer from Redis in time");
    atomic_store(&c.stop, true);
    shutdown(c.fd, SHUT_RDWR);
    close(c.fd);
    pthread_join(c.thread, NULL);
    SSL_CTX_free(c.ctx);
    signal(SIGPIPE, SIG_DFL);
}

/* ---- the password ---- */

#define PASSWORD_LEN 40

/* In a process of its own, whose memory is not looked through. */
static void
set_password(const struct secret *password)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(!redis_command(&server, "CONFIG SET requirepass %s", (const char *)password->p));
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

/* While the store lives, one copy in guarded memory beside the caller's URL, and none behind it. */
static void
test_a_password_is_kept_once(void **state)
{
    (void)state;
    AUTO(secret) struct secret password = secret_new(PASSWORD_LEN + 1), url = secret_new(128);
    uint8_t random[PASSWORD_LEN];
    random_bytes(random, sizeof(random));
    for (size_t i = 0; i < PASSWORD_LEN; i++)
        password.p[i] = (uint8_t)('a' + random[i] % 26);
    password.p[PASSWORD_LEN] = '\0';
    set_password(&password);
    for (int tls = 0; tls < 2; tls++) {
        snprintf((char *)url.p, url.len, "redis%s://:%s@localhost:%s", tls ? "s" : "",
                 (const char *)password.p, tls ? tls_port : port);
        options = (struct replay_redis){.url = (const char *)url.p,
                                        .ca_file = tls ? cert : NULL,
                                        .timeout_ms = 5000,
                                        .connections_max = 1};
        struct replay_store *s = new_store();
        assert_int_equal(consume(s, tls ? "over TLS" : "in the clear"), ATTEST_OK);
        assert_in_range(leftovers_of(password.p, PASSWORD_LEN), 0, 2);
        replay_free(s);
        assert_in_range(leftovers_of(password.p, PASSWORD_LEN), 0, 1);
    }
}

/* ---- */

static int
set_up(void **state)
{
    (void)state;
    char key[96];
    const char *const more[] = {"--port",
                                port,
                                "--tls-port",
                                tls_port,
                                "--bind",
                                "127.0.0.1",
                                "--tls-cert-file",
                                cert,
                                "--tls-key-file",
                                key,
                                "--tls-ca-cert-file",
                                cert,
                                "--tls-auth-clients",
                                "no",
                                NULL};
    random_port(port);
    random_port(tls_port);
    if (!redis_prepare(&server))
        return -1;
    snprintf(cert, sizeof(cert), "%s/cert.pem", server.dir);
    snprintf(key, sizeof(key), "%s/cert.key", server.dir);
    struct certificate own = {.name = "cert", .hosts = "DNS:localhost", .until_h = 48};
    bool made = certificate_make(&own, server.dir);
    certificate_done(&own);
    return !made || !redis_start(&server, more) || !redis_declare_new(&server);
}

static int
tear_down(void **state)
{
    (void)state;
    redis_done(&server);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_whom_the_certificate_names),
        cmocka_unit_test(test_a_refusal_in_tls),
        cmocka_unit_test(test_a_handshake_has_the_deadline),
        cmocka_unit_test(test_an_answer_has_the_deadline),
        cmocka_unit_test(test_a_password_is_kept_once),
    };
    need_redis();
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
