/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/b64u.h"
#include "token/jws.h"
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
    key.public_key = pubkey_ed25519(key_a);
    log.public_key = pubkey_ed25519(key_a);
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
    source.next_root = &key.public_key;
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

/* ---- reading ---- */

#define NOW INT64_C(1800000000)
#define ISSUER "https://ai.example.com"
#define HEAD "{\"iss\":\"" ISSUER "\",\"sub\":\"" ISSUER "\",\"iat\":1799999990,\"exp\":1800003590"
#define PAYLOAD(more) HEAD ",\"keys\":[" JWK_A("EdDSA") "]" more "}"
#define X_B "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"

static struct secret seeds[2];
static struct signed_keyset_root roots[2];
static struct attest_error err;

/* Signed by root i under this header; header NULL is the right one. */
static void
make(struct buf *out, size_t i, const char *header, const char *payload, size_t payload_len)
{
    uint8_t signature[ED25519_SIG_LEN];
    char kid[JWK_THUMBPRINT_LEN + 1];
    buf_init(out, 2 * SIGNED_KEYSET_TEXT_MAX);
    jwk_thumbprint(kid, &roots[i].public_key);
    if (header) {
        b64u_append(out, header, strlen(header));
        buf_char(out, '.');
        b64u_append(out, payload, payload_len);
    } else {
        jws_write_signing_input(out, JWK_ALG_EDDSA, SIGNED_KEYSET_TYP, slice_cstr(kid),
                                (struct slice){payload, payload_len});
    }
    ed25519_sign(signature, out->p, out->len, &seeds[i]);
    jws_write_signature(out, signature);
    assert_int_equal(buf_rc(out), ATTEST_OK);
}

static enum attest_rc
read_text(struct slice text, size_t n_roots, int64_t now_s, struct signed_keyset **ret)
{
    *ret = NULL;
    enum attest_rc rc = signed_keyset_read(text.p, text.len, slice_cstr(ISSUER), roots, n_roots,
                                           now_s, 30, ret, &err);
    assert_true((rc == ATTEST_OK) == (*ret != NULL));
    assert_true(rc == ATTEST_OK || err.rc == rc);
    return rc;
}

static enum attest_rc
read_payload_at(const char *payload, int64_t now_s)
{
    AUTO(signed_keyset) struct signed_keyset *set = NULL;
    AUTO(buf) struct buf text;
    make(&text, 0, NULL, payload, strlen(payload));
    return read_text(buf_view(&text), 1, now_s, &set);
}

static void
test_read_what_was_written(void **state)
{
    (void)state;
    struct keyset_entry key = {.state = KEY_PUBLISHED}, log = {.state = KEY_ACTIVE};
    key.public_key = pubkey_ed25519(key_a);
    log.public_key = roots[1].public_key;
    const struct signed_keyset_revoked revoked[] = {
        {slice_cstr("zz"), 900, slice_cstr("left in a \"taxi\"\n")},
        {slice_cstr("b"), 901, {NULL, 0}},
        {slice_cstr("aa"), 902, slice_cstr("\xc3\xa9")},
    };
    struct signed_keyset_source source = {
        .issuer = slice_cstr(ISSUER),
        .iat = NOW,
        .exp = NOW + 3600,
        .keys = &key,
        .n_keys = 1,
        .log_keys = &log,
        .n_log_keys = 1,
        .revoked = revoked,
        .n_revoked = ARRAY_LEN(revoked),
        .next_root = &roots[1].public_key,
        .next_root_alg = JWK_ALG_ED25519,
    };
    AUTO(buf) struct buf payload, text;
    buf_init(&payload, SIGNED_KEYSET_TEXT_MAX);
    signed_keyset_write(&source, &payload);
    make(&text, 1, NULL, payload.p, payload.len);

    AUTO(signed_keyset) struct signed_keyset *set = NULL;
    assert_int_equal(read_text(buf_view(&text), 2, NOW, &set), ATTEST_OK);
    memset(text.p, 0, text.len); /* the set owns what it holds */
    assert_int_equal(set->iat, NOW);
    assert_int_equal(set->exp, NOW + 3600);
    assert_int_equal(set->signed_by, 1);
    assert_int_equal(keyset_count(set->keys), 1);
    assert_memory_equal(keyset_at(set->keys, 0)->public_key.bytes, key_a, sizeof(key_a));
    assert_int_equal(keyset_count(set->log_keys), 1);
    assert_int_equal(set->n_revoked, 3);
    const struct signed_keyset_revoked *r = signed_keyset_revoked(set, slice_cstr("zz"));
    assert_int_equal(r->revoked_at_s, 900);
    assert_true(slice_is(r->reason, "left in a \"taxi\" "));
    assert_true(slice_is(signed_keyset_revoked(set, slice_cstr("aa"))->reason, "\xc3\xa9"));
    assert_int_equal(signed_keyset_revoked(set, slice_cstr("b"))->reason.len, 0);
    assert_null(signed_keyset_revoked(set, slice_cstr("c")));
    assert_null(signed_keyset_revoked(set, slice_cstr("")));
    assert_true(set->has_next_root);
    assert_int_equal(set->next_root.alg, JWK_ALG_ED25519);
    assert_true(pubkey_eq(&set->next_root.public_key, &roots[1].public_key));
}

