/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "jwks/keyset.h"

#define X1 "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" /* RFC 8037 A.2 */
#define X2 "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw" /* RFC 8032 test 2 */
#define KEY(kid, x, more)                                                                          \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"" kid "\",\"x\":\"" x "\"" more "}"

static struct keyset *
read_ok(const char *text)
{
    struct keyset *set = NULL;
    struct attest_error err;
    enum attest_rc rc = keyset_read(text, strlen(text), &set, &err);
    if (rc)
        fail_msg("%s: %s", text, err.text);
    return set;
}

static void
test_write_form_and_order(void **state)
{
    (void)state;
    struct keyset_entry entries[6] = {
        {.state = KEY_RETIRED}, {.state = KEY_PUBLISHED, .alg = JWK_ALG_ED25519},
        {.state = KEY_CREATED}, {.state = KEY_ACTIVE},
        {.state = KEY_REVOKED}, {.state = KEY_RETIRED},
    };
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        uint8_t seed_bytes[ED25519_SEED_LEN] = {(uint8_t)i};
        AUTO(secret) struct secret seed = secret_copy(seed_bytes, sizeof(seed_bytes));
        ed25519_public_from_seed(entries[i].public_key.bytes, &seed);
    }
    AUTO(buf) struct buf out;
    buf_init(&out, 4096);
    keyset_write(entries, ARRAY_LEN(entries), &out);
    assert_true(buf_terminate(&out));

    static const size_t order[] = {3, 1, 0, 5};
    const char *at = out.p;
    assert_int_equal(strncmp(at, "{\"keys\":[", 9), 0);
    at += 8;
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        const struct keyset_entry *e = &entries[order[i]];
        char kid[JWK_THUMBPRINT_LEN + 1], x[200], expected[512];
        AUTO(buf) struct buf jwk;
        buf_init(&jwk, 512);
        jwk_thumbprint(kid, &e->public_key);
        jwk_write(&e->public_key, &jwk);
        assert_true(buf_terminate(&jwk));
        assert_int_equal(sscanf(strstr(jwk.p, "\"x\":\""), "\"x\":\"%43s", x), 1);
        snprintf(
            expected, sizeof(expected),
            "%c{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\",\"x\":\"%s\",\"use\":\"sig\","
            "\"alg\":\"%s\"}",
            i ? ',' : '[', kid, x, e->alg == JWK_ALG_ED25519 ? "Ed25519" : "EdDSA");
        assert_int_equal(strncmp(at, expected, strlen(expected)), 0);
        at += strlen(expected);
    }
    assert_string_equal(at, "]}");

    AUTO(keyset) struct keyset *set = read_ok(out.p);
    assert_int_equal(keyset_count(set), 4);
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        char kid[JWK_THUMBPRINT_LEN + 1];
        jwk_thumbprint(kid, &entries[i].public_key);
        const struct jwk *found = keyset_find(set, slice_cstr(kid));
        bool there = entries[i].state != KEY_CREATED && entries[i].state != KEY_REVOKED;
        assert_int_equal(found != NULL, there);
        if (found)
            assert_true(pubkey_eq(&found->public_key, &entries[i].public_key));
    }
}

static void
test_write_none(void **state)
{
    (void)state;
    AUTO(buf) struct buf out;
    buf_init(&out, 64);
    keyset_write(NULL, 0, &out);
    assert_true(buf_terminate(&out));
    assert_string_equal(out.p, "{\"keys\":[]}");
}

