/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "support/mint.h"
#include "verify/keys.h"

#include <attest/attest.h>

/* Keys in hand, taken as they come; those of a pinned issuer are test_keys_signed.c's. */

#define OTHER "https://other.example.com"

static struct mint_key key, other_key;

static enum attest_rc
find(const struct attest_keys *k, const char *issuer, const char *kid)
{
    struct found_key found;
    return keys_find(k, slice_cstr(issuer), slice_cstr(kid), MINT_NOW, 30, &found, NULL);
}

static void
test_keys(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *k = NULL;
    struct attest_error err;
    char *jwks AUTO(mem) = mint_jwks(&key);
    char *others AUTO(mem) = mint_jwks(&other_key);
    assert_int_equal(attest_keys_new(&k, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_count(k, MINT_ISSUER), 0);
    assert_int_equal(attest_keys_add_jwks(k, "nonsense", jwks, strlen(jwks), NULL),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_keys_add_jwks(k, MINT_ISSUER, jwks, strlen(jwks) - 1, NULL),
                     ATTEST_E_MALFORMED);
    assert_int_equal(attest_keys_add_jwks(k, MINT_ISSUER, NULL, 0, &err), ATTEST_E_MALFORMED);
    assert_non_null(
        strstr(err.text, "line 1")); /* of nothing, which is where something is missed */
    assert_int_equal(attest_keys_add_jwks(k, MINT_ISSUER, "{\"keys\":[]}", 11, NULL),
                     ATTEST_E_NOT_FOUND);
    assert_int_equal(attest_keys_add_jwks(k, MINT_ISSUER, jwks, strlen(jwks), NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(k, MINT_ISSUER, "{}", 2, NULL), ATTEST_E_MALFORMED);
    assert_int_equal(attest_keys_count(k, MINT_ISSUER), 1);
    assert_int_equal(find(k, MINT_ISSUER, key.kid), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(k, MINT_ISSUER, others, strlen(others), NULL), ATTEST_OK);
    assert_int_equal(find(k, MINT_ISSUER, key.kid), ATTEST_E_KEY_UNKNOWN);
    assert_int_equal(find(k, OTHER, key.kid), ATTEST_E_KEY_UNKNOWN);
    assert_int_equal(find(k, MINT_ISSUER, other_key.kid), ATTEST_OK);
    assert_true(keys_has_issuer(k, slice_cstr(MINT_ISSUER)));
    assert_false(keys_has_issuer(k, slice_cstr(OTHER)));
    assert_int_equal(attest_keys_add_file(k, MINT_ISSUER, "/nonexistent/jwks", &err),
                     ATTEST_E_NOT_FOUND);
    assert_int_equal(attest_keys_add_file(k, MINT_ISSUER, "/", &err), ATTEST_E_CONFIG);
    assert_int_equal(attest_keys_add_file(k, MINT_ISSUER, "/dev/zero", &err), ATTEST_E_CONFIG);
    assert_int_equal(attest_keys_add_file(k, MINT_ISSUER, "/dev/null", &err), ATTEST_E_CONFIG);
    char path[] = "/tmp/attest-keys-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(attest_keys_add_file(k, MINT_ISSUER, path, &err), ATTEST_E_MALFORMED);
    assert_int_equal(ftruncate(fd, ATTEST_JWKS_MAX + 1), 0);
    assert_int_equal(attest_keys_add_file(k, MINT_ISSUER, path, &err), ATTEST_E_LIMIT);
    close(fd);
    unlink(path);
    assert_int_equal(attest_keys_count(k, MINT_ISSUER), 1);
}

/* To the millisecond: none of it is left when its time is over. */
static void
test_a_set_ends_in_time(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *k = NULL;
    char *jwks AUTO(mem) = mint_jwks(&key);
    const struct slice issuer = slice_cstr(MINT_ISSUER);
    assert_int_equal(attest_keys_new(&k, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(k, MINT_ISSUER, jwks, strlen(jwks), NULL), ATTEST_OK);
    keys_set_usable_until(k, MINT_ISSUER, clock_boot_ms() + 3600 * 1000);
    assert_int_equal(find(k, MINT_ISSUER, key.kid), ATTEST_OK);
    assert_int_equal(keys_usable(k, issuer, MINT_NOW, 30), 1);
    keys_set_usable_until(k, MINT_ISSUER, clock_boot_ms());
    assert_int_equal(find(k, MINT_ISSUER, key.kid), ATTEST_E_KEY_FETCH);
    assert_int_equal(keys_usable(k, issuer, MINT_NOW, 30), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys),
                                       cmocka_unit_test(test_a_set_ends_in_time)};
    if (crypto_init(NULL))
        return 1;
    mint_key_init(&key, 1);
    mint_key_init(&other_key, 2);
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    mint_key_done(&key);
    mint_key_done(&other_key);
    return result;
}
