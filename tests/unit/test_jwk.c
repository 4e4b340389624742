/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/b64u.h"
#include "base/json.h"
#include "jwks/jwk.h"
#include "support/vector.h"

static const struct json_limits limits = {
    .text_max = 4096, .string_max = 1024, .depth_max = 8, .members_max = 64};

static void
read_hex(const char *name, uint8_t *out, size_t len)
{
    AUTO(mem) char *hex = vector_line(name);
    assert_true(hex_decode(out, len, slice_cstr(hex)));
}

static enum attest_rc
read_text(const char *text, uint8_t key[ED25519_PUBLIC_LEN], const char **member)
{
    JSON_NODES(j, 64);
    char copy[4096];
    strcpy(copy, text);
    assert_int_equal(json_read(&j, copy, strlen(copy), &limits, NULL), ATTEST_OK);
    return jwk_read_ed25519(&j, json_root(&j), key, member, NULL);
}

static void
test_rfc8037_a1_private_key(void **state)
{
    (void)state;
    uint8_t seed_bytes[ED25519_SEED_LEN], expected[ED25519_PUBLIC_LEN], key[ED25519_PUBLIC_LEN];
    const char *member = NULL;
    read_hex("rfc8037_a1/seed.hex", seed_bytes, sizeof(seed_bytes));
    read_hex("rfc8037_a1/public.hex", expected, sizeof(expected));
    AUTO(secret) struct secret seed = secret_copy(seed_bytes, sizeof(seed_bytes));
    ed25519_public_from_seed(key, &seed);
    assert_memory_equal(key, expected, sizeof(key));

    AUTO(mem) char *jwk = vector_line("rfc8037_a1/private.jwk");
    assert_int_equal(read_text(jwk, key, &member), ATTEST_E_CLAIMS);
    assert_string_equal(member, "d");
}

static void
test_rfc8037_a2_public_key(void **state)
{
    (void)state;
    uint8_t expected[ED25519_PUBLIC_LEN], key[ED25519_PUBLIC_LEN] = {0};
    AUTO(mem) char *jwk = vector_line("rfc8037_a2/public.jwk");
    read_hex("rfc8037_a2/public.hex", expected, sizeof(expected));
    assert_int_equal(read_text(jwk, key, NULL), ATTEST_OK);
    assert_memory_equal(key, expected, sizeof(key));

    AUTO(buf) struct buf out;
    buf_init(&out, 1024);
    const struct pubkey typed = pubkey_ed25519(key);
    jwk_write(&typed, &out);
    assert_true(buf_terminate(&out));
    assert_string_equal(out.p, jwk);
}

static void
test_rfc8037_a3_thumbprint(void **state)
{
    (void)state;
    uint8_t key[ED25519_PUBLIC_LEN];
    char thumbprint[JWK_THUMBPRINT_LEN + 1];
    AUTO(mem) char *expected = vector_line("rfc8037_a3/thumbprint");
    read_hex("rfc8037_a3/public.hex", key, sizeof(key));
    const struct pubkey typed = pubkey_ed25519(key);
    jwk_thumbprint(thumbprint, &typed);
    assert_string_equal(thumbprint, expected);
}

static void
test_rfc8037_a4_signature(void **state)
{
    (void)state;
    uint8_t seed_bytes[ED25519_SEED_LEN], key[ED25519_PUBLIC_LEN];
    uint8_t sig[ED25519_SIG_LEN], made[ED25519_SIG_LEN];
    AUTO(mem) char *jws = vector_line("rfc8037_a4/jws");
    read_hex("rfc8037_a4/seed.hex", seed_bytes, sizeof(seed_bytes));
    read_hex("rfc8037_a4/public.hex", key, sizeof(key));
    const char *dot = strrchr(jws, '.');
    size_t signed_len = (size_t)(dot - jws);
    assert_true(b64u_decode_exact(sig, sizeof(sig), slice_cstr(dot + 1)));
    assert_true(ed25519_verify(sig, jws, signed_len, key));
    assert_false(ed25519_verify(sig, jws, signed_len - 1, key));

    AUTO(secret) struct secret seed = secret_copy(seed_bytes, sizeof(seed_bytes));
    ed25519_sign(made, jws, signed_len, &seed);
    assert_memory_equal(made, sig, sizeof(sig));
}

#define X "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""

static void
test_read_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *member;
    } cases[] = {
        {"[]", ""},
        {"{}", "kty"},
        {"{\"kty\":1,\"crv\":\"Ed25519\"," X "}", "kty"},
        {"{\"kty\":\"okp\",\"crv\":\"Ed25519\"," X "}", "kty"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\"," X "}", "kty"},
        {"{\"kty\":\"OKP\",\"crv\":\"X25519\"," X "}", "crv"},
        {"{\"kty\":\"OKP\"," X "}", "crv"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}", "x"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":[1]}", "x"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPc"
         "HURo=\"}",
         "x"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPc"
         "HURp\"}",
         "x"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPc"
         "HUQ\"}",
         "x"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
         "AAAA\"}",
         "x"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":null," X "}", "d"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t key[ED25519_PUBLIC_LEN] = {42};
        const char *member = NULL;
        assert_int_equal(read_text(cases[i].text, key, &member), ATTEST_E_CLAIMS);
        assert_string_equal(member, cases[i].member);
        assert_int_equal(key[0], 42);
    }
}

