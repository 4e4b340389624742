/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <tss2/tss2_mu.h>

#include "base/ed25519.h"
#include "base/file.h"
#include "hsm/tpm2_seal.h"
#include "tests/support/leftovers.h"
#include "tests/support/need.h"
#include "tests/support/swtpm_esys.h"

static struct swtpm tpm;
static struct secret right, wrong;

static struct tpm2_link *
open_link(const char *tcti)
{
    struct tpm2_link_config config = {.tcti = tcti};
    struct tpm2_link *link = NULL;
    struct attest_error err = {0};
    if (tpm2_link_open(&config, &link, &err))
        fail_msg("open: %s", err.text);
    return link;
}

static struct tpm2_policy
policy_now(struct tpm2_link *link, const char *pcrs, bool auth)
{
    struct tpm2_policy policy = {.auth = auth};
    struct attest_error err = {0};
    if (tpm2_pcrs_parse(pcrs, &policy.pcrs, &err) ||
        tpm2_pcrs_read(link, policy.pcrs, policy.values, &err))
        fail_msg("pcrs: %s", err.text);
    return policy;
}

static void
seal(struct tpm2_link *link, const struct tpm2_policy *policy, const struct secret *secret,
     struct tpm2_sealed *ret)
{
    struct attest_error err = {0};
    swtpm_secret(&tpm, "sealed", secret->p, secret->len);
    if (tpm2_seal(link, policy, policy->auth ? &right : NULL, secret, ret, &err))
        fail_msg("seal: %s", err.text);
}

static enum attest_rc
unseal(const struct tpm2_policy *policy, const struct secret *auth,
       const struct tpm2_sealed *sealed, struct secret *ret, struct attest_error *err)
{
    AUTO(tpm2_link) struct tpm2_link *link = open_link(tpm.tcti);
    return tpm2_unseal(link, policy, auth, sealed, ret, err);
}

static void
reads_the_choice_of_pcrs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum attest_rc rc;
        uint32_t pcrs;
    } cases[] = {
        {"", ATTEST_OK, 0},
        {"sha256:0,2,7,11", ATTEST_OK, 0x885},
        {"sha256:23", ATTEST_OK, 0x800000},
        {"sha256:", ATTEST_E_CONFIG, 0},
        {"sha256:24", ATTEST_E_CONFIG, 0},
        {"sha256:7,0", ATTEST_E_CONFIG, 0},
        {"sha256:7,7", ATTEST_E_CONFIG, 0},
        {"sha256:07", ATTEST_E_CONFIG, 0},
        {"sha256:7,", ATTEST_E_CONFIG, 0},
        {"sha256:7 ", ATTEST_E_CONFIG, 0},
        {"sha256:4294967296", ATTEST_E_CONFIG, 0},
        {"sha1:7", ATTEST_E_CONFIG, 0},
        {"7", ATTEST_E_CONFIG, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t pcrs = 0;
        assert_int_equal(tpm2_pcrs_parse(cases[i].text, &pcrs, NULL), cases[i].rc);
        assert_int_equal(pcrs, cases[i].pcrs);
    }
}

static void
gives_back_what_was_sealed(void **state)
{
    (void)state;
    static const struct {
        const char *pcrs;
        bool auth;
    } cases[] = {
        {"sha256:0,2,7,11", true}, {"sha256:0,1,2,3,4,5,6,7,8,9,10,11,12,23", false}, {"", true}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(secret) struct secret secret = secret_new(32);
        random_bytes(secret.p, 32);
        struct tpm2_sealed sealed;
        struct tpm2_link *link = open_link(tpm.tcti);
        struct tpm2_policy policy = policy_now(link, cases[i].pcrs, cases[i].auth);
        seal(link, &policy, &secret, &sealed);
        tpm2_link_close(link);
        assert_int_equal(swtpm_loaded(&tpm), 0);
        swtpm_off(&tpm);
        assert_true(swtpm_on(&tpm));
        for (int again = 0; again < 3; again++) {
            AUTO(secret) struct secret back = {0};
            struct attest_error err = {0};
            if (unseal(&policy, cases[i].auth ? &right : NULL, &sealed, &back, &err))
                fail_msg("unseal: %s", err.text);
            assert_true(secret_eq(back.p, back.len, secret.p, secret.len));
            assert_int_equal(swtpm_loaded(&tpm), 0);
        }
    }
}

