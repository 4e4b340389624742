/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/approvals.h"
#include "tests/support/leftovers.h"

/* Approvals of PCR values: what is read, what the TPM accepts, and what it refuses by itself. */

static void
reads_what_it_writes(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"approval/1", "approval/2"},
        {"\"tpm\":\"000b", "\"tpm\":\"00"},
        {"\"line\":\"00", "\"line\":\""},
        {"\"serial\":5", "\"serial\":0"},
        {"\"serial\":5", "\"serial\":-1"},
        {"\"serial\":5", "\"serial\":5.0"},
        {"\"serial\":5,", ""},
        {"\"7\":", "\"24\":"},
        {"\"7\":", "\"07\":"},
        {"\"11\":", "\"7\":"},
        {"\"serial\"", "\"more\":1,\"serial\""},
        {"\"01a77e10\"", "\"01A77E10\""},
        {"\"01a77e10\"", "1"},
        {"}\n", "} x"},
        {"\"pcrs\":{", "\"pcrs\":{},\"x\":{"},
        {"{\"type\"", "[\"type\""},
    };
    struct tpm2_approval a = {.counter = 0x01a77e10, .serial = 5, .pcrs = 0x880}, back;
    a.tpm[1] = 11;
    memset(a.values[7], 0xab, SHA256_LEN);
    AUTO(buf) struct buf text;
    buf_init(&text, TPM2_APPROVAL_MAX);
    tpm2_approval_write(&a, &text);
    assert_int_equal(tpm2_approval_read(buf_view(&text), &back, NULL), ATTEST_OK);
    assert_memory_equal(&a, &back, sizeof(a));
    sign(&a, ours);
    buf_reset(&text);
    tpm2_approval_write(&a, &text);
    assert_int_equal(tpm2_approval_read(buf_view(&text), &back, NULL), ATTEST_OK);
    assert_memory_equal(&a, &back, sizeof(a));
    assert_true(buf_terminate(&text));
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        const char *at = strstr(text.p, changes[i].from);
        struct attest_error err = {0};
        assert_non_null(at);
        AUTO(buf) struct buf other;
        buf_init(&other, TPM2_APPROVAL_MAX);
        buf_append(&other, text.p, (size_t)(at - text.p));
        buf_str(&other, changes[i].to);
        buf_str(&other, at + strlen(changes[i].from));
        if (tpm2_approval_read(buf_view(&other), &back, &err) != ATTEST_E_MALFORMED)
            fail_msg("accepted: %s", changes[i].to);
        assert_true(*err.text);
    }
}

static void
every_member_is_signed(void **state)
{
    (void)state;
    struct tpm2_approval a = {.counter = 0x01a77e10, .serial = 5, .pcrs = 0x880};
    struct tpm2_policy policy = {.approved = true, .pcrs = a.pcrs, .approver.counter = a.counter};
    memcpy(policy.approver.point, approver, sizeof(approver));
    sign(&a, ours);
    assert_int_equal(tpm2_approval_judge(&a, &policy, a.tpm, 5, a.values), TPM2_APPROVAL_FITS);
    assert_int_equal(tpm2_approval_judge(&a, &policy, a.tpm, 6, a.values), TPM2_APPROVAL_REVOKED);
    struct tpm2_approval b = a;
    b.serial++;
    assert_int_equal(tpm2_approval_judge(&b, &policy, a.tpm, 5, a.values),
                     TPM2_APPROVAL_NOT_SIGNED);
    b = a;
    b.pcrs |= 1;
    assert_int_equal(tpm2_approval_judge(&b, &policy, a.tpm, 5, a.values),
                     TPM2_APPROVAL_NOT_SIGNED);
    b = a;
    b.values[7][0] ^= 1;
    assert_int_equal(tpm2_approval_judge(&b, &policy, a.tpm, 5, b.values),
                     TPM2_APPROVAL_NOT_SIGNED);
    b = a;
    b.tpm[5] ^= 1;
    assert_int_equal(tpm2_approval_judge(&b, &policy, b.tpm, 5, a.values),
                     TPM2_APPROVAL_NOT_SIGNED);
    b = a;
    b.line[5] = policy.approver.line[5] = 1;
    assert_int_equal(tpm2_approval_judge(&b, &policy, a.tpm, 5, a.values),
                     TPM2_APPROVAL_NOT_SIGNED);
    assert_int_equal(tpm2_approval_judge(&a, &policy, a.tpm, 5, a.values), TPM2_APPROVAL_OTHER_TPM);
    policy.approver.line[5] = 0;
    b = a;
    b.counter = policy.approver.counter = 0x01a77e11;
    assert_int_equal(tpm2_approval_judge(&b, &policy, a.tpm, 5, a.values),
                     TPM2_APPROVAL_NOT_SIGNED);
    policy.approver.counter = a.counter;
    policy.pcrs |= 1;
    assert_int_equal(tpm2_approval_judge(&a, &policy, a.tpm, 5, a.values),
                     TPM2_APPROVAL_FEWER_PCRS);
    policy.pcrs = 0x80;
    assert_int_equal(tpm2_approval_judge(&a, &policy, a.tpm, 5, a.values), TPM2_APPROVAL_FITS);
    a.serial = 5 + TPM2_APPROVAL_JUMP_MAX + 1;
    sign(&a, ours);
    assert_int_equal(tpm2_approval_judge(&a, &policy, a.tpm, 5, a.values), TPM2_APPROVAL_TOO_FAR);
}

