/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "hsm/approver_key.h"
#include "hsm/tpm2_approvals.h"
#include "hsm/tpm2_meet.h"
#include "hsm/tpm2_seal.h"
#include "hsm/tpm2_store.h"
#include "tests/support/leftovers.h"
#include "tests/support/swtpm_esys.h"

/* Approvals of PCR values: what is read, what the TPM accepts, and what it refuses by itself. */

static struct swtpm tpm;
static char path[192], ours[192], foreign[192];
static uint8_t approver[ES256_POINT_LEN];
static unsigned commands, die_at; /* the die_at'th command from here meets no TPM; 0: none */
static struct key_ref first;

static void
count_command(void *ctx, bool command_starts)
{
    (void)ctx;
    if (command_starts && ++commands == die_at)
        swtpm_cut(&tpm);
}

static struct tpm2_store_config
config(void)
{
    return (struct tpm2_store_config){
        .link = {.tcti = tpm.tcti, .beat = count_command}, .path = path, .approver = approver};
}

static void
make_key(char key[192], const char *name)
{
    char command[512];
    snprintf(key, 192, "%s/%s.pem", tpm.dir, name);
    snprintf(command, sizeof(command),
             "umask 077; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out %s "
             "2>/dev/null && openssl pkey -in %s -pubout -out %s.pub",
             key, key, key);
    assert_int_equal(system(command), 0);
}

static void
sign(struct tpm2_approval *a, const char *key)
{
    uint8_t message[TPM2_APPROVAL_MESSAGE_LEN], point[ES256_POINT_LEN];
    struct attest_error err = {0};
    const struct slice msg = {(const char *)message, sizeof(message)};
    tpm2_approval_message(a, message);
    if (approver_key_sign(key, msg, a->signature, point, &err))
        fail_msg("%s", err.text);
    a->has_signature = true;
}

static void
put(const struct tpm2_approval *a, const char *name)
{
    char file[300];
    AUTO(buf) struct buf text;
    buf_init(&text, TPM2_APPROVAL_MAX);
    tpm2_approval_write(a, &text);
    assert_int_equal(buf_rc(&text), ATTEST_OK);
    snprintf(file, sizeof(file), "%s.approvals/%s.json", path, name);
    assert_int_equal(file_replace(file, 0600, buf_view(&text), NULL), ATTEST_OK);
}

static void
drop(const char *name)
{
    char file[300];
    snprintf(file, sizeof(file), "%s.approvals/%s.json", path, name);
    assert_int_equal(unlink(file), 0);
}

/* Not signed yet; for what PCR 7 and 11 hold now. */
static struct tpm2_approval
request(const struct tpm2_file *file, uint64_t serial)
{
    struct tpm2_approval a = {
        .counter = file->policy.approver.counter, .serial = serial, .pcrs = file->policy.pcrs};
    const struct tpm2_link_config c = {.tcti = tpm.tcti};
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    memcpy(a.tpm, file->primary_name, sizeof(a.tpm));
    memcpy(a.line, file->policy.approver.line, sizeof(a.line));
    assert_int_equal(tpm2_link_open(&c, &link, NULL), ATTEST_OK);
    assert_int_equal(tpm2_pcrs_read(link, a.pcrs, a.values, NULL), ATTEST_OK);
    return a;
}

static struct tpm2_file *
read_sealed(void)
{
    AUTO(buf) struct buf bytes;
    struct tpm2_file *file = NULL;
    buf_init(&bytes, TPM2_FILE_MAX);
    assert_int_equal(file_read(path, TPM2_FILE_MAX, &bytes, NULL), ATTEST_OK);
    assert_int_equal(tpm2_file_read(buf_view(&bytes), &file, NULL), ATTEST_OK);
    return file;
}

static uint64_t
shown(void)
{
    const struct tpm2_link_config c = {.tcti = tpm.tcti};
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed();
    uint64_t value = 0;
    assert_int_equal(tpm2_link_open(&c, &link, NULL), ATTEST_OK);
    assert_int_equal(tpm2_counter_read_owner(link, file->policy.approver.counter, &value, NULL),
                     ATTEST_OK);
    return value;
}

