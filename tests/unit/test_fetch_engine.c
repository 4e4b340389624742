/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>

#include "fetch/engine.h"
#include "tests/support/http_stub.h"
#include "tests/support/need.h"

struct outcome {
    bool done;
    enum attest_rc rc;
    long status;
    int64_t max_age_s, retry_after_s;
    char body[64], why[256];
};

static void
note(void *ctx, enum attest_rc rc, const struct fetch_answer *answer,
     const struct attest_error *err)
{
    struct outcome *o = ctx;
    assert_false(o->done);
    o->done = true;
    o->rc = rc;
    if (answer) {
        o->status = answer->status;
        o->max_age_s = answer->max_age_s;
        o->retry_after_s = answer->retry_after_s;
        snprintf(o->body, sizeof(o->body), "%.*s", (int)answer->body.len,
                 answer->body.p ? answer->body.p : "");
    } else {
        snprintf(o->why, sizeof(o->why), "%s", err->text);
    }
}

static void
start(struct fetch_engine *engine, const struct http_stub *s, long timeout_ms, struct outcome *o)
{
    char url[64];
    snprintf(url, sizeof(url), "%s/keys", s->origin);
    const struct fetch_request request = {
        .url = url, .type = "application/json", .answer_max = 48, .timeout_ms = timeout_ms};
    *o = (struct outcome){0};
    assert_int_equal(fetch_engine_start(engine, &request, note, o, NULL), ATTEST_OK);
    assert_false(o->done);
}

/* As a server's own loop would: until it is done. */
static void
run(struct fetch_engine *engine, const struct outcome *o)
{
    while (!o->done) {
        struct pollfd fd = {.fd = fetch_engine_fd(engine), .events = POLLIN};
        poll(&fd, 1, fetch_engine_timeout_ms(engine));
        fetch_engine_step(engine);
    }
}

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
#define BODY "Content-Length: 11\r\nConnection: close\r\n\r\n{\"keys\":[]}"

static struct outcome
once(const char *says)
{
    struct http_stub s;
    struct outcome o;
    AUTO(fetch_engine) struct fetch_engine *engine = NULL;
    assert_int_equal(fetch_engine_new(&engine, NULL), ATTEST_OK);
    assert_true(http_stub_start(&s));
    http_stub_say(&s, NULL, says);
    start(engine, &s, 10000, &o);
    run(engine, &o);
    http_stub_stop(&s);
    return o;
}

static void
an_answer_and_how_long_it_lives(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        int64_t max_age_s;
    } cases[] = {
        {"", -1},
        {"Cache-Control: public, max-age=300\r\n", 300},
        {"Cache-Control: max-age=300\r\nAge: 100\r\n", 200},
        {"Cache-Control: max-age=300\r\nAge: 301\r\n", 0},
        {"Cache-Control: MAX-AGE=300 , must-revalidate\r\n", 300},
        {"Cache-Control: max-age=300\r\nCache-Control: max-age=20\r\n", 20},
        {"Cache-Control: max-age=300, no-store\r\n", 0},
        {"Cache-Control: no-cache\r\n", 0},
        {"Cache-Control: max-age=many\r\n", 0},
        {"Cache-Control: max-age=-5\r\n", 0},
        {"Cache-Control: max-age=99999999999999999999999\r\n", FETCH_SECONDS_MAX},
        {"Cache-Control: s-maxage=5, x-max-age=6\r\n", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char says[512];
        snprintf(says, sizeof(says), HEAD "%s" BODY, cases[i].headers);
        struct outcome o = once(says);
        assert_int_equal(o.rc, ATTEST_OK);
        assert_int_equal(o.status, 200);
        assert_string_equal(o.body, "{\"keys\":[]}");
        assert_int_equal(o.max_age_s, cases[i].max_age_s);
    }
}