/* After the only key was revoked nothing is left to sign with; that has to be told, too. */
static void
test_no_keys(void **state)
{
    (void)state;
    AUTO(signed_keyset) struct signed_keyset *set = NULL;
    AUTO(buf) struct buf text;
    static const char payload[] =
        HEAD ",\"keys\":[],\"revoked\":[{\"kid\":\"k\",\"revoked_at\":1}]}";
    make(&text, 0, NULL, payload, strlen(payload));
    assert_int_equal(read_text(buf_view(&text), 1, NOW, &set), ATTEST_OK);
    assert_int_equal(keyset_count(set->keys), 0);
    assert_null(keyset_find(set->keys, slice_cstr("k")));
    assert_null(set->log_keys);
    assert_non_null(signed_keyset_revoked(set, slice_cstr("k")));
}

static void
test_header(void **state)
{
    (void)state;
    char kid[2][JWK_THUMBPRINT_LEN + 1], header[512];
    for (size_t i = 0; i < 2; i++)
        jwk_thumbprint(kid[i], &roots[i].public_key);
    static const struct {
        const char *before, *behind;
        enum attest_rc rc;
    } cases[] = {
        {"{\"alg\":\"EdDSA\",\"typ\":\"jwk-set+jwt\",\"kid\":\"", "\"}", ATTEST_OK},
        {"{\"alg\":\"Ed25519\",\"typ\":\"jwk-set+jwt\",\"kid\":\"", "\"}", ATTEST_OK},
        {"{\"alg\":\"none\",\"typ\":\"jwk-set+jwt\",\"kid\":\"", "\"}", ATTEST_E_MALFORMED},
        {"{\"alg\":\"HS256\",\"typ\":\"jwk-set+jwt\",\"kid\":\"", "\"}", ATTEST_E_MALFORMED},
        {"{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"", "\"}", ATTEST_E_MALFORMED},
        {"{\"alg\":\"EdDSA\",\"typ\":\"application/jwk-set+jwt\",\"kid\":\"", "\"}",
         ATTEST_E_MALFORMED},
        {"{\"alg\":\"EdDSA\",\"typ\":\"JWK-set+jwt\",\"kid\":\"", "\"}", ATTEST_E_MALFORMED},
        {"{\"alg\":\"EdDSA\",\"kid\":\"", "\"}", ATTEST_E_MALFORMED},
        {"{\"alg\":\"EdDSA\",\"typ\":\"jwk-set+jwt\",\"jku\":\"", "\"}", ATTEST_E_MALFORMED},
        {"{\"alg\":\"EdDSA\",\"typ\":\"jwk-set+jwt\",\"crit\":[\"b64\"],\"kid\":\"", "\"}",
         ATTEST_E_MALFORMED},
        {"{\"alg\":\"EdDSA\",\"typ\":\"jwk-set+jwt\",\"kid\":\"", "=\"}", ATTEST_E_KEY_UNKNOWN},
        {"{\"alg\":\"EdDSA\",\"typ\":\"jwk-set+jwt\",\"kid\":\"x", "\"}", ATTEST_E_KEY_UNKNOWN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(signed_keyset) struct signed_keyset *set = NULL;
        AUTO(buf) struct buf text;
        snprintf(header, sizeof(header), "%s%s%s", cases[i].before, kid[0], cases[i].behind);
        make(&text, 0, header, PAYLOAD(""), strlen(PAYLOAD("")));
        assert_int_equal(read_text(buf_view(&text), 1, NOW, &set), cases[i].rc);
    }
    /* The alg that the pinned key names binds. */
    AUTO(signed_keyset) struct signed_keyset *set = NULL;
    AUTO(buf) struct buf text;
    make(&text, 0, NULL, PAYLOAD(""), strlen(PAYLOAD("")));
    roots[0].alg = JWK_ALG_ED25519;
    enum attest_rc rc = read_text(buf_view(&text), 1, NOW, &set);
    roots[0].alg = JWK_ALG_NONE;
    assert_int_equal(rc, ATTEST_E_MALFORMED);
}

/* A good signature by a key that is not pinned, and a pinned kid under another's signature. */
static void
test_signature_first(void **state)
{
    (void)state;
    AUTO(signed_keyset) struct signed_keyset *set = NULL;
    AUTO(buf) struct buf other, good, no_json, wrong_iss;
    char kid[JWK_THUMBPRINT_LEN + 1], header[256];
    make(&other, 1, NULL, PAYLOAD(""), strlen(PAYLOAD("")));
    assert_int_equal(read_text(buf_view(&other), 1, NOW, &set), ATTEST_E_KEY_UNKNOWN);
    jwk_thumbprint(kid, &roots[1].public_key);
    assert_non_null(strstr(err.text, kid)); /* who signed is what one looks for */
    assert_int_equal(read_text(buf_view(&other), 0, NOW, &set), ATTEST_E_KEY_UNKNOWN);

    /* Whatever the payload is, the signature is judged before it. */
    jwk_thumbprint(kid, &roots[0].public_key);
    snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"typ\":\"jwk-set+jwt\",\"kid\":\"%s\"}",
             kid);
    make(&no_json, 1, header, "{{{{", 4);
    assert_int_equal(read_text(buf_view(&no_json), 1, NOW, &set), ATTEST_E_SIGNATURE);
    make(&wrong_iss, 1, header, "{\"iss\":\"https://evil\"}", 22);
    assert_int_equal(read_text(buf_view(&wrong_iss), 1, NOW, &set), ATTEST_E_SIGNATURE);

    /* No byte of it may change. */
    make(&good, 0, NULL, PAYLOAD(""), strlen(PAYLOAD("")));
    assert_int_equal(read_text(buf_view(&good), 1, NOW, &set), ATTEST_OK);
    signed_keyset_free(set);
    set = NULL;
    for (size_t i = 0; i < good.len; i++) {
        char was = good.p[i];
        good.p[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(read_text(buf_view(&good), 1, NOW, &set), ATTEST_OK);
        good.p[i] = was;
        assert_int_not_equal(read_text((struct slice){good.p, i}, 1, NOW, &set), ATTEST_OK);
    }
}

static void
test_times(void **state)
{
    (void)state;
    static const struct {
        const char *times;
        int64_t now_s;
        enum attest_rc rc;
    } cases[] = {
        {"\"iat\":1800000000,\"exp\":1800003600", NOW, ATTEST_OK},
        {"\"iat\":1800000000,\"exp\":1800003601", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":1800000000,\"exp\":1800000001", NOW, ATTEST_OK},
        {"\"iat\":1800000000,\"exp\":1800000000", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":1800000000,\"exp\":1799999999", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":1800000030,\"exp\":1800000031", NOW, ATTEST_OK},
        {"\"iat\":1800000031,\"exp\":1800000032", NOW, ATTEST_E_NOT_YET_VALID},
        {"\"iat\":1800000000,\"exp\":1800003600", NOW + 3629, ATTEST_OK},
        {"\"iat\":1800000000,\"exp\":1800003600", NOW + 3630, ATTEST_E_EXPIRED},
        {"\"iat\":0,\"exp\":3600", NOW, ATTEST_E_EXPIRED},
        {"\"iat\":0,\"exp\":1800003600", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":-1,\"exp\":3599", 0, ATTEST_E_MALFORMED},
        {"\"iat\":-9223372036854775808,\"exp\":9223372036854775807", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":9223372036854775807,\"exp\":9223372036854775807", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":99999999999999999999,\"exp\":1800003600", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":253402300799,\"exp\":253402300800", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":1.8e9,\"exp\":1800003600", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":\"1800000000\",\"exp\":1800003600", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":1800000000", NOW, ATTEST_E_MALFORMED},
        {"\"exp\":1800003600", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":null,\"exp\":1800003600", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":1800000000,\"exp\":1800003600,\"iat\":1800000000", NOW, ATTEST_E_MALFORMED},
        {"\"iat\":1800000000,\"exp\":1800003600,\"\\u0069at\":1", NOW, ATTEST_E_MALFORMED},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char payload[1024];
        snprintf(payload, sizeof(payload),
                 "{\"iss\":\"" ISSUER "\",\"sub\":\"" ISSUER "\",%s,\"keys\":[]}", cases[i].times);
        enum attest_rc rc = read_payload_at(payload, cases[i].now_s);
        if (rc != cases[i].rc)
            fail_msg("%s: %d", cases[i].times, rc);
    }
}

static void
test_issuer(void **state)
{
    (void)state;
#define OF(names) "{" names ",\"iat\":1800000000,\"exp\":1800000060,\"keys\":[]}"
    static const struct {
        const char *payload;
        enum attest_rc rc;
    } cases[] = {
        {OF("\"iss\":\"" ISSUER "\",\"sub\":\"" ISSUER "\""), ATTEST_OK},
        {OF("\"iss\":\"" ISSUER "/\",\"sub\":\"" ISSUER "/\""), ATTEST_E_ISSUER},
        {OF("\"iss\":\"" ISSUER "\",\"sub\":\"https://evil\""), ATTEST_E_ISSUER},
        {OF("\"iss\":\"https://evil\",\"sub\":\"" ISSUER "\""), ATTEST_E_ISSUER},
        {OF("\"iss\":\"" ISSUER "\""), ATTEST_E_MALFORMED},
        {OF("\"sub\":\"" ISSUER "\""), ATTEST_E_MALFORMED},
        {OF("\"iss\":[\"" ISSUER "\"],\"sub\":\"" ISSUER "\""), ATTEST_E_MALFORMED},
        {OF("\"iss\":\"" ISSUER "\",\"sub\":null"), ATTEST_E_MALFORMED},
        {"[]", ATTEST_E_MALFORMED},
        {"7", ATTEST_E_MALFORMED},
        {"", ATTEST_E_MALFORMED},
        {PAYLOAD("") "x", ATTEST_E_MALFORMED},
        {PAYLOAD(",\"more\":{\"is\":[\"passed\",\"over\"]}"), ATTEST_OK},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum attest_rc rc = read_payload_at(cases[i].payload, NOW);
        if (rc != cases[i].rc)
            fail_msg("%s: %d", cases[i].payload, rc);
    }
}

#define KEY_B(more) "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"b\",\"x\":\"" X_B "\"" more "}"
#define REVOKED(entry) PAYLOAD(",\"revoked\":[" entry "]")

static void
test_content(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        enum attest_rc rc;
    } cases[] = {
        {HEAD "}", ATTEST_E_MALFORMED},
        {HEAD ",\"keys\":{}}", ATTEST_E_MALFORMED},
        {HEAD ",\"keys\":null}", ATTEST_E_MALFORMED},
        {HEAD ",\"keys\":[" KEY_B("") "," KEY_B("") "]}", ATTEST_E_MALFORMED},
        {HEAD ",\"keys\":[" KEY_B(",\"d\":\"AA\"") "]}", ATTEST_E_MALFORMED},
        {HEAD ",\"keys\":[7]}", ATTEST_E_MALFORMED},
        /* low order, not canonical */
        {HEAD ",\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"l\",\"x\":"
              "\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
         ATTEST_E_MALFORMED},
        {PAYLOAD(",\"log_keys\":[" KEY_B("") "]"), ATTEST_OK},
        {PAYLOAD(",\"log_keys\":[]"), ATTEST_OK},
        {PAYLOAD(",\"log_keys\":7"), ATTEST_E_MALFORMED},
        {PAYLOAD(",\"log_keys\":[" KEY_B(",\"d\":\"AA\"") "]"), ATTEST_E_MALFORMED},
        {PAYLOAD(",\"revoked\":null"), ATTEST_E_MALFORMED},
        {PAYLOAD(",\"revoked\":{}"), ATTEST_E_MALFORMED},
        {REVOKED(""), ATTEST_OK},
        {REVOKED("{\"kid\":\"r\",\"revoked_at\":1,\"reason\":\"x\",\"more\":1}"), ATTEST_OK},
        {REVOKED("{\"kid\":\"r\",\"revoked_at\":1,\"reason\":\"\\u0001\\n\\u009f\"}"), ATTEST_OK},
        {REVOKED("7"), ATTEST_E_MALFORMED},
        {REVOKED("\"r\""), ATTEST_E_MALFORMED},
        {REVOKED("{\"revoked_at\":1}"), ATTEST_E_MALFORMED},
        {REVOKED("{\"kid\":\"r\"}"), ATTEST_E_MALFORMED},
        {REVOKED("{\"kid\":\"\",\"revoked_at\":1}"), ATTEST_E_MALFORMED},
        {REVOKED("{\"kid\":7,\"revoked_at\":1}"), ATTEST_E_MALFORMED},
        {REVOKED("{\"kid\":\"r\",\"revoked_at\":-1}"), ATTEST_E_MALFORMED},
        {REVOKED("{\"kid\":\"r\",\"revoked_at\":\"1\"}"), ATTEST_E_MALFORMED},
        {REVOKED("{\"kid\":\"r\",\"revoked_at\":1,\"reason\":7}"), ATTEST_E_MALFORMED},
        {REVOKED("{\"kid\":\"r\",\"revoked_at\":1,\"reason\":\"\x7f\"}"), ATTEST_OK},
        {REVOKED("{\"kid\":\"r\",\"revoked_at\":9007199254740993}"), ATTEST_E_MALFORMED},
        {REVOKED("{\"kid\":\"r\",\"revoked_at\":1},{\"kid\":\"q\",\"revoked_at\":1},"
                 "{\"kid\":\"\\u0072\",\"revoked_at\":2}"),
         ATTEST_E_MALFORMED},
        {PAYLOAD(",\"next_root\":" KEY_B(",\"alg\":\"EdDSA\"")), ATTEST_OK},
        {PAYLOAD(",\"next_root\":null"), ATTEST_E_MALFORMED},
        {PAYLOAD(",\"next_root\":[" KEY_B("") "]"), ATTEST_E_MALFORMED},
        {PAYLOAD(",\"next_root\":" KEY_B(",\"d\":\"AA\"")), ATTEST_E_MALFORMED},
        {PAYLOAD(",\"next_root\":" KEY_B(",\"alg\":\"ES256\"")), ATTEST_E_MALFORMED},
        {PAYLOAD(",\"next_root\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
                 "\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"),
         ATTEST_E_MALFORMED},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum attest_rc rc = read_payload_at(cases[i].payload, NOW);
        if (rc != cases[i].rc)
            fail_msg("%s: %d %s", cases[i].payload, rc, err.text);
    }
}