/* An update that moved a PCR: before it the approval changes nothing, after it, it opens. */
static void
an_approval_opens_after_an_update(void **state)
{
    (void)state;
    struct attest_error err = {0};
    begin();
    uint64_t before = shown();
    assert_int_equal(open_now(&err), ATTEST_OK);
    swtpm_extend(&tpm, 11);
    assert_int_equal(open_now(&err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "PCR 11 "));
    assert_non_null(strstr(err.text, "none of 0 approvals"));
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed();
    struct tpm2_approval a = request(file, before + 2);
    put(&a, "unsigned");
    assert_int_equal(open_now(&err), ATTEST_E_DENIED);
    sign(&a, foreign);
    put(&a, "foreign");
    assert_int_equal(open_now(&err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "none of 2 approvals"));
    sign(&a, ours);
    put(&a, "ours");
    assert_int_equal(open_now(&err), ATTEST_OK);
    assert_int_equal(shown(), before + 2);
    assert_int_equal(open_now(&err), ATTEST_OK);
    assert_int_equal(shown(), before + 2);
    assert_int_equal(swtpm_loaded(&tpm), 0);
    /* The one before is revoked, and so is what was recorded: the update cannot be undone. */
    struct tpm2_approval old = request(file, before + 1);
    sign(&old, ours);
    put(&old, "old");
    drop("ours");
    assert_int_equal(open_now(&err), ATTEST_E_DENIED);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    assert_int_equal(open_now(&err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "revoked by a later approval"));
    drop("old");
    drop("foreign");
    drop("unsigned");
}

/* One for each state, with the same serial: back and forth. */
static void
approvals_of_one_serial_stand_together(void **state)
{
    (void)state;
    begin();
    uint64_t serial = shown() + 1;
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed();
    struct tpm2_approval a = request(file, serial);
    sign(&a, ours);
    put(&a, "old-kernel");
    swtpm_extend(&tpm, 11);
    struct tpm2_approval b = request(file, serial);
    sign(&b, ours);
    put(&b, "new-kernel");
    assert_int_equal(open_now(NULL), ATTEST_OK);
    assert_int_equal(shown(), serial);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    assert_int_equal(open_now(NULL), ATTEST_OK);
    assert_int_equal(shown(), serial);
    drop("old-kernel");
    drop("new-kernel");
}

/* None of our own looks in the way. */
static void
the_tpm_refuses_by_itself(void **state)
{
    (void)state;
    begin();
    uint64_t serial = shown() + 2;
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed();
    struct tpm2_approval a = request(file, serial), other;
    sign(&a, ours);
    assert_int_equal(unseal_by(file, &a, NULL), ATTEST_OK);
    /* Of another approver. */
    other = a;
    sign(&other, foreign);
    assert_int_equal(unseal_by(file, &other, NULL), ATTEST_E_DENIED);
    /* Signed by ours, with the serial or a value changed afterwards. */
    other = a;
    other.serial++;
    assert_int_equal(unseal_by(file, &other, NULL), ATTEST_E_DENIED);
    /* For a state that is not: with the values that are there nothing fits the signature. */
    swtpm_extend(&tpm, 11);
    struct tpm2_approval now = request(file, serial);
    memcpy(now.signature, a.signature, sizeof(now.signature));
    now.has_signature = true;
    assert_int_equal(unseal_by(file, &now, NULL), ATTEST_E_DENIED);
    /* And with the right ticket the session has come to another digest. */
    struct tpm2_meeting meeting = {0};
    {
        const struct tpm2_link_config c = {.tcti = tpm.tcti};
        AUTO(tpm2_link) struct tpm2_link *link = NULL;
        assert_int_equal(tpm2_link_open(&c, &link, NULL), ATTEST_OK);
        assert_int_equal(tpm2_meet_prepare(link, &file->policy, &a, &meeting, NULL), ATTEST_OK);
    }
    assert_int_equal(unseal_by(file, &a, &meeting), ATTEST_E_DENIED);
    /* By what was recorded neither. */
    meeting = (struct tpm2_meeting){0};
    assert_int_equal(unseal_by(file, NULL, &meeting), ATTEST_E_DENIED);
    /* An older one, after a newer one was used. */
    now = request(file, serial + 1);
    sign(&now, ours);
    put(&now, "newer");
    assert_int_equal(open_now(NULL), ATTEST_OK);
    other = request(file, serial);
    sign(&other, ours);
    assert_int_equal(unseal_by(file, &other, NULL), ATTEST_E_DENIED);
    assert_int_equal(unseal_by(file, &now, NULL), ATTEST_OK);
    assert_int_equal(swtpm_loaded(&tpm), 0);
    drop("newer");
}

