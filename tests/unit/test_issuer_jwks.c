/* SPDX-License-Identifier: MIT */
/* The two key sets as attestd serves them, after frames as the signer sends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "issuer/issuer.h"
#include "issuer/jwks.h"
#include "token/jws.h"
#include "token/signed_keyset.h"

#define SIGNED "/.well-known/jwks.jwt"
#define PLAIN "/.well-known/jwks.json"

static struct issuer *iss;
static uint16_t port;
static char answer[16384];

/* What a client gets, into answer; the status. header is "" or ends in CRLF. */
static int
fetch(const char *method, const char *path, const char *header)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = 60};
    char request[512];
    int request_len =
        snprintf(request, sizeof(request),
                 "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", method, path, header);
    AUTO(fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(send(fd, request, (size_t)request_len, MSG_NOSIGNAL), request_len);
    size_t len = 0;
    ssize_t n;
    while (len < sizeof(answer) - 1 &&
           (n = recvfrom(fd, answer + len, sizeof(answer) - 1 - len, 0, NULL, NULL)) > 0)
        len += (size_t)n;
    answer[len] = '\0';
    assert_int_equal(strncmp(answer, "HTTP/1.1 ", 9), 0);
    return atoi(answer + 9);
}

static void
assert_has(const char *text)
{
    if (!strstr(answer, text))
        fail_msg("no '%s' in: %s", text, answer);
}

static const char *
body(void)
{
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

/* A set with these times; nobody here looks at the signature. free() it. */
static char *
signed_set(int64_t iat, int64_t exp)
{
    static const uint8_t signature[ED25519_SIG_LEN];
    struct buf text;
    AUTO(buf) struct buf payload;
    buf_init(&payload, 4096);
    buf_init(&text, 8192);
    signed_keyset_write(&(struct signed_keyset_source){.issuer = slice_cstr("http://127.0.0.1"),
                                                       .iat = iat,
                                                       .exp = exp},
                        &payload);
    jws_write_signing_input(&text, JWK_ALG_EDDSA, SIGNED_KEYSET_TYP, slice_cstr("root"),
                            buf_view(&payload));
    jws_write_signature(&text, signature);
    assert_true(buf_terminate(&text));
    return text.p;
}

/* The frame's members beside those that are always there; more begins with a comma. */
static const char *jwks_keys = "";

static enum attest_rc
snapshot(const char *more)
{
    AUTO(buf) struct buf text;
    struct attest_error err = {0};
    buf_init(&text, 65536);
    buf_printf(&text,
               "{\"jwks\":\"{\\\"keys\\\":[%s]}\",\"max_age_s\":300,\"keystore\":\"ready\","
               "\"ready\":true,\"why\":\"\",\"keys\":[]%s}",
               jwks_keys, more);
    JSON_NODES(json, 64);
    assert_int_equal(json_read(&json, text.p, text.len, &frame_limits, &err), ATTEST_OK);
    return jwks_update(iss->jwks, &json, json_root(&json), &err);
}

static enum attest_rc
snapshot_signed(const char *jwt)
{
    AUTO(buf) struct buf more;
    buf_init(&more, 65536);
    buf_printf(&more, ",\"signed\":\"%s\"", jwt);
    assert_true(buf_terminate(&more));
    return snapshot(more.p);
}

static void
test_before_the_signer(void **state)
{
    (void)state;
    assert_int_equal(fetch("GET", SIGNED, ""), 503);
    assert_has("Retry-After: ");
    assert_int_equal(fetch("GET", PLAIN, ""), 503);
}

/* A key that stays in a TPM signs by another algorithm, and so the documents say while it is there.
 */
static void
test_algorithms(void **state)
{
    (void)state;
    static const char discovery[] = "/.well-known/openid-configuration";
    for (int i = 0; i < 3; i++) {
        jwks_keys = i == 1 ? "{\\\"kty\\\":\\\"EC\\\",\\\"alg\\\":\\\"ES256\\\"}" : "";
        assert_int_equal(snapshot(""), ATTEST_OK);
        assert_int_equal(fetch("GET", discovery, ""), 200);
        assert_has(i == 1 ? "signing_alg_values_supported\":[\"EdDSA\",\"ES256\"]"
                          : "signing_alg_values_supported\":[\"EdDSA\"]");
    }
}

static void
test_none(void **state)
{
    (void)state;
    assert_int_equal(snapshot(""), ATTEST_OK);
    assert_int_equal(fetch("GET", PLAIN, ""), 200);
    assert_int_equal(fetch("GET", SIGNED, ""), 404);
    assert_has("application/problem+json");
    assert_has("no root key");
}

static void
test_served(void **state)
{
    (void)state;
    int64_t now = clock_wall_s();
    char *jwt AUTO(mem) = signed_set(now, now + 3600);
    char *next AUTO(mem) = signed_set(now + 1, now + 3601);
    assert_int_equal(snapshot_signed(jwt), ATTEST_OK);
    assert_int_equal(fetch("GET", SIGNED, ""), 200);
    assert_has("Content-Type: application/jwk-set+jwt\r\n");
    assert_has("Cache-Control: public, max-age=300\r\n");
    assert_has("Access-Control-Allow-Origin: *\r\n");
    assert_string_equal(body(), jwt);
    char etag[64], header[128];
    assert_int_equal(sscanf(strstr(answer, "ETag: "), "ETag: %63[^\r]", etag), 1);
    snprintf(header, sizeof(header), "If-None-Match: %s\r\n", etag);
    assert_int_equal(fetch("GET", SIGNED, header), 304);
    assert_string_equal(body(), "");
    assert_has(etag);
    assert_int_equal(fetch("GET", PLAIN, header), 200); /* each has its own */
    assert_string_equal(body(), "{\"keys\":[]}");
    assert_int_equal(fetch("HEAD", SIGNED, ""), 200);
    assert_string_equal(body(), "");
    assert_int_equal(fetch("POST", SIGNED, "Content-Length: 0\r\n"), 405);
    assert_has("Allow: GET, HEAD\r\n");

    assert_int_equal(snapshot_signed(next), ATTEST_OK);
    assert_int_equal(fetch("GET", SIGNED, header), 200);
    assert_string_equal(body(), next);

    /* The signer goes away: what was there stays. */
    jwks_link(iss->jwks, false, "gone");
    assert_int_equal(fetch("GET", SIGNED, ""), 200);
    /* It comes back and has not signed yet: still good, so still served. */
    assert_int_equal(snapshot(""), ATTEST_OK);
    assert_int_equal(fetch("GET", SIGNED, ""), 200);
    assert_string_equal(body(), next);
}

/* No cache keeps one beyond its end. */
static void
test_cache(void **state)
{
    (void)state;
    int64_t now = clock_wall_s();
    char *brief AUTO(mem) = signed_set(now, now + 200);
    char *late AUTO(mem) = signed_set(now - 3400, now + 200);
    char *over AUTO(mem) = signed_set(now - 3700, now - 100);
    assert_int_equal(snapshot_signed(brief), ATTEST_OK);
    assert_int_equal(fetch("GET", SIGNED, ""), 200);
    assert_has("Cache-Control: public, max-age=100\r\n");
    assert_int_equal(snapshot_signed(late), ATTEST_OK);
    assert_int_equal(fetch("GET", SIGNED, ""), 200);
    assert_has("Cache-Control: public, no-cache\r\n");
    /* One that is over says so itself, as long as there is to be one. */
    assert_int_equal(snapshot_signed(over), ATTEST_OK);
    assert_int_equal(fetch("GET", SIGNED, ""), 200);
    assert_has("Cache-Control: public, no-cache\r\n");
    assert_int_equal(snapshot(""), ATTEST_OK);
    assert_int_equal(fetch("GET", SIGNED, ""), 404);
}

/* A signed set that is none leaves the last one, and does not hold up the plain one. */
static void
test_refused(void **state)
{
    (void)state;
    int64_t now = clock_wall_s();
    char *good AUTO(mem) = signed_set(now, now + 3600);
    assert_int_equal(snapshot_signed(good), ATTEST_OK);
    static const char *const odd[] = {
        ",\"signed\":7",
        ",\"signed\":null",
        ",\"signed\":\"\"",
        ",\"signed\":\"a.b.c\"",
        ",\"signed\":\"{}\"",
        ",\"signed\":\"eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ.e30.AAAA\"",
    };
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        assert_int_equal(snapshot(odd[i]), ATTEST_OK);
        assert_int_equal(fetch("GET", SIGNED, ""), 200);
        assert_string_equal(body(), good);
    }
}

