/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <tss2/tss2_mu.h>

#include "base/file.h"
#include "evidence/evidence.h"
#include "hsm/tpm2_ak.h"
#include "hsm/tpm2_box.h"
#include "hsm/tpm2_store.h"
#include "tests/support/leftovers.h"
#include "tests/support/swtpm_esys.h"

static struct swtpm tpm;
static char path[192];
static unsigned commands, die_at; /* the die_at'th command from here meets no TPM; 0: none */
static const struct slice key_set = {"{\"keys\":[]}", 11};

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
    return (struct tpm2_store_config){.link = {.tcti = tpm.tcti, .beat = count_command},
                                      .path = path};
}

static void
open_store(struct tpm2_store *store)
{
    const struct tpm2_store_config c = config();
    struct attest_error err = {0};
    if (tpm2_store_open(store, &c, &err))
        fail_msg("open: %s", err.text);
    swtpm_secrets_of(&tpm, store);
}

static void
fresh(struct tpm2_store *store, const char *pcrs)
{
    const struct tpm2_store_config c = config();
    struct attest_error err = {0};
    unlink(path);
    if (tpm2_store_create(&c, pcrs, &err))
        fail_msg("create: %s", err.text);
    open_store(store);
}

static struct secret
auth_of(const struct tpm2_store *store)
{
    struct secret auth = secret_new(TPM2_AUTH_VALUE_LEN);
    assert_true(tpm2_auth_value(&store->authority, TPM2_AUTH_AK, auth.p));
    swtpm_secret(&tpm, "ak", auth.p, auth.len);
    return auth;
}

/* Quotes for a nonce, and judges what comes by the reader that knows nothing of the TPM library. */
static void
quote_and_check(struct tpm2_store *store, uint8_t name[TPM_NAME_LEN], struct tpm_pcrs *pcrs)
{
    struct keystore_quote q;
    struct evidence e = {.key_set = key_set};
    struct evidence_verdict v;
    struct attest_error err = {0};
    uint8_t qualifying[SHA256_LEN];
    random_bytes(e.nonce, sizeof(e.nonce));
    evidence_qualifying(key_set, e.nonce, qualifying);
    if (tpm2_store_quote(store, qualifying, &q, &err))
        fail_msg("quote: %s", err.text);
    assert_int_equal(swtpm_loaded(&tpm), 0);
    e.quote = (struct slice){(char *)q.quote, q.quote_len};
    e.signature = (struct slice){(char *)q.signature, q.signature_len};
    e.ak_public = (struct slice){(char *)q.ak_public, q.ak_public_len};
    struct tpm_public ak;
    assert_int_equal(tpm_public_read(e.ak_public, &ak, NULL), ATTEST_OK);
    memcpy(name, ak.name, TPM_NAME_LEN);
    pcrs->chosen = q.pcrs;
    memcpy(pcrs->values, q.pcr_values, sizeof(pcrs->values));
    const struct evidence_expect expect = {name, pcrs, e.nonce};
    if (evidence_check(&e, &expect, &v, &err))
        fail_msg("%s: %s", evidence_check_name(v.failed), err.text);
    assert_int_equal(v.ak.attributes, 0x00050472);
    assert_int_equal(v.ak.policy.len, 0);
}

/* Made once, kept in the file without a new serial, and the same after whatever happens to both. */
static void
quotes_by_one_key(void **state)
{
    (void)state;
    struct tpm2_store store;
    uint8_t first[TPM_NAME_LEN], name[TPM_NAME_LEN];
    struct tpm_pcrs before, pcrs;
    fresh(&store, "sha256:0,7");
    assert_false(store.file->has_ak);
    uint64_t serial = store.file->serial;
    quote_and_check(&store, first, &before);
    assert_int_equal(before.chosen, 0x81);
    assert_true(store.file->has_ak);
    assert_int_equal(store.file->serial, serial);
    quote_and_check(&store, name, &pcrs);
    assert_memory_equal(name, first, sizeof(name));
    tpm2_store_close(&store);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    open_store(&store);
    quote_and_check(&store, name, &pcrs);
    assert_memory_equal(name, first, sizeof(name));
    assert_memory_equal(pcrs.values[7], before.values[7], SHA256_LEN);
    /* A PCR that moves while the keys are in use is shown as it is. */
    swtpm_extend(&tpm, 7);
    quote_and_check(&store, name, &pcrs);
    assert_memory_equal(pcrs.values[0], before.values[0], SHA256_LEN);
    assert_memory_not_equal(pcrs.values[7], before.values[7], SHA256_LEN);
    tpm2_store_close(&store);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    fresh(&store, "sha256:0,7");
    quote_and_check(&store, name, &pcrs);
    assert_memory_not_equal(name, first, sizeof(name));
    tpm2_store_close(&store);
}

