/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/support/approvals.h"
#include "tests/support/leftovers.h"

/* When an approval begins and ends, whatever comes in between, and the counter behind it. */

/* A copy from before is refused, and that it was tried with an approval revokes nothing. */
static void
what_is_refused_accepts_nothing(void **state)
{
    (void)state;
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    AUTO(buf) struct buf old, new;
    uint8_t id[KEYSTORE_ID_LEN];
    begin();
    uint64_t before = shown();
    buf_init(&old, TPM2_FILE_MAX);
    buf_init(&new, TPM2_FILE_MAX);
    assert_int_equal(file_read(path, TPM2_FILE_MAX, &old, NULL), ATTEST_OK);
    random_bytes(id, sizeof(id));
    struct key_ref second;
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_add(&store, id, "log", "another", &second, NULL), ATTEST_OK);
    tpm2_store_close(&store);
    assert_int_equal(file_read(path, TPM2_FILE_MAX, &new, NULL), ATTEST_OK);
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed();
    swtpm_extend(&tpm, 11);
    struct tpm2_approval a = request(file, before + 2);
    sign(&a, ours);
    put(&a, "update");
    assert_int_equal(file_replace(path, 0600, buf_view(&old), NULL), ATTEST_OK);
    struct attest_error err = {0};
    assert_int_equal(open_now(&err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "put the newest back"));
    assert_int_equal(shown(), before);
    assert_int_equal(file_replace(path, 0600, buf_view(&new), NULL), ATTEST_OK);
    assert_int_equal(open_now(NULL), ATTEST_OK);
    assert_int_equal(shown(), before + 2);
    drop("update");
}

/* In the TPM: what was approved for the time until then opens the keys no more. */
static void
sealing_anew_ends_what_was_approved(void **state)
{
    (void)state;
    begin();
    uint64_t serial = shown() + 2;
    swtpm_extend(&tpm, 11);
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed(), *anew = NULL;
    struct tpm2_approval a = request(file, serial);
    sign(&a, ours);
    put(&a, "update");
    assert_int_equal(open_now(NULL), ATTEST_OK);
    assert_int_equal(unseal_by(file, &a, NULL), ATTEST_OK);
    assert_int_equal(seal_anew(), ATTEST_OK);
    assert_int_equal(shown(), serial + 1);
    anew = read_sealed();
    assert_int_equal(anew->policy.approver.serial, serial + 1);
    assert_int_equal(unseal_by(anew, &a, NULL), ATTEST_E_DENIED);
    assert_int_equal(unseal_by(file, &a, NULL), ATTEST_E_DENIED);
    drop("update");
    assert_int_equal(open_now(NULL), ATTEST_OK);
    /* The next that is asked for is still one that nobody has used. */
    a = request(anew, serial + 2);
    sign(&a, ours);
    assert_int_equal(unseal_by(anew, &a, NULL), ATTEST_OK);
}

/* What lies beside the keys and is no approval, while none is needed. */
static void
rubbish_among_approvals_is_no_obstacle(void **state)
{
    (void)state;
    char name[300];
    begin();
    snprintf(name, sizeof(name), "%s.approvals/pipe.json", path);
    assert_int_equal(mkfifo(name, 0600), 0);
    assert_int_equal(open_now(NULL), ATTEST_OK);
    for (unsigned i = 0; i <= TPM2_APPROVALS_MAX; i++) {
        snprintf(name, sizeof(name), "%s.approvals/%u.json", path, i);
        assert_int_equal(file_create(name, 0600, (struct slice){"x", 1}, NULL), ATTEST_OK);
    }
    assert_int_equal(open_now(NULL), ATTEST_OK);
    for (unsigned i = 0; i <= TPM2_APPROVALS_MAX; i++) {
        snprintf(name, sizeof(name), "%s.approvals/%u.json", path, i);
        assert_int_equal(unlink(name), 0);
    }
    drop("pipe");
}

/* In place of the counter, one that the TPM's owner made, who chooses what it shows. */
static void
put_another_counter(uint32_t index)
{
    struct swtpm_direct d = swtpm_connect(&tpm);
    const TPM2B_AUTH none = {0};
    const TPM2B_NV_PUBLIC template = {
        .nvPublic = {.nvIndex = index,
                     .nameAlg = TPM2_ALG_SHA256,
                     .attributes = TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_OWNERREAD |
                                   TPMA_NV_OWNERWRITE | TPMA_NV_NO_DA |
                                   (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT),
                     .dataSize = 8}};
    ESYS_TR nv;
    swtpm_counter(&tpm, index, false);
    assert_int_equal(Esys_NV_DefineSpace(d.esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                         ESYS_TR_NONE, &none, &template, &nv),
                     0);
    assert_int_equal(
        Esys_NV_Increment(d.esys, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE), 0);
    swtpm_disconnect(&d);
}

