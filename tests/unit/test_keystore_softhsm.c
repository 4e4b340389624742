/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/clock.h"
#include "hsm/keystore.h"
#include "hsm/token_admin.h"
#include "tests/support/softhsm.h"

#define URI "pkcs11:token=attestd%20test"
#define PATIENCE_MS 30000
#define THREADS 6
#define PER_THREAD 60

static struct softhsm hsm;

static enum attest_rc
open_pin(const char *pin_text, struct keystore **ks, struct attest_error *err)
{
    AUTO(secret) struct secret pin = secret_copy(pin_text, strlen(pin_text));
    struct keystore_config config = {
        .uri = URI,
        .module_path = hsm.module,
        .pin = &pin,
        .workers = 3,
        .queue_max = 256,
        .call_timeout_ms = PATIENCE_MS,
    };
    return keystore_open(&config, ks, err);
}

static struct keystore *
open_ks(void)
{
    struct keystore *ks = NULL;
    struct attest_error err = {0};
    if (open_pin(SOFTHSM_PIN, &ks, &err))
        fail_msg("open: %s", err.text);
    return ks;
}

static struct key_ref
generate(struct keystore *ks, const char *label)
{
    struct key_ref key;
    struct attest_error err = {0};
    uint8_t id[KEYSTORE_ID_LEN];
    random_bytes(id, sizeof(id));
    if (keystore_generate(ks, id, "token", label, &key, &err))
        fail_msg("generate: %s", err.text);
    return key;
}

static enum attest_rc
sign(struct keystore *ks, const struct key_ref *key, const char *text)
{
    uint8_t sig[ED25519_SIG_LEN];
    enum attest_rc rc =
        keystore_sign_wait(ks, key, slice_cstr(text), clock_mono_ms() + PATIENCE_MS, sig, NULL);
    if (!rc)
        assert_true(pubkey_verify(&key->public_key, slice_cstr(text), sig));
    return rc;
}

static enum keystore_state
state_of(struct keystore *ks)
{
    struct keystore_stats s;
    keystore_stats(ks, &s);
    return s.state;
}

struct signer {
    struct keystore *ks;
    const struct key_ref *key;
    unsigned number, good;
};

static void *
signer_main(void *arg)
{
    struct signer *s = arg;
    for (unsigned i = 0; i < PER_THREAD; i++) {
        char text[64];
        uint8_t sig[ED25519_SIG_LEN];
        snprintf(text, sizeof(text), "thread %u message %u", s->number, i);
        struct slice msg = slice_cstr(text);
        if (!keystore_sign_wait(s->ks, s->key, msg, clock_mono_ms() + PATIENCE_MS, sig, NULL) &&
            pubkey_verify(&s->key->public_key, msg, sig))
            s->good++;
    }
    return NULL;
}

/* Many threads and two keys, and meanwhile keys are made and destroyed. */
static void
test_threads(void **state)
{
    (void)state;
    struct keystore *ks = open_ks();
    struct key_ref keys[2] = {generate(ks, "first"), generate(ks, "second")};
    pthread_t threads[THREADS];
    struct signer signers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        signers[i] = (struct signer){ks, &keys[i % 2], i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, signer_main, &signers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        struct key_ref passing = generate(ks, "passing");
        assert_int_equal(sign(ks, &passing, "made while others sign"), ATTEST_OK);
        assert_int_equal(keystore_destroy(ks, &passing, NULL), ATTEST_OK);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(signers[i].good, PER_THREAD);
    }
    struct keystore_stats s;
    keystore_stats(ks, &s);
    assert_int_equal(s.signatures, THREADS * PER_THREAD + 4);
    assert_int_equal(s.failures, 0);
    assert_int_equal(s.workers_lost, 0);
    assert_int_equal(s.queued, 0);
    assert_true(s.sign_cpu_ns > 0 && s.verify_cpu_ns > 0);
    assert_int_equal(keystore_destroy(ks, &keys[0], NULL), ATTEST_OK);
    assert_int_equal(keystore_destroy(ks, &keys[1], NULL), ATTEST_OK);
    keystore_close(ks);
}