/* Commands that are not ours: the approval of one file, its counter, and the policy of another. */
static TSS2_RC
open_by_anothers(struct tpm2_link *link, const struct tpm2_file *file,
                 const struct tpm2_approval *a, const uint8_t ref[SHA256_LEN], ESYS_TR session)
{
    struct tpm2_meeting meeting;
    const TPML_PCR_SELECTION pcrs = tpm2_pcrs_selection(a->pcrs);
    const TPM2B_DIGEST any = {0};
    TPM2B_DIGEST state = {.size = SHA256_LEN};
    TPM2B_NONCE policy_ref = {.size = SHA256_LEN};
    TPM2B_NAME name = {.size = TPM2_NAME_LEN};
    TPM2B_OPERAND most = {.size = 8};
    TPML_DIGEST both = {.count = 2, .digests = {{.size = SHA256_LEN}, {.size = SHA256_LEN}}};
    uint8_t ways[2][SHA256_LEN];
    ESYS_TR nv;
    assert_int_equal(tpm2_meet_prepare(link, &file->policy, a, &meeting, NULL), ATTEST_OK);
    tpm2_policy_state(a->pcrs, a->values, a->counter, a->serial, state.buffer);
    tpm2_approver_name(approver, name.name);
    tpm2_policy_ways(&file->policy, ways);
    memcpy(policy_ref.buffer, ref, SHA256_LEN);
    memcpy(both.digests[0].buffer, ways[0], SHA256_LEN);
    memcpy(both.digests[1].buffer, ways[1], SHA256_LEN);
    be32_put(most.buffer + 4, (uint32_t)a->serial);
    ESYS_CONTEXT *esys = link->esys;
    const ESYS_TR none = ESYS_TR_NONE;
    assert_int_equal(Esys_TR_FromTPMPublic(esys, a->counter, none, none, none, &nv), 0);
    assert_int_equal(Esys_PolicyPCR(esys, session, none, none, none, &any, &pcrs), 0);
    assert_int_equal(Esys_PolicyNV(esys, ESYS_TR_RH_OWNER, nv, session, link->session, none, none,
                                   &most, 0, TPM2_EO_UNSIGNED_LE),
                     0);
    assert_int_equal(Esys_TR_Close(esys, &nv), 0);
    TSS2_RC rv = Esys_PolicyAuthorize(esys, session, none, none, none, &state, &policy_ref, &name,
                                      &meeting.ticket);
    return rv ? rv : Esys_PolicyOR(esys, session, none, none, none, &both);
}

/* Two files of one TPM with one approver, whose approvals have nothing to do with each other. */
static void
an_approval_is_for_one_file(void **state)
{
    (void)state;
    const struct tpm2_link_config c = {.tcti = tpm.tcti};
    begin();
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed(), *other = NULL;
    begin();
    other = read_sealed();
    assert_int_not_equal(file->policy.approver.counter, other->policy.approver.counter);
    struct tpm2_approval a = request(file, file->policy.approver.serial + 3);
    sign(&a, ours);
    /* That of the other one has gone on: nothing with a low serial opens it any more. */
    struct tpm2_approval newer = request(other, shown() + 9);
    sign(&newer, ours);
    put(&newer, "newer");
    swtpm_extend(&tpm, 11);
    struct tpm2_approval newest = request(other, shown() + 9);
    sign(&newest, ours);
    put(&newest, "newest");
    assert_int_equal(open_now(NULL), ATTEST_OK);
    drop("newer");
    drop("newest");
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    swtpm_extend(&tpm, 11);
    a = request(file, a.serial);
    sign(&a, ours);
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    ESYS_TR session;
    assert_int_equal(tpm2_link_open(&c, &link, NULL), ATTEST_OK);
    static const char *const names[] = {"its own", "the other's"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(tpm2_link_session(link, TPM2_SE_POLICY, &session), 0);
        if (!open_by_anothers(link, other, &a, (i ? other : file)->policy.approver.ref, session))
            fail_msg("the TPM takes it under the reference that is %s", names[i]);
        tpm2_link_drop(link, &session);
    }
    /* The commands are right: the file that it is for is opened by them. */
    assert_int_equal(tpm2_link_session(link, TPM2_SE_POLICY, &session), 0);
    assert_int_equal(open_by_anothers(link, file, &a, file->policy.approver.ref, session), 0);
}

int
main(void)
{
    if (!approvals_start())
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(every_member_is_signed),
        cmocka_unit_test(an_approval_opens_after_an_update),
        cmocka_unit_test(approvals_of_one_serial_stand_together),
        cmocka_unit_test(the_tpm_refuses_by_itself),
        cmocka_unit_test(an_approval_is_for_one_file),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
