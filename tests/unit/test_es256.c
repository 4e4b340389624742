/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/b64u.h"
#include "base/es256.h"

/* RFC 7515, appendix A.3: key, signing input and signature. */
static const char rfc_x[] = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
static const char rfc_y[] = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
static const char rfc_input[] =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
    "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
static const char rfc_sig[] =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/* The group's order and the field's prime (FIPS 186-4, D.1.2.3). */
static const char order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
static const char prime[] = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";

struct given {
    uint8_t point[ES256_POINT_LEN], sig[ES256_SIG_LEN];
};

static const struct slice message = {rfc_input, sizeof(rfc_input) - 1};

static void
from_b64u(const char *text, uint8_t *out, size_t len)
{
    assert_true(b64u_decode_exact(out, len, (struct slice){text, strlen(text)}));
}

static struct given
rfc(void)
{
    struct given g;
    from_b64u(rfc_x, g.point, 32);
    from_b64u(rfc_y, g.point + 32, 32);
    from_b64u(rfc_sig, g.sig, sizeof(g.sig));
    return g;
}

static void
put_hex(uint8_t *out, const char *hex)
{
    assert_true(hex_decode(out, 32, (struct slice){hex, 64}));
}

static void
refused(const struct given *g)
{
    assert_int_equal(es256_verify(g->point, message, g->sig), ATTEST_E_SIGNATURE);
}

static void
test_rfc_vector(void **state)
{
    (void)state;
    const struct given g = rfc();
    assert_true(es256_point_ok(g.point));
    assert_int_equal(es256_verify(g.point, message, g.sig), ATTEST_OK);
    struct slice shorter = {message.p, message.len - 1};
    assert_int_equal(es256_verify(g.point, shorter, g.sig), ATTEST_E_SIGNATURE);
}

static void
test_each_bit_counts(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < 8 * ES256_SIG_LEN; bit++) {
        struct given g = rfc();
        g.sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
        refused(&g);
        g = rfc();
        g.point[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(es256_point_ok(g.point));
        refused(&g);
    }
}

static void
test_r_and_s_in_their_range(void **state)
{
    (void)state;
    static const size_t half[] = {0, 32};
    for (size_t i = 0; i < 2; i++) {
        struct given g = rfc();
        memset(g.sig + half[i], 0, 32);
        refused(&g);
        put_hex(g.sig + half[i], order);
        refused(&g);
        memset(g.sig + half[i], 0xff, 32);
        refused(&g);
    }
    struct given g = rfc();
    memset(g.sig, 0, sizeof(g.sig));
    refused(&g);
}

static void
test_points_that_are_none(void **state)
{
    (void)state;
    struct given g = rfc();
    memset(g.point, 0, sizeof(g.point));
    assert_false(es256_point_ok(g.point));
    refused(&g);
    static const size_t half[] = {0, 32};
    for (size_t i = 0; i < 2; i++) {
        g = rfc();
        put_hex(g.point + half[i], prime);
        assert_false(es256_point_ok(g.point));
        memset(g.point + half[i], 0xff, 32);
        assert_false(es256_point_ok(g.point));
        refused(&g);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_vector),
        cmocka_unit_test(test_each_bit_counts),
        cmocka_unit_test(test_r_and_s_in_their_range),
        cmocka_unit_test(test_points_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
