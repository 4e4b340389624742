/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hsm/p11_key.h"
#include "hsm/p11_uri.h"

static void
test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *uri, *says;
    } cases[] = {
        {"pkcs11:token=t?pin-value=1234", "pin-value"},
        {"pkcs11:token=t?pin-value=", "pin-value"},
        {"pkcs11:token=t?pin-source=file:/etc/pin", "pin-source"},
        {"pkcs11:token=t?module-name=softhsm2", "module-name"},
        {"pkcs11:token=t?module-path=libsofthsm2.so", "absolute"},
        {"pkcs11:token=t;object=key", "object"},
        {"pkcs11:token=t;type=private", "object"},
        {"pkcs11:token=t;id=%01", "object"},
        {"pkcs11:token=t;colour=red", "unknown"},
        {"pkcs11:token=t?colour=red", "unknown"},
        {"pkcs11:token=%zz", "URI"},
        {"pkcs11:token", "URI"},
        {"file:/tmp/x", "URI"},
        {"", "URI"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct p11_uri *uri = NULL;
        struct attest_error err = {0};
        if (p11_uri_parse(cases[i].uri, &uri, &err) != ATTEST_E_CONFIG)
            fail_msg("accepted: %s", cases[i].uri);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s: said '%s'", cases[i].uri, err.text);
        assert_null(strstr(err.text, "1234"));
        assert_null(uri);
    }
}

static void
pad(unsigned char *out, size_t size, const char *text)
{
    memset(out, ' ', size);
    memcpy(out, text, strlen(text));
}

static bool
matches(const char *text)
{
    CK_INFO module = {.libraryVersion = {2, 6}};
    CK_SLOT_INFO slot = {0};
    CK_TOKEN_INFO token = {0};
    pad(module.manufacturerID, sizeof(module.manufacturerID), "Acme");
    pad(module.libraryDescription, sizeof(module.libraryDescription), "Acme Cryptoki");
    pad(slot.slotDescription, sizeof(slot.slotDescription), "Reader 1");
    pad(slot.manufacturerID, sizeof(slot.manufacturerID), "Acme");
    pad(token.label, sizeof(token.label), "my token; 1");
    pad(token.manufacturerID, sizeof(token.manufacturerID), "Acme");
    pad(token.model, sizeof(token.model), "M2");
    pad(token.serialNumber, sizeof(token.serialNumber), "0042");
    AUTO(p11_uri) struct p11_uri *uri = NULL;
    struct attest_error err = {0};
    if (p11_uri_parse(text, &uri, &err))
        fail_msg("%s: %s", text, err.text);
    return p11_uri_match(uri, &module, 7, &slot, &token);
}

static void
test_match(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        bool match;
    } cases[] = {
        {"pkcs11:", true},
        {"pkcs11:token=my%20token%3b%201", true},
        {"pkcs11:token=my%20token", false},
        {"pkcs11:serial=0042", true},
        {"pkcs11:serial=42", false},
        {"pkcs11:token=my%20token%3B%201;serial=0042;model=M2;manufacturer=Acme", true},
        {"pkcs11:token=my%20token%3B%201;serial=0042;model=M3;manufacturer=Acme", false},
        {"pkcs11:slot-id=7", true},
        {"pkcs11:slot-id=8;serial=0042", false},
        {"pkcs11:slot-description=Reader%201", true},
        {"pkcs11:slot-description=Reader%202", false},
        {"pkcs11:library-description=Acme%20Cryptoki", true},
        {"pkcs11:library-description=Other", false},
        {"pkcs11:serial=0042?module-path=/opt/acme/lib.so", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (matches(cases[i].uri) != cases[i].match)
            fail_msg("%s", cases[i].uri);
    }
}

static void
test_module_path(void **state)
{
    (void)state;
    AUTO(p11_uri) struct p11_uri *with = NULL;
    AUTO(p11_uri) struct p11_uri *without = NULL;
    assert_int_equal(p11_uri_parse("pkcs11:token=t?module-path=/opt/a%20b.so", &with, NULL), 0);
    assert_string_equal(p11_uri_module_path(with), "/opt/a b.so");
    assert_int_equal(p11_uri_parse("pkcs11:token=t", &without, NULL), 0);
    assert_null(p11_uri_module_path(without));
}

static void
test_point(void **state)
{
    (void)state;
    uint8_t raw[40], out[ED25519_PUBLIC_LEN];
    for (size_t i = 0; i < sizeof(raw); i++)
        raw[i] = (uint8_t)(i + 1);
    uint8_t octets[34] = {0x04, 0x20}, bits[35] = {0x03, 0x21, 0x00};
    memcpy(octets + 2, raw, 32);
    memcpy(bits + 3, raw, 32);
    const uint8_t *forms[] = {raw, octets, bits};
    static const size_t lens[] = {32, 34, 35};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        memset(out, 0, sizeof(out));
        assert_true(p11_point_decode(forms[i], lens[i], out));
        assert_memory_equal(out, raw, sizeof(out));
    }
    for (size_t len = 0; len <= sizeof(raw); len++) {
        if (len != 32)
            assert_false(p11_point_decode(raw, len, out)); /* the head is wrong */
    }
    bits[2] = 1; /* unused bits */
    assert_false(p11_point_decode(bits, sizeof(bits), out));
    octets[1] = 0x21;
    assert_false(p11_point_decode(octets, sizeof(octets), out));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_module_path),
        cmocka_unit_test(test_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