/* The key of RFC 6979 appendix A.2.5; its thumbprint is what another program made of it. */
#define P256_X "YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y"
#define P256_Y "eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk"
#define P256(x, y) "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" x "\",\"y\":\"" y "\"}"

static enum attest_rc
read_any(const char *text, struct pubkey *key, const char **member)
{
    JSON_NODES(j, 64);
    char copy[4096];
    strcpy(copy, text);
    assert_int_equal(json_read(&j, copy, strlen(copy), &limits, NULL), ATTEST_OK);
    return jwk_read(&j, json_root(&j), key, member, NULL);
}

static void
test_p256(void **state)
{
    (void)state;
    struct pubkey key, same;
    uint8_t raw[ED25519_PUBLIC_LEN];
    const char *member = NULL;
    char thumbprint[JWK_THUMBPRINT_LEN + 1];
    assert_int_equal(read_any(P256(P256_X, P256_Y), &key, NULL), ATTEST_OK);
    assert_int_equal(key.type, PUBKEY_P256);
    jwk_thumbprint(thumbprint, &key);
    assert_string_equal(thumbprint, "DOvxvJiAdIqVWIkFt5hDtCunXLF0BV4-JGv4f-ALSm0");

    AUTO(buf) struct buf out;
    buf_init(&out, 1024);
    jwk_write(&key, &out);
    assert_true(buf_terminate(&out));
    assert_string_equal(out.p, P256(P256_X, P256_Y));
    assert_null(jwk_decode(&same, PUBKEY_P256, slice_cstr(P256_X), slice_cstr(P256_Y)));
    assert_true(pubkey_eq(&same, &key));
    same.type = PUBKEY_ED25519;
    assert_false(pubkey_eq(&same, &key));

    /* Where Ed25519 alone will do, it is refused by its type. */
    assert_int_equal(read_text(P256(P256_X, P256_Y), raw, &member), ATTEST_E_CLAIMS);
    assert_string_equal(member, "kty");
}

static void
test_p256_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *member;
    } cases[] = {
        {P256(P256_X, P256_X), "x"},
        {P256(P256_X, ""), "y"},
        {P256("", P256_Y), "x"},
        {P256(P256_X, P256_Y "="), "y"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X "\"}", "y"},
        {"{\"kty\":\"EC\",\"crv\":\"Ed25519\",\"x\":\"" P256_X "\"}", "crv"},
        {"{\"kty\":\"OKP\",\"crv\":\"P-256\",\"x\":\"" P256_X "\"}", "crv"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X "\",\"y\":\"" P256_Y "\",\"d\":\"\"}",
         "d"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pubkey key = {.bytes = {42}};
        const char *member = NULL;
        assert_int_equal(read_any(cases[i].text, &key, &member), ATTEST_E_CLAIMS);
        assert_string_equal(member, cases[i].member);
        assert_int_equal(key.bytes[0], 42);
    }
}

static void
test_alg_names(void **state)
{
    (void)state;
    enum jwk_alg alg = JWK_ALG_NONE;
    assert_true(jwk_alg_from(slice_cstr("EdDSA"), &alg));
    assert_int_equal(alg, JWK_ALG_EDDSA);
    assert_true(jwk_alg_from(slice_cstr("Ed25519"), &alg));
    assert_int_equal(alg, JWK_ALG_ED25519);
    assert_true(jwk_alg_from(slice_cstr("ES256"), &alg));
    assert_int_equal(alg, JWK_ALG_ES256);
    assert_true(jwk_alg_fits(JWK_ALG_ES256, PUBKEY_P256));
    assert_false(jwk_alg_fits(JWK_ALG_ES256, PUBKEY_ED25519));
    assert_false(jwk_alg_fits(JWK_ALG_ED25519, PUBKEY_P256));
    assert_true(jwk_alg_fits(JWK_ALG_NONE, PUBKEY_P256));
    static const char *const wrong[] = {"",      "eddsa", "EdDSA ", "none", "HS256",
                                        "Ed448", "es256", "ES384",  "P-256"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_false(jwk_alg_from(slice_cstr(wrong[i]), &alg));
    assert_null(jwk_alg_name(JWK_ALG_NONE));
    assert_string_equal(jwk_alg_name(JWK_ALG_ED25519), "Ed25519");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc8037_a1_private_key),
        cmocka_unit_test(test_rfc8037_a2_public_key),
        cmocka_unit_test(test_rfc8037_a3_thumbprint),
        cmocka_unit_test(test_rfc8037_a4_signature),
        cmocka_unit_test(test_read_refuses),
        cmocka_unit_test(test_alg_names),
        cmocka_unit_test(test_p256),
        cmocka_unit_test(test_p256_refuses),
    };
    if (crypto_init(NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