static void
test_find(void **state)
{
    (void)state;
    AUTO(keyset)
    struct keyset *set =
        read_ok("{\"keys\":[" KEY("b", X1, ",\"use\":\"sig\",\"alg\":\"EdDSA\"") "," KEY(
            "a", X2, ",\"key_ops\":[\"verify\"],\"alg\":\"Ed25519\"") "],\"more\":1}");
    assert_int_equal(keyset_count(set), 2);
    assert_int_equal(keyset_find(set, slice_cstr("a"))->public_key.bytes[0], 0x3d);
    assert_int_equal(keyset_find(set, slice_cstr("a"))->alg, JWK_ALG_ED25519);
    assert_int_equal(keyset_find(set, slice_cstr("b"))->public_key.bytes[0], 0xd7);
    assert_int_equal(keyset_find(set, slice_cstr("b"))->alg, JWK_ALG_EDDSA);
    assert_null(keyset_find(set, slice_cstr("c")));
    assert_null(keyset_find(set, slice_cstr("")));
    assert_null(keyset_find(set, slice_cstr("bb")));
    assert_true(slice_is(keyset_at(set, 0)->kid, "a"));
}

static void
test_passes_over_what_is_not_ours(void **state)
{
    (void)state;
    static const char *const others[] = {
        "{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"oct\",\"kid\":\"o\",\"k\":\"AAAA\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"kid\":\"x\",\"x\":\"" X1 "\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" X1 "\"}",
        "{\"kty\":7}",
        "{}",
        KEY("e", X1, ",\"use\":\"enc\""),
        KEY("e", X1, ",\"use\":[\"sig\"]"),
        KEY("e", X1, ",\"alg\":\"ES256\""),
        KEY("e", X1, ",\"alg\":1"),
        KEY("e", X1, ",\"key_ops\":[\"sign\"]"),
        KEY("e", X1, ",\"key_ops\":\"verify\""),
        KEY("e", X1, ",\"key_ops\":[1,null]"),
        KEY("e", X1, ",\"key_ops\":[]"),
        KEY("e", X1, ",\"key_ops\":{\"verify\":1}"),
        KEY("e", X1, ",\"use\":1"),
        KEY("e", X1, ",\"use\":null"),
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        char text[1024];
        snprintf(text, sizeof(text), "{\"keys\":[%s,%s]}", others[i], KEY("k", X2, ""));
        AUTO(keyset) struct keyset *set = read_ok(text);
        assert_int_equal(keyset_count(set), 1);
        assert_true(slice_is(keyset_at(set, 0)->kid, "k"));

        struct keyset *none = NULL;
        struct attest_error err;
        snprintf(text, sizeof(text), "{\"keys\":[%s]}", others[i]);
        assert_int_equal(keyset_read(text, strlen(text), &none, &err), ATTEST_E_NOT_FOUND);
        assert_null(none);
    }
}

static void
test_refuses_the_whole(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{\"keys\":1}",
        "{\"keys\":null}",
        "[]",
        "{\"keys\":[1]}",
        "{\"keys\":[" KEY("k", X2, "") ",\"x\"]}",
        "{\"keys\":[" KEY("k", X2, "") ",[]]}",
        "{\"keys\":[" KEY("k", X2, "") ",{\"kty\":\"OKP\",\"kid\":1}]}",
        "{\"keys\":[" KEY("k", X2, "") ",{\"kty\":\"RSA\",\"kid\":null}]}",
        "{\"keys\":[" KEY("k", X2, "") ",{\"kty\":\"RSA\",\"kid\":\"k\"}]}",
        "{\"keys\":[" KEY("k", X2, "") "," KEY("", X1, "") "]}",
        "{\"keys\":[" KEY("k", X2, ",\"d\":null") "]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":1}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\"}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct keyset *none = NULL;
        struct attest_error err;
        if (keyset_read(texts[i], strlen(texts[i]), &none, &err) != ATTEST_E_MALFORMED)
            fail_msg("not refused: %s", texts[i]);
        assert_null(none);
    }
}

static void
test_kid_length(void **state)
{
    (void)state;
    for (size_t len = JWK_KID_MAX - 1; len <= JWK_KID_MAX + 1; len++) {
        char kid[300] = {0}, text[1024];
        struct attest_error err;
        struct keyset *set = NULL;
        memset(kid, 'k', len);
        snprintf(text, sizeof(text),
                 "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\",\"x\":\"%s\"}]}",
                 kid, X1);
        enum attest_rc rc = keyset_read(text, strlen(text), &set, &err);
        assert_int_equal(rc, len > JWK_KID_MAX ? ATTEST_E_MALFORMED : ATTEST_OK);
        if (!rc)
            assert_non_null(keyset_find(set, slice_cstr(kid)));
        keyset_free(set);
    }
}