/* As many revocations as fit are read; one byte, or one value, too many is refused. */
static void
test_sizes(void **state)
{
    (void)state;
    AUTO(buf) struct buf payload, text, deep;
    AUTO(signed_keyset) struct signed_keyset *set = NULL;
    buf_init(&payload, 2 * SIGNED_KEYSET_TEXT_MAX);
    buf_str(&payload, HEAD ",\"keys\":[],\"revoked\":[");
    size_t n = 0;
    for (; payload.len < SIGNED_KEYSET_TEXT_MAX * 3 / 4 - 400; n++)
        buf_printf(&payload, "%s{\"kid\":\"%043zu\",\"revoked_at\":1,\"reason\":\"\"}",
                   n ? "," : "", n);
    buf_str(&payload, "]}");
    make(&text, 0, NULL, payload.p, payload.len);
    assert_true(text.len <= SIGNED_KEYSET_TEXT_MAX);
    assert_int_equal(read_text(buf_view(&text), 1, NOW, &set), ATTEST_OK);
    assert_int_equal(set->n_revoked, n);
    signed_keyset_free(set);
    set = NULL;

    while (payload.len < SIGNED_KEYSET_TEXT_MAX * 3 / 4)
        buf_char(&payload, ' ');
    buf_done(&text);
    make(&text, 0, NULL, payload.p, payload.len);
    assert_true(text.len > SIGNED_KEYSET_TEXT_MAX);
    assert_int_equal(read_text(buf_view(&text), 1, NOW, &set), ATTEST_E_LIMIT);

    payload.len = 0;
    buf_str(&payload, HEAD ",\"keys\":[],\"x\":[0");
    for (size_t i = 0; i < 9000; i++)
        buf_str(&payload, ",0");
    buf_str(&payload, "]}");
    buf_done(&text);
    make(&text, 0, NULL, payload.p, payload.len);
    assert_int_equal(read_text(buf_view(&text), 1, NOW, &set), ATTEST_E_MALFORMED);

    buf_init(&deep, SIGNED_KEYSET_TEXT_MAX);
    buf_str(&deep, HEAD ",\"keys\":[],\"x\":");
    for (size_t i = 0; i < 20000; i++)
        buf_char(&deep, '[');
    buf_done(&text);
    make(&text, 0, NULL, deep.p, deep.len);
    assert_int_equal(read_text(buf_view(&text), 1, NOW, &set), ATTEST_E_MALFORMED);
}

