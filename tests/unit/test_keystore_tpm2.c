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
#include "base/file.h"
#include "hsm/keystore.h"
#include "hsm/tpm2_store.h"
#include "tests/support/swtpm_esys.h"

#define PCRS "sha256:0,2,7,11"
#define PIN "seal-12345678"
#define PATIENCE_MS 30000

static struct swtpm tpm;
static char uri[600], path[192];

static struct keystore_config
config_of(const struct secret *pin, const char *pcrs)
{
    return (struct keystore_config){
        .uri = uri,
        .sealed_path = path,
        .pcrs = pcrs,
        .pin = pin,
        .workers = 3,
        .queue_max = 256,
        .call_timeout_ms = PATIENCE_MS,
    };
}

static enum attest_rc
open_pin(const char *pin_text, struct keystore **ks, struct attest_error *err)
{
    AUTO(secret) struct secret pin = secret_copy(pin_text, strlen(pin_text));
    const struct keystore_config config = config_of(&pin, PCRS);
    return keystore_open(&config, ks, err);
}

static struct keystore *
open_ks(void)
{
    struct keystore *ks = NULL;
    struct attest_error err = {0};
    if (open_pin(PIN, &ks, &err))
        fail_msg("open: %s", err.text);
    return ks;
}

static enum attest_rc
create(struct attest_error *err)
{
    AUTO(secret) struct secret pin = secret_copy(PIN, strlen(PIN));
    const struct keystore_config config = config_of(&pin, PCRS);
    return keystore_create(&config, err);
}

/* An empty keystore on a TPM with its PCRs as after a start. */
static int
fresh(void **state)
{
    (void)state;
    struct attest_error err = {0};
    unlink(path);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    if (create(&err))
        fail_msg("create: %s", err.text);
    return 0;
}

/* What the test left behind a seal must not have crossed the bus; not every test leaves something
   that opens. */
static int
clean(void **state)
{
    (void)state;
    AUTO(secret) struct secret pin = secret_copy(PIN, strlen(PIN));
    const struct tpm2_store_config config = {
        .link = {.tcti = tpm.plain}, .path = path, .pin = &pin};
    struct tpm2_store store;
    if (tpm2_store_open(&store, &config, NULL) == ATTEST_OK) {
        swtpm_secrets_of(&tpm, &store);
        tpm2_store_close(&store);
    }
    assert_int_equal(swtpm_loaded(&tpm), 0);
    return 0;
}