/* As many keys as a document of full size holds, each found. */
static void
test_many_keys(void **state)
{
    (void)state;
    AUTO(buf) struct buf text;
    buf_init(&text, 2 * KEYSET_TEXT_MAX);
    size_t n = 0;
    buf_str(&text, "{\"keys\":[");
    for (; text.len < KEYSET_TEXT_MAX - 200; n++) {
        uint8_t seed_bytes[ED25519_SEED_LEN] = {(uint8_t)n, (uint8_t)(n >> 8), 1};
        struct pubkey key = {.type = PUBKEY_ED25519};
        AUTO(secret) struct secret seed = secret_copy(seed_bytes, sizeof(seed_bytes));
        ed25519_public_from_seed(key.bytes, &seed);
        AUTO(buf) struct buf jwk;
        buf_init(&jwk, 256);
        jwk_write(&key, &jwk);
        jwk.len--;
        buf_printf(&text, "%s%.*s,\"kid\":\"%zu\"}", n ? "," : "", SLICE_ARG(buf_view(&jwk)), n);
    }
    buf_str(&text, "]}");
    assert_true(buf_terminate(&text));
    AUTO(keyset) struct keyset *set = read_ok(text.p);
    assert_int_equal(keyset_count(set), n);
    for (size_t i = 0; i < n; i++) {
        char kid[24];
        snprintf(kid, sizeof(kid), "%zu", i);
        assert_non_null(keyset_find(set, slice_cstr(kid)));
    }

    struct keyset *none = NULL;
    struct attest_error err;
    while (text.len <= KEYSET_TEXT_MAX)
        buf_char(&text, ' ');
    assert_int_equal(keyset_read(text.p, text.len - 1, &none, &err), ATTEST_OK);
    keyset_free(none);
    none = NULL;
    assert_int_equal(keyset_read(text.p, text.len, &none, &err), ATTEST_E_LIMIT);
    assert_null(none);
}

static size_t allocations_left;

static void *
failing_malloc(size_t n)
{
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    return malloc(n);
}

/*
 * Whichever allocation of the JSON library fails, the set is refused and nothing half-read comes
 * out. jansson calls some of these a syntax error; we cannot tell better than it does.
 */
static void
test_out_of_memory(void **state)
{
    (void)state;
    static const char text[] =
        "{\"keys\":[" KEY("a", X1, ",\"use\":\"sig\"") "," KEY("b", X2, "") "]}";
    enum attest_rc rc[200];
    bool right[200];
    json_set_alloc_funcs(failing_malloc, free);
    for (size_t n = 0; n < ARRAY_LEN(rc); n++) {
        struct keyset *set = NULL;
        struct attest_error err = {.rc = ATTEST_OK};
        allocations_left = n;
        rc[n] = keyset_read(text, strlen(text), &set, &err);
        right[n] = rc[n] == err.rc && (rc[n] ? !set : keyset_count(set) == 2);
        keyset_free(set);
    }
    json_set_alloc_funcs(malloc, free);
    assert_int_equal(rc[0], ATTEST_E_NOMEM);
    assert_int_equal(rc[ARRAY_LEN(rc) - 1], ATTEST_OK);
    for (size_t n = 0; n < ARRAY_LEN(rc); n++) {
        assert_true(right[n]);
        assert_true(rc[n] == ATTEST_OK || rc[n] == ATTEST_E_NOMEM || rc[n] == ATTEST_E_MALFORMED);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_form_and_order),
        cmocka_unit_test(test_write_none),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_passes_over_what_is_not_ours),
        cmocka_unit_test(test_refuses_the_whole),
        cmocka_unit_test(test_kid_length),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_out_of_memory),
    };
    if (crypto_init(NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
