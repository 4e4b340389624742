/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "token/subject.h"

static void
test_reads(void **state)
{
    (void)state;
    struct subject s;
    assert_true(subject_read(slice_cstr("spiffe://a.example/model/claude-sonnet-4"), &s));
    assert_true(slice_is(s.trust_domain, "a.example"));
    assert_true(slice_is(s.segment, "claude-sonnet-4"));
    assert_false(s.enterprise);
    assert_true(subject_read(slice_cstr("spiffe://a_b-1/agent/..."), &s));
    assert_true(slice_is(s.segment, "..."));
    assert_true(s.enterprise);
}

static void
test_refuses(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "spiffe://",
        "spiffe:///model/x",
        "spiffe://a",
        "spiffe://a/",
        "spiffe://a/model",
        "spiffe://a/model/",
        "spiffe://a/model/.",
        "spiffe://a/model/..",
        "spiffe://a/model/x/",
        "spiffe://a/model/x/y",
        "spiffe://a//model/x",
        "spiffe://a/model//x",
        "spiffe://a/Model/x",
        "spiffe://a/tool/x",
        "SPIFFE://a/model/x",
        "https://a/model/x",
        "spiffe://A/model/x",
        "spiffe://a:1/model/x",
        "spiffe://u@a/model/x",
        "spiffe://a/model/x?y",
        "spiffe://a/model/x#y",
        "spiffe://a/model/x%41",
        "spiffe://a/model/x y",
        " spiffe://a/model/x",
        "spiffe://a/model/caf\xc3\xa9",
        "spiffe://a/model/@",
        "spiffe://a/model/[",
        "spiffe://a/model/{",
        "spiffe://a/model/:",
        "spiffe://a`/model/x",
        "spiffe://a{/model/x",
        "spiffe://a!/model/x",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct subject s = {.enterprise = false};
        if (subject_read(slice_cstr(cases[i]), &s))
            fail_msg("accepted: %s", cases[i]);
        assert_null(s.segment.p);
    }
}

static void
test_lengths(void **state)
{
    (void)state;
    char text[4096];
    struct subject s;
    for (size_t n = TRUST_DOMAIN_MAX - 1; n <= TRUST_DOMAIN_MAX + 1; n++) {
        strcpy(text, "spiffe://");
        memset(text + 9, 'd', n);
        strcpy(text + 9 + n, "/model/m");
        assert_int_equal(subject_read(slice_cstr(text), &s), n <= TRUST_DOMAIN_MAX);
    }
    strcpy(text, "spiffe://d/model/");
    size_t lead = strlen(text);
    for (size_t n = SUBJECT_MAX - 1; n <= SUBJECT_MAX + 1; n++) {
        memset(text + lead, 'm', n - lead);
        assert_int_equal(subject_read((struct slice){text, n}, &s), n <= SUBJECT_MAX);
    }
    /* An embedded NUL is not the end of it. */
    assert_false(subject_read((struct slice){"spiffe://a/model/x\0y", 20}, &s));
}

static const struct subject_name mapped[] = {
    {{"gpt/4 turbo", 11}, {"gpt-4-turbo", 11}},
    {{"bad", 3}, {"a/b", 3}},
};
static const struct subject_names names = {mapped, ARRAY_LEN(mapped)};

static enum attest_rc
write_text(const char *trust_domain, bool enterprise, const char *name,
           const struct subject_names *map, char *out)
{
    AUTO(buf) struct buf b;
    struct attest_error err;
    buf_init(&b, 4096);
    enum attest_rc rc =
        subject_write(slice_cstr(trust_domain), enterprise, slice_cstr(name), map, &b, &err);
    assert_true(buf_terminate(&b));
    strcpy(out, b.p);
    return rc;
}

static void
test_writes(void **state)
{
    (void)state;
    char out[4096];
    struct subject s;
    assert_int_equal(write_text("a.example", false, "m-1", NULL, out), ATTEST_OK);
    assert_string_equal(out, "spiffe://a.example/model/m-1");
    assert_true(subject_read(slice_cstr(out), &s));
    assert_true(subject_names_it(&s, slice_cstr("m-1"), NULL));
    assert_false(subject_names_it(&s, slice_cstr("m-2"), NULL));

    assert_int_equal(write_text("a.example", true, "w.1", &names, out), ATTEST_OK);
    assert_string_equal(out, "spiffe://a.example/agent/w.1");

    assert_int_equal(write_text("a.example", false, "gpt/4 turbo", &names, out), ATTEST_OK);
    assert_string_equal(out, "spiffe://a.example/model/gpt-4-turbo");
    assert_true(subject_read(slice_cstr(out), &s));
    assert_true(subject_names_it(&s, slice_cstr("gpt/4 turbo"), &names));
    assert_false(subject_names_it(&s, slice_cstr("gpt/4 turbo"), NULL));
    /* The segment's own spelling is another name than the one that is mapped to it. */
    assert_true(subject_names_it(&s, slice_cstr("gpt-4-turbo"), NULL));
}

