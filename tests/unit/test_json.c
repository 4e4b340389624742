/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

static const struct json_limits limits = {
    .text_max = 1024, .string_max = 16, .depth_max = 3, .members_max = 3};

static enum attest_rc
read_text(struct json *j, char *room, const char *text)
{
    size_t len = strlen(text);
    memcpy(room, text, len);
    return json_read(j, room, len, &limits, NULL);
}

static void
test_refuses(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "01",
        "-",
        "1.",
        "1e",
        ".5",
        "+1",
        "nul",
        "truex",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\u0000\"",
        "\"\x01\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xff\"",
        "\"\xe2\x82\"",
        "{} {}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "[[[[1]]]]",
        "{\"a\":1,\"b\":2,\"c\":3,\"d\":4}",
        "\"12345678901234567\"",
        "1 2",
        "\xef\xbb\xbf{}",
        "[1 2]",
        "{\"a\":}",
        "[,1]",
        "NaN",
        "{\"a\":1 \"b\":2}",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char room[1024];
        JSON_NODES(j, 32);
        if (read_text(&j, room, cases[i]) != ATTEST_E_MALFORMED)
            fail_msg("accepted: %s", cases[i]);
    }
}

static void
test_reads(void **state)
{
    (void)state;
    char room[1024];
    JSON_NODES(j, 32);
    assert_int_equal(
        read_text(&j, room,
                  " {\"a\\u00e9\\n\":[1,-2,3.5],\"b\":{\"c\":\"\\ud83d\\ude00\"},\"d\":null} "),
        ATTEST_OK);
    const struct json_node *root = json_root(&j);
    assert_int_equal(root->count, 3);
    const struct json_node *a = json_member(&j, root, "a\xc3\xa9\n");
    assert_non_null(a);
    int64_t expected[] = {1, -2};
    size_t n = 0;
    int64_t v;
    for (const struct json_node *e = NULL; json_each(&j, a, NULL, &e); n++) {
        if (n < 2) {
            assert_true(json_int64(e, &v));
            assert_int_equal(v, expected[n]);
        } else {
            assert_false(json_int64(e, &v));
        }
    }
    assert_int_equal(n, 3);
    const struct json_node *c = json_member(&j, json_member(&j, root, "b"), "c");
    assert_true(slice_is(c->text, "\xf0\x9f\x98\x80"));
    assert_int_equal(json_member(&j, root, "d")->type, JSON_NULL);
    assert_null(json_member(&j, root, "e"));
    assert_null(json_member(&j, c, "x"));
}

static void
test_int64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999", false, 0},
        {"-0", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"\"1\"", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char room[1024];
        JSON_NODES(j, 4);
        int64_t v = 0;
        assert_int_equal(read_text(&j, room, cases[i].text), ATTEST_OK);
        assert_int_equal(json_int64(json_root(&j), &v), cases[i].ok);
        if (cases[i].ok)
            assert_int_equal(v, cases[i].value);
    }
}

static void
test_string_round_trip(void **state)
{
    (void)state;
    const char raw[] = "a\"\\\n\x1f/\xc3\xa9";
    AUTO(buf) struct buf b;
    buf_init(&b, 256);
    json_put_string(&b, slice_cstr(raw));
    assert_true(slice_is(buf_view(&b), "\"a\\\"\\\\\\u000a\\u001f/\xc3\xa9\""));
    JSON_NODES(j, 1);
    assert_int_equal(json_read(&j, b.p, b.len, &limits, NULL), ATTEST_OK);
    assert_true(slice_is(json_root(&j)->text, raw));
}

static void
test_too_many_nodes(void **state)
{
    (void)state;
    char room[1024];
    JSON_NODES(j, 3);
    assert_int_equal(read_text(&j, room, "[1,2]"), ATTEST_OK);
    assert_int_equal(read_text(&j, room, "[1,2,3]"), ATTEST_E_MALFORMED);
}

/* Strings are read eight bytes at a time: whatever a byte is, its place must not matter. */
static void
test_every_byte_everywhere(void **state)
{
    (void)state;
    static const struct json_limits wide = {
        .text_max = 64, .string_max = 64, .depth_max = 1, .members_max = 1};
    for (size_t at = 0; at < 20; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[24], string[21];
            JSON_NODES(j, 2);
            memset(text, 'a', sizeof(text));
            text[0] = text[21] = '"';
            text[1 + at] = (char)byte;
            memcpy(string, text + 1, 20);
            string[20] = '\0';
            enum attest_rc rc = json_read(&j, text, 22, &wide, NULL);
            bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
            assert_int_equal(rc, plain ? ATTEST_OK : ATTEST_E_MALFORMED);
            if (plain)
                assert_true(slice_is(json_root(&j)->text, string));
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_everywhere),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_int64),
        cmocka_unit_test(test_string_round_trip),
        cmocka_unit_test(test_too_many_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