/* What another process, or a later start, finds: id and public key, nothing else. */
static void
test_reopen(void **state)
{
    (void)state;
    struct keystore *ks = open_ks();
    char text[160];
    struct keystore_quote quote;
    const uint8_t qualifying[SHA256_LEN] = {0};
    struct key_ref key;
    assert_int_equal(keystore_quote(ks, qualifying, &quote, NULL), ATTEST_E_UNSUPPORTED);
    assert_int_equal(keystore_generate_resident(ks, qualifying, "token", "x", &key, NULL),
                     ATTEST_E_UNSUPPORTED);
    keystore_describe(ks, text, sizeof(text));
    assert_non_null(strstr(text, "SoftHSM"));
    assert_non_null(strstr(text, "label=" SOFTHSM_LABEL));
    struct key_ref first = generate(ks, "one"), second = generate(ks, "two");
    keystore_close(ks);

    ks = open_ks();
    struct key_ref *list = NULL;
    size_t n = 0;
    assert_int_equal(keystore_list(ks, &list, &n, NULL), ATTEST_OK);
    assert_int_equal(n, 2);
    bool swapped = memcmp(&list[0], &first, sizeof(first)) != 0;
    assert_memory_equal(&list[swapped], &first, sizeof(first));
    assert_memory_equal(&list[!swapped], &second, sizeof(second));
    free(list);
    assert_int_equal(sign(ks, &first, "after opening again"), ATTEST_OK);
    assert_int_equal(sign(ks, &second, ""), ATTEST_OK);

    struct key_ref mixed = first;
    mixed.public_key = second.public_key;
    assert_int_equal(sign(ks, &mixed, "no such key"), ATTEST_E_NOT_FOUND);
    assert_int_equal(keystore_destroy(ks, &mixed, NULL), ATTEST_E_NOT_FOUND);
    assert_int_equal(keystore_destroy(ks, &first, NULL), ATTEST_OK);
    assert_int_equal(keystore_destroy(ks, &first, NULL), ATTEST_E_NOT_FOUND);
    assert_int_equal(sign(ks, &first, "destroyed"), ATTEST_E_NOT_FOUND);
    assert_int_equal(keystore_destroy(ks, &second, NULL), ATTEST_OK);
    keystore_close(ks);
}

static void
test_messages(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 31, 32, 1000, 4096, 65536, 256 * 1024};
    AUTO(mem) char *text = calloc(1, 256 * 1024 + 1);
    uint8_t sig[ED25519_SIG_LEN];
    struct keystore *ks = open_ks();
    struct key_ref key = generate(ks, "lengths");
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct slice msg = {text, lens[i]};
        assert_int_equal(
            keystore_sign_wait(ks, &key, msg, clock_mono_ms() + PATIENCE_MS, sig, NULL), ATTEST_OK);
        assert_true(pubkey_verify(&key.public_key, msg, sig));
    }
    assert_int_equal(keystore_sign_wait(ks, &key, (struct slice){text, 256 * 1024 + 1},
                                        clock_mono_ms() + PATIENCE_MS, sig, NULL),
                     ATTEST_E_LIMIT);
    assert_int_equal(keystore_destroy(ks, &key, NULL), ATTEST_OK);
    keystore_close(ks);
}

static void
test_wrong_pin(void **state)
{
    (void)state;
    struct keystore *ks = NULL;
    struct attest_error err = {0};
    assert_int_equal(open_pin("not-the-pin", &ks, &err), ATTEST_E_PIN);
    assert_null(ks);
    assert_non_null(strstr(err.text, "CKR_PIN_INCORRECT"));
    assert_null(strstr(err.text, "not-the-pin"));
    keystore_close(open_ks());
}