static void
asks_for_some_policy(void **state)
{
    (void)state;
    struct tpm2_policy policy = {0};
    struct tpm2_sealed sealed;
    AUTO(secret) struct secret secret = secret_new(32);
    AUTO(tpm2_link) struct tpm2_link *link = open_link(tpm.tcti);
    assert_int_equal(tpm2_seal(link, &policy, NULL, &secret, &sealed, NULL), ATTEST_E_ARGUMENT);
    policy.auth = true;
    assert_int_equal(tpm2_seal(link, &policy, NULL, &secret, &sealed, NULL), ATTEST_E_PIN);
}

static void
names_the_pcr_that_moved(void **state)
{
    (void)state;
    AUTO(secret) struct secret secret = secret_new(32), back = {0};
    random_bytes(secret.p, 32);
    struct tpm2_sealed sealed;
    struct tpm2_link *link = open_link(tpm.tcti);
    struct tpm2_policy policy = policy_now(link, "sha256:0,2,7,11", true);
    seal(link, &policy, &secret, &sealed);
    tpm2_link_close(link);
    struct attest_error err = {0};
    swtpm_extend(&tpm, 8); /* not one of them */
    assert_int_equal(unseal(&policy, &right, &sealed, &back, &err), ATTEST_OK);
    secret_free(&back);
    swtpm_extend(&tpm, 7);
    assert_int_equal(unseal(&policy, &right, &sealed, &back, &err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "PCR 7 "));
    swtpm_extend(&tpm, 2);
    assert_int_equal(unseal(&policy, &right, &sealed, &back, &err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "PCR 2, 7 "));
    /* Values that say otherwise help nobody: it is another policy than the sealed one. */
    link = open_link(tpm.tcti);
    struct tpm2_policy now = policy_now(link, "sha256:0,2,7,11", true);
    tpm2_link_close(link);
    assert_int_equal(unseal(&now, &right, &sealed, &back, &err), ATTEST_E_CORRUPT);
    struct tpm2_policy less = {.auth = true};
    assert_int_equal(unseal(&less, &right, &sealed, &back, &err), ATTEST_E_CORRUPT);
    assert_null(back.p);
    assert_int_equal(swtpm_loaded(&tpm), 0);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    assert_int_equal(unseal(&policy, &right, &sealed, &back, &err), ATTEST_OK);
}

/* The TPM itself refuses, not only our look at the values before. */
static void
the_tpm_refuses_by_itself(void **state)
{
    (void)state;
    AUTO(secret) struct secret secret = secret_new(32);
    random_bytes(secret.p, 32);
    struct tpm2_sealed sealed;
    struct tpm2_link *link = open_link(tpm.tcti);
    struct tpm2_policy policy = policy_now(link, "sha256:7", false);
    seal(link, &policy, &secret, &sealed);
    tpm2_link_close(link);
    link = open_link(tpm.plain); /* to ask for it unencrypted */
    TPM2B_PUBLIC public_part = {0};
    TPM2B_PRIVATE private_part = {0};
    size_t at = 0, end = 0;
    assert_int_equal(
        Tss2_MU_TPM2B_PUBLIC_Unmarshal(sealed.public_part, sealed.public_len, &at, &public_part),
        0);
    assert_int_equal(Tss2_MU_TPM2B_PRIVATE_Unmarshal(sealed.private_part, sealed.private_len, &end,
                                                     &private_part),
                     0);
    ESYS_TR object, session;
    assert_int_equal(Esys_Load(link->esys, link->primary, link->session, ESYS_TR_NONE, ESYS_TR_NONE,
                               &private_part, &public_part, &object),
                     0);
    tpm2_link_keep(link, object);
    TPM2B_SENSITIVE_DATA *data = NULL;
    /* By its (empty) authorization value alone: userWithAuth is clear. */
    TSS2_RC rv = Esys_Unseal(link->esys, object, link->session, ESYS_TR_NONE, ESYS_TR_NONE, &data);
    assert_int_equal(tpm2_rc_base(rv), TPM2_RC_AUTH_UNAVAILABLE);
    rv = Esys_Unseal(link->esys, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &data);
    assert_int_equal(tpm2_rc_base(rv), TPM2_RC_AUTH_UNAVAILABLE);
    /* By a policy session that did nothing. */
    assert_int_equal(tpm2_link_session(link, TPM2_SE_POLICY, &session), 0);
    rv = Esys_Unseal(link->esys, object, session, ESYS_TR_NONE, ESYS_TR_NONE, &data);
    assert_int_equal(tpm2_error(NULL, "", rv), ATTEST_E_DENIED);
    tpm2_link_close(link);
    assert_int_equal(swtpm_loaded(&tpm), 0);
}

