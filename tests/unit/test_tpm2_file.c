/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hsm/tpm2_box.h"
#include "tests/support/leftovers.h"

static struct tpm2_secrets secrets;

static struct tpm2_file *
sample(size_t n_keys)
{
    struct tpm2_file *file = tpm2_file_new();
    assert_non_null(file);
    file->serial = 41;
    file->counter = 0x01a77e05;
    random_bytes(file->primary_name, sizeof(file->primary_name));
    file->policy.auth = true;
    file->policy.pcrs = 0x885;
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        if (file->policy.pcrs >> i & 1)
            random_bytes(file->policy.values[i], SHA256_LEN);
    }
    if (n_keys % 2 == 1) { /* one with all that there can be */
        struct tpm2_approver *a = &file->policy.approver;
        file->policy.approved = file->ek_checked = true;
        random_bytes(a->point, sizeof(a->point));
        a->counter = 0x01a77e06;
        a->serial = 7;
        random_bytes(a->line, sizeof(a->line));
        tpm2_approval_ref(file->primary_name, a->counter, a->line, a->ref);
        random_bytes(file->ek_certificate, sizeof(file->ek_certificate));
    }
    file->sealed.public_len = 78;
    file->sealed.private_len = 160;
    random_bytes(file->sealed.public_part, file->sealed.public_len);
    random_bytes(file->sealed.private_part, file->sealed.private_len);
    file->has_ak = true;
    file->ak.public_len = 90;
    file->ak.private_len = 126;
    random_bytes(file->ak.public_part, file->ak.public_len);
    random_bytes(file->ak.private_part, file->ak.private_len);
    const struct secret pin = {(uint8_t *)(uintptr_t) "1234567890", 10};
    assert_int_equal(tpm2_box_pin(file, &secrets.wrapping, &pin, NULL), ATTEST_OK);
    file->leased = true;
    file->lease = (struct keystore_lease){"an instance", "a host", 1763700000};
    for (size_t i = 0; i < n_keys; i++) {
        struct tpm2_file_key *key = &file->keys[file->n_keys++];
        const struct secret seed = {secrets.seeds.p + i * ED25519_SEED_LEN, ED25519_SEED_LEN};
        random_bytes(key->ref.id, sizeof(key->ref.id));
        if (n_keys % 2 == 0 && i == n_keys - 1) { /* one that the TPM has, and no seed */
            key->ref.public_key.type = PUBKEY_P256;
            random_bytes(key->ref.public_key.bytes, ES256_POINT_LEN);
            key->kept = file->ak;
            memset(seed.p, 0, seed.len);
        } else {
            ed25519_public_from_seed(key->ref.public_key.bytes, &seed);
        }
        snprintf(key->purpose, sizeof(key->purpose), "%s", i % 2 ? "token" : "log");
        snprintf(key->label, sizeof(key->label), "key %zu", i);
    }
    return file;
}

static void
close_file(struct tpm2_file *file, struct buf *out)
{
    struct attest_error err = {0};
    buf_init(out, TPM2_FILE_MAX);
    if (tpm2_box_close(file, &secrets, out, &err))
        fail_msg("close: %s", err.text);
}

/* Wrapping key and what it opened; free with tpm2_secrets_free(). */
static enum attest_rc
open_with(const struct tpm2_file *file, struct slice bytes, const struct secret *key,
          struct tpm2_secrets *back)
{
    *back = (struct tpm2_secrets){.wrapping = secret_copy(key->p, key->len)};
    return tpm2_box_open(file, bytes, back, NULL);
}

static enum attest_rc
open_bytes(struct slice bytes, const struct secret *key)
{
    AUTO(tpm2_file) struct tpm2_file *file = NULL;
    struct tpm2_secrets back = {0};
    enum attest_rc rc = tpm2_file_read(bytes, &file, NULL);
    if (!rc)
        rc = open_with(file, bytes, key, &back);
    if (!rc)
        assert_memory_equal(back.authority.p, secrets.authority.p, TPM2_AUTHORITY_LEN);
    tpm2_secrets_free(&back);
    return rc;
}