static void
what_is_no_answer(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        enum attest_rc rc;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" BODY, ATTEST_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\n" BODY, ATTEST_E_MALFORMED},
        {HEAD "Content-Encoding: gzip\r\n" BODY, ATTEST_E_MALFORMED},
        {HEAD "Content-Length: 49\r\n\r\n", ATTEST_E_IO},
        {HEAD "\r\n0123456789012345678901234567890123456789012345678", ATTEST_E_LIMIT},
        {HEAD "Content-Length: 20\r\n\r\n{\"keys\"", ATTEST_E_IO},
        {"", ATTEST_E_IO},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct outcome o = once(cases[i].says);
        if (o.rc != cases[i].rc)
            fail_msg("case %zu: %d (%s)", i, o.rc, o.why);
        assert_true(*o.why);
    }
}

static void
a_refusal_and_a_redirect_are_told(void **state)
{
    (void)state;
    struct outcome o = once("HTTP/1.1 503 Later\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(o.rc, ATTEST_OK);
    assert_int_equal(o.status, 503);
    assert_int_equal(o.retry_after_s, 7);
    o = once("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(o.rc, ATTEST_OK);
    assert_int_equal(o.status, 302);
}

/* One server hangs; the other's answer comes all the same, and the hanging one ends by its time. */
static void
one_that_hangs_holds_up_nobody(void **state)
{
    (void)state;
    struct http_stub hangs, answers;
    struct outcome stuck, good;
    AUTO(fetch_engine) struct fetch_engine *engine = NULL;
    assert_int_equal(fetch_engine_new(&engine, NULL), ATTEST_OK);
    assert_true(http_stub_start(&hangs));
    http_stub_say(&hangs, NULL, NULL);
    assert_true(http_stub_start(&answers));
    http_stub_say(&answers, NULL, HEAD BODY);
    start(engine, &hangs, 5000, &stuck);
    start(engine, &answers, 60000, &good);
    run(engine, &good);
    assert_int_equal(good.rc, ATTEST_OK);
    assert_false(stuck.done);
    run(engine, &stuck);
    assert_int_equal(stuck.rc, ATTEST_E_TIMEOUT);
    http_stub_stop(&hangs);
    http_stub_stop(&answers);
}

/* However many hang, another's turn comes. */
static void
forty_that_hang_hold_up_nobody(void **state)
{
    (void)state;
    struct http_stub hangs, answers;
    struct outcome stuck[40], good;
    AUTO(fetch_engine) struct fetch_engine *engine = NULL;
    assert_int_equal(fetch_engine_new(&engine, NULL), ATTEST_OK);
    assert_true(http_stub_start(&hangs));
    http_stub_say(&hangs, NULL, NULL);
    assert_true(http_stub_start(&answers));
    http_stub_say(&answers, NULL, HEAD BODY);
    for (size_t i = 0; i < ARRAY_LEN(stuck); i++)
        start(engine, &hangs, 600000, &stuck[i]);
    for (int i = 0; i < 6000 && http_stub_asked(&hangs) < 16; i++) {
        struct pollfd fd = {.fd = fetch_engine_fd(engine), .events = POLLIN};
        poll(&fd, 1, 10);
        fetch_engine_step(engine);
    }
    start(engine, &answers, 30000, &good);
    run(engine, &good);
    assert_int_equal(good.rc, ATTEST_OK);
    http_stub_stop(&hangs);
    http_stub_stop(&answers);
}

/* ---- a machine that sleeps ---- */

static int64_t slept_ms;

int64_t __real_clock_boot_ms(void);
int64_t __wrap_clock_boot_ms(void);
int64_t
__wrap_clock_boot_ms(void)
{
    return __real_clock_boot_ms() + slept_ms;
}

/* Steps until there is something to read there. */
static void
step_until_readable(struct fetch_engine *engine, int there)
{
    struct pollfd fd = {.fd = there, .events = POLLIN};
    for (int i = 0; i < 6000 && poll(&fd, 1, 10) == 0; i++)
        fetch_engine_step(engine);
    assert_true(fd.revents & POLLIN);
}

/* Exchanges one answer, which is there before the machine sleeps and read when it wakes. */
static struct outcome
over_a_sleep(int64_t sleep_ms)
{
    char request[1024], url[64];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    struct outcome o = {0};
    AUTO(fetch_engine) struct fetch_engine *engine = NULL;
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(door, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(door, 1), 0);
    assert_int_equal(getsockname(door, (struct sockaddr *)&at, &len), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(at.sin_port));
    const struct fetch_request ask = {
        .url = url, .type = "application/json", .answer_max = 48, .timeout_ms = 600000};
    assert_int_equal(fetch_engine_new(&engine, NULL), ATTEST_OK);
    assert_int_equal(fetch_engine_start(engine, &ask, note, &o, NULL), ATTEST_OK);
    step_until_readable(engine, door);
    int fd = accept(door, NULL, NULL);
    step_until_readable(engine, fd);
    assert_true(read(fd, request, sizeof(request)) > 0);
    assert_int_equal(write(fd, HEAD BODY, strlen(HEAD BODY)), strlen(HEAD BODY));
    struct pollfd answered = {.fd = fetch_engine_fd(engine), .events = POLLIN};
    assert_int_equal(poll(&answered, 1, 60000), 1);
    slept_ms = sleep_ms;
    run(engine, &o);
    slept_ms = 0;
    close(fd);
    close(door);
    return o;
}

static void
an_answer_from_before_a_sleep_is_too_old(void **state)
{
    (void)state;
    assert_int_equal(over_a_sleep(0).rc, ATTEST_OK);
    assert_int_equal(over_a_sleep(601000).rc, ATTEST_E_TIMEOUT);
}

static void
what_is_on_its_way_can_be_dropped(void **state)
{
    (void)state;
    struct http_stub hangs;
    struct outcome o;
    struct fetch_engine *engine = NULL;
    assert_int_equal(fetch_engine_new(&engine, NULL), ATTEST_OK);
    assert_true(http_stub_start(&hangs));
    http_stub_say(&hangs, NULL, NULL);
    start(engine, &hangs, 60000, &o);
    while (http_stub_asked(&hangs) == 0) {
        struct pollfd fd = {.fd = fetch_engine_fd(engine), .events = POLLIN};
        poll(&fd, 1, 10);
        fetch_engine_step(engine);
    }
    fetch_engine_free(engine);
    assert_false(o.done);
    http_stub_stop(&hangs);
}

static void
urls_that_are_not_asked(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "http://example.com/", "ftp://127.0.0.1/", "file:///etc/passwd",
        "https://user@example.com/", "nonsense",
        /* These are names, to be looked up. */
        "http://127.999.0.1/", "http://127.-1.0.1/", "http://127.0.0.256/", "http://127.0.0.1.x/"};
    AUTO(fetch_engine) struct fetch_engine *engine = NULL;
    assert_int_equal(fetch_engine_new(&engine, NULL), ATTEST_OK);
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct outcome o = {0};
        const struct fetch_request request = {
            .url = urls[i], .type = "application/json", .answer_max = 48, .timeout_ms = 1000};
        assert_int_equal(fetch_engine_start(engine, &request, note, &o, NULL), ATTEST_E_CONFIG);
    }
}

int
main(void)
{
    need_curl();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_and_how_long_it_lives),
        cmocka_unit_test(what_is_no_answer),
        cmocka_unit_test(a_refusal_and_a_redirect_are_told),
        cmocka_unit_test(one_that_hangs_holds_up_nobody),
        cmocka_unit_test(forty_that_hang_hold_up_nobody),
        cmocka_unit_test(an_answer_from_before_a_sleep_is_too_old),
        cmocka_unit_test(what_is_on_its_way_can_be_dropped),
        cmocka_unit_test(urls_that_are_not_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
