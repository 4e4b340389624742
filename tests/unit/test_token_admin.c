/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/ed25519.h"
#include "hsm/token_admin.h"
#include "tests/support/softhsm.h"

static struct softhsm hsm;

static struct secret
pin_of(const char *text)
{
    return secret_copy(text, strlen(text));
}

static enum attest_rc
init_labelled(const char *label, const char *so, const char *user, bool any, unsigned long slot_id,
              bool erase, struct token_slot *slot, struct attest_error *err)
{
    AUTO(secret) struct secret so_pin = pin_of(so);
    AUTO(secret) struct secret pin = pin_of(user);
    struct token_init init = {.label = label,
                              .so_pin = &so_pin,
                              .pin = &pin,
                              .any_slot = any,
                              .slot_id = slot_id,
                              .erase = erase};
    return token_admin_init(hsm.module, &init, slot, err);
}

static enum attest_rc
init_any(const char *label, struct token_slot *slot, struct attest_error *err)
{
    return init_labelled(label, SOFTHSM_SO_PIN, SOFTHSM_PIN, true, 0, false, slot, err);
}

struct check_log {
    char steps[256];
    enum attest_rc last;
};

static void
report(void *ctx, const char *step, enum attest_rc rc, const char *text)
{
    struct check_log *log = ctx;
    assert_true(strlen(text) > 0);
    strncat(log->steps, step, sizeof(log->steps) - strlen(log->steps) - 1);
    strncat(log->steps, " ", sizeof(log->steps) - strlen(log->steps) - 1);
    log->last = rc;
}

static enum attest_rc
check(const char *uri, const char *user_pin, struct check_log *log)
{
    AUTO(secret) struct secret pin = pin_of(user_pin);
    struct token_check request = {
        .module = hsm.module, .uri = uri, .pin = &pin, .report = report, .ctx = log};
    struct attest_error err = {0};
    *log = (struct check_log){{0}};
    enum attest_rc rc = token_admin_check(&request, &err);
    assert_int_equal(rc, log->last);
    if (rc)
        assert_int_equal(err.rc, rc);
    return rc;
}

static void
test_init(void **state)
{
    (void)state;
    struct attest_error err = {0};
    struct token_slot slot = {0};
    if (init_any(SOFTHSM_LABEL, &slot, &err))
        fail_msg("%s", err.text);
    assert_true(slot.initialized && slot.pin_set && slot.present && !slot.pin_locked);
    assert_string_equal(slot.label, SOFTHSM_LABEL);
    assert_string_not_equal(slot.serial, "");

    /* A second token of the same name would make the URI ambiguous. */
    assert_int_equal(init_any(SOFTHSM_LABEL, &slot, &err), ATTEST_E_EXISTS);
    /* An initialised token is not erased by mistake. */
    assert_int_equal(init_labelled("other", SOFTHSM_SO_PIN, SOFTHSM_PIN, false, slot.slot_id, false,
                                   &slot, &err),
                     ATTEST_E_EXISTS);
    assert_int_equal(init_any("", &slot, &err), ATTEST_E_CONFIG);
    assert_int_equal(init_any("123456789012345678901234567890123", &slot, &err), ATTEST_E_CONFIG);

    struct token_slot *slots = NULL;
    size_t n = 0, labelled = 0, blank = 0;
    assert_int_equal(token_admin_slots(hsm.module, &slots, &n, &err), 0);
    for (size_t i = 0; i < n; i++) {
        labelled += slots[i].initialized && !strcmp(slots[i].label, SOFTHSM_LABEL);
        blank += slots[i].present && !slots[i].initialized;
    }
    free(slots);
    assert_int_equal(labelled, 1);
    assert_int_equal(blank, 1);
}

/* Refused PINs leave the token as it was. */
static void
test_init_pins(void **state)
{
    (void)state;
    struct attest_error err = {0};
    struct token_slot slot = {0};
    assert_int_equal(init_labelled("short", "12345678", "1", true, 0, false, &slot, &err),
                     ATTEST_E_PIN);
    assert_non_null(strstr(err.text, "user PIN"));
    assert_int_equal(init_labelled("short", "1", "12345678", true, 0, false, &slot, &err),
                     ATTEST_E_PIN);
    assert_int_equal(init_labelled("short", "12345678", "", true, 0, false, &slot, &err),
                     ATTEST_E_PIN);

    struct token_slot *slots = NULL;
    size_t n = 0;
    assert_int_equal(token_admin_slots(hsm.module, &slots, &n, &err), 0);
    for (size_t i = 0; i < n; i++)
        assert_string_not_equal(slots[i].label, "short");
    free(slots);
}