static void
refuses_what_is_damaged(void **state)
{
    (void)state;
    AUTO(secret) struct secret secret = secret_new(32), back = {0};
    random_bytes(secret.p, 32);
    struct tpm2_sealed sealed, bad;
    struct attest_error err = {0};
    AUTO(tpm2_link) struct tpm2_link *link = open_link(tpm.tcti);
    struct tpm2_policy policy = policy_now(link, "sha256:0", true);
    seal(link, &policy, &secret, &sealed);
    for (size_t i = 0; i < sealed.private_len; i += 5) {
        bad = sealed;
        bad.private_part[i] ^= 1;
        assert_int_not_equal(tpm2_unseal(link, &policy, &right, &bad, &back, &err), ATTEST_OK);
    }
    for (size_t i = 0; i < sealed.public_len; i += 3) {
        bad = sealed;
        bad.public_part[i] ^= 1;
        assert_int_not_equal(tpm2_unseal(link, &policy, &right, &bad, &back, &err), ATTEST_OK);
    }
    for (size_t len = 0; len < sealed.private_len; len += 7) {
        bad = sealed;
        bad.private_len = len;
        assert_int_equal(tpm2_unseal(link, &policy, &right, &bad, &back, &err), ATTEST_E_CORRUPT);
    }
    assert_null(back.p);
    assert_int_equal(tpm2_unseal(link, &policy, &right, &sealed, &back, &err), ATTEST_OK);
}

static bool
holds(struct slice all, const uint8_t *p, size_t len)
{
    return memmem(all.p, all.len, p, len) != NULL;
}

/* What swtpm_stop() looks through at the end is what crossed the bus, so far as it may be seen. */
static void
the_bus_is_written_down(void **state)
{
    (void)state;
    char file[192];
    snprintf(file, sizeof(file), "%s/bus.log", tpm.dir);
    AUTO(secret) struct secret secret = secret_new(32), back = {0};
    random_bytes(secret.p, 32);
    struct tpm2_sealed sealed;
    struct attest_error err = {0};
    struct tpm2_link *link = open_link(tpm.tcti);
    struct tpm2_policy policy = policy_now(link, "sha256:0,7", true);
    seal(link, &policy, &secret, &sealed);
    assert_int_equal(tpm2_unseal(link, &policy, &right, &sealed, &back, &err), ATTEST_OK);
    tpm2_link_close(link);
    AUTO(buf) struct buf all;
    buf_init(&all, 16 << 20);
    assert_int_equal(file_read(file, 16 << 20, &all, &err), ATTEST_OK);
    assert_true(holds(buf_view(&all), policy.values[7], SHA256_LEN));
    assert_true(holds(buf_view(&all), sealed.public_part, sealed.public_len));
    assert_false(holds(buf_view(&all), secret.p, 8));
}

static void
memory_keeps_no_copy(void **state)
{
    (void)state;
    AUTO(secret) struct secret back = {0};
    struct tpm2_sealed sealed;
    struct attest_error err = {0};
    struct tpm2_link *link = open_link(tpm.tcti);
    struct tpm2_policy policy = policy_now(link, "sha256:0", true);
    AUTO(secret) struct secret secret = {0};
    assert_int_equal(tpm2_random(link, &secret, 32, &err), ATTEST_OK);
    assert_int_equal(leftovers_of(secret.p, 16), 0);
    seal(link, &policy, &secret, &sealed);
    tpm2_link_close(link);
    assert_int_equal(leftovers_of(secret.p, 16), 0);
    assert_int_equal(leftovers_of(secret.p + 16, 16), 0);
    secret_free(&secret);
    assert_int_equal(unseal(&policy, &right, &sealed, &back, &err), ATTEST_OK);
    assert_int_equal(leftovers_of(back.p, 16), 0);
    assert_int_equal(leftovers_of(back.p + 16, 16), 0);
    assert_int_equal(leftovers_of(right.p, right.len), 0);
}

