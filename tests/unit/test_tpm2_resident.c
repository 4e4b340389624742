/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <tss2/tss2_mu.h>

#include "tests/support/tpm2_resident.h"

/* Keys that stay in the TPM. */

static void
live_over_restarts_beside_sealed_ones(void **state)
{
    (void)state;
    struct key_ref keys[5], again;
    struct keystore *ks = open_ks();
    for (int i = 0; i < 5; i++)
        keys[i] = generate(ks, "token", i % 2 == 0);
    assert_int_equal(keystore_generate_resident(ks, keys[1].id, "token", "x", &again, NULL),
                     ATTEST_E_EXISTS);
    assert_int_equal(keystore_generate_resident(ks, (const uint8_t *)"0123456789abcdef", "To", "x",
                                                &again, NULL),
                     ATTEST_E_ARGUMENT);
    for (int i = 0; i < 5; i++)
        assert_int_equal(sign(ks, &keys[i], "at once"), ATTEST_OK);
    keystore_close(ks);

    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    ks = open_ks();
    for (int i = 0; i < 5; i++)
        assert_int_equal(sign(ks, &keys[i], "after a restart"), ATTEST_OK);
    struct key_ref mixed = keys[0];
    mixed.public_key = keys[2].public_key;
    assert_int_equal(sign(ks, &mixed, "x"), ATTEST_E_NOT_FOUND);
    /* Destroying seals the others anew: those that the TPM has go on as they are. */
    assert_int_equal(keystore_destroy(ks, &keys[0], NULL), ATTEST_OK);
    assert_int_equal(keystore_destroy(ks, &keys[1], NULL), ATTEST_OK);
    keystore_close(ks);
    ks = open_ks();
    for (int i = 0; i < 5; i++)
        assert_int_equal(sign(ks, &keys[i], "x"), i < 2 ? ATTEST_E_NOT_FOUND : ATTEST_OK);
    struct key_ref *list = NULL;
    size_t n = 0;
    assert_int_equal(keystore_list(ks, &list, &n, NULL), ATTEST_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(list, &keys[2], 3 * sizeof(keys[0]));
    free(list);
    keystore_close(ks);
}

/* Three objects at a time are what a TPM may have room for; there are more keys than that. */
static void
leave_nothing_loaded(void **state)
{
    (void)state;
    struct key_ref keys[5];
    struct keystore *ks = open_ks();
    for (int i = 0; i < 5; i++)
        keys[i] = generate(ks, "log", true);
    for (int i = 0; i < 60; i++)
        assert_int_equal(sign(ks, &keys[i % 5], "in turn"), ATTEST_OK);
    /* An unused connection is given up, and with it what was loaded. */
    int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    while (swtpm_loaded(&tpm) > 0 && clock_mono_ms() < until_ms)
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    assert_int_equal(swtpm_loaded(&tpm), 0);
    assert_int_equal(sign(ks, &keys[0], "and again"), ATTEST_OK);
    keystore_close(ks);
}

struct signer {
    struct keystore *ks;
    struct key_ref key;
    _Atomic bool stop;
    atomic_uint good;
    enum attest_rc bad; /* the first that was not */
};

static void *
signer_main(void *arg)
{
    struct signer *s = arg;
    while (!atomic_load(&s->stop)) {
        enum attest_rc rc = sign(s->ks, &s->key, "all the while");
        s->good += rc == ATTEST_OK;
        if (rc != ATTEST_E_KEY_OUT_OF_REACH) /* ten seconds of waiting: on a machine that slow */
            s->bad = s->bad ? s->bad : rc;
    }
    return NULL;
}

/* Who changes keys goes before them, and they wait ten seconds at most, however slow this is. */
static void
let_all_sign(struct signer *signers)
{
    int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    for (int i = 0; i < 4; i++) {
        unsigned before = atomic_load(&signers[i].good);
        while (atomic_load(&signers[i].good) == before && clock_mono_ms() < until_ms)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static void
sign_while_keys_change(void **state)
{
    (void)state;
    struct keystore *ks = open_ks();
    struct signer signers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        signers[i] = (struct signer){.ks = ks, .key = generate(ks, "token", i != 3)};
        assert_int_equal(pthread_create(&threads[i], NULL, signer_main, &signers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        struct key_ref key = generate(ks, "token", i % 2);
        struct keystore_quote quote;
        uint8_t qualifying[SHA256_LEN] = {0};
        let_all_sign(signers);
        enum attest_rc rc = ATTEST_E_KEY_OUT_OF_REACH;
        for (int tries = 0; tries < 6 && rc == ATTEST_E_KEY_OUT_OF_REACH; tries++)
            rc = sign(ks, &key, "x");
        assert_int_equal(rc, ATTEST_OK);
        assert_int_equal(keystore_quote(ks, qualifying, &quote, NULL), ATTEST_OK);
        let_all_sign(signers);
        assert_int_equal(keystore_destroy(ks, &key, NULL), ATTEST_OK);
        let_all_sign(signers);
    }
    for (int i = 0; i < 4; i++) {
        atomic_store(&signers[i].stop, true);
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(signers[i].good > 0);
        assert_int_equal(signers[i].bad, ATTEST_OK);
    }
    keystore_close(ks);
}

static void
come_back_when_the_tpm_does(void **state)
{
    (void)state;
    struct keystore *ks = open_ks();
    struct key_ref key = generate(ks, "token", true), sealed = generate(ks, "token", false);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sign(ks, &key, "x"), ATTEST_OK);
        swtpm_cut(&tpm); /* between two signatures, with the connection open */
        if (i) {
            assert_int_equal(sign(ks, &key, "x"), ATTEST_E_KEY_OUT_OF_REACH);
            assert_int_equal(sign(ks, &sealed, "x"), ATTEST_OK);
        }
        assert_true(swtpm_on(&tpm));
    }
    assert_int_equal(sign(ks, &key, "x"), ATTEST_OK);
    struct keystore_stats stats;
    keystore_stats(ks, &stats);
    assert_int_equal(stats.state, KEYSTORE_READY);
    keystore_close(ks);
}

/* Before each command of a signature in turn, from the connection on. */
static void
come_back_from_a_cut_inside_a_signature(void **state)
{
    (void)state;
    struct keystore *ks = open_ks();
    struct key_ref key = generate(ks, "token", true), sealed = generate(ks, "token", false);
    unsigned cuts = 0;
    for (bool cut = true; cut; cuts += cut) {
        keystore_close(ks);
        ks = open_ks();
        swtpm_cut_at(&tpm, cuts + 1);
        enum attest_rc rc = sign(ks, &key, "x");
        cut = swtpm_was_cut(&tpm);
        assert_int_equal(rc, cut ? ATTEST_E_KEY_OUT_OF_REACH : ATTEST_OK);
        assert_int_equal(sign(ks, &sealed, "x"), ATTEST_OK);
        if (cut)
            assert_true(swtpm_on(&tpm));
        assert_int_equal(sign(ks, &key, "x"), ATTEST_OK);
    }
    assert_in_range(cuts, 4, 30);
    keystore_close(ks);
}

/* What the TPM is asked for, and gives, is what the documents say: by it alone, for us alone. */
static void
bound_to_the_tpm_and_to_us(void **state)
{
    (void)state;
    struct tpm2_store store;
    const struct tpm2_store_config plain = {.link = {.tcti = tpm.plain}, .path = path};
    struct key_ref made;
    struct pubkey read;
    uint8_t digest[SHA256_LEN] = {1}, sig[PUBKEY_SIG_LEN], id[KEYSTORE_ID_LEN] = {1};
    assert_int_equal(tpm2_store_open(&store, &plain, NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_add_resident(&store, id, "token", "x", &made, NULL), ATTEST_OK);
    const struct tpm2_sealed kept = store.file->keys[0].kept;
    tpm2_store_close(&store);

    TPM2B_PUBLIC public_part = {0};
    size_t at = 0;
    assert_int_equal(
        Tss2_MU_TPM2B_PUBLIC_Unmarshal(kept.public_part, kept.public_len, &at, &public_part), 0);
    assert_int_equal(public_part.publicArea.objectAttributes,
                     TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                         TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                         TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT);
    assert_true(tpm2_key_public(TPM2_KEY_SIGNS, &kept, &read));
    assert_true(pubkey_eq(&read, &made.public_key));
    assert_false(tpm2_key_public(TPM2_KEY_ATTESTS, &kept, &read));

    /* Whoever has the file and the TPM, and could not unseal, cannot sign. */
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    ESYS_TR key = ESYS_TR_NONE;
    uint8_t wrong[TPM2_AUTH_VALUE_LEN] = {0x80};
    assert_int_equal(tpm2_link_open(&plain.link, &link, NULL), ATTEST_OK);
    assert_int_equal(tpm2_key_load(link, TPM2_KEY_SIGNS, &kept, &key, NULL), ATTEST_OK);
    for (int i = 0; i < 40; i++) { /* more than any TPM forgives, were they counted */
        assert_int_equal(tpm2_key_give_auth(link, key, wrong), 0);
        TPM2_RC rv = tpm2_rc_base(tpm2_key_sign(link, key, digest, sig));
        assert_true(rv == TPM2_RC_BAD_AUTH || rv == TPM2_RC_AUTH_FAIL);
    }
}

int
main(void)
{
    if (!start_tpm())
        return 77;
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, clean)
    const struct CMUnitTest tests[] = {
        TEST(live_over_restarts_beside_sealed_ones),
        TEST(leave_nothing_loaded),
        TEST(sign_while_keys_change),
        TEST(come_back_when_the_tpm_does),
        TEST(come_back_from_a_cut_inside_a_signature),
        TEST(bound_to_the_tpm_and_to_us),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
