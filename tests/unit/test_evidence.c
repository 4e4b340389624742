/* SPDX-License-Identifier: MIT */
/*
 * What a TPM made is believed, and what is wrong in one place is not. What has to be signed in
 * spite of being wrong is signed here by a key outside of any TPM, which no restriction keeps from
 * it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include "tests/support/evidence_vector.h"

/* ---- what the TPM made ---- */

static void
reads_what_a_tpm_made(void **state)
{
    (void)state;
    struct evidence_verdict v;
    struct attest_error err = {0};
    must_pass(&real.evidence, &real.expect);
    assert_int_equal(evidence_check(&real.evidence, &real.expect, &v, &err), ATTEST_OK);
    assert_int_equal(v.quote.chosen, 0x885);
    assert_int_equal(v.quote.signer.len, TPM_NAME_LEN);
    assert_int_equal(v.ak.attributes, 0x00050472);
    assert_int_equal(v.ak.policy.len, 0);
    assert_memory_equal(v.ak.name, real.name, TPM_NAME_LEN);
    struct evidence_expect any = real.expect;
    any.nonce = NULL;
    must_pass(&real.evidence, &any);
}

/* Any other byte anywhere is refused, and so is any part that is shorter or longer. */
static void
refuses_every_changed_byte(void **state)
{
    (void)state;
    struct evidence e = real.evidence;
    struct slice *const parts[] = {&e.key_set, &e.quote, &e.signature, &e.ak_public};
    struct evidence_verdict v;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const struct slice whole = *parts[i];
        char *copy = malloc(whole.len + 1);
        assert_non_null(copy);
        for (size_t at = 0; at < whole.len; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                memcpy(copy, whole.p, whole.len);
                copy[at] = (char)(copy[at] ^ (1 << bit));
                *parts[i] = (struct slice){copy, whole.len};
                assert_int_equal(evidence_check(&e, &real.expect, &v, NULL), ATTEST_E_DENIED);
            }
        }
        memcpy(copy, whole.p, whole.len);
        copy[whole.len] = 0;
        for (size_t len = 0; len <= whole.len + 1; len++) {
            *parts[i] = (struct slice){copy, len};
            enum attest_rc rc = evidence_check(&e, &real.expect, &v, NULL);
            assert_int_equal(rc, len == whole.len ? ATTEST_OK : ATTEST_E_DENIED);
        }
        *parts[i] = whole;
        free(copy);
    }
}

static void
refuses_what_was_not_expected(void **state)
{
    (void)state;
    struct evidence e = real.evidence;
    struct evidence_expect x = real.expect;
    uint8_t other[TPM_NAME_LEN];
    memcpy(other, real.name, sizeof(other));
    other[33] ^= 1;
    x.ak_name = other;
    must_fail(&e, &x, EVIDENCE_AK, "another attestation key");
    x = real.expect;
    x.nonce = other;
    must_fail(&e, &x, EVIDENCE_NONCE, "another nonce");
    memcpy(e.nonce, other, EVIDENCE_NONCE_LEN); /* who says that it is the nonce has to prove it */
    must_fail(&e, &x, EVIDENCE_KEY_SET, "another key set or nonce");
    e = real.evidence;
    e.key_set = slice_cstr("{\"keys\":[]}");
    must_fail(&e, &real.expect, EVIDENCE_KEY_SET, "another key set or nonce");
}

static void
names_the_pcrs(void **state)
{
    (void)state;
    struct evidence e = real.evidence;
    struct tpm_pcrs pcrs = e.pcrs;
    struct evidence_expect x = real.expect;
    struct evidence_verdict v;
    x.pcrs = &pcrs;
    pcrs.chosen &= ~(1U << 11);
    must_fail(&e, &x, EVIDENCE_SELECTION, "PCRs 0,2,7,11, expected 0,2,7");
    pcrs.chosen |= 1U << 11 | 1U << 12;
    must_fail(&e, &x, EVIDENCE_SELECTION, "expected 0,2,7,11,12");
    pcrs = e.pcrs;
    pcrs.values[2][31] ^= 1;
    pcrs.values[11][0] ^= 0x80;
    must_fail(&e, &x, EVIDENCE_DIGEST, "PCR 2,11 has another value");
    assert_int_equal(evidence_check(&e, &x, &v, NULL), ATTEST_E_DENIED);
    assert_int_equal(v.moved, 0x804);
    /* Values that are not the quote's say nothing about which one moved. */
    e.pcrs = pcrs;
    must_fail(&e, &x, EVIDENCE_DIGEST, "other values than expected");
    e.pcrs.chosen = 0;
    must_fail(&e, &x, EVIDENCE_DIGEST, "other values than expected");
}