static void
test_config(void **state)
{
    (void)state;
    AUTO(secret) struct secret pin = secret_copy(SOFTHSM_PIN, strlen(SOFTHSM_PIN));
    static const struct {
        const char *uri, *module;
        unsigned workers, queue_max, call_timeout_ms;
        enum attest_rc rc;
    } cases[] = {
        {"pkcs11:token=nobody", NULL, 1, 1, 1000, ATTEST_E_KEY_OUT_OF_REACH},
        {"pkcs11:token=t?pin-value=secret-pin", NULL, 1, 1, 1000, ATTEST_E_CONFIG},
        {"secret-pin", NULL, 1, 1, 1000, ATTEST_E_CONFIG},
#ifndef WITH_TPM2
        {"tpm2:secret-pin", NULL, 1, 1, 1000, ATTEST_E_UNSUPPORTED},
#endif
        {URI, "/nonexistent/module.so", 1, 1, 1000, ATTEST_E_CONFIG},
        {URI, "libsofthsm2.so", 1, 1, 1000, ATTEST_E_CONFIG},
        {URI, "/lib/x86_64-linux-gnu/libc.so.6", 1, 1, 1000, ATTEST_E_CONFIG},
        {URI, NULL, 0, 1, 1000, ATTEST_E_CONFIG},
        {URI, NULL, 65, 1, 1000, ATTEST_E_CONFIG},
        {URI, NULL, 1, 0, 1000, ATTEST_E_CONFIG},
        {URI, NULL, 1, 1, 0, ATTEST_E_CONFIG},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct keystore *ks = NULL;
        struct attest_error err = {0};
        struct keystore_config config = {
            .uri = cases[i].uri,
            .module_path = cases[i].module ? cases[i].module : hsm.module,
            .pin = &pin,
            .workers = cases[i].workers,
            .queue_max = cases[i].queue_max,
            .call_timeout_ms = cases[i].call_timeout_ms,
        };
        enum attest_rc rc = keystore_open(&config, &ks, &err);
        if (rc != cases[i].rc)
            fail_msg("case %zu: %d %s", i, rc, err.text);
        assert_null(strstr(err.text, "secret-pin"));
    }
    /* The module may come with the URI. */
    char uri[256];
    snprintf(uri, sizeof(uri), "%s?module-path=%s", URI, hsm.module);
    struct keystore_config config = {
        .uri = uri, .pin = &pin, .workers = 1, .queue_max = 1, .call_timeout_ms = PATIENCE_MS};
    struct keystore *ks = NULL;
    assert_int_equal(keystore_open(&config, &ks, NULL), ATTEST_OK);
    keystore_close(ks);
}

/* The token's files go away under a running keystore, and come back. */
static void
test_token_moves(void **state)
{
    (void)state;
    char away[200];
    snprintf(away, sizeof(away), "%s.away", hsm.tokens);
    struct keystore *ks = open_ks();
    struct key_ref key = generate(ks, "moved");
    assert_int_equal(sign(ks, &key, "before"), ATTEST_OK);
    assert_int_equal(rename(hsm.tokens, away), 0);
    int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    enum attest_rc rc;
    while ((rc = sign(ks, &key, "away")) == ATTEST_OK && clock_mono_ms() < until_ms)
        usleep(10000);
    assert_int_equal(rc, ATTEST_E_KEY_OUT_OF_REACH);
    usleep(500000); /* let it try and fail a few times */
    assert_int_equal(state_of(ks), KEYSTORE_OUT_OF_REACH);
    assert_int_equal(rename(away, hsm.tokens), 0);
    while ((rc = sign(ks, &key, "back")) != ATTEST_OK && clock_mono_ms() < until_ms)
        usleep(10000);
    assert_int_equal(rc, ATTEST_OK);
    assert_int_equal(state_of(ks), KEYSTORE_READY);
    assert_int_equal(keystore_destroy(ks, &key, NULL), ATTEST_OK);
    keystore_close(ks);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),  cmocka_unit_test(test_reopen),
        cmocka_unit_test(test_messages), cmocka_unit_test(test_wrong_pin),
        cmocka_unit_test(test_config),   cmocka_unit_test(test_token_moves),
    };
    struct attest_error err = {0};
    if (crypto_init(&err) || !softhsm_start(&hsm))
        return 77;
    AUTO(secret) struct secret so_pin = secret_copy(SOFTHSM_SO_PIN, strlen(SOFTHSM_SO_PIN));
    AUTO(secret) struct secret pin = secret_copy(SOFTHSM_PIN, strlen(SOFTHSM_PIN));
    struct token_init init = {
        .label = SOFTHSM_LABEL, .so_pin = &so_pin, .pin = &pin, .any_slot = true};
    struct token_slot slot;
    int failed = 1;
    if (token_admin_init(hsm.module, &init, &slot, &err))
        fprintf(stderr, "token_admin_init: %s\n", err.text);
    else
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    softhsm_stop(&hsm);
    return failed;
}