static enum attest_rc
open_now(struct attest_error *err)
{
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    uint8_t sig[PUBKEY_SIG_LEN];
    enum attest_rc rc = tpm2_store_open(&store, &c, err);
    if (!rc) {
        assert_int_equal(tpm2_store_sign(&store, &first, NULL, (struct slice){"x", 1}, sig),
                         ATTEST_OK);
        swtpm_secret(&tpm, "wrapping", store.wrapping.p, store.wrapping.len);
        swtpm_secret(&tpm, "authority", store.authority.p, store.authority.len);
    }
    tpm2_store_close(&store);
    return rc;
}

static enum attest_rc
create(void)
{
    const struct tpm2_store_config c = config();
    unlink(path);
    return tpm2_store_create(&c, "sha256:7,11", NULL);
}

static void
begin(void)
{
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    uint8_t id[KEYSTORE_ID_LEN];
    random_bytes(id, sizeof(id));
    assert_int_equal(create(), ATTEST_OK);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_add(&store, id, "token", "a key", &first, NULL), ATTEST_OK);
    tpm2_store_close(&store);
}

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

static enum attest_rc
unseal_by(const struct tpm2_file *file, const struct tpm2_approval *a, const struct tpm2_meeting *m)
{
    const struct tpm2_link_config c = {.tcti = tpm.tcti};
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    AUTO(secret) struct secret back = {0};
    assert_int_equal(tpm2_link_open(&c, &link, NULL), ATTEST_OK);
    if (!m)
        return tpm2_unseal_approved(link, &file->policy, a, NULL, &file->sealed, &back, NULL);
    ESYS_TR session;
    assert_int_equal(tpm2_link_session(link, TPM2_SE_POLICY, &session), 0);
    TSS2_RC rv = tpm2_meet(link, &file->policy, m, session);
    return rv ? tpm2_error(NULL, "", rv) : ATTEST_OK;
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

static enum attest_rc
seal_anew(void)
{
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    enum attest_rc rc = tpm2_store_open(&store, &c, NULL);
    if (!rc)
        rc = tpm2_store_reseal(&store, NULL, NULL);
    tpm2_store_close(&store);
    return rc;
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
    assert_int_equal(tpm2_counter_remove(link, index, NULL), ATTEST_E_DENIED);
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

/* The TPM's power goes before each command in turn; afterwards there is something that opens. */
static unsigned every_cut(enum attest_rc (*operation)(void))
{
    for (unsigned n = 1;; n++) {
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
        assert_int_equal(open_now(NULL), ATTEST_OK);
        swtpm_off(&tpm);
        assert_true(swtpm_on(&tpm));
        swtpm_extend(&tpm, 11);
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
    assert_in_range(every_cut(just_open), 10, 60);
    assert_int_equal(shown(), a.serial);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    swtpm_extend(&tpm, 11);
    assert_in_range(every_cut(seal_anew), 20, 80);
    /* Sealed to what is now: without approvals, and without asking for one again. */
    drop("update");
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    assert_int_equal(open_now(NULL), ATTEST_E_DENIED);
    swtpm_extend(&tpm, 11);
    assert_int_equal(open_now(NULL), ATTEST_OK);
}

int
main(void)
{
    if (crypto_init(NULL) || !swtpm_start(&tpm) || system("command -v openssl >/dev/null") != 0) {
        fprintf(stderr, "no swtpm or no openssl here: apt-get install swtpm openssl\n");
        return 77;
    }
    snprintf(path, sizeof(path), "%s/sealed.keys", tpm.dir);
    char public_key[200];
    make_key(ours, "ours");
    make_key(foreign, "foreign");
    snprintf(public_key, sizeof(public_key), "%s.pub", ours);
    assert_int_equal(approver_key_public(public_key, approver, NULL), ATTEST_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(every_member_is_signed),
        cmocka_unit_test(an_approval_opens_after_an_update),
        cmocka_unit_test(approvals_of_one_serial_stand_together),
        cmocka_unit_test(the_tpm_refuses_by_itself),
        cmocka_unit_test(an_approval_is_for_one_file),
        cmocka_unit_test(what_is_refused_accepts_nothing),
        cmocka_unit_test(sealing_anew_ends_what_was_approved),
        cmocka_unit_test(another_counter_is_seen),
        cmocka_unit_test(a_cut_leaves_what_opens),
        cmocka_unit_test(counters_are_looked_at_in_sessions),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