/* ---- what no TPM would sign ---- */

struct forgery {
    EVP_PKEY *key;
    uint8_t area[128], quote[256], signature[TPM_SIGNATURE_MAX], name[TPM_NAME_LEN];
    struct evidence evidence;
    struct evidence_expect expect;
};

static void
put(uint8_t *p, const BIGNUM *n)
{
    assert_int_equal(BN_bn2binpad(n, p, 32), 32);
}

/* The real public area with another point, attributes and policy as they are given. */
static void
forge_area(struct forgery *f, uint32_t attributes)
{
    uint8_t point[65];
    size_t len;
    memcpy(f->area, real.evidence.ak_public.p, real.evidence.ak_public.len);
    assert_int_equal(EVP_PKEY_get_octet_string_param(f->key, OSSL_PKEY_PARAM_PUB_KEY, point,
                                                     sizeof(point), &len),
                     1);
    assert_int_equal(len, 65);
    be32_put(f->area + 6, attributes);
    memcpy(f->area + 24, point + 1, 32);
    memcpy(f->area + 58, point + 33, 32);
    struct tpm_public ak;
    f->evidence.ak_public = (struct slice){(char *)f->area, real.evidence.ak_public.len};
    assert_int_equal(tpm_public_read(f->evidence.ak_public, &ak, NULL), ATTEST_OK);
    memcpy(f->name, ak.name, sizeof(f->name));
}

static void
forge_signature(struct forgery *f)
{
    static const uint8_t head[] = {0, 0x18, 0, 0x0b, 0, 32};
    uint8_t der[80];
    size_t len = sizeof(der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, f->key), 1);
    assert_int_equal(
        EVP_DigestSign(ctx, der, &len, (const uint8_t *)f->evidence.quote.p, f->evidence.quote.len),
        1);
    EVP_MD_CTX_free(ctx);
    const uint8_t *p = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)len);
    memcpy(f->signature, head, sizeof(head));
    put(f->signature + 6, ECDSA_SIG_get0_r(sig));
    f->signature[38] = 0;
    f->signature[39] = 32;
    put(f->signature + 40, ECDSA_SIG_get0_s(sig));
    ECDSA_SIG_free(sig);
    f->evidence.signature = (struct slice){(char *)f->signature, 72};
}

static void
forge(struct forgery *f)
{
    memset(f, 0, sizeof(*f));
    f->key = EVP_EC_gen("P-256");
    assert_non_null(f->key);
    f->evidence = real.evidence;
    forge_area(f, 0x00050472);
    memcpy(f->quote, real.evidence.quote.p, real.evidence.quote.len);
    f->evidence.quote = (struct slice){(char *)f->quote, real.evidence.quote.len};
    f->expect = real.expect;
    f->expect.ak_name = f->name;
    forge_signature(f);
}

static void
forgery_auto(struct forgery *f)
{
    EVP_PKEY_free(f->key);
}

