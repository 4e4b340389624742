/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/b64u.h"

/* RFC 4648 section 10, in the URL alphabet and without padding. */
static void
test_rfc4648(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *text;
    } cases[] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buf) struct buf b;
        char raw[16];
        size_t len = 99;
        buf_init(&b, 64);
        b64u_append(&b, cases[i].raw, strlen(cases[i].raw));
        assert_true(slice_is(buf_view(&b), cases[i].text));
        assert_int_equal(b64u_encoded_len(strlen(cases[i].raw)), strlen(cases[i].text));
        assert_true(b64u_decode(raw, sizeof(raw), &len, slice_cstr(cases[i].text)));
        assert_int_equal(len, strlen(cases[i].raw));
        assert_memory_equal(raw, cases[i].raw, len);
    }
}

static void
test_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "Z",       "Zm9vY", "Zg==", "Zm8=", "Zg=",  "=",    "Zm9v=", " Zg", "Zg ", "Zg\n",
        "Zm9v\n",  "Zm 9v", "Z+",   "Z/",   "-_+/", "Zh",   "Zm9",   "Zm-", "Z.",  "Z\x80",
        "Zm9\xff", "Zm9*",  "Zm,v", "{m9v", "@m9v", "[m9v", "`m9v",  "Zn",  "Zv",  "Zm_",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char raw[16];
        size_t len;
        if (b64u_decode(raw, sizeof(raw), &len, slice_cstr(cases[i])))
            fail_msg("accepted: '%s'", cases[i]);
    }
    char raw[4];
    size_t len;
    assert_false(b64u_decode(raw, sizeof(raw), &len, (struct slice){"Z\0", 2}));
    assert_false(b64u_decode(raw, sizeof(raw), &len, (struct slice){"Zm9v\0m9v", 8}));
}

/* Every text of up to four characters either encodes back to itself or is refused. */
static void
test_one_encoding(void **state)
{
    (void)state;
    static const char alphabet[] = "AQgw_-09azZ=+/ \n";
    size_t n = sizeof(alphabet) - 1, accepted = 0;
    for (size_t code = 0; code < n * n * n * n; code++) {
        char text[4] = {alphabet[code % n], alphabet[code / n % n], alphabet[code / n / n % n],
                        alphabet[code / n / n / n]};
        for (size_t text_len = 1; text_len <= 4; text_len++) {
            char raw[3], again[4];
            size_t len;
            if (!b64u_decode(raw, sizeof(raw), &len, (struct slice){text, text_len}))
                continue;
            accepted++;
            assert_int_equal(b64u_encoded_len(len), text_len);
            b64u_encode(again, raw, len);
            assert_memory_equal(again, text, text_len);
        }
    }
    assert_true(accepted > 0);
}

static void
test_all_bytes(void **state)
{
    (void)state;
    uint8_t raw[256], back[256];
    char text[344];
    size_t len;
    for (size_t i = 0; i < sizeof(raw); i++)
        raw[i] = (uint8_t)i;
    for (size_t n = 0; n <= sizeof(raw); n++) {
        struct slice s = {text, b64u_encoded_len(n)};
        b64u_encode(text, raw, n);
        assert_true(b64u_decode(back, n, &len, s));
        assert_int_equal(len, n);
        assert_memory_equal(back, raw, n);
        assert_true(b64u_decode_exact(back, n, s));
        if (n > 0) {
            assert_false(b64u_decode(back, n - 1, &len, s));
            assert_false(b64u_decode_exact(back, n - 1, s));
        }
        if (n < sizeof(raw))
            assert_false(b64u_decode_exact(back, n + 1, s));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4648),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_one_encoding),
        cmocka_unit_test(test_all_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
