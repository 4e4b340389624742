/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "base/b64u.h"
#include "tests/bench/latency.h"
#include "tests/bench/load.h"
#include "tests/bench/response.h"
#include "tests/bench/target.h"
#include "tests/bench/token_check.h"

/* Load goes to this machine and nowhere else. */
static void
test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum attest_rc rc;
    } cases[] = {
        {"127.0.0.1:8080", ATTEST_OK},
        {"127.200.3.4:1", ATTEST_OK},
        {"[::1]:8080", ATTEST_OK},
        {"unix:/run/x.sock", ATTEST_OK},
        {"10.0.0.1:80", ATTEST_E_DENIED},
        {"0.0.0.0:80", ATTEST_E_DENIED},
        {"128.0.0.1:80", ATTEST_E_DENIED},
        {"[::]:80", ATTEST_E_DENIED},
        {"[::ffff:127.0.0.1]:80", ATTEST_E_DENIED},
        {"[2001:db8::1]:80", ATTEST_E_DENIED},
        {"localhost:80", ATTEST_E_ARGUMENT},
        {"example.com:80", ATTEST_E_ARGUMENT},
        {"127.0.0.1", ATTEST_E_ARGUMENT},
        {"127.0.0.1:0", ATTEST_E_ARGUMENT},
        {"127.0.0.1:65536", ATTEST_E_ARGUMENT},
        {"127.0.0.1:80x", ATTEST_E_ARGUMENT},
        {"127.1:80", ATTEST_E_ARGUMENT},
        {"::1:80", ATTEST_E_ARGUMENT},
        {"unix:relative", ATTEST_E_ARGUMENT},
        {"", ATTEST_E_ARGUMENT},
        {":80", ATTEST_E_ARGUMENT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct target t;
        struct attest_error err;
        enum attest_rc rc = target_parse(cases[i].text, &t, &err);
        if (rc != cases[i].rc)
            fail_msg("%s: %d, wanted %d", cases[i].text, (int)rc, (int)cases[i].rc);
    }
}

static void
test_percentiles(void **state)
{
    (void)state;
    static struct latency all, half;
    assert_int_equal(latency_percentile(&all, 0.5), 0);
    for (int64_t us = 1; us <= 5000; us++)
        latency_add(&all, us);
    for (int64_t us = 5001; us <= 10000; us++)
        latency_add(&half, us);
    latency_merge(&all, &half);
    assert_int_equal(all.n, 10000);
    assert_int_equal(all.max_us, 10000);
    assert_in_range(latency_percentile(&all, 0.5), 5000, 5100);
    assert_in_range(latency_percentile(&all, 0.99), 9900, 10000);
    assert_int_equal(latency_percentile(&all, 1), 10000);
    /* What no bucket was made for is kept at the edge, not written beyond it. */
    latency_add(&all, -5);
    latency_add(&all, INT64_MAX);
    assert_int_equal(latency_percentile(&all, 1), UINT32_MAX);
}

static enum response_state
read_text(const char *text, struct response *r)
{
    return response_read(slice_cstr(text), r);
}

static void
test_responses(void **state)
{
    (void)state;
    static const char whole[] = "HTTP/1.1 201 Created\r\ncontent-length:  5\r\n\r\nhello";
    struct response r;
    for (size_t len = 0; len < sizeof(whole) - 1; len++)
        assert_int_equal(response_read((struct slice){whole, len}, &r), RESPONSE_MORE);
    assert_int_equal(read_text(whole, &r), RESPONSE_DONE);
    assert_int_equal(r.status, 201);
    assert_int_equal(r.total_len, sizeof(whole) - 1);
    assert_true(slice_is(r.body, "hello"));
    assert_false(r.closes);

    assert_int_equal(read_text("HTTP/1.1 304 Not Modified\r\nConnection: Close\r\n\r\n", &r),
                     RESPONSE_DONE);
    assert_true(r.closes);

    static const char *const bad[] = {
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        "SPDY 200\r\nContent-Length: 0\r\n\r\n",
        "\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (read_text(bad[i], &r) != RESPONSE_BAD)
            fail_msg("accepted: %s", bad[i]);
}

static bool
three_turns(void *ctx)
{
    return ++*(int *)ctx < 3;
}

/* Where connections are taken and nobody ever answers. */
static void
test_gives_up(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    AUTO(fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
                listen(fd, 8) == 0 && getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    static struct load_result result;
    _Atomic uint64_t requested = 0;
    int turns = 0;
    struct load_plan plan = {.request = slice_cstr("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
                             .count = UINT64_MAX,
                             .check_ctx = &turns,
                             .go_on = three_turns,
                             .requested = &requested};
    char text[32];
    snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(at.sin_port));
    assert_int_equal(target_parse(text, &plan.target, NULL), ATTEST_OK);
    load_run(&plan, 2, &result);
    assert_int_equal(turns, 3);
    assert_int_equal(result.responses, 0);
    assert_int_equal(result.failed, 2);
}

static void
make_answer(char *out, size_t out_size, const struct secret *seed, const char *kid)
{
    AUTO(buf) struct buf token;
    uint8_t sig[ED25519_SIG_LEN];
    char header[128];
    buf_init(&token, 1024);
    snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", kid);
    b64u_append(&token, header, strlen(header));
    buf_str(&token, ".e30");
    ed25519_sign(sig, token.p, token.len, seed);
    buf_char(&token, '.');
    b64u_append(&token, sig, sizeof(sig));
    assert_true(buf_terminate(&token));
    snprintf(out, out_size, "{\"token\":\"%s\"}", token.p);
}

static void
test_token_check(void **state)
{
    (void)state;
    AUTO(secret) struct secret seed = secret_new(ED25519_SEED_LEN);
    uint8_t public_key[ED25519_PUBLIC_LEN];
    static struct token_check c;
    struct attest_error err;
    char text[1024], x[64] = {0};
    memset(seed.p, 7, seed.len);
    ed25519_public_from_seed(public_key, &seed);
    b64u_encode(x, public_key, sizeof(public_key));
    snprintf(text, sizeof(text),
             "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k1\",\"x\":\"%s\"}]}", x);
    assert_int_equal(token_check_keys(&c, text, strlen(text), &err), ATTEST_OK);
    assert_int_equal(c.n, 1);

    make_answer(text, sizeof(text), &seed, "k1");
    assert_int_equal(token_check_answer(&c, text, strlen(text), &err), ATTEST_OK);
    make_answer(text, sizeof(text), &seed, "k2");
    assert_int_equal(token_check_answer(&c, text, strlen(text), &err), ATTEST_E_KEY_UNKNOWN);
    seed.p[0] ^= 1;
    make_answer(text, sizeof(text), &seed, "k1");
    assert_int_equal(token_check_answer(&c, text, strlen(text), &err), ATTEST_E_SIGNATURE);
    strcpy(text, "{\"token\":\"a.b\"}");
    assert_int_equal(token_check_answer(&c, text, strlen(text), &err), ATTEST_E_MALFORMED);
    strcpy(text, "{\"other\":1}");
    assert_int_equal(token_check_answer(&c, text, strlen(text), &err), ATTEST_E_MALFORMED);
    strcpy(text, "{\"keys\":[]}");
    assert_int_equal(token_check_keys(&c, text, strlen(text), &err), ATTEST_E_KEY_UNKNOWN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),   cmocka_unit_test(test_percentiles),
        cmocka_unit_test(test_responses),   cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_token_check),
    };
    return crypto_init(NULL) == ATTEST_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