static void
gives_back_what_was_written(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 3, TPM2_KEYS_MAX};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        AUTO(tpm2_file) struct tpm2_file *file = sample(counts[i]), *again = NULL;
        AUTO(buf) struct buf bytes;
        close_file(file, &bytes);
        assert_int_equal(tpm2_file_read(buf_view(&bytes), &again, NULL), ATTEST_OK);
        assert_int_equal(again->n_keys, counts[i]);
        assert_int_equal(again->serial, 41);
        assert_memory_equal(&again->policy, &file->policy, sizeof(file->policy));
        assert_int_equal(again->ek_checked, file->ek_checked);
        assert_memory_equal(again->ek_certificate, file->ek_certificate, SHA256_LEN);
        assert_memory_equal(&again->sealed, &file->sealed, sizeof(file->sealed));
        assert_string_equal(again->lease.instance, "an instance");
        assert_memory_equal(again->keys, file->keys, counts[i] * sizeof(*file->keys));
        AUTO(buf) struct buf second;
        buf_init(&second, TPM2_FILE_MAX);
        tpm2_file_write(again, &second);
        buf_append(&second, again->seal, sizeof(again->seal));
        assert_true(slice_eq(buf_view(&bytes), buf_view(&second)));
        struct tpm2_secrets back;
        assert_int_equal(open_with(again, buf_view(&bytes), &secrets.wrapping, &back), ATTEST_OK);
        assert_memory_equal(back.seeds.p, secrets.seeds.p, counts[i] * ED25519_SEED_LEN);
        tpm2_secrets_free(&back);
    }
}

static void
keeps_a_pin(void **state)
{
    (void)state;
    AUTO(tpm2_file) struct tpm2_file *file = tpm2_file_new();
    struct secret back = {0};
    assert_int_equal(tpm2_unbox_pin(file, &secrets.wrapping, &back, NULL), ATTEST_E_NOT_FOUND);
    static const struct {
        size_t len;
        enum attest_rc rc;
    } cases[] = {{1, ATTEST_OK}, {TPM2_PIN_MAX, ATTEST_OK}, {TPM2_PIN_MAX + 1, ATTEST_E_ARGUMENT}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(secret) struct secret pin = secret_new(cases[i].len);
        random_bytes(pin.p, pin.len);
        assert_int_equal(tpm2_box_pin(file, &secrets.wrapping, &pin, NULL), cases[i].rc);
        if (cases[i].rc)
            continue;
        assert_int_equal(tpm2_unbox_pin(file, &secrets.wrapping, &back, NULL), ATTEST_OK);
        assert_true(secret_eq(back.p, back.len, pin.p, pin.len));
        secret_free(&back);
        AUTO(secret) struct secret other = secret_copy(secrets.wrapping.p, secrets.wrapping.len);
        other.p[0] ^= 1;
        assert_int_equal(tpm2_unbox_pin(file, &other, &back, NULL), ATTEST_E_CORRUPT);
        assert_int_equal(tpm2_unbox_pin(file, &secrets.authority, &back, NULL), ATTEST_E_CORRUPT);
        for (size_t at = 0; at < file->pin_box_len; at++) {
            file->pin_box[at] ^= 1;
            assert_int_equal(tpm2_unbox_pin(file, &secrets.wrapping, &back, NULL),
                             ATTEST_E_CORRUPT);
            file->pin_box[at] ^= 1;
        }
        assert_null(back.p);
    }
    struct secret none = {0};
    assert_int_equal(tpm2_box_pin(file, &secrets.wrapping, &none, NULL), ATTEST_E_ARGUMENT);
}

static void
no_byte_can_be_another(void **state)
{
    (void)state;
    AUTO(tpm2_file) struct tpm2_file *file = sample(2);
    AUTO(buf) struct buf bytes;
    close_file(file, &bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.p[i] ^= 1;
        enum attest_rc rc = open_bytes(buf_view(&bytes), &secrets.wrapping);
        bytes.p[i] ^= 1;
        if (rc != ATTEST_E_CORRUPT && rc != ATTEST_E_UNSUPPORTED)
            fail_msg("byte %zu: %d", i, rc);
    }
    for (size_t len = 0; len < bytes.len; len++) {
        const struct slice shorter = {bytes.p, len};
        assert_int_equal(open_bytes(shorter, &secrets.wrapping), ATTEST_E_CORRUPT);
    }
    buf_char(&bytes, 0);
    assert_int_equal(open_bytes(buf_view(&bytes), &secrets.wrapping), ATTEST_E_CORRUPT);
    bytes.len--;
    assert_int_equal(open_bytes(buf_view(&bytes), &secrets.wrapping), ATTEST_OK);
    AUTO(secret) struct secret other = secret_copy(secrets.wrapping.p, secrets.wrapping.len);
    other.p[31] ^= 0x80;
    assert_int_equal(open_bytes(buf_view(&bytes), &other), ATTEST_E_CORRUPT);
}

/* Even who could make the seal of the file cannot move a secret to another name. */
static void
a_secret_belongs_to_its_name(void **state)
{
    (void)state;
    AUTO(tpm2_file) struct tpm2_file *file = sample(3);
    AUTO(buf) struct buf bytes;
    close_file(file, &bytes);
    for (int what = 0; what < 5; what++) {
        AUTO(tpm2_file) struct tpm2_file *changed = NULL;
        struct tpm2_secrets back;
        assert_int_equal(tpm2_file_read(buf_view(&bytes), &changed, NULL), ATTEST_OK);
        if (what == 0)
            changed->keys[1].purpose[0] = 'x';
        else if (what == 1)
            changed->keys[1].label[0] = 'x';
        else if (what == 2)
            changed->keys[1].ref.id[0] ^= 1;
        else if (what == 3)
            changed->serial++;
        else
            changed->authority_box[20] ^= 1;
        assert_int_equal(open_with(changed, buf_view(&bytes), &secrets.wrapping, &back),
                         ATTEST_E_CORRUPT);
        assert_null(back.seeds.p);
        assert_null(back.authority.p);
        tpm2_secrets_free(&back);
    }
}