static void
test_rollover(void **state)
{
    (void)state;
    struct jwks_status status;
    assert_int_equal(snapshot(",\"rollover\":{\"loop\":\"running\",\"why\":\"\",\"next_action\":"
                              "\"pub\\\"lish\",\"next_at\":1800000000,\"due\":1800000001,"
                              "\"overdue\":1800000002,\"more\":[]}"),
                     ATTEST_OK);
    jwks_status(iss->jwks, &status);
    assert_true(status.rollover.known);
    assert_string_equal(status.rollover.next_action, "pub_lish"); /* it becomes a label */
    assert_int_equal(status.rollover.next_at_s, 1800000000);
    assert_int_equal(status.rollover.due_s, 1800000001);
    assert_int_equal(status.rollover.overdue_s, 1800000002);
    jwks_link(iss->jwks, true, "");
    assert_int_equal(snapshot(",\"rollover\":{\"loop\":\"stopped\",\"why\":\"the clock jumped\","
                              "\"next_action\":\"wait\",\"next_at\":0,\"due\":0,\"overdue\":0}"),
                     ATTEST_OK);
    /* Tokens are made all the same, and who looks is told. */
    assert_int_equal(fetch("GET", "/readyz", ""), 200);
    assert_has("\"rollover\":\"stopped: the clock jumped\"");
    assert_int_equal(snapshot(""), ATTEST_OK);
    jwks_status(iss->jwks, &status);
    assert_false(status.rollover.known);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_the_signer),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_algorithms),
        cmocka_unit_test(test_served),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_rollover),
    };
    static const char text[] =
        "issuer: http://127.0.0.1\nlisten: [\"127.0.0.1:0\"]\nadmin_listen: \"\"\n"
        "signer_socket: /nonexistent/attest-signer.sock\nlog_level: error\n";
    struct issuer_config config = {0};
    struct issuer_options options = {.config = &config};
    struct attest_error err = {0};
    log_init("test", LOG_LEVEL_ERROR);
    if (crypto_init(&err) ||
        config_parse(&issuer_config_schema, slice_cstr(text), NULL, &config, &err) ||
        issuer_start(&options, &iss, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    port = (uint16_t)atoi(strrchr(iss->listeners.at[0].name, ':') + 1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    issuer_stop(iss);
    config_done(&issuer_config_schema, &config);
    return failed;
}
