/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "token/form.h"

#define HEX63 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

struct form_case {
    const char *text;
    bool ok;
};

static bool
uri(struct slice s)
{
    return form_uri(s, 64);
}

static bool
text(struct slice s)
{
    return form_text(s, 8);
}

static void
run(bool (*form)(struct slice), const struct form_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (form(slice_cstr(cases[i].text)) != cases[i].ok)
            fail_msg("wrong about: %s", cases[i].text);
    }
}

static void
test_text(void **state)
{
    (void)state;
    static const struct form_case cases[] = {
        {"a", true},          {"12345678", true}, {"caf\xc3\xa9", true}, {"", false},
        {"123456789", false}, {"a\nb", false},    {"a\x7f", false},      {"\x01", false},
    };
    run(text, cases, ARRAY_LEN(cases));
    assert_false(form_text((struct slice){"a\0b", 3}, 8));
}

static void
test_sha256(void **state)
{
    (void)state;
    static const struct form_case cases[] = {
        {"sha256:" HEX63 "f", true},
        {"sha256:" HEX63, false},
        {"sha256:" HEX63 "ff", false},
        {"sha256:" HEX63 "F", false},
        {"sha256:" HEX63 "g", false},
        {"sha256:" HEX63 "/", false},
        {"sha256:" HEX63 ":", false},
        {"sha256:" HEX63 "`", false},
        {"sha512:" HEX63 "f", false},
        {"SHA256:" HEX63 "f", false},
        {HEX63 "f", false},
        {"sha256-" HEX63 "f", false},
        {"", false},
    };
    run(form_sha256, cases, ARRAY_LEN(cases));
}

static void
test_uuid4(void **state)
{
    (void)state;
    static const struct form_case cases[] = {
        {"f47ac10b-58cc-4372-a567-0e02b2c3d479", true},
        {"F47AC10B-58CC-4372-B567-0E02B2C3D479", false},
        {"f47ac10b-58cc-4372-B567-0e02b2c3d479", false},
        {"f47ac10b-58cc-4372-a567-0e02b2c3d47F", false},
        {"f47ac10b-58cc-4372-8567-0e02b2c3d479", true},
        {"f47ac10b-58cc-4372-9567-0e02b2c3d479", true},
        {"f47ac10b-58cc-1372-a567-0e02b2c3d479", false},
        {"f47ac10b-58cc-7372-a567-0e02b2c3d479", false},
        {"f47ac10b-58cc-4372-c567-0e02b2c3d479", false},
        {"f47ac10b-58cc-4372-7567-0e02b2c3d479", false},
        {"f47ac10b-58cc-4372-a567-0e02b2c3d47", false},
        {"f47ac10b-58cc-4372-a567-0e02b2c3d4790", false},
        {"f47ac10b-58cc-4372-a567-0e02b2c3d47g", false},
        {"f47ac10b58cc4372a5670e02b2c3d479----", false},
        {"{47ac10b-58cc-4372-a567-0e02b2c3d479", false},
        {"00000000-0000-0000-0000-000000000000", false},
        {"", false},
    };
    run(form_uuid4, cases, ARRAY_LEN(cases));
}

static void
test_uri(void **state)
{
    (void)state;
    static const struct form_case cases[] = {
        {"https://mcp.example.com", true},
        {"http://127.0.0.1:8080/mcp?x=1", true},
        {"urn:example:server", true},
        {"Z39.50r+x-1:z", true},
        {"az:~", true},
        {"[x:y", false},
        {"{x:y", false},
        {"a{:y", false},
        {"a[:y", false},
        {"a@:y", false},
        {"a/b", false},
        {"abc", false},
        {"https://a\x7f", false},
        {"", false},
        {"mcp.example.com", false},
        {"https:", false},
        {":x", false},
        {"1https://x", false},
        {"https://a b", false},
        {"https://a\tb", false},
        {"https://<a>", false},
        {"https://a\"b", false},
        {"https://a\\b", false},
        {"https://caf\xc3\xa9", false},
        {"/relative", false},
        {"https://0123456789012345678901234567890123456789012345678901234567", false},
    };
    run(uri, cases, ARRAY_LEN(cases));
    assert_false(form_uri((struct slice){"https://a\0b", 11}, 64));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_uuid4),
        cmocka_unit_test(test_uri),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