static void
memory_keeps_no_copy(void **state)
{
    (void)state;
    AUTO(tpm2_file) struct tpm2_file *file = sample(3);
    AUTO(buf) struct buf bytes;
    close_file(file, &bytes);
    assert_int_equal(leftovers_of(secrets.wrapping.p, 16), 0);
    assert_int_equal(leftovers_of(secrets.seeds.p, 16), 0);
    struct tpm2_secrets back = {.wrapping = secrets.wrapping};
    secret_free(&secrets.seeds);
    secret_free(&secrets.authority);
    assert_int_equal(tpm2_box_open(file, buf_view(&bytes), &back, NULL), ATTEST_OK);
    assert_int_equal(leftovers_of(back.wrapping.p, 16), 0);
    assert_int_equal(leftovers_of(back.wrapping.p + 16, 16), 0);
    assert_int_equal(leftovers_of(back.authority.p, 16), 0);
    assert_int_equal(leftovers_of(back.seeds.p + 2 * ED25519_SEED_LEN, 16), 0);
    secrets = back;
}

static void
auth_values_differ(void **state)
{
    (void)state;
    uint8_t one[TPM2_AUTH_VALUE_LEN], again[TPM2_AUTH_VALUE_LEN], other[TPM2_AUTH_VALUE_LEN];
    assert_true(tpm2_auth_value(&secrets.authority, "counter", one));
    assert_true(tpm2_auth_value(&secrets.authority, "counter", again));
    assert_true(tpm2_auth_value(&secrets.authority, "counte", other));
    assert_memory_equal(one, again, sizeof(one));
    assert_memory_not_equal(one, other, sizeof(one));
    assert_true(one[31] & 0x80 && other[31] & 0x80);
    assert_true(tpm2_auth_value(&secrets.wrapping, "counter", other));
    assert_memory_not_equal(one, other, sizeof(one));
}

static void
refuses_what_makes_no_sense(void **state)
{
    (void)state;
    for (int what = 0; what < 9; what++) {
        AUTO(tpm2_file) struct tpm2_file *file = sample(2), *again = NULL;
        AUTO(buf) struct buf bytes;
        if (what == 0)
            file->serial = 0;
        else if (what == 1)
            file->policy = (struct tpm2_policy){0};
        else if (what == 2)
            file->policy.pcrs |= 1U << 24;
        else if (what == 3)
            file->lease.since_s = 0;
        else if (what == 4)
            file->lease.instance[0] = 0;
        else if (what == 5)
            file->counter = TPM2_NV_LAST + 1;
        else if (what == 6)
            file->counter = TPM2_NV_FIRST - 1;
        else if (what == 7)
            file->keys[1].ref = file->keys[0].ref;
        else
            file->keys[1].purpose[0] = '-';
        close_file(file, &bytes);
        assert_int_equal(tpm2_file_read(buf_view(&bytes), &again, NULL), ATTEST_E_CORRUPT);
    }
    struct attest_error err = {0};
    AUTO(tpm2_file) struct tpm2_file *file = NULL;
    const struct slice later = {"attestd-tpm2/2\n\0", 16};
    assert_int_equal(tpm2_file_read(later, &file, &err), ATTEST_E_UNSUPPORTED);
}

int
main(void)
{
    secret_wipe_freed();
    if (crypto_init(NULL))
        return 1;
    secrets.wrapping = secret_new(TPM2_WRAPPING_LEN);
    secrets.authority = secret_new(TPM2_AUTHORITY_LEN);
    secrets.seeds = secret_new(TPM2_KEYS_MAX * ED25519_SEED_LEN);
    random_bytes(secrets.wrapping.p, secrets.wrapping.len);
    random_bytes(secrets.authority.p, secrets.authority.len);
    random_bytes(secrets.seeds.p, secrets.seeds.len);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_what_was_written),
        cmocka_unit_test(keeps_a_pin),
        cmocka_unit_test(no_byte_can_be_another),
        cmocka_unit_test(a_secret_belongs_to_its_name),
        cmocka_unit_test(memory_keeps_no_copy),
        cmocka_unit_test(auth_values_differ),
        cmocka_unit_test(refuses_what_makes_no_sense),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tpm2_secrets_free(&secrets);
    return failed;
}
