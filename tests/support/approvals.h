/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_APPROVALS_H
#define TESTS_SUPPORT_APPROVALS_H

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
#include "tests/support/swtpm_esys.h"

/* Sealed keys with an approver, on a TPM of the test's own: for one test program. */

static struct swtpm tpm;
static char path[192], ours[192], foreign[192];
static uint8_t approver[ES256_POINT_LEN];
static unsigned commands, die_at; /* the die_at'th command from here meets no TPM; 0: none */
static struct key_ref first;

static inline void
count_command(void *ctx, bool command_starts)
{
    (void)ctx;
    if (command_starts && ++commands == die_at)
        swtpm_cut(&tpm);
}

static inline struct tpm2_store_config
config(void)
{
    return (struct tpm2_store_config){
        .link = {.tcti = tpm.tcti, .beat = count_command}, .path = path, .approver = approver};
}

static inline void
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

static inline void
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

static inline void
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

static inline void
drop(const char *name)
{
    char file[300];
    snprintf(file, sizeof(file), "%s.approvals/%s.json", path, name);
    assert_int_equal(unlink(file), 0);
}

/* Not signed yet; for what PCR 7 and 11 hold now. */
static inline struct tpm2_approval
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

static inline struct tpm2_file *
read_sealed(void)
{
    AUTO(buf) struct buf bytes;
    struct tpm2_file *file = NULL;
    buf_init(&bytes, TPM2_FILE_MAX);
    assert_int_equal(file_read(path, TPM2_FILE_MAX, &bytes, NULL), ATTEST_OK);
    assert_int_equal(tpm2_file_read(buf_view(&bytes), &file, NULL), ATTEST_OK);
    return file;
}

static inline uint64_t
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

static inline enum attest_rc
open_now(struct attest_error *err)
{
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    uint8_t sig[PUBKEY_SIG_LEN];
    enum attest_rc rc = tpm2_store_open(&store, &c, err);
    if (!rc) {
        assert_int_equal(tpm2_store_sign(&store, &first, NULL, (struct slice){"x", 1}, sig),
                         ATTEST_OK);
        swtpm_secrets_of(&tpm, &store);
    }
    tpm2_store_close(&store);
    return rc;
}

static inline enum attest_rc
create(void)
{
    const struct tpm2_store_config c = config();
    unlink(path);
    return tpm2_store_create(&c, "sha256:7,11", NULL);
}

static inline void
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

static inline enum attest_rc
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

static inline enum attest_rc
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

/* False when there is no swtpm or no openssl. */
static inline bool
approvals_start(void)
{
    char public_key[200];
    if (crypto_init(NULL) || !swtpm_start(&tpm) || system("command -v openssl >/dev/null") != 0) {
        fprintf(stderr, "no swtpm or no openssl here: apt-get install swtpm openssl\n");
        return false;
    }
    snprintf(path, sizeof(path), "%s/sealed.keys", tpm.dir);
    make_key(ours, "ours");
    make_key(foreign, "foreign");
    snprintf(public_key, sizeof(public_key), "%s.pub", ours);
    assert_int_equal(approver_key_public(public_key, approver, NULL), ATTEST_OK);
    return true;
}

#endif