static struct key_ref
generate(struct keystore *ks, const char *purpose)
{
    struct key_ref key;
    struct attest_error err = {0};
    uint8_t id[KEYSTORE_ID_LEN];
    random_bytes(id, sizeof(id));
    if (keystore_generate(ks, id, purpose, "attestd test", &key, &err))
        fail_msg("generate: %s", err.text);
    assert_memory_equal(key.id, id, sizeof(id));
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

static void
read_file(struct buf *out)
{
    buf_init(out, TPM2_FILE_MAX);
    assert_int_equal(file_read(path, TPM2_FILE_MAX, out, NULL), ATTEST_OK);
}

static void
has_to_be_made_first(void **state)
{
    (void)state;
    struct keystore *ks = NULL;
    struct attest_error err = {0};
    unlink(path);
    assert_int_equal(open_pin(PIN, &ks, &err), ATTEST_E_NOT_FOUND);
    assert_int_equal(create(&err), ATTEST_OK);
    assert_int_equal(create(&err), ATTEST_E_EXISTS);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    struct keystore_config config = config_of(NULL, "");
    unlink(path);
    assert_int_equal(keystore_create(&config, &err), ATTEST_E_ARGUMENT); /* no policy at all */
    config.uri = "pkcs11:token=x";
    assert_int_equal(keystore_create(&config, &err), ATTEST_E_UNSUPPORTED);
    config.uri = "tpm3:";
    assert_int_equal(keystore_create(&config, &err), ATTEST_E_CONFIG);
}

static void
keys_live_over_restarts(void **state)
{
    (void)state;
    struct key_ref keys[4];
    struct keystore *ks = open_ks();
    for (int i = 0; i < 4; i++)
        keys[i] = generate(ks, i ? "token" : "root");
    struct keystore_lease lease = {"one", "host", 100}, other = {"two", "", 200}, got;
    assert_int_equal(keystore_lease_get(ks, &got, NULL), ATTEST_E_NOT_FOUND);
    assert_int_equal(keystore_lease_set(ks, &other, &lease, NULL), ATTEST_E_EXISTS);
    assert_int_equal(keystore_lease_set(ks, NULL, &lease, NULL), ATTEST_OK);
    assert_int_equal(keystore_lease_set(ks, NULL, &other, NULL), ATTEST_E_EXISTS);
    struct key_ref again;
    assert_int_equal(keystore_generate(ks, keys[0].id, "token", "x", &again, NULL),
                     ATTEST_E_EXISTS);
    assert_int_equal(keystore_generate(ks, keys[1].public_key.bytes, "To", "x", &again, NULL),
                     ATTEST_E_ARGUMENT);
    keystore_close(ks);

    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    ks = open_ks();
    assert_int_equal(keystore_lease_get(ks, &got, NULL), ATTEST_OK);
    assert_string_equal(got.instance, "one");
    assert_int_equal(keystore_lease_set(ks, &got, &other, NULL), ATTEST_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(sign(ks, &keys[i], "after a restart"), ATTEST_OK);
    struct key_ref mixed = keys[0];
    mixed.public_key = keys[1].public_key;
    assert_int_equal(sign(ks, &mixed, "x"), ATTEST_E_NOT_FOUND);
    assert_int_equal(keystore_destroy(ks, &mixed, NULL), ATTEST_E_NOT_FOUND);
    assert_int_equal(keystore_destroy(ks, &keys[1], NULL), ATTEST_OK);
    assert_int_equal(keystore_discard(ks, keys[2].id, NULL), ATTEST_OK);
    assert_int_equal(keystore_discard(ks, keys[2].id, NULL), ATTEST_E_NOT_FOUND);
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(sign(ks, &keys[0], "x"), ATTEST_OK);
        assert_int_equal(sign(ks, &keys[1], "x"), ATTEST_E_NOT_FOUND);
        assert_int_equal(sign(ks, &keys[2], "x"), ATTEST_E_NOT_FOUND);
        assert_int_equal(sign(ks, &keys[3], "x"), ATTEST_OK);
        struct key_ref *list = NULL;
        size_t n = 0;
        assert_int_equal(keystore_list(ks, &list, &n, NULL), ATTEST_OK);
        assert_int_equal(n, 2);
        assert_memory_equal(&list[0], &keys[0], sizeof(keys[0]));
        assert_memory_equal(&list[1], &keys[3], sizeof(keys[3]));
        free(list);
        keystore_close(ks);
        ks = open_ks();
    }
    keystore_close(ks);
}

/* A removed key takes the wrapping key with it; a new one does not need another. */
/* The wrapping key in what the file is now; whoever has it open holds its lock, not a copy's. */
static struct secret
wrapping_now(void)
{
    AUTO(buf) struct buf bytes;
    AUTO(secret) struct secret pin = secret_copy(PIN, strlen(PIN));
    char copy[200];
    snprintf(copy, sizeof(copy), "%s.copy", path);
    const struct tpm2_store_config c = {.link = {.tcti = tpm.plain}, .path = copy, .pin = &pin};
    struct tpm2_store store;
    read_file(&bytes);
    assert_int_equal(file_replace(copy, TPM2_FILE_MODE, buf_view(&bytes), NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    struct secret ret = secret_copy(store.wrapping.p, store.wrapping.len);
    swtpm_secrets_of(&tpm, &store);
    tpm2_store_close(&store);
    return ret;
}

static void
destroying_changes_the_wrapping_key(void **state)
{
    (void)state;
    AUTO(keystore) struct keystore *ks = open_ks();
    struct key_ref keys[2] = {generate(ks, "token"), generate(ks, "token")};
    for (int i = 0; i < 2; i++) {
        AUTO(buf) struct buf before, after;
        AUTO(tpm2_file) struct tpm2_file *a = NULL, *b = NULL;
        AUTO(secret) struct secret old = wrapping_now(), new = {0};
        read_file(&before);
        if (i == 0)
            generate(ks, "log");
        else
            assert_int_equal(keystore_destroy(ks, &keys[0], NULL), ATTEST_OK);
        read_file(&after);
        assert_int_equal(tpm2_file_read(buf_view(&before), &a, NULL), ATTEST_OK);
        assert_int_equal(tpm2_file_read(buf_view(&after), &b, NULL), ATTEST_OK);
        assert_int_equal(b->serial, a->serial + 1);
        bool same = !memcmp(&a->sealed, &b->sealed, sizeof(a->sealed));
        assert_int_equal(same, i == 0);
        new = wrapping_now();
        assert_int_equal(secret_eq(old.p, old.len, new.p, new.len), i == 0);
    }
    assert_int_equal(sign(ks, &keys[1], "x"), ATTEST_OK);
}

static void
one_process_at_a_time(void **state)
{
    (void)state;
    struct keystore *ks = open_ks(), *second = NULL;
    struct attest_error err = {0};
    assert_int_equal(open_pin(PIN, &second, &err), ATTEST_E_BUSY);
    keystore_close(ks);
    keystore_close(open_ks());
}

static void
a_moved_pcr_is_named(void **state)
{
    (void)state;
    struct attest_error err = {0};
    struct keystore *ks = open_ks(), *none = NULL;
    struct key_ref key = generate(ks, "token"), other = generate(ks, "token");
    swtpm_extend(&tpm, 7);
    /* What is open stays open, and key life goes on. */
    assert_int_equal(sign(ks, &key, "x"), ATTEST_OK);
    generate(ks, "token");
    assert_int_equal(keystore_destroy(ks, &other, NULL), ATTEST_OK);
    keystore_close(ks);
    assert_int_equal(open_pin(PIN, &none, &err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "PCR 7 "));
    assert_null(none);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    ks = open_ks();
    assert_int_equal(sign(ks, &key, "x"), ATTEST_OK);
    keystore_close(ks);
    AUTO(secret) struct secret pin = secret_copy(PIN, strlen(PIN));
    const struct keystore_config config = config_of(&pin, "sha256:7");
    assert_int_equal(keystore_open(&config, &none, &err), ATTEST_E_CONFIG);
}

static void
a_wrong_pin_is_refused(void **state)
{
    (void)state;
    struct attest_error err = {0};
    struct keystore *ks = NULL;
    assert_int_equal(open_pin("wrong", &ks, &err), ATTEST_E_PIN);
    assert_int_equal(open_pin("", &ks, &err), ATTEST_E_PIN);
    assert_int_equal(open_pin("a PIN that is longer than 32 bytes", &ks, &err), ATTEST_E_CONFIG);
    keystore_close(open_ks());
}

static void
a_damaged_file_is_refused(void **state)
{
    (void)state;
    struct keystore *ks = open_ks();
    struct attest_error err = {0};
    generate(ks, "token");
    keystore_close(ks);
    ks = NULL;
    AUTO(buf) struct buf good;
    read_file(&good);
    for (size_t i = 3; i < good.len; i += good.len / 23) {
        good.p[i] ^= 1;
        assert_int_equal(file_replace(path, 0600, buf_view(&good), NULL), ATTEST_OK);
        good.p[i] ^= 1;
        if (!open_pin(PIN, &ks, &err))
            fail_msg("byte %zu was changed", i);
    }
    for (size_t len = 0; len < good.len; len += good.len / 7) {
        const struct slice part = {good.p, len};
        assert_int_equal(file_replace(path, 0600, part, NULL), ATTEST_OK);
        assert_int_equal(open_pin(PIN, &ks, &err), ATTEST_E_CORRUPT);
    }
    assert_int_equal(file_replace(path, 0600, buf_view(&good), NULL), ATTEST_OK);
    keystore_close(open_ks());
}

static void
works_without_the_tpm_meanwhile(void **state)
{
    (void)state;
    struct attest_error err = {0};
    AUTO(keystore) struct keystore *ks = open_ks();
    struct key_ref key = generate(ks, "token"), more;
    AUTO(buf) struct buf before, after;
    read_file(&before);
    swtpm_off(&tpm);
    assert_int_equal(sign(ks, &key, "x"), ATTEST_OK);
    uint8_t id[KEYSTORE_ID_LEN] = {1};
    assert_int_equal(keystore_generate(ks, id, "token", "x", &more, &err),
                     ATTEST_E_KEY_OUT_OF_REACH);
    assert_int_equal(keystore_destroy(ks, &key, &err), ATTEST_E_KEY_OUT_OF_REACH);
    assert_int_equal(sign(ks, &key, "x"), ATTEST_OK);
    read_file(&after);
    assert_true(slice_eq(buf_view(&before), buf_view(&after)));
    assert_true(swtpm_on(&tpm));
    assert_int_equal(keystore_generate(ks, id, "token", "x", &more, &err), ATTEST_OK);
    assert_int_equal(keystore_destroy(ks, &key, &err), ATTEST_OK);
}

struct signer {
    struct keystore *ks;
    struct key_ref key;
    _Atomic bool stop;
    unsigned good;
};

static void *
signer_main(void *arg)
{
    struct signer *s = arg;
    while (!atomic_load(&s->stop))
        s->good += sign(s->ks, &s->key, "all the while") == ATTEST_OK;
    return NULL;
}

static void
signs_while_keys_change(void **state)
{
    (void)state;
    AUTO(keystore) struct keystore *ks = open_ks();
    struct signer s = {.ks = ks, .key = generate(ks, "token")};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, signer_main, &s), 0);
    for (int i = 0; i < 10; i++) {
        struct key_ref key = generate(ks, "token");
        assert_int_equal(sign(ks, &key, "x"), ATTEST_OK);
        assert_int_equal(keystore_destroy(ks, &key, NULL), ATTEST_OK);
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    assert_true(s.good > 0);
    struct keystore_stats stats;
    keystore_stats(ks, &stats);
    assert_int_equal(stats.state, KEYSTORE_READY);
    assert_int_equal(stats.failures, 0);
    char text[160];
    keystore_describe(ks, text, sizeof(text));
    assert_non_null(strstr(text, "sealed"));
}

/* Last: the state of the first TPM is gone. */
static void
another_tpm_is_refused(void **state)
{
    (void)state;
    struct attest_error err = {0};
    struct keystore *ks = NULL;
    char nvram[192];
    swtpm_off(&tpm);
    snprintf(nvram, sizeof(nvram), "%s/tpm2-00.permall", tpm.dir);
    assert_int_equal(unlink(nvram), 0);
    assert_true(swtpm_on(&tpm));
    assert_int_equal(open_pin(PIN, &ks, &err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "another name"));
}

int
main(void)
{
    if (crypto_init(NULL) || !swtpm_start(&tpm)) {
        fprintf(stderr, "no swtpm here: apt-get install swtpm\n");
        return 77;
    }
    snprintf(uri, sizeof(uri), "tpm2:%s", tpm.tcti);
    snprintf(path, sizeof(path), "%s/sealed.keys", tpm.dir);
    swtpm_secret(&tpm, "pin", PIN, strlen(PIN));
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, clean)
    const struct CMUnitTest tests[] = {
        TEST(has_to_be_made_first),
        TEST(keys_live_over_restarts),
        TEST(destroying_changes_the_wrapping_key),
        TEST(one_process_at_a_time),
        TEST(a_moved_pcr_is_named),
        TEST(a_wrong_pin_is_refused),
        TEST(a_damaged_file_is_refused),
        TEST(works_without_the_tpm_meanwhile),
        TEST(signs_while_keys_change),
        TEST(another_tpm_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
