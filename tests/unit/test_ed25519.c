/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <string.h>

#include "base/ed25519.h"

#define MESSAGE_MAX 2048

/* One folder of hex files: tests/vectors/SET/CASE/{public,message,signature[,seed]}. */
struct vector {
    uint8_t seed[ED25519_SEED_LEN];
    uint8_t public_key[ED25519_PUBLIC_LEN];
    uint8_t signature[ED25519_SIG_LEN];
    uint8_t message[MESSAGE_MAX];
    size_t message_len;
};

static size_t
read_hex(const char *set, const char *name, const char *what, uint8_t *out, size_t out_size)
{
    char path[512];
    char text[2 * MESSAGE_MAX + 2];
    snprintf(path, sizeof(path), TESTS_DIR "/vectors/%s/%s/%s", set, name, what);
    AUTO(file) FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s: cannot be opened", path);
    size_t len = fread(text, 1, sizeof(text), f);
    while (len > 0 && text[len - 1] == '\n')
        len--;
    if (len / 2 > out_size || !hex_decode(out, len / 2, (struct slice){text, len}))
        fail_msg("%s: not hex of the right length", path);
    return len / 2;
}

static void
read_vector(const char *set, const char *name, struct vector *v)
{
    assert_int_equal(read_hex(set, name, "public", v->public_key, sizeof(v->public_key)),
                     ED25519_PUBLIC_LEN);
    assert_int_equal(read_hex(set, name, "signature", v->signature, sizeof(v->signature)),
                     ED25519_SIG_LEN);
    v->message_len = read_hex(set, name, "message", v->message, sizeof(v->message));
}

/* Calls each() for every folder of a set and says how many there were. */
static size_t
for_each(const char *set, void (*each)(const char *name, struct vector *v))
{
    char path[512];
    size_t n = 0;
    snprintf(path, sizeof(path), TESTS_DIR "/vectors/%s", set);
    DIR *dir = opendir(path);
    if (!dir)
        fail_msg("%s: cannot be opened", path);
    for (struct dirent *e; (e = readdir(dir));) {
        struct vector v;
        if (e->d_name[0] == '.')
            continue;
        read_vector(set, e->d_name, &v);
        each(e->d_name, &v);
        n++;
    }
    closedir(dir);
    return n;
}

static void
check_rfc8032(const char *name, struct vector *v)
{
    uint8_t public_key[ED25519_PUBLIC_LEN], signature[ED25519_SIG_LEN];
    assert_int_equal(read_hex("rfc8032", name, "seed", v->seed, sizeof(v->seed)), ED25519_SEED_LEN);
    AUTO(secret) struct secret seed = secret_copy(v->seed, sizeof(v->seed));
    ed25519_public_from_seed(public_key, &seed);
    assert_memory_equal(public_key, v->public_key, sizeof(public_key));
    ed25519_sign(signature, v->message, v->message_len, &seed);
    assert_memory_equal(signature, v->signature, sizeof(signature));
    assert_true(ed25519_verify(v->signature, v->message, v->message_len, v->public_key));
    assert_true(ed25519_public_ok(v->public_key));
}

static void
test_rfc8032(void **state)
{
    (void)state;
    assert_int_equal(for_each("rfc8032", check_rfc8032), 5);
}

static void
check_refused(const char *name, struct vector *v)
{
    if (ed25519_verify(v->signature, v->message, v->message_len, v->public_key))
        fail_msg("accepted: %s", name);
    bool bad_key = strncmp(name, "low_order_key", 13) == 0 || strcmp(name, "not_on_curve") == 0;
    if (ed25519_public_ok(v->public_key) == bad_key)
        fail_msg("the key of %s is judged wrongly", name);
}

static void
test_refused(void **state)
{
    (void)state;
    assert_true(for_each("ed25519_refused", check_refused) >= 20);
}

/*
 * A key with a small-order part makes signatures that some verifiers accept and others do not; it
 * must not get into a key set at all.
 */
static void
check_mixed(const char *name, struct vector *v)
{
    (void)name;
    assert_false(ed25519_public_ok(v->public_key));
}

static void
test_mixed_order(void **state)
{
    (void)state;
    assert_int_equal(for_each("ed25519_mixed_order", check_mixed), 1);
}

static void
test_every_bit_counts(void **state)
{
    (void)state;
    struct vector v;
    read_vector("rfc8032", "test3", &v);
    for (size_t bit = 0; bit < 8 * sizeof(v.signature); bit++) {
        v.signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(ed25519_verify(v.signature, v.message, v.message_len, v.public_key));
        v.signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof(v.public_key); bit++) {
        v.public_key[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(ed25519_verify(v.signature, v.message, v.message_len, v.public_key));
        v.public_key[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(ed25519_verify(v.signature, v.message, v.message_len, v.public_key));
}

static void
test_sha256(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t digest[SHA256_LEN];
        char hex[2 * SHA256_LEN + 1];
        sha256(digest, cases[i].text, strlen(cases[i].text));
        hex_encode(hex, digest, sizeof(digest));
        assert_string_equal(hex, cases[i].hex);
    }
}

/* The authors' own vectors: key 00 to 0f, message 00, 01 and so on. */
static void
test_keyed_hash(void **state)
{
    (void)state;
    static const char *const expected[] = {"a3817f04ba25a8e66df67214c7550293",
                                           "da87c1d86b99af44347659119b22fc45"};
    uint8_t bytes[16], out[KEYED_HASH_LEN];
    char hex[2 * KEYED_HASH_LEN + 1];
    for (uint8_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = i;
    for (size_t len = 0; len < ARRAY_LEN(expected); len++) {
        keyed_hash(out, bytes, len, bytes);
        hex_encode(hex, out, sizeof(out));
        assert_string_equal(hex, expected[len]);
    }
}

static void
test_uuid(void **state)
{
    (void)state;
    char a[37], b[37];
    for (int turn = 0; turn < 64; turn++) {
        random_uuid(a);
        random_uuid(b);
        assert_string_not_equal(a, b);
        assert_int_equal(strlen(a), 36);
        for (size_t i = 0; i < 36; i++) {
            if (i == 8 || i == 13 || i == 18 || i == 23)
                assert_int_equal(a[i], '-');
            else
                assert_non_null(strchr("0123456789abcdef", a[i]));
        }
        assert_int_equal(a[14], '4');
        assert_non_null(strchr("89ab", a[19]));
    }
}

static int
start(void **state)
{
    (void)state;
    return crypto_init(NULL) || crypto_init(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc8032),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mixed_order), cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_sha256),      cmocka_unit_test(test_keyed_hash),
        cmocka_unit_test(test_uuid),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
