/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "token/signed_keyset.h"

/* Public keys of RFC 8032 section 7.1, tests 1 and 2, and RFC 8037 appendix A's thumbprint. */
static const uint8_t key_a[ED25519_PUBLIC_LEN] = {
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
#define JWK_A(alg)                                                                                 \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"kPrK_"                                         \
    "qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k\","                                                    \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"use\":\"sig\",\"alg\":\"" alg "\"}"

static void
assert_written(const struct signed_keyset_source *source, const char *expected)
{
    AUTO(buf) struct buf out;
    buf_init(&out, SIGNED_KEYSET_TEXT_MAX);
    signed_keyset_write(source, &out);
    assert_true(buf_terminate(&out));
    assert_string_equal(out.p, expected);
}

static void
test_write_form(void **state)
{
    (void)state;
    struct keyset_entry key = {.state = KEY_ACTIVE}, log = {.state = KEY_RETIRED};
    memcpy(key.public_key, key_a, sizeof(key_a));
    memcpy(log.public_key, key_a, sizeof(key_a));
    log.alg = JWK_ALG_ED25519;
    struct signed_keyset_source source = {.issuer = slice_cstr("https://ai.example.com"),
                                          .iat = 1000,
                                          .exp = 4600,
                                          .keys = &key,
                                          .n_keys = 1};
    assert_written(
        &source,
        "{\"iss\":\"https://ai.example.com\",\"sub\":\"https://ai.example.com\","
        "\"iat\":1000,\"exp\":4600,\"keys\":[" JWK_A("EdDSA") "],"
                                                              "\"log_keys\":[],\"revoked\":[]}");

    const struct signed_keyset_revoked revoked[] = {
        {slice_cstr("one"), 900, slice_cstr("stolen")},
        {slice_cstr("two"), 901, {NULL, 0}},
        {slice_cstr("one"), 999, slice_cstr("again")},
    };
    key.state = KEY_REVOKED;
    source.exp = 4601;
    source.log_keys = &log;
    source.n_log_keys = 1;
    source.revoked = revoked;
    source.n_revoked = ARRAY_LEN(revoked);
    source.next_root = key_a;
    assert_written(
        &source,
        "{\"iss\":\"https://ai.example.com\",\"sub\":\"https://ai.example.com\","
        "\"iat\":1000,\"exp\":4600,\"keys\":[],\"log_keys\":[" JWK_A(
            "Ed25519") "],\"revoked\":["
                       "{\"kid\":\"one\",\"revoked_at\":900,\"reason\":\"stolen\"},"
                       "{\"kid\":\"two\",\"revoked_at\":901,\"reason\":\"\"}],\"next_root\":" JWK_A(
                           "EdDSA") "}");
}

/* What an operator typed as a reason must not make the document one that nobody reads. */
static void
test_write_reason(void **state)
{
    (void)state;
    char text[400];
    memset(text, 'r', sizeof(text));
    memcpy(text, "a\n\"\x7f", 4);
    memcpy(text + SIGNED_KEYSET_REASON_MAX - 1, "\xc3\xa9", 2); /* over the edge */
    const struct signed_keyset_revoked revoked = {slice_cstr("k"), 1, {text, sizeof(text)}};
    struct signed_keyset_source source = {
        .issuer = slice_cstr("https://i"), .revoked = &revoked, .n_revoked = 1};
    AUTO(buf) struct buf out;
    buf_init(&out, SIGNED_KEYSET_TEXT_MAX);
    signed_keyset_write(&source, &out);
    assert_true(buf_terminate(&out));
    const char *reason = strstr(out.p, "\"reason\":");
    assert_non_null(reason);
    assert_int_equal(strncmp(reason, "\"reason\":\"a \\\" rrr", 17), 0);
    assert_int_equal(strcspn(reason + 14, "\"") + 14 - 10 - 1, SIGNED_KEYSET_REASON_MAX - 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_form),
        cmocka_unit_test(test_write_reason),
    };
    if (crypto_init(NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
