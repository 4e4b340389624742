/* SPDX-License-Identifier: MIT */
/* Evidence as it travels, and what people keep in files to hold it against. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/support/evidence_vector.h"

/* ---- what people keep in files ---- */

static void
reads_pins(void **state)
{
    (void)state;
    char text[256], hex[2 * TPM_NAME_LEN + 3];
    const struct slice area = real.evidence.ak_public;
    uint8_t name[TPM_NAME_LEN];
    hex_encode(hex, real.name, TPM_NAME_LEN);
    strcat(hex, "\n");
    size_t n = b64u_encoded_len(area.len);
    b64u_encode(text, area.p, area.len);
    memcpy(text + n, " \r\n", 4);
    const struct slice good[] = {
        area, {area.p + 2, area.len - 2}, slice_cstr(text), slice_cstr(hex)};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        memset(name, 0, sizeof(name));
        assert_int_equal(evidence_pin_read(good[i], name, NULL), ATTEST_OK);
        assert_memory_equal(name, real.name, sizeof(name));
    }
    struct attest_error err = {0};
    hex[3] = 'c'; /* a name by another algorithm */
    assert_int_not_equal(evidence_pin_read(slice_cstr(hex), name, &err), ATTEST_OK);
    assert_int_equal(evidence_pin_read(slice_cstr("-----BEGIN PUBLIC KEY-----\nMFkw"), name, &err),
                     ATTEST_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "no attributes"));
    assert_int_equal(evidence_pin_read(slice_cstr(""), name, &err), ATTEST_E_MALFORMED);
    assert_int_equal(evidence_pin_read(slice_cstr("{}"), name, &err), ATTEST_E_MALFORMED);
}

#define HEX "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"

static void
reads_expected_pcrs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t chosen; /* 0: refused */
        const char *says;
    } cases[] = {
        {"sha256:\n  0 : 0x" HEX "\n  23: 0x" HEX "\n", 0x800001, NULL},
        {"# golden\r\n\r\nsha256:\r\n7:" HEX, 0x80, NULL},
        {"", 0, "no PCR"},
        {"sha256:\n", 0, "no PCR"},
        {"7 : 0x" HEX "\n", 0, "line 1: \"sha256:\""},
        {"sha1:\n7 : 0x" HEX "\n", 0, "line 1"},
        {"sha256:\n7 : 0x" HEX "\nsha384:\n", 0, "line 3"},
        {"sha256:\n7 : 0x" HEX "\n7 : 0x" HEX "\n", 0, "line 3"},
        {"sha256:\n24 : 0x" HEX "\n", 0, "line 2"},
        {"sha256:\n007 : 0x" HEX "\n", 0, "line 2"},
        {"sha256:\n-1 : 0x" HEX "\n", 0, "line 2"},
        {"sha256:\n : 0x" HEX "\n", 0, "line 2"},
        {"sha256:\n7 : 0x" HEX "0\n", 0, "line 2"},
        {"sha256:\n7 : 0x00\n", 0, "line 2"},
        {"sha256:\n7 : " HEX HEX "\n", 0, "line 2"},
        {"sha256:\n7\n", 0, "line 2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tpm_pcrs pcrs = {0};
        struct attest_error err = {0};
        enum attest_rc rc = evidence_pcrs_read(slice_cstr(cases[i].text), &pcrs, &err);
        if ((rc == ATTEST_OK) != (cases[i].chosen != 0) || pcrs.chosen != cases[i].chosen ||
            (cases[i].says && !strstr(err.text, cases[i].says)))
            fail_msg("case %zu: %d %s", i, rc, err.text);
    }
}

/* ---- as it travels ---- */

static void
write_document(struct buf *out, const char *first, const char *last)
{
    char nonce[64] = "";
    buf_init(out, EVIDENCE_DOCUMENT_MAX);
    b64u_encode(nonce, real.evidence.nonce, EVIDENCE_NONCE_LEN);
    buf_printf(out, "{\"version\":\"%s\",\"nonce\":\"%s\"", first, nonce);
    evidence_members_write(&real.evidence, out);
    buf_str(out, last);
    buf_terminate(out);
    assert_int_equal(buf_rc(out), ATTEST_OK);
}