static void
another_counter_is_seen(void **state)
{
    (void)state;
    begin();
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed();
    const struct tpm2_link_config c = {.tcti = tpm.tcti};
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    struct attest_error err = {0};
    uint64_t value = 0;
    uint32_t index = file->policy.approver.counter;
    put_another_counter(index);
    assert_int_equal(tpm2_link_open(&c, &link, NULL), ATTEST_OK);
    assert_int_equal(tpm2_counter_read_owner(link, index, &value, &err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "another is in its place"));
    /* It is somebody's: not ours to take away. */
    assert_int_equal(tpm2_counter_remove(link, index, false, NULL), ATTEST_E_DENIED);
    tpm2_link_close(STEAL(link));
    assert_int_equal(open_now(NULL), ATTEST_E_DENIED);
    swtpm_counter(&tpm, index, false);
}

/*
 * What is said of a counter outside a session, whoever sits between may have said. ESAPI asks twice
 * for each: first outside, for the name that goes into the MAC of the second, so that there a false
 * one shows. This test and the cuts ask a few times more outside.
 */
static void
counters_are_looked_at_in_sessions(void **state)
{
    (void)state;
    static const uint8_t asks[] = {0, 0, 0x01, 0x69, 0x01, 0xa7, 0x7e}; /* TPM2_NV_ReadPublic */
    char name[200];
    AUTO(buf) struct buf log;
    size_t in = 0, outside = 0;
    buf_init(&log, (size_t)1 << 28);
    snprintf(name, sizeof(name), "%s/bus.log", tpm.dir);
    assert_int_equal(file_read(name, (size_t)1 << 28, &log, NULL), ATTEST_OK);
    const uint8_t *p = (const uint8_t *)log.p, *end = p + log.len - sizeof(asks);
    for (p += 6; p < end; p++) {
        if (memcmp(p, asks, sizeof(asks)) != 0 || p[-6] != 0x80)
            continue;
        in += p[-5] == 0x02;
        outside += p[-5] == 0x01;
    }
    assert_true(in > 10);
    assert_in_range(in, outside - outside / 10, outside);
}

static enum attest_rc
just_open(void)
{
    return open_now(NULL);
}

/* With this approver or, NULL, without one, whatever the file has until now; sealed to that. */
static enum attest_rc
open_for(const uint8_t *whose, bool reseal)
{
    struct tpm2_store store;
    struct tpm2_store_config c = config();
    uint8_t sig[PUBKEY_SIG_LEN];
    c.approver = whose;
    c.change = TPM2_CHANGE_ANY; /* here is no PIN that would vouch for the file */
    enum attest_rc rc = tpm2_store_open(&store, &c, NULL);
    if (!rc) {
        swtpm_secrets_of(&tpm, &store);
        assert_int_equal(tpm2_store_sign(&store, &first, NULL, (struct slice){"x", 1}, sig),
                         ATTEST_OK);
        rc = reseal ? tpm2_store_reseal(&store, NULL, NULL) : ATTEST_OK;
    }
    tpm2_store_close(&store);
    return rc;
}

static enum attest_rc
add_approver(void)
{
    return open_for(approver, true);
}

static enum attest_rc
remove_approver(void)
{
    return open_for(NULL, true);
}

/* The TPM's power goes before each step'th command; afterwards there is something that opens. */
static unsigned
every_cut(enum attest_rc (*operation)(void), unsigned step)
{
    for (unsigned n = 1;; n += step) {
        commands = 0;
        die_at = n;
        enum attest_rc rc = operation();
        bool reached = commands >= n;
        die_at = 0;
        if (!reached) {
            assert_int_equal(rc, ATTEST_OK);
            return n;
        }
        if (tpm.pid == 0)
            assert_true(swtpm_on(&tpm));
        swtpm_extend(&tpm, 11); /* the state after the update */
        assert_int_equal(open_for(approver, false), ATTEST_OK);
    }
}

static void
a_cut_leaves_what_opens(void **state)
{
    (void)state;
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    begin();
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed();
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    swtpm_extend(&tpm, 11);
    struct tpm2_approval a = request(file, shown() + 4);
    sign(&a, ours);
    put(&a, "update");
    assert_in_range(every_cut(just_open, 1), 10, 60);
    assert_int_equal(shown(), a.serial);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    swtpm_extend(&tpm, 11);
    assert_in_range(every_cut(seal_anew, 1), 20, 80);
    /* Sealed to what is now: without approvals, and without asking for one again. */
    drop("update");
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    assert_int_equal(open_now(NULL), ATTEST_E_DENIED);
    swtpm_extend(&tpm, 11);
    assert_int_equal(open_now(NULL), ATTEST_OK);
    /* Without an approver, and with him again. */
    const unsigned step = getenv("TPM2_EVERY_CUT") ? 1 : 3;
    assert_in_range(every_cut(remove_approver, step), 10, 80);
    assert_int_equal(open_now(NULL), ATTEST_E_CONFIG);
    assert_in_range(every_cut(add_approver, step), 10, 80);
    assert_int_equal(open_now(NULL), ATTEST_OK);
}

int
main(void)
{
    if (!approvals_start())
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused_accepts_nothing),
        cmocka_unit_test(sealing_anew_ends_what_was_approved),
        cmocka_unit_test(rubbish_among_approvals_is_no_obstacle),
        cmocka_unit_test(another_counter_is_seen),
        cmocka_unit_test(a_cut_leaves_what_opens),
        cmocka_unit_test(counters_are_looked_at_in_sessions),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