static void
test_roots(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum attest_rc rc;
        size_t n;
    } cases[] = {
        {JWK_A("EdDSA"), ATTEST_OK, 1},
        {" {\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" X_B "\"}\n", ATTEST_OK, 1},
        {"{\"keys\":[" JWK_A("EdDSA") "," KEY_B("") "]}", ATTEST_OK, 2},
        {"{\"keys\":[" JWK_A("EdDSA") "," KEY_B("") "," KEY_B("") "]}", ATTEST_E_LIMIT, 0},
        {"{\"keys\":[]}", ATTEST_E_MALFORMED, 0},
        {"{\"keys\":[" JWK_A("EdDSA") ",{\"kty\":\"RSA\"}]}", ATTEST_E_MALFORMED, 0},
        {KEY_B(",\"d\":\"AA\""), ATTEST_E_MALFORMED, 0},
        {KEY_B(",\"alg\":\"RS256\""), ATTEST_E_MALFORMED, 0},
        {KEY_B(",\"alg\":7"), ATTEST_E_MALFORMED, 0},
        {"{\"keys\":7}", ATTEST_E_MALFORMED, 0},
        {"{}", ATTEST_E_MALFORMED, 0},
        {"[]", ATTEST_E_MALFORMED, 0},
        {"", ATTEST_E_MALFORMED, 0},
        {"-----BEGIN PUBLIC KEY-----", ATTEST_E_MALFORMED, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct signed_keyset_root found[2];
        size_t n = 9;
        enum attest_rc rc =
            signed_keyset_read_roots(cases[i].text, strlen(cases[i].text), found, 2, &n, &err);
        assert_int_equal(rc, cases[i].rc);
        if (!rc)
            assert_int_equal(n, cases[i].n);
    }
    size_t n;
    AUTO(buf) struct buf longer;
    buf_init(&longer, 2 * SIGNED_KEYSET_TEXT_MAX);
    buf_str(&longer, JWK_A("EdDSA"));
    assert_int_equal(signed_keyset_read_roots(longer.p, longer.len, NULL, 0, &n, &err),
                     ATTEST_E_LIMIT);
    while (longer.len <= SIGNED_KEYSET_TEXT_MAX)
        buf_char(&longer, ' ');
    struct signed_keyset_root one;
    assert_int_equal(signed_keyset_read_roots(longer.p, longer.len, &one, 1, &n, &err),
                     ATTEST_E_LIMIT);
    assert_int_equal(signed_keyset_read_roots(longer.p, longer.len - 1, &one, 1, &n, &err),
                     ATTEST_OK);
}

