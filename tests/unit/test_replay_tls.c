/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/need.h"
#include "support/replay_store.h"

/* Over TLS, where hiredis has it, and only with whom the certificate names and somebody vouches
 * for. */
static void
test_tls(void **state)
{
    (void)state;
    struct redis_server_run server;
    struct replay_store *s = NULL;
    char port[8], command[1024], url[64], cert[96], key[96];
    random_port(port);
    assert_true(redis_prepare(&server));
    snprintf(cert, sizeof(cert), "%s/cert.pem", server.dir);
    snprintf(key, sizeof(key), "%s/key.pem", server.dir);
    snprintf(
        command, sizeof(command),
        "openssl req -x509 -newkey ed25519 -nodes -keyout %s -out %s -subj /CN=localhost -days 2 "
        "-addext subjectAltName=DNS:localhost >/dev/null 2>&1",
        key, cert);
    const char *const more[] = {"--tls-port",
                                port,
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
    assert_int_equal(system(command), 0);
    assert_true(redis_start(&server, more) && redis_declare_new(&server));
    options = (struct replay_redis){
        .url = url, .ca_file = cert, .timeout_ms = 5000, .connections_max = 2};
    snprintf(url, sizeof(url), "rediss://localhost:%s", port);
    enum attest_rc rc = replay_redis_new(&options, &s, NULL);
#ifdef HAVE_HIREDIS_SSL
    assert_int_equal(rc, ATTEST_OK);
    assert_int_equal(consume(s, "x"), ATTEST_OK);
    assert_int_equal(consume(s, "x"), ATTEST_E_REPLAY);
    replay_free(STEAL(s));
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%s", port);
    assert_int_equal(replay_redis_new(&options, &s, NULL), ATTEST_E_IO);
    snprintf(url, sizeof(url), "rediss://localhost:%s", port);
    options.ca_file = NULL;
    assert_int_equal(replay_redis_new(&options, &s, NULL), ATTEST_E_IO);
#else
    assert_int_equal(rc, ATTEST_E_UNSUPPORTED);
#endif
    assert_null(s);
    redis_done(&server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls),
    };
    need_redis();
    need_program("openssl", "openssl");
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