static void
refuses_what_no_tpm_signs(void **state)
{
    (void)state;
    /* Places in the quote: magic 0, type 4, name 6, extra 42 with 32 bytes at 44, clock 76,
       safe 92, firmware 93, selection 101, digest 111. */
    static const struct {
        size_t at;
        uint8_t to;
        enum evidence_check check;
        const char *says;
    } cases[] = {
        {0, 0x7e, EVIDENCE_MAGIC, "not come from a TPM"},
        {3, 0x48, EVIDENCE_MAGIC, "not come from a TPM"},
        {5, 0x17, EVIDENCE_TYPE, "type 8017"}, /* certify */
        {4, 0x00, EVIDENCE_TYPE, "type 0018"},
        {6, 0x01, EVIDENCE_MAGIC, "a length is wrong"},
        {7, 0x23, EVIDENCE_MAGIC, "quote"},
        {43, 0x41, EVIDENCE_MAGIC, "quote"},
        {44, 0x00, EVIDENCE_KEY_SET, "another key set"},
        {75, 0x00, EVIDENCE_KEY_SET, "another key set"},
        {92, 0x02, EVIDENCE_MAGIC, "neither"},
        {104, 0x02, EVIDENCE_MAGIC, "SHA-256 bank"}, /* two banks */
        {104, 0x00, EVIDENCE_MAGIC, "SHA-256 bank"},
        {101, 0xff, EVIDENCE_MAGIC, "SHA-256 bank"},
        {106, 0x04, EVIDENCE_MAGIC, "SHA-256 bank"}, /* SHA-1 */
        {107, 0x04, EVIDENCE_MAGIC, "SHA-256 bank"},
        {107, 0x02, EVIDENCE_MAGIC, "SHA-256 bank"},
        {108, 0x84, EVIDENCE_SELECTION, "PCRs 2,7,11, expected 0,2,7,11"},
        {110, 0x80, EVIDENCE_SELECTION, "PCRs 0,2,7,11,23"},
        {112, 0x1f, EVIDENCE_MAGIC, "wrong"},
        {112, 0x21, EVIDENCE_MAGIC, "cut short"},
        {113, 0x00, EVIDENCE_DIGEST, "other values"},
        {144, 0x00, EVIDENCE_DIGEST, "other values"},
    };
    AUTO(forgery) struct forgery f;
    forge(&f);
    must_pass(&f.evidence, &f.expect);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t old = f.quote[cases[i].at];
        assert_int_not_equal(old, cases[i].to);
        f.quote[cases[i].at] = cases[i].to;
        must_fail(&f.evidence, &f.expect, EVIDENCE_SIGNATURE, "did not sign");
        forge_signature(&f);
        must_fail(&f.evidence, &f.expect, cases[i].check, cases[i].says);
        f.quote[cases[i].at] = old;
        forge_signature(&f);
    }
    f.evidence.quote.len++; /* a NUL behind */
    forge_signature(&f);
    must_fail(&f.evidence, &f.expect, EVIDENCE_MAGIC, "behind its end");
}

/* A quote with another digest than SHA-256 has is no longer than it says. */
static void
refuses_short_quotes_that_are_signed(void **state)
{
    (void)state;
    AUTO(forgery) struct forgery f;
    forge(&f);
    for (size_t len = 0; len < real.evidence.quote.len; len++) {
        f.evidence.quote.len = len;
        forge_signature(&f);
        must_fail(&f.evidence, &f.expect, EVIDENCE_MAGIC, "");
    }
}

static void
judges_the_attributes(void **state)
{
    (void)state;
    static const struct {
        uint32_t flip;
        const char *says; /* NULL: may be either */
    } cases[] = {
        {1U << 1, "not fixedTPM"},
        {1U << 2, NULL},
        {1U << 4, "not fixedParent"},
        {1U << 5, "not sensitiveDataOrigin"},
        {1U << 6, NULL},
        {1U << 7, NULL},
        {1U << 10, NULL},
        {1U << 11, "is encryptedDuplication"},
        {1U << 16, "not restricted"},
        {1U << 17, "is decrypt"},
        {1U << 18, "not sign"},
        {1U << 19, "is x509sign"},
        {1U << 0, "unknown attributes (00000001)"},
        {1U << 3, "unknown attributes"},
        {1U << 31, "unknown attributes (80000000)"},
    };
    AUTO(forgery) struct forgery f;
    forge(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct attest_error err = {0};
        uint8_t name[TPM_NAME_LEN];
        forge_area(&f, 0x00050472 ^ cases[i].flip);
        enum attest_rc rc = evidence_pin_read(f.evidence.ak_public, name, &err);
        if (!cases[i].says) {
            must_pass(&f.evidence, &f.expect);
            assert_int_equal(rc, ATTEST_OK);
            continue;
        }
        must_fail(&f.evidence, &f.expect, EVIDENCE_ATTRIBUTES, cases[i].says);
        assert_int_equal(rc, ATTEST_E_DENIED);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

/* ---- the structures by themselves ---- */

static void
takes_one_kind_of_key(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t to;
        enum attest_rc rc;
    } cases[] = {
        {3, 0x01, ATTEST_E_UNSUPPORTED},  /* RSA */
        {5, 0x0c, ATTEST_E_UNSUPPORTED},  /* name by SHA-384 */
        {11, 0x20, ATTEST_E_UNSUPPORTED}, /* a policy as long as the rest is not one */
        {11, 0x21, ATTEST_E_MALFORMED},   {13, 0x06, ATTEST_E_UNSUPPORTED}, /* AES */
        {15, 0x1a, ATTEST_E_UNSUPPORTED},                                   /* ECDAA */
        {17, 0x04, ATTEST_E_UNSUPPORTED},                                   /* SHA-1 */
        {19, 0x04, ATTEST_E_UNSUPPORTED},                                   /* P-384 */
        {21, 0x20, ATTEST_E_UNSUPPORTED}, {23, 0x21, ATTEST_E_MALFORMED},
        {23, 0x00, ATTEST_E_MALFORMED},   {23, 0x1f, ATTEST_E_MALFORMED},
        {30, 0xaa, ATTEST_E_MALFORMED}, /* not on the curve */
        {1, 0x57, ATTEST_E_MALFORMED},    {1, 0x59, ATTEST_E_MALFORMED},
    };
    uint8_t area[128];
    size_t len = real.evidence.ak_public.len;
    struct tpm_public ak, inner;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct attest_error err = {0};
        memcpy(area, real.evidence.ak_public.p, len);
        area[cases[i].at] = cases[i].to;
        enum attest_rc rc = tpm_public_read((struct slice){(char *)area, len}, &ak, &err);
        if (rc != cases[i].rc)
            fail_msg("byte %zu: %d %s", cases[i].at, rc, err.text);
    }
    const struct slice tpmt = {real.evidence.ak_public.p + 2, len - 2};
    assert_int_equal(tpm_public_read(real.evidence.ak_public, &ak, NULL), ATTEST_OK);
    assert_int_equal(tpm_public_read(tpmt, &inner, NULL), ATTEST_OK);
    assert_memory_equal(ak.name, inner.name, TPM_NAME_LEN);
}

