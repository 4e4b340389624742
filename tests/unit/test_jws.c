/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/b64u.h"
#include "token/jws.h"

static const char good_header[] = "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"k\"}";

static struct jws jws;
static struct attest_error err;

static enum attest_rc
read_token(const char *token, size_t len)
{
    return jws_read(&jws, profile_get(PROFILE_ATTESTATION), token, len, &err);
}

/* Encodes both parts and puts a signature of 64 zero bytes behind them. */
static enum attest_rc
read_parts(const char *header, struct slice payload)
{
    static const uint8_t signature[ED25519_SIG_LEN];
    AUTO(buf) struct buf token;
    buf_init(&token, 65536);
    b64u_append(&token, header, strlen(header));
    buf_char(&token, '.');
    b64u_append(&token, payload.p, payload.len);
    jws_write_signature(&token, signature);
    return read_token(token.p, token.len);
}

static void
test_round_trip(void **state)
{
    (void)state;
    uint8_t seed_bytes[ED25519_SEED_LEN] = {1}, sig[ED25519_SIG_LEN];
    struct pubkey key = {.type = PUBKEY_ED25519};
    AUTO(secret) struct secret seed = secret_copy(seed_bytes, sizeof(seed_bytes));
    ed25519_public_from_seed(key.bytes, &seed);
    AUTO(buf) struct buf token;
    buf_init(&token, JWS_TOKEN_MAX);
    jws_write_signing_input(&token, JWK_ALG_ED25519, "agent-attestation+jwt",
                            slice_cstr("k\"\\\xc3\xa9"), slice_cstr("{\"iss\":\"x\"}"));
    ed25519_sign(sig, token.p, token.len, &seed);
    size_t signed_len = token.len;
    jws_write_signature(&token, sig);
    assert_int_equal(buf_rc(&token), ATTEST_OK);

    assert_int_equal(read_token(token.p, token.len), ATTEST_OK);
    assert_int_equal(jws.envelope.alg, JWK_ALG_ED25519);
    assert_true(slice_is(jws.envelope.typ, "agent-attestation+jwt"));
    assert_true(slice_is(jws.envelope.kid, "k\"\\\xc3\xa9"));
    assert_ptr_equal(jws.envelope.signing_input.p, token.p);
    assert_int_equal(jws.envelope.signing_input.len, signed_len);
    assert_memory_equal(jws.envelope.signature, sig, sizeof(sig));
    assert_true(slice_is(json_member(&jws.payload, json_root(&jws.payload), "iss")->text, "x"));
    assert_int_equal(jws_verify(&jws.envelope, &key, &err), ATTEST_OK);
    key.bytes[0] ^= 1;
    assert_int_equal(jws_verify(&jws.envelope, &key, &err), ATTEST_E_SIGNATURE);
    key.bytes[0] ^= 1;
    token.p[3] ^= 2;
    assert_int_equal(jws_verify(&jws.envelope, &key, &err), ATTEST_E_SIGNATURE);
}

static void
test_header_form(void **state)
{
    (void)state;
    AUTO(buf) struct buf out;
    buf_init(&out, 1024);
    jws_write_signing_input(&out, JWK_ALG_EDDSA, "wpt+jwt", (struct slice){NULL, 0},
                            slice_cstr("{}"));
    assert_true(buf_terminate(&out));
    assert_string_equal(out.p, "eyJhbGciOiJFZERTQSIsInR5cCI6IndwdCtqd3QifQ.e30");
    /* A full buffer is noticed, not cut. */
    AUTO(buf) struct buf small;
    buf_init(&small, 30);
    jws_write_signing_input(&small, JWK_ALG_EDDSA, "JWT", slice_cstr("k"), slice_cstr("{}"));
    assert_int_equal(buf_rc(&small), ATTEST_E_LIMIT);
}

/* The fault of a length alone is judged with the signature, behind issuer and key. */
static void
test_signature_length(void **state)
{
    (void)state;
    static const uint8_t bytes[65];
    for (size_t len = 63; len <= 65; len++) {
        const struct pubkey key = {.type = PUBKEY_ED25519};
        AUTO(buf) struct buf token;
        buf_init(&token, JWS_TOKEN_MAX);
        jws_write_signing_input(&token, JWK_ALG_EDDSA, "JWT", slice_cstr("k"), slice_cstr("{}"));
        buf_char(&token, '.');
        b64u_append(&token, bytes, len);
        assert_int_equal(read_token(token.p, token.len), ATTEST_OK);
        assert_int_equal(jws.envelope.signature_len_ok, len == ED25519_SIG_LEN);
        assert_int_equal(jws_verify(&jws.envelope, &key, &err), ATTEST_E_SIGNATURE);
    }
}

static void
test_token_size(void **state)
{
    (void)state;
    /* A payload of spaces, so that only the size decides. */
    static char payload[6144];
    memset(payload, ' ', sizeof(payload));
    memcpy(payload, "{}", 2);
    const size_t around =
        b64u_encoded_len(strlen(good_header)) + 1 + 1 + b64u_encoded_len(ED25519_SIG_LEN);
    for (size_t len = 6000; len < sizeof(payload); len++) {
        size_t total = around + b64u_encoded_len(len);
        assert_int_equal(read_parts(good_header, (struct slice){payload, len}),
                         total <= JWS_TOKEN_MAX ? ATTEST_OK : ATTEST_E_MALFORMED);
    }
}