static void
test_write_refuses(void **state)
{
    (void)state;
    char out[4096];
    assert_int_equal(write_text("a", false, "gpt/4 turbo", NULL, out), ATTEST_E_CLAIMS);
    assert_string_equal(out, "");
    assert_int_equal(write_text("a", false, "..", NULL, out), ATTEST_E_CLAIMS);
    assert_int_equal(write_text("a", false, "", NULL, out), ATTEST_E_CLAIMS);
    assert_int_equal(write_text("a", false, "bad", &names, out), ATTEST_E_CONFIG);
    assert_int_equal(write_text("A", false, "m", NULL, out), ATTEST_E_CONFIG);
    assert_int_equal(write_text("", false, "m", NULL, out), ATTEST_E_CONFIG);
    char odd[80];
    memset(odd, '/', sizeof(odd));
    odd[sizeof(odd) - 1] = '\0';
    assert_int_equal(write_text("a", false, odd, NULL, out), ATTEST_E_CLAIMS);
    assert_int_equal(issuer_base(slice_cstr("")).len, 0);
    char longer[2100] = {0};
    memset(longer, 'm', 2040);
    assert_int_equal(write_text("a", false, longer, NULL, out), ATTEST_E_CLAIMS);
    assert_string_equal(out, "");
}

static void
test_issuer_accepts(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "https://a.example",          "https://a.example/",      "https://a.example:8443",
        "https://a.example/tenant/1", "https://a.example/t%20x", "https://127.0.0.1:1",
        "https://[::1]:65535/x",      "https://my_host",         "https://xn--bcher-kva.example",
        "https://[2001:db8::1]",      "https://a.example/A(~)9", "https://a.example/%aF",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct attest_error err;
        if (issuer_check(slice_cstr(cases[i]), false, &err))
            fail_msg("%s", err.text);
    }
    static const char *const loopback[] = {
        "http://127.0.0.1:8080", "http://127.1.2.3",  "http://[::1]:8080",
        "http://localhost:8080", "http://localhost/",
    };
    for (size_t i = 0; i < ARRAY_LEN(loopback); i++) {
        assert_int_equal(issuer_check(slice_cstr(loopback[i]), true, NULL), ATTEST_OK);
        assert_int_equal(issuer_check(slice_cstr(loopback[i]), false, NULL), ATTEST_E_CONFIG);
    }
}

static void
test_issuer_refuses(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "https://",
        "https:///x",
        "a.example",
        "HTTPS://a.example",
        "ftp://a.example",
        "http://a.example",
        "http://128.0.0.1",
        "http://127.0.0.1.example",
        "http://localhost.example",
        "http://[::2]",
        "http://[::ffff:127.0.0.1]",
        "https://A.example",
        "https://a..example",
        "https://.a",
        "https://a.",
        "https://u@a.example",
        "https://u:p@a.example",
        "https://a.example?x",
        "https://a.example/?x",
        "https://a.example#x",
        "https://a.example/#x",
        "https://a.example//",
        "https://a.example//x",
        "https://a.example/./x",
        "https://a.example/..",
        "https://a.example/x y",
        "https://a.example/%4",
        "https://a.example/%zz",
        "https://a.example/%4z",
        "https://a.example/\x7f",
        "https://a.example/[",
        "https://a.example/{",
        "https://a.example\\x",
        "https://a.example:",
        "https://a.example:0",
        "https://a.example:080",
        "https://a.example:65536",
        "https://a.example:123456",
        "https://a.example:1x",
        "https://a.example:-1",
        "https://[::1",
        "https://[]",
        "https://[::1]x",
        "https://[FE80::1]",
        "https://[fe80::1%25eth0]",
        "https://caf\xc3\xa9",
        " https://a.example",
        "https://a.example ",
        "https://a.example\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (issuer_check(slice_cstr(cases[i]), true, NULL) != ATTEST_E_CONFIG)
            fail_msg("accepted: %s", cases[i]);
    }
    char longer[1100];
    memset(longer, 'a', sizeof(longer));
    memcpy(longer, "https://a/", 10);
    assert_int_equal(issuer_check((struct slice){longer, ISSUER_MAX}, false, NULL), ATTEST_OK);
    assert_int_equal(issuer_check((struct slice){longer, ISSUER_MAX + 1}, false, NULL),
                     ATTEST_E_CONFIG);
}

static void
test_issuer_parts(void **state)
{
    (void)state;
    struct slice host;
    assert_true(issuer_trust_domain(slice_cstr("https://a.example:1/x"), &host));
    assert_true(slice_is(host, "a.example"));
    assert_true(issuer_trust_domain(slice_cstr("http://127.0.0.1:8080"), &host));
    assert_true(slice_is(host, "127.0.0.1"));
    assert_false(issuer_trust_domain(slice_cstr("https://[::1]:8080"), &host));
    assert_false(issuer_trust_domain(slice_cstr("spiffe://a"), &host));
    assert_true(slice_is(issuer_base(slice_cstr("https://a/")), "https://a"));
    assert_true(slice_is(issuer_base(slice_cstr("https://a/b")), "https://a/b"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),          cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_lengths),        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_write_refuses),  cmocka_unit_test(test_issuer_accepts),
        cmocka_unit_test(test_issuer_refuses), cmocka_unit_test(test_issuer_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