/* A reason is for people: what is longer than they read is cut, the revocation stands. */
static void
test_long_reason(void **state)
{
    (void)state;
    AUTO(buf) struct buf payload;
    buf_init(&payload, 8192);
    buf_str(&payload,
            HEAD ",\"keys\":[],\"revoked\":[{\"kid\":\"r\",\"revoked_at\":1,\"reason\":\"");
    for (int i = 0; i <= SIGNED_KEYSET_REASON_MAX; i++)
        buf_char(&payload, 'x');
    buf_str(&payload, "\"}]}");
    assert_true(buf_terminate(&payload));
    assert_int_equal(read_payload_at(payload.p, NOW), ATTEST_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_form),
        cmocka_unit_test(test_write_reason),
        cmocka_unit_test(test_read_what_was_written),
        cmocka_unit_test(test_no_keys),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_signature_first),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_issuer),
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_long_reason),
    };
    if (crypto_init(NULL))
        return 1;
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        uint8_t bytes[ED25519_SEED_LEN] = {(uint8_t)(i + 1)};
        seeds[i] = secret_copy(bytes, sizeof(bytes));
        ed25519_public_from_seed(roots[i].public_key.bytes, &seeds[i]);
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(roots); i++)
        secret_free(&seeds[i]);
    return failed;
}