/* What others read in the sealed object is the policy that we claim, and no way around it. */
static void
tpm2_tools_see_the_policy(void **state)
{
    (void)state;
    AUTO(secret) struct secret secret = secret_new(32);
    random_bytes(secret.p, 32);
    struct tpm2_sealed sealed;
    AUTO(tpm2_link) struct tpm2_link *link = open_link(tpm.tcti);
    struct tpm2_policy policy = policy_now(link, "sha256:0,2,7,11", true);
    seal(link, &policy, &secret, &sealed);
    char path[192], command[256], text[2048], hex[2 * SHA256_LEN + 1], wanted[128];
    snprintf(path, sizeof(path), "%s/sealed.pub", tpm.dir);
    const struct slice bytes = {(const char *)sealed.public_part, sealed.public_len};
    assert_int_equal(file_replace(path, 0600, bytes, NULL), ATTEST_OK);
    snprintf(command, sizeof(command), "tpm2_print -t TPM2B_PUBLIC %s", path);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    text[fread(text, 1, sizeof(text) - 1, out)] = 0;
    assert_int_equal(pclose(out), 0);
    uint8_t digest[SHA256_LEN];
    tpm2_policy_digest(&policy, digest);
    hex_encode(hex, digest, sizeof(digest));
    snprintf(wanted, sizeof(wanted), "authorization policy: %s", hex);
    assert_non_null(strstr(text, wanted));
    assert_non_null(strstr(text, "value: fixedtpm|fixedparent\n"));
    assert_non_null(strstr(text, "value: keyedhash"));
}

/* Last: it locks this TPM. */
static void
wrong_values_are_counted(void **state)
{
    (void)state;
    AUTO(secret) struct secret secret = secret_new(32), back = {0};
    random_bytes(secret.p, 32);
    struct tpm2_sealed sealed;
    struct attest_error err = {0};
    struct tpm2_link *link = open_link(tpm.tcti);
    struct tpm2_policy policy = policy_now(link, "", true);
    seal(link, &policy, &secret, &sealed);
    tpm2_link_close(link);
    int tries = 0;
    do {
        assert_int_equal(unseal(&policy, &wrong, &sealed, &back, &err), ATTEST_E_PIN);
        assert_null(back.p);
    } while (!strstr(err.text, "lockout") && ++tries < 100);
    assert_in_range(tries, 1, 40);
    assert_int_equal(unseal(&policy, &right, &sealed, &back, &err), ATTEST_E_PIN);
    assert_non_null(strstr(err.text, "lockout after "));
    assert_non_null(strstr(err.text, "one more try after "));
    assert_int_equal(swtpm_loaded(&tpm), 0);
}

int
main(void)
{
    secret_wipe_freed();
    need_program("tpm2_print", "tpm2-tools");
    if (crypto_init(NULL) || !swtpm_start(&tpm)) {
        fprintf(stderr, "no swtpm here: apt-get install swtpm\n");
        return 77;
    }
    right = secret_new(20);
    random_bytes(right.p, right.len);
    right.p[right.len - 1] |= 1; /* a TPM drops zeros at the end */
    wrong = secret_copy("not the right value", 19);
    swtpm_secret(&tpm, "right", right.p, right.len);
    swtpm_secret(&tpm, "wrong", wrong.p, wrong.len);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_choice_of_pcrs),  cmocka_unit_test(gives_back_what_was_sealed),
        cmocka_unit_test(asks_for_some_policy),      cmocka_unit_test(names_the_pcr_that_moved),
        cmocka_unit_test(the_tpm_refuses_by_itself), cmocka_unit_test(refuses_what_is_damaged),
        cmocka_unit_test(the_bus_is_written_down),   cmocka_unit_test(memory_keeps_no_copy),
        cmocka_unit_test(tpm2_tools_see_the_policy), cmocka_unit_test(wrong_values_are_counted),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    secret_free(&right);
    secret_free(&wrong);
    swtpm_stop(&tpm);
    return failed;
}