static void
test_check(void **state)
{
    (void)state;
    struct check_log log;
    assert_int_equal(check("pkcs11:token=attestd%20test", SOFTHSM_PIN, &log), 0);
    assert_string_equal(log.steps,
                        "load initialize token session login generate sign verify destroy ");
    assert_int_equal(check("pkcs11:token=attestd%20test", "wrong-pin", &log), ATTEST_E_PIN);
    assert_string_equal(log.steps, "load initialize token session login ");
    assert_int_equal(check("pkcs11:token=nobody", SOFTHSM_PIN, &log), ATTEST_E_KEY_OUT_OF_REACH);
    assert_string_equal(log.steps, "load initialize token ");
    assert_int_equal(check("pkcs11:token=t?pin-value=x", SOFTHSM_PIN, &log), ATTEST_E_CONFIG);
    assert_string_equal(log.steps, "load ");
}

static void
test_info(void **state)
{
    (void)state;
    struct token_info info;
    struct attest_error err = {0};
    if (token_admin_info(hsm.module, "pkcs11:token=attestd%20test", &info, &err))
        fail_msg("%s", err.text);
    assert_string_equal(info.slot.label, SOFTHSM_LABEL);
    assert_true(info.login_required && info.has_rng && !info.write_protected);
    assert_true(info.generates_ed25519 && info.signs_ed25519);
    assert_true(info.pin_len_min > 0 && info.pin_len_max > info.pin_len_min);
    assert_int_equal(info.cryptoki_major, 2);
    assert_int_equal(token_admin_info(hsm.module, "pkcs11:token=nobody", &info, &err),
                     ATTEST_E_KEY_OUT_OF_REACH);
    assert_int_equal(token_admin_info("/nonexistent.so", "pkcs11:", &info, &err), ATTEST_E_CONFIG);
    assert_int_equal(token_admin_info("libsofthsm2.so", "pkcs11:", &info, &err), ATTEST_E_CONFIG);
}

static void
test_change_pin(void **state)
{
    (void)state;
    const char *uri = "pkcs11:token=attestd%20test";
    AUTO(secret) struct secret first = pin_of(SOFTHSM_PIN);
    AUTO(secret) struct secret second = pin_of("another-4711");
    AUTO(secret) struct secret so = pin_of(SOFTHSM_SO_PIN);
    struct attest_error err = {0};
    struct check_log log;
    assert_int_equal(token_admin_pin(hsm.module, uri, false, &second, &first, &err), ATTEST_E_PIN);
    assert_null(strstr(err.text, "another-4711"));
    if (token_admin_pin(hsm.module, uri, false, &first, &second, &err))
        fail_msg("%s", err.text);
    assert_int_equal(check(uri, SOFTHSM_PIN, &log), ATTEST_E_PIN);
    assert_int_equal(check(uri, "another-4711", &log), 0);
    if (token_admin_pin(hsm.module, uri, true, &so, &first, &err))
        fail_msg("%s", err.text);
    assert_int_equal(token_admin_pin(hsm.module, uri, true, &so, &second, &err), ATTEST_E_PIN);
    if (token_admin_pin(hsm.module, uri, true, &first, &so, &err))
        fail_msg("%s", err.text);
    if (token_admin_pin(hsm.module, uri, false, &second, &first, &err))
        fail_msg("%s", err.text);
}

/* Erasing takes the security officer's PIN and puts a new user PIN in place. */
static void
test_erase(void **state)
{
    (void)state;
    struct attest_error err = {0};
    struct token_slot slot = {0};
    struct check_log log;
    struct token_info info;
    assert_int_equal(token_admin_info(hsm.module, "pkcs11:token=attestd%20test", &info, &err), 0);
    unsigned long id = info.slot.slot_id;
    assert_int_equal(
        init_labelled("again", "not-the-so-pin", "newer-4711", false, id, true, &slot, &err),
        ATTEST_E_PIN);
    if (init_labelled("again", SOFTHSM_SO_PIN, "newer-4711", false, id, true, &slot, &err))
        fail_msg("%s", err.text);
    assert_int_equal(check("pkcs11:token=again", "newer-4711", &log), 0);
    assert_int_equal(check("pkcs11:token=attestd%20test", SOFTHSM_PIN, &log),
                     ATTEST_E_KEY_OUT_OF_REACH);
}

/* Two tokens and a URI that names both. */
static void
test_ambiguous(void **state)
{
    (void)state;
    struct attest_error err = {0};
    struct token_slot slot = {0};
    struct token_info info;
    if (init_any("second", &slot, &err))
        fail_msg("%s", err.text);
    assert_int_equal(token_admin_info(hsm.module, "pkcs11:", &info, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "serial="));
    char uri[64];
    snprintf(uri, sizeof(uri), "pkcs11:serial=%s", slot.serial);
    assert_int_equal(token_admin_info(hsm.module, uri, &info, &err), 0);
    assert_string_equal(info.slot.label, "second");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init),       cmocka_unit_test(test_init_pins),
        cmocka_unit_test(test_check),      cmocka_unit_test(test_info),
        cmocka_unit_test(test_change_pin), cmocka_unit_test(test_erase),
        cmocka_unit_test(test_ambiguous),
    };
    struct attest_error err;
    if (crypto_init(&err) || !softhsm_start(&hsm))
        return 77;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    softhsm_stop(&hsm);
    return failed;
}