/* Whether a payload {MEMBER:"aaa…"} with a string of len bytes is read. */
static bool
string_fits(const char *before, size_t len, const char *behind)
{
    AUTO(buf) struct buf payload;
    buf_init(&payload, 8192);
    buf_str(&payload, before);
    for (size_t i = 0; i < len; i++)
        buf_char(&payload, 'a');
    buf_str(&payload, behind);
    enum attest_rc rc = read_parts(good_header, buf_view(&payload));
    assert_true(rc == ATTEST_OK || rc == ATTEST_E_MALFORMED);
    return rc == ATTEST_OK;
}

static void
test_string_limits(void **state)
{
    (void)state;
    static const struct {
        const char *before, *behind;
        size_t max;
    } cases[] = {
        {"{\"iss\":\"", "\"}", JWS_STRING_MAX},
        {"{\"unknown\":[{\"a\":\"", "\"}]}", JWS_STRING_MAX},
        {"{\"", "\":1}", JWS_STRING_MAX},
        {"{\"sub\":\"", "\"}", JWS_SUB_MAX},
        {"{\"x\":{\"sub\":\"", "\"}}", JWS_STRING_MAX},
        {"{\"attestation_metadata\":{\"nested_attestation\":\"", "\"}}", JWS_NESTED_MAX},
        {"{\"nested_attestation\":\"", "\"}", JWS_STRING_MAX},
        {"{\"attestation_metadata\":{\"a\":{\"nested_attestation\":\"", "\"}}}", JWS_STRING_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(string_fits(cases[i].before, cases[i].max, cases[i].behind));
        assert_false(string_fits(cases[i].before, cases[i].max + 1, cases[i].behind));
    }
}

static void
test_depth_and_members(void **state)
{
    (void)state;
    for (int depth = JWS_DEPTH_MAX - 1; depth <= JWS_DEPTH_MAX + 1; depth++) {
        char text[64] = "{\"a\":";
        for (int i = 1; i < depth; i++)
            strcat(text, "[");
        for (int i = 1; i < depth; i++)
            strcat(text, "]");
        strcat(text, "}");
        assert_int_equal(read_parts(good_header, slice_cstr(text)),
                         depth <= JWS_DEPTH_MAX ? ATTEST_OK : ATTEST_E_MALFORMED);
    }
    for (int n = JWS_MEMBERS_MAX - 1; n <= JWS_MEMBERS_MAX + 1; n++) {
        AUTO(buf) struct buf text;
        buf_init(&text, 4096);
        for (int i = 0; i < n; i++)
            buf_printf(&text, "%c\"m%d\":0", i ? ',' : '{', i);
        buf_char(&text, '}');
        assert_int_equal(read_parts(good_header, buf_view(&text)),
                         n <= JWS_MEMBERS_MAX ? ATTEST_OK : ATTEST_E_MALFORMED);
    }
}

static void
test_values(void **state)
{
    (void)state;
    /* The object, a name, the array, and its elements. */
    for (int n = JWS_VALUES_MAX - 4; n <= JWS_VALUES_MAX - 2; n++) {
        AUTO(buf) struct buf text;
        buf_init(&text, 8192);
        buf_str(&text, "{\"a\":[0");
        for (int i = 1; i < n; i++)
            buf_str(&text, ",0");
        buf_str(&text, "]}");
        assert_int_equal(read_parts(good_header, buf_view(&text)),
                         n + 3 <= JWS_VALUES_MAX ? ATTEST_OK : ATTEST_E_MALFORMED);
    }
}

/* The error names the member, so that whoever sends it finds it. */
static void
test_names_the_header_member(void **state)
{
    (void)state;
    assert_int_equal(
        read_parts("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"k\",\"crit\":[\"b64\"]"
                   ",\"b64\":false}",
                   slice_cstr("{}")),
        ATTEST_E_MALFORMED);
    assert_string_equal(err.text, "token: header member 'crit' is not allowed");
    assert_int_equal(read_parts("{\"alg\":\"EdDSA\",\"jwk\":{\"kty\":\"OKP\"}}", slice_cstr("{}")),
                     ATTEST_E_MALFORMED);
    assert_string_equal(err.text, "token: header member 'jwk' is not allowed");
    assert_int_equal(read_parts("{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":7}", slice_cstr("{}")),
                     ATTEST_E_MALFORMED);
    assert_string_equal(err.text, "token: header member 'typ' is no string");
    assert_int_equal(read_parts("{\"alg\":\"EdDSA\",\"typ\":\"JWT\","
                                "\"a_name_that_is_longer_than_anyone_wants_to_read\":1}",
                                slice_cstr("{}")),
                     ATTEST_E_MALFORMED);
    assert_string_equal(err.text,
                        "token: header member 'a_name_that_is_longer_than_anyon' is not allowed");
}

static void
test_shape(void **state)
{
    (void)state;
    assert_true(jws_has_shape(slice_cstr("a.b-_.Z9"), 8));
    static const char *const wrong[] = {"",      "a",       "a.b",    "a.b.",   ".b.c",
                                        "a..c",  "a.b.c.d", "a.b.c=", "a.b.c ", "a.b.\xc3\xa9",
                                        "a+.b.c"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_false(jws_has_shape(slice_cstr(wrong[i]), 64));
    assert_false(jws_has_shape(slice_cstr("a.b.c"), 4));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_header_form),
        cmocka_unit_test(test_signature_length),
        cmocka_unit_test(test_token_size),
        cmocka_unit_test(test_string_limits),
        cmocka_unit_test(test_depth_and_members),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_names_the_header_member),
        cmocka_unit_test(test_shape),
    };
    if (crypto_init(NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
