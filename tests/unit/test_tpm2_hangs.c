/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>

#include "tests/support/tpm2_resident.h"

/* A TPM that stops answering. What waits for it then is left standing, which lsan.supp knows this
   program for. */

#define HANGS_MS 4000 /* far more than a call takes that does not */

/* A TPM that says nothing any more holds one thread, and the others for a bounded time. */
static void
a_tpm_that_hangs_holds_nobody_for_ever(void **state)
{
    (void)state;
    config.call_timeout_ms = HANGS_MS;
    config.workers = 2; /* which is what attest-signer.yaml(5) asks for */
    struct keystore *ks = open_ks();
    struct key_ref key = generate(ks, "token", true), sealed = generate(ks, "token", false);
    assert_int_equal(sign(ks, &key, "x"), ATTEST_OK);
    kill(tpm.pid, SIGSTOP);
    assert_int_equal(sign(ks, &key, "x"), ATTEST_E_TIMEOUT);
    assert_int_equal(sign(ks, &key, "x"), ATTEST_E_KEY_OUT_OF_REACH);
    assert_int_equal(sign(ks, &sealed, "x"), ATTEST_OK);
    struct keystore_stats stats;
    keystore_stats(ks, &stats);
    assert_int_equal(stats.state, KEYSTORE_READY);
    assert_int_equal(stats.workers_lost, 1);
    kill(tpm.pid, SIGCONT);
    assert_int_equal(sign(ks, &key, "x"), ATTEST_OK);
    keystore_close(ks);
}

/* Where it holds the only one the keystore is lost, and says so: its signer ends, to be started
 * anew. */
static void
a_tpm_that_hangs_is_the_end_of_one_worker(void **state)
{
    (void)state;
    config.call_timeout_ms = HANGS_MS;
    config.workers = 1;
    struct keystore *ks = open_ks();
    struct key_ref key = generate(ks, "token", true), sealed = generate(ks, "token", false);
    kill(tpm.pid, SIGSTOP);
    assert_int_equal(sign(ks, &key, "x"), ATTEST_E_TIMEOUT);
    assert_int_equal(sign(ks, &sealed, "x"), ATTEST_E_KEY_OUT_OF_REACH);
    struct keystore_stats stats;
    keystore_stats(ks, &stats);
    assert_int_equal(stats.state, KEYSTORE_LOST);
    keystore_close(ks);
    kill(tpm.pid, SIGCONT);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
}

static void
closing_does_not_wait_for_a_tpm_that_hangs(void **state)
{
    (void)state;
    config.call_timeout_ms = HANGS_MS;
    struct keystore *ks = open_ks();
    struct key_ref key = generate(ks, "token", true);
    assert_int_equal(sign(ks, &key, "x"), ATTEST_OK);
    kill(tpm.pid, SIGSTOP);
    assert_int_equal(sign(ks, &key, "x"), ATTEST_E_TIMEOUT);
    keystore_close(ks);
    kill(tpm.pid, SIGCONT);
    assert_int_equal(swtpm_loaded(&tpm) > 0, true); /* what hung left its connection as it was */
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
}

int
main(void)
{
    if (!start_tpm())
        return 77;
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, clean)
    const struct CMUnitTest tests[] = {
        TEST(a_tpm_that_hangs_holds_nobody_for_ever),
        TEST(a_tpm_that_hangs_is_the_end_of_one_worker),
        TEST(closing_does_not_wait_for_a_tpm_that_hangs),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
