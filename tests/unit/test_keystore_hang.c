/* SPDX-License-Identifier: MIT */
#include "tests/support/keystore_fault.h"

/* ---- the queue, deadlines, hanging calls ---- */

struct answers {
    _Atomic int n;
    _Atomic int of[ATTEST_E_SIGNATURE + 1];
};

static void
count_answer(void *ctx, enum attest_rc rc, const uint8_t sig[ED25519_SIG_LEN])
{
    (void)sig;
    struct answers *a = ctx;
    a->of[rc]++;
    a->n++;
}

static enum attest_rc
sign_async(struct keystore *ks, const struct key_ref *key, int64_t in_ms, struct answers *a)
{
    return keystore_sign(ks, key, msg, clock_mono_ms() + in_ms, count_answer, a);
}

static void
test_queue(void **state)
{
    (void)state;
    struct answers a = {0};
    rules("");
    struct keystore *ks = open_ks((struct options){.workers = 1, .queue_max = 2});
    struct key_ref key = generate(ks);
    rules("C_Sign hang");
    assert_int_equal(sign_async(ks, &key, PATIENCE_MS, &a), ATTEST_OK);
    WAIT_FOR(stats(ks).queued == 0); /* the worker has it */
    assert_int_equal(sign_async(ks, &key, 2 * PATIENCE_MS, &a), ATTEST_OK);
    assert_int_equal(sign_async(ks, &key, 2000, &a), ATTEST_OK);
    assert_int_equal(sign_async(ks, &key, PATIENCE_MS, &a), ATTEST_E_BUSY);
    /* The one whose time is over goes, though the worker hangs, and makes room. */
    WAIT_FOR(a.of[ATTEST_E_TIMEOUT] == 1);
    assert_int_equal(stats(ks).queued, 1);
    assert_int_equal(sign_async(ks, &key, 2 * PATIENCE_MS, &a), ATTEST_OK);
    rules("");
    WAIT_FOR(a.n == 4);
    assert_int_equal(a.of[ATTEST_OK], 3);
    /* Past its deadline before it began: not signed. */
    assert_int_equal(sign_async(ks, &key, -1, &a), ATTEST_OK);
    WAIT_FOR(a.of[ATTEST_E_TIMEOUT] == 2);
    /* Closing answers what waits. */
    rules("C_Sign sleep 500");
    struct answers late = {0};
    for (int i = 0; i < 3; i++)
        sign_async(ks, &key, PATIENCE_MS, &late);
    int accepted = late.n + (int)stats(ks).queued;
    keystore_close(ks);
    assert_true(late.n >= accepted);
    assert_int_equal(late.n, late.of[ATTEST_OK] + late.of[ATTEST_E_KEY_OUT_OF_REACH]);
    assert_true(late.of[ATTEST_E_KEY_OUT_OF_REACH] > 0);
}

static void
test_one_worker_hangs(void **state)
{
    (void)state;
    struct answers a = {0};
    rules("");
    struct keystore *ks = open_ks((struct options){.workers = 2, .call_timeout_ms = HANGS_MS});
    struct key_ref key = generate(ks);
    rules("C_Sign hang 1");
    assert_int_equal(sign_async(ks, &key, PATIENCE_MS, &a), ATTEST_OK);
    WAIT_FOR(a.of[ATTEST_E_TIMEOUT] == 1);
    assert_int_equal(stats(ks).workers_lost, 1);
    assert_int_equal(stats(ks).state, KEYSTORE_READY);
    assert_int_equal(sign(ks, &key), ATTEST_OK);
    /* Making a key waits for what runs, and not for what is lost. */
    struct key_ref other = generate(ks);
    assert_int_equal(sign(ks, &other), ATTEST_OK);
    /* The call returns after all: the worker serves again. */
    rules("");
    WAIT_FOR(stats(ks).workers_lost == 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(sign(ks, &key), ATTEST_OK);
    assert_int_equal(told.n, 0);
    assert_int_equal(keystore_destroy(ks, &key, NULL), ATTEST_OK);
    assert_int_equal(keystore_destroy(ks, &other, NULL), ATTEST_OK);
    keystore_close(ks);
}

static void
test_all_workers_hang(void **state)
{
    (void)state;
    struct answers a = {0};
    rules("");
    struct keystore *ks = open_ks((struct options){.workers = 2, .call_timeout_ms = HANGS_MS});
    struct key_ref key = generate(ks);
    rules("C_Sign hang");
    for (int i = 0; i < 6; i++)
        assert_int_equal(sign_async(ks, &key, PATIENCE_MS, &a), ATTEST_OK);
    WAIT_FOR(a.n == 6);
    assert_int_equal(a.of[ATTEST_E_TIMEOUT], 2);
    assert_int_equal(a.of[ATTEST_E_KEY_OUT_OF_REACH], 4);
    WAIT_FOR(told.n == 1);
    assert_string_equal(told.letters, "L");
    assert_int_equal(stats(ks).state, KEYSTORE_LOST);
    assert_int_equal(sign(ks, &key), ATTEST_E_KEY_OUT_OF_REACH);
    keystore_close(ks); /* what hangs is left behind, and freed when it comes back */
    rules("");
}

static void
test_operation_hangs(void **state)
{
    (void)state;
    struct attest_error err = {0};
    struct key_ref key, other;
    rules("");
    struct keystore *ks = open_ks((struct options){.workers = 2, .call_timeout_ms = HANGS_MS});
    key = generate(ks);
    rules("C_GenerateKeyPair hang");
    assert_int_equal(keystore_generate(ks, some_id(), "token", "x", &other, &err),
                     ATTEST_E_KEY_OUT_OF_REACH);
    assert_non_null(strstr(err.text, "hangs"));
    WAIT_FOR(told.n == 1);
    assert_int_equal(stats(ks).state, KEYSTORE_LOST);
    assert_int_equal(sign(ks, &key), ATTEST_E_KEY_OUT_OF_REACH);
    assert_int_equal(keystore_generate(ks, some_id(), "token", "x", &other, &err),
                     ATTEST_E_KEY_OUT_OF_REACH);
    rules("drop objects\ndrop module");
    keystore_close(ks);
}

/* A token that hangs when it is opened, or when it is looked for again. */
static void
test_connection_hangs(void **state)
{
    (void)state;
    struct attest_error err = {0};
    struct keystore *ks = NULL;
    rules("C_Login hang");
    assert_int_equal(open_with((struct options){.call_timeout_ms = HANGS_MS}, &ks, &err),
                     ATTEST_E_KEY_OUT_OF_REACH);
    assert_null(ks);
    assert_int_equal(told.n, 0);
    rules("drop module");
    /* Whoever still hung ends on its own now; the module is free again. */
    WAIT_FOR(open_with((struct options){.call_timeout_ms = HANGS_MS}, &ks, &err) == ATTEST_OK);
    struct key_ref key = generate(ks);
    assert_int_equal(sign(ks, &key), ATTEST_OK);
    rules("drop sessions\nC_OpenSession hang");
    assert_int_not_equal(sign(ks, &key), ATTEST_OK);
    WAIT_FOR(stats(ks).state == KEYSTORE_LOST);
    rules("drop objects\ndrop module");
    keystore_close(ks);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_queue, fresh),
        cmocka_unit_test_setup(test_one_worker_hangs, fresh),
        cmocka_unit_test_setup(test_all_workers_hang, fresh),
        cmocka_unit_test_setup(test_operation_hangs, fresh),
        cmocka_unit_test_setup(test_connection_hangs, fresh),
    };
    if (start_dir() != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tempdir_remove(dir);
    return failed;
}