/* Some TPMs leave out the zeros in front of r and s. */
static void
fills_up_short_numbers(void **state)
{
    (void)state;
    static const uint8_t text[] = {0, 0x18, 0, 0x0b, 0, 1, 7, 0, 2, 8, 9};
    uint8_t sig[ES256_SIG_LEN], expected[ES256_SIG_LEN] = {[31] = 7, [62] = 8, [63] = 9};
    const struct slice bytes = {(const char *)text, sizeof(text)};
    assert_int_equal(tpm_signature_read(bytes, sig, NULL), ATTEST_OK);
    assert_memory_equal(sig, expected, sizeof(sig));
    uint8_t other[sizeof(text)];
    static const struct {
        size_t at;
        uint8_t to;
        enum attest_rc rc;
    } cases[] = {{1, 0x14, ATTEST_E_UNSUPPORTED}, {3, 0x04, ATTEST_E_UNSUPPORTED},
                 {5, 0, ATTEST_E_MALFORMED},      {4, 1, ATTEST_E_MALFORMED},
                 {8, 3, ATTEST_E_MALFORMED},      {8, 1, ATTEST_E_MALFORMED}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        memcpy(other, text, sizeof(text));
        other[cases[i].at] = cases[i].to;
        assert_int_equal(
            tpm_signature_read((struct slice){(const char *)other, sizeof(other)}, sig, NULL),
            cases[i].rc);
    }
}

/* Computed by hand: printf and openssl dgst, as docs/protocol.md writes it. */
static void
has_the_documented_digest(void **state)
{
    (void)state;
    static const uint8_t nonce[EVIDENCE_NONCE_LEN] = {0};
    uint8_t digest[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    evidence_qualifying(slice_cstr("{\"keys\":[]}"), nonce, digest);
    hex_encode(hex, digest, sizeof(digest));
    assert_string_equal(hex, "e49868f554916f5538df4616ef7da392f1a73bd254735d8a0c9e0a38911e6e76");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_a_tpm_made),
        cmocka_unit_test(refuses_every_changed_byte),
        cmocka_unit_test(refuses_what_was_not_expected),
        cmocka_unit_test(names_the_pcrs),
        cmocka_unit_test(refuses_what_no_tpm_signs),
        cmocka_unit_test(refuses_short_quotes_that_are_signed),
        cmocka_unit_test(judges_the_attributes),
        cmocka_unit_test(takes_one_kind_of_key),
        cmocka_unit_test(fills_up_short_numbers),
        cmocka_unit_test(has_the_documented_digest),
    };
    return cmocka_run_group_tests(tests, evidence_load, evidence_unload);
}
