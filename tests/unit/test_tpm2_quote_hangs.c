/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>

#include "tests/support/tpm2_resident.h"

/* A TPM that stops answering while it is asked for a quote. Whoever asks for evidence chooses that
   moment: it must cost nobody but him. */

#define HANGS_MS 4000 /* far more than a call takes that does not */
#define TRIES 600     /* a tenth of a second each */

static enum attest_rc
quote(struct keystore *ks)
{
    static const uint8_t qualifying[SHA256_LEN] = "whoever asks";
    struct keystore_quote ret;
    return keystore_quote(ks, qualifying, &ret, NULL);
}

static void
pause_a_little(void)
{
    nanosleep(&(struct timespec){0, 100000000}, NULL);
}

static void
operations_end_and_sealed_keys_sign_on(void **state)
{
    (void)state;
    config.call_timeout_ms = HANGS_MS;
    struct keystore *ks = open_ks();
    struct key_ref sealed = generate(ks, "token", false), none;
    uint8_t id[KEYSTORE_ID_LEN] = {1};
    struct keystore_stats stats;
    struct keystore_lease lease = {"a", "b", 1};
    assert_int_equal(keystore_lease_set(ks, NULL, &lease, NULL), ATTEST_OK);
    kill(tpm.pid, SIGSTOP);
    assert_int_equal(quote(ks), ATTEST_E_KEY_OUT_OF_REACH);
    /* Answered too: neither waits for the first, which has no end. */
    assert_int_equal(quote(ks), ATTEST_E_KEY_OUT_OF_REACH);
    assert_int_equal(keystore_generate(ks, id, "token", "x", &none, NULL),
                     ATTEST_E_KEY_OUT_OF_REACH);
    assert_int_equal(keystore_lease_get(ks, &lease, NULL), ATTEST_OK);
    assert_int_equal(sign(ks, &sealed, "x"), ATTEST_OK);
    keystore_stats(ks, &stats);
    assert_int_equal(stats.state, KEYSTORE_READY);
    assert_int_equal(stats.workers_lost, 0);
    kill(tpm.pid, SIGCONT);
    enum attest_rc rc = ATTEST_E_KEY_OUT_OF_REACH;
    for (int i = 0; i < TRIES && rc == ATTEST_E_KEY_OUT_OF_REACH; i++) {
        pause_a_little();
        rc = quote(ks);
    }
    assert_int_equal(rc, ATTEST_OK);
    generate(ks, "token", false);
    assert_int_equal(sign(ks, &sealed, "x"), ATTEST_OK);
    keystore_close(ks);
}

/* What it leaves behind closes itself when the call comes back: the keys can be opened again. */
static void
closing_does_not_wait_for_it(void **state)
{
    (void)state;
    config.call_timeout_ms = HANGS_MS;
    struct keystore *ks = open_ks();
    kill(tpm.pid, SIGSTOP);
    assert_int_equal(quote(ks), ATTEST_E_KEY_OUT_OF_REACH);
    keystore_close(ks);
    kill(tpm.pid, SIGCONT);
    enum attest_rc rc = ATTEST_E_BUSY;
    for (int i = 0; i < TRIES && rc == ATTEST_E_BUSY; i++) {
        pause_a_little();
        rc = keystore_open(&config, &ks, NULL);
    }
    assert_int_equal(rc, ATTEST_OK);
    assert_int_equal(quote(ks), ATTEST_OK);
    keystore_close(ks);
}

int
main(void)
{
    if (!start_tpm())
        return 77;
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, clean)
    const struct CMUnitTest tests[] = {
        TEST(operations_end_and_sealed_keys_sign_on),
        TEST(closing_does_not_wait_for_it),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
