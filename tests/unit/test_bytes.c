/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"

static void
test_slices(void **state)
{
    (void)state;
    assert_true(slice_is(slice_cstr("abc"), "abc"));
    assert_false(slice_is(slice_cstr("abc"), "ab"));
    assert_false(slice_is(slice_cstr("ab"), "abc"));
    assert_true(slice_eq((struct slice){NULL, 0}, slice_cstr("")));
    assert_int_equal(slice_cstr(NULL).len, 0);
    assert_false(slice_is((struct slice){"a\0b", 3}, "a"));
    AUTO(mem) char *copy = slice_dup((struct slice){"abcdef", 3});
    assert_string_equal(copy, "abc");
    AUTO(mem) char *empty = slice_dup((struct slice){NULL, 0});
    assert_string_equal(empty, "");
}

static void
test_steal(void **state)
{
    (void)state;
    AUTO(mem) char *kept = NULL;
    {
        AUTO(mem) char *made = strdup("x");
        kept = STEAL(made);
        assert_null(made);
    }
    assert_string_equal(kept, "x");
}

/* At the limit it works, one byte beyond it fails and changes nothing; failure sticks. */
static void
test_limit(void **state)
{
    (void)state;
    AUTO(buf) struct buf b;
    buf_init(&b, 8);
    buf_str(&b, "12345678");
    assert_int_equal(buf_rc(&b), ATTEST_OK);
    buf_char(&b, '9');
    assert_int_equal(buf_rc(&b), ATTEST_E_LIMIT);
    assert_true(slice_is(buf_view(&b), "12345678"));
    buf_consume(&b, 4);
    buf_str(&b, "x");
    assert_true(slice_is(buf_view(&b), "5678"));
    assert_false(buf_terminate(&b));
    buf_reset(&b);
    buf_str(&b, "x");
    assert_int_equal(buf_rc(&b), ATTEST_OK);
    assert_true(slice_is(buf_view(&b), "x"));
    buf_append(&b, "y", SIZE_MAX);
    assert_int_equal(buf_rc(&b), ATTEST_E_LIMIT);
    assert_true(slice_is(buf_view(&b), "x"));
    assert_null(buf_reserve(&b, 1));
}

static void
test_grows(void **state)
{
    (void)state;
    AUTO(buf) struct buf b;
    buf_init(&b, 100000);
    for (int i = 0; i < 10000; i++)
        buf_printf(&b, "%04d", i);
    assert_int_equal(b.len, 40000);
    assert_memory_equal(b.p + 4 * 9999, "9999", 4);
    buf_consume(&b, 39996);
    assert_true(slice_is(buf_view(&b), "9999"));
    buf_consume(&b, 100);
    assert_int_equal(b.len, 0);
    /* Longer than the room that a first try takes. */
    char text[2000];
    memset(text, 'z', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    buf_printf(&b, "<%s>", text);
    assert_int_equal(b.len, sizeof(text) + 1);
    assert_int_equal(b.p[b.len - 1], '>');
    assert_true(buf_terminate(&b));
    assert_int_equal(strlen(b.p), b.len);
}

static void
test_be32(void **state)
{
    (void)state;
    uint8_t p[4];
    be32_put(p, 0x01fe80ff);
    assert_memory_equal(p, "\x01\xfe\x80\xff", 4);
    assert_int_equal(be32_get(p), 0x01fe80ff);
    be32_put(p, UINT32_MAX);
    assert_int_equal(be32_get(p), UINT32_MAX);
}

static void
test_hex(void **state)
{
    (void)state;
    static const uint8_t raw[] = {0x00, 0x9f, 0xa0, 0xff};
    uint8_t back[4];
    char hex[9];
    hex_encode(hex, raw, sizeof(raw));
    assert_string_equal(hex, "009fa0ff");
    assert_true(hex_decode(back, sizeof(back), slice_cstr(hex)));
    assert_memory_equal(back, raw, sizeof(raw));
    static const char *const bad[] = {"",         "009fa0f",  "009fa0ff0", "009fa0fF", "009fa0fg",
                                      " 09fa0ff", "0x9fa0ff", "009fa0f/",  "009fa0f:", "009fa0f`"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(hex_decode(back, sizeof(back), slice_cstr(bad[i])));
}

/* One list of results: no number twice, a text for each, verdicts where the wire format has them.
 */
static void
test_results(void **state)
{
    (void)state;
    static const enum attest_rc list[] = {
#define ROW(name, number, text) ATTEST_##name,
        ATTEST_RC_LIST(ROW)
#undef ROW
    };
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        assert_string_not_equal(attest_strerror(list[i]), "unknown error");
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(list[i], list[k]);
    }
    for (int code = 1001; code <= 1016; code++)
        assert_string_not_equal(attest_strerror((enum attest_rc)code), "unknown error");
    assert_string_equal(attest_strerror((enum attest_rc)1017), "unknown error");
    assert_string_equal(attest_strerror((enum attest_rc) - 1), "unknown error");
}

static void
test_errors(void **state)
{
    (void)state;
    struct attest_error err = {0};
    char long_text[400];
    assert_int_equal(error_set(&err, ATTEST_E_CLAIMS, "%s: \x1b[31m\n%s", "sub", "\xc3\xa9"),
                     ATTEST_E_CLAIMS);
    assert_int_equal(err.rc, ATTEST_E_CLAIMS);
    assert_string_equal(err.text, "sub: ?[31m???");
    assert_int_equal(error_errno(&err, ATTEST_E_IO, 2, "open %s", "x"), ATTEST_E_IO);
    assert_string_equal(err.text, "open x: No such file or directory");
    memset(long_text, 'a', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    error_errno(&err, ATTEST_E_IO, 2, "%s", long_text);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_int_equal(error_set(NULL, ATTEST_E_IO, "no one looks"), ATTEST_E_IO);
    assert_int_equal(error_errno(NULL, ATTEST_E_IO, 2, "no one looks"), ATTEST_E_IO);
}

static void
test_clock(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_s;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {951782400, "2000-02-29T00:00:00Z"},
        {1769860800, "2026-01-31T12:00:00Z"},
        {253402300799, "9999-12-31T23:59:59Z"},
    };
    char text[CLOCK_TEXT_SIZE];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        clock_format(text, cases[i].wall_s);
        assert_string_equal(text, cases[i].text);
    }
    int64_t us = clock_mono_us(), ms = clock_mono_ms();
    assert_true(clock_mono_us() >= us);
    assert_true(ms >= us / 1000 && ms - us / 1000 < 60000);
    assert_true(clock_wall_s() > 1700000000);
    int64_t cpu_ns = clock_thread_cpu_ns();
    for (volatile int i = 0; i < 1000000; i++)
        ;
    assert_true(clock_thread_cpu_ns() > cpu_ns);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices),  cmocka_unit_test(test_steal),  cmocka_unit_test(test_limit),
        cmocka_unit_test(test_grows),   cmocka_unit_test(test_be32),   cmocka_unit_test(test_hex),
        cmocka_unit_test(test_results), cmocka_unit_test(test_errors), cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