static void
travels_as_json(void **state)
{
    (void)state;
    AUTO(buf) struct buf text;
    AUTO(evidence_document) struct evidence_document d = {0};
    struct attest_error err = {0};
    write_document(&text, EVIDENCE_VERSION, ",\"later\":[1],\"event_log\":\"AAEC\"}");
    if (evidence_document_read(text.p, text.len, &d, &err))
        fail_msg("%s", err.text);
    must_pass(&d.evidence, &real.expect);
    assert_true(slice_eq(d.evidence.key_set, real.evidence.key_set));
    assert_int_equal(d.evidence.pcrs.chosen, 0x885);
    assert_int_equal(d.event_log.len, 3);
}

/* One text in the place of another. */
static void
refuses_documents(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        enum attest_rc rc;
        const char *says;
    } cases[] = {
        {"evidence/1\"", "evidence/2\"", ATTEST_E_UNSUPPORTED, "version"},
        {"{\"version\"", "{\"version_\"", ATTEST_E_MALFORMED, "version"},
        {"{\"version\":\"", "{\"version\":1,\"x\":\"", ATTEST_E_MALFORMED, "version"},
        {"{", "[{", ATTEST_E_MALFORMED, ""},
        {"\"nonce\":\"", "\"nonce\":\"AAAA", ATTEST_E_MALFORMED, "nonce"},
        {"\"nonce\":\"", "\"nonce\":\"AA\",\"x\":\"", ATTEST_E_MALFORMED, "nonce"},
        {"\"key_set\":\"", "\"key_set\":\"=", ATTEST_E_MALFORMED, "key_set"},
        {"\"quote\"", "\"Quote\"", ATTEST_E_MALFORMED, "quote"},
        {"\"quote\"", "\"nonce\"", ATTEST_E_MALFORMED, ""}, /* twice */
        {"\"signature\":\"", "\"signature\":7,\"x\":\"", ATTEST_E_MALFORMED, "signature"},
        {"\"ak_public\":\"", "\"ak_public\":\" ", ATTEST_E_MALFORMED, "ak_public"},
        {"\"pcrs\"", "\"x\"", ATTEST_E_MALFORMED, "pcrs"},
        {"{\"sha256\":{", "{\"sha1\":{", ATTEST_E_MALFORMED, "pcrs"},
        {"\"7\":", "\"07\":", ATTEST_E_MALFORMED, "pcrs"},
        {"\"7\":", "\"24\":", ATTEST_E_MALFORMED, "pcrs"},
        {"\"7\":", "\"\":", ATTEST_E_MALFORMED, "pcrs"},
        {"\"7\":\"", "\"7\":\"A", ATTEST_E_MALFORMED, "pcrs"},
        {"\"event_log\":\"", "\"event_log\":\"A", ATTEST_E_MALFORMED, "event_log"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buf) struct buf text;
        AUTO(buf) struct buf other;
        struct evidence_document d = {0};
        struct attest_error err = {0};
        write_document(&text, EVIDENCE_VERSION, ",\"event_log\":\"AAEC\"}");
        const char *at = strstr(text.p, cases[i].from);
        assert_non_null(at);
        buf_init(&other, 2 * EVIDENCE_DOCUMENT_MAX);
        buf_append(&other, text.p, (size_t)(at - text.p));
        buf_str(&other, cases[i].to);
        buf_str(&other, at + strlen(cases[i].from));
        enum attest_rc rc = evidence_document_read(other.p, other.len, &d, &err);
        if (rc != cases[i].rc || !strstr(err.text, cases[i].says) || d.bytes)
            fail_msg("case %zu: %d %s", i, rc, err.text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_pins),
        cmocka_unit_test(reads_expected_pcrs),
        cmocka_unit_test(travels_as_json),
        cmocka_unit_test(refuses_documents),
    };
    return cmocka_run_group_tests(tests, evidence_load, evidence_unload);
}