/* Keys that only a PIN guards have no PCRs: those of the boot are quoted. */
static void
quotes_the_boot_without_pcrs(void **state)
{
    (void)state;
    struct tpm2_store store;
    uint8_t name[TPM_NAME_LEN];
    struct tpm_pcrs pcrs;
    AUTO(secret) struct secret pin = secret_copy("12345678", 8);
    struct tpm2_store_config c = config();
    c.pin = &pin;
    unlink(path);
    assert_int_equal(tpm2_store_create(&c, "", NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    swtpm_secret(&tpm, "pin", pin.p, pin.len);
    swtpm_secrets_of(&tpm, &store);
    quote_and_check(&store, name, &pcrs);
    assert_int_equal(pcrs.chosen, 0xff);
    tpm2_store_close(&store);
    swtpm_off(&tpm); /* orderly, or it would count as a wrong PIN */
    assert_true(swtpm_on(&tpm));
}

/* Without its value the TPM does not use it, and with it signs nothing that is not its own. */
static void
only_for_us_and_only_quotes(void **state)
{
    (void)state;
    struct tpm2_store store;
    uint8_t name[TPM_NAME_LEN];
    struct tpm_pcrs pcrs;
    fresh(&store, "sha256:7");
    quote_and_check(&store, name, &pcrs);
    AUTO(secret) struct secret auth = auth_of(&store), wrong = secret_new(TPM2_AUTH_VALUE_LEN);
    memset(wrong.p, 1, wrong.len);
    const struct tpm2_link_config c = {.tcti = tpm.tcti};
    struct tpm2_link *link = NULL;
    struct keystore_quote q;
    struct attest_error err = {0};
    const uint8_t data[SHA256_LEN] = {0};
    assert_int_equal(tpm2_link_open(&c, &link, &err), ATTEST_OK);
    for (int i = 0; i < 8; i++) /* more often than wrong PINs are allowed: these do not count */
        assert_int_equal(tpm2_ak_quote(link, &store.file->ak, wrong.p, 0x80, data, &q, &err),
                         ATTEST_E_PIN);
    assert_int_equal(tpm2_ak_quote(link, &store.file->ak, auth.p, 0x80, data, &q, &err), ATTEST_OK);

    TPM2B_PUBLIC public_part = {0};
    TPM2B_PRIVATE private_part = {0};
    size_t at = 0;
    const struct tpm2_sealed *ak = &store.file->ak;
    ESYS_TR key;
    assert_int_equal(
        Tss2_MU_TPM2B_PUBLIC_Unmarshal(ak->public_part, ak->public_len, &at, &public_part), 0);
    at = 0;
    assert_int_equal(
        Tss2_MU_TPM2B_PRIVATE_Unmarshal(ak->private_part, ak->private_len, &at, &private_part), 0);
    assert_int_equal(Esys_Load(link->esys, link->primary, link->session, ESYS_TR_NONE, ESYS_TR_NONE,
                               &private_part, &public_part, &key),
                     0);
    tpm2_link_keep(link, key);
    TPM2B_AUTH value = {.size = TPM2_AUTH_VALUE_LEN};
    memcpy(value.buffer, auth.p, auth.len);
    assert_int_equal(Esys_TR_SetAuth(link->esys, key, &value), 0);
    secret_wipe(&value, sizeof(value));
    const TPM2B_DIGEST digest = {.size = SHA256_LEN};
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    const TPMT_TK_HASHCHECK ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TPMT_SIGNATURE *sig = NULL;
    TSS2_RC rv = Esys_Sign(link->esys, key, link->session, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                           &scheme, &ticket, &sig);
    assert_int_equal(tpm2_rc_base(rv), TPM2_RC_TICKET);
    tpm2_link_close(link);
    assert_int_equal(swtpm_loaded(&tpm), 0);
    tpm2_store_close(&store);
}

/* A TPM that dies before any of its commands leaves a file that the next quote goes on from. */
static void
a_cut_changes_nothing(void **state)
{
    (void)state;
    struct tpm2_store store;
    uint8_t name[TPM_NAME_LEN];
    const uint8_t data[SHA256_LEN] = {0};
    struct keystore_quote q;
    struct tpm_pcrs pcrs;
    fresh(&store, "sha256:7");
    unsigned failures = 0;
    for (unsigned n = 1;; n++) {
        commands = 0;
        die_at = n;
        enum attest_rc rc = tpm2_store_quote(&store, data, &q, NULL);
        die_at = 0;
        if (tpm.pid == 0)
            assert_true(swtpm_on(&tpm));
        if (!rc)
            break;
        assert_int_equal(rc, ATTEST_E_KEY_OUT_OF_REACH);
        failures++;
    }
    assert_in_range(failures, 5, 20);
    quote_and_check(&store, name, &pcrs);
    tpm2_store_close(&store);
    open_store(&store);
    assert_true(store.file->has_ak);
    tpm2_store_close(&store);
}

/* The value that uses the key is nowhere but where it is derived. */
static void
memory_keeps_no_value(void **state)
{
    (void)state;
    struct tpm2_store store;
    uint8_t name[TPM_NAME_LEN];
    struct tpm_pcrs pcrs;
    fresh(&store, "sha256:7");
    AUTO(secret) struct secret auth = auth_of(&store);
    for (int i = 0; i < 2; i++) {
        quote_and_check(&store, name, &pcrs);
        assert_int_equal(leftovers_of(auth.p, 16), 0);
        assert_int_equal(leftovers_of(auth.p + 16, 16), 0);
        assert_int_equal(leftovers_of(store.authority.p, 16), 0);
    }
    tpm2_store_close(&store);
}

/* One that was put in its place is not loaded. */
static void
refuses_another_key(void **state)
{
    (void)state;
    struct tpm2_store store;
    struct keystore_quote q;
    struct attest_error err = {0};
    uint8_t name[TPM_NAME_LEN];
    const uint8_t data[SHA256_LEN] = {0};
    struct tpm_pcrs pcrs;
    fresh(&store, "sha256:7");
    quote_and_check(&store, name, &pcrs);
    struct tpm2_sealed good = store.file->ak;
    store.file->ak.private_part[good.private_len - 1] ^= 1;
    assert_int_equal(tpm2_store_quote(&store, data, &q, &err), ATTEST_E_CORRUPT);
    store.file->ak = good;
    store.file->ak.public_part[7] ^= 0x01; /* no longer restricted */
    assert_int_equal(tpm2_store_quote(&store, data, &q, &err), ATTEST_E_CORRUPT);
    store.file->ak = store.file->sealed; /* not even a key */
    assert_int_equal(tpm2_store_quote(&store, data, &q, &err), ATTEST_E_CORRUPT);
    store.file->ak = good;
    assert_int_equal(tpm2_store_quote(&store, data, &q, &err), ATTEST_OK);
    assert_int_equal(swtpm_loaded(&tpm), 0);
    tpm2_store_close(&store);
}

int
main(void)
{
    secret_wipe_freed();
    if (crypto_init(NULL) || !swtpm_start(&tpm)) {
        fprintf(stderr, "no swtpm here: apt-get install swtpm\n");
        return 77;
    }
    snprintf(path, sizeof(path), "%s/sealed.keys", tpm.dir);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_by_one_key),
        cmocka_unit_test(quotes_the_boot_without_pcrs),
        cmocka_unit_test(only_for_us_and_only_quotes),
        cmocka_unit_test(a_cut_changes_nothing),
        cmocka_unit_test(memory_keeps_no_value),
        cmocka_unit_test(refuses_another_key),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
