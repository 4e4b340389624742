/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/ed25519.h"
#include "hsm/tpm2_link.h"
#include "tests/support/leftovers.h"
#include "tests/support/swtpm_esys.h"

static struct swtpm tpm;

static struct tpm2_link *
open_link(const struct tpm2_link_config *config)
{
    struct tpm2_link *link = NULL;
    struct attest_error err = {0};
    if (tpm2_link_open(config, &link, &err))
        fail_msg("open: %s", err.text);
    return link;
}

static void
opens_and_leaves_nothing_behind(void **state)
{
    (void)state;
    uint8_t name[TPM2_NAME_LEN];
    for (int i = 0; i < 5; i++) { /* the slots of a TPM are three */
        struct tpm2_link_config config = {.tcti = tpm.tcti, .primary_name = i ? name : NULL};
        struct tpm2_link *link = open_link(&config);
        if (i > 0)
            assert_memory_equal(name, link->primary_name, TPM2_NAME_LEN);
        memcpy(name, link->primary_name, TPM2_NAME_LEN);
        tpm2_link_close(link);
        assert_int_equal(swtpm_loaded(&tpm), 0);
    }
    /* The same key after a power cycle: nothing of it is kept anywhere. */
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    struct tpm2_link_config config = {.tcti = tpm.tcti, .primary_name = name};
    tpm2_link_close(open_link(&config));
}

static void
refuses_another_primary(void **state)
{
    (void)state;
    uint8_t name[TPM2_NAME_LEN] = {0, 0x0b};
    struct tpm2_link_config config = {.tcti = tpm.tcti, .primary_name = name};
    struct tpm2_link *link = NULL;
    struct attest_error err = {0};
    assert_int_equal(tpm2_link_open(&config, &link, &err), ATTEST_E_DENIED);
    assert_null(link);
    assert_non_null(strstr(err.text, "another name"));
    assert_int_equal(swtpm_loaded(&tpm), 0);
}

static void
says_what_is_not_there(void **state)
{
    (void)state;
    static const struct {
        const char *tcti;
        enum attest_rc rc;
    } cases[] = {
        {NULL, ATTEST_E_CONFIG},
        {"", ATTEST_E_CONFIG},
        {"swtpm:host=127.0.0.1,port=1", ATTEST_E_KEY_OUT_OF_REACH},
        {"device:/nowhere/tpm0", ATTEST_E_KEY_OUT_OF_REACH},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tpm2_link_config config = {.tcti = cases[i].tcti};
        struct tpm2_link *link = NULL;
        struct attest_error err = {0};
        assert_int_equal(tpm2_link_open(&config, &link, &err), cases[i].rc);
        assert_true(err.text[0]);
    }
}

static void
every_bit_of_both_generators_counts(void **state)
{
    (void)state;
    uint8_t both[2 * SHA256_LEN], plain[SHA256_LEN], other[SHA256_LEN];
    random_bytes(both, sizeof(both));
    tpm2_random_mix(both, plain);
    for (size_t i = 0; i < 8 * sizeof(both); i++) {
        both[i / 8] ^= (uint8_t)(1 << i % 8);
        tpm2_random_mix(both, other);
        assert_memory_not_equal(other, plain, sizeof(plain));
        both[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    tpm2_random_mix(both, other);
    assert_memory_equal(other, plain, sizeof(plain));
}

/* In place of the kernel's, a generator that always gives the same, and counts what it gives. */
static size_t given;

static const char *
constant_name(void)
{
    return "constant";
}

static void
constant_give(void *const p, const size_t len)
{
    memset(p, 0x5a, len);
    given += len;
}

static uint32_t
constant_give_word(void)
{
    given += sizeof(uint32_t);
    return 0x5a5a5a5a;
}

static void
random_takes_from_both(void **state)
{
    (void)state;
    struct tpm2_link_config config = {.tcti = tpm.tcti};
    AUTO(tpm2_link) struct tpm2_link *link = open_link(&config);
    AUTO(secret) struct secret a = {0}, b = {0};
    struct randombytes_implementation constant = {
        .implementation_name = constant_name, .random = constant_give_word, .buf = constant_give};
    assert_int_equal(randombytes_set_implementation(&constant), 0);
    enum attest_rc first = tpm2_random(link, &a, 32, NULL),
                   second = tpm2_random(link, &b, 32, NULL);
    assert_int_equal(randombytes_set_implementation(&randombytes_sysrandom_implementation), 0);
    assert_int_equal(first, ATTEST_OK);
    assert_int_equal(second, ATTEST_OK);
    assert_int_equal(given, 2 * SHA256_LEN);
    assert_false(secret_eq(a.p, a.len, b.p, b.len)); /* by what the TPM gave */
    swtpm_secret(&tpm, "random", a.p, a.len);
    swtpm_secret(&tpm, "random", b.p, b.len);
}

static void
random_is_not_the_same_twice(void **state)
{
    (void)state;
    struct tpm2_link_config config = {.tcti = tpm.tcti};
    AUTO(tpm2_link) struct tpm2_link *link = open_link(&config);
    AUTO(secret) struct secret a = {0}, b = {0};
    assert_int_equal(tpm2_random(link, &a, 32, NULL), ATTEST_OK);
    assert_int_equal(tpm2_random(link, &b, 32, NULL), ATTEST_OK);
    swtpm_secret(&tpm, "random", a.p, a.len);
    swtpm_secret(&tpm, "random", b.p, b.len);
    assert_false(secret_eq(a.p, a.len, b.p, b.len));
    assert_int_equal(tpm2_random(link, &b, 33, NULL), ATTEST_E_ARGUMENT);
}

/* Somebody in the bus changes one answer: what the TPM holds for us is flushed all the same. */
static void
leaves_nothing_behind_an_altered_answer(void **state)
{
    (void)state;
    struct tpm2_link_config config = {.tcti = tpm.tcti};
    for (int i = 0; i < 3; i++) { /* two handles a time, and the slots of a TPM are three */
        AUTO(secret) struct secret random = {0};
        struct tpm2_link *link = open_link(&config);
        ESYS_TR policy = ESYS_TR_NONE;
        assert_int_equal(tpm2_link_session(link, TPM2_SE_POLICY, &policy), TSS2_RC_SUCCESS);
        swtpm_alter(&tpm, 1);
        assert_int_equal(tpm2_random(link, &random, 32, NULL), ATTEST_E_KEY_OUT_OF_REACH);
        tpm2_link_drop(link, &policy);
        tpm2_link_close(link);
        assert_int_equal(swtpm_loaded(&tpm), 0);
    }
}

/* Someone else holds all slots, and gives them up only when it ends: 0x902 all along. */
static void
gives_up_when_the_slots_stay_taken(void **state)
{
    (void)state;
    struct swtpm_direct d = swtpm_connect(&tpm);
    const TPM2B_SENSITIVE_CREATE sensitive = {0};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    const TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_KEYEDHASH,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_SIGN_ENCRYPT |
                                           TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                           TPMA_OBJECT_USERWITHAUTH,
                       .parameters.keyedHashDetail.scheme = {
                           .scheme = TPM2_ALG_HMAC, .details.hmac.hashAlg = TPM2_ALG_SHA256}}};
    unsigned taken = 0;
    for (ESYS_TR key; Esys_CreatePrimary(d.esys, ESYS_TR_RH_NULL, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                         ESYS_TR_NONE, &sensitive, &template, &outside, &pcrs, &key,
                                         NULL, NULL, NULL, NULL) == TSS2_RC_SUCCESS;)
        taken++;
    assert_true(taken > 0);
    swtpm_disconnect(&d);
    struct tpm2_link_config config = {.tcti = tpm.tcti};
    struct tpm2_link *link = NULL;
    struct attest_error err = {0};
    assert_int_equal(tpm2_link_open(&config, &link, &err), ATTEST_E_KEY_OUT_OF_REACH);
    assert_non_null(strstr(err.text, "out of memory for object contexts"));
    assert_int_equal(swtpm_loaded(&tpm), taken);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
    assert_int_equal(swtpm_loaded(&tpm), 0);
}

/* In a process of its own, which leaves copies of the password where it likes. */
static void
swtpm_own_elsewhere(const char *password)
{
    int status = 1;
    pid_t pid = fork();
    if (pid == 0) {
        swtpm_own(&tpm, password);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Last: the TPM of this test has an owner from here on. */
static void
takes_the_password_of_the_owner(void **state)
{
    (void)state;
    swtpm_own_elsewhere("landlord");
    AUTO(secret) struct secret right = secret_copy("landlord", 8);
    AUTO(secret) struct secret wrong = secret_copy("squatter", 8);
    swtpm_secret(&tpm, "owner", right.p, right.len);
    swtpm_secret(&tpm, "not-owner", wrong.p, wrong.len);
    struct tpm2_link_config config = {.tcti = tpm.tcti};
    struct tpm2_link *link = NULL;
    struct attest_error err = {0};
    assert_int_equal(tpm2_link_open(&config, &link, &err), ATTEST_E_PIN);
    assert_int_equal(swtpm_loaded(&tpm), 0);
    config.owner_auth = &wrong;
    assert_int_equal(tpm2_link_open(&config, &link, &err), ATTEST_E_PIN);
    assert_non_null(strstr(err.text, "owner"));
    assert_int_equal(swtpm_loaded(&tpm), 0);
    config.owner_auth = &right;
    link = open_link(&config);
    assert_int_equal(tpm2_link_owner(link), 0);
    tpm2_link_forget(link, link->session);
    tpm2_link_close(link);
    assert_int_equal(swtpm_loaded(&tpm), 0);
    assert_int_equal(leftovers_of(right.p, right.len), 0);
    assert_int_equal(leftovers_of(wrong.p, wrong.len), 0);
}

int
main(void)
{
    secret_wipe_freed();
    if (crypto_init(NULL) || !swtpm_start(&tpm)) {
        fprintf(stderr, "no swtpm here: apt-get install swtpm\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_leaves_nothing_behind),
        cmocka_unit_test(refuses_another_primary),
        cmocka_unit_test(says_what_is_not_there),
        cmocka_unit_test(every_bit_of_both_generators_counts),
        cmocka_unit_test(random_takes_from_both),
        cmocka_unit_test(random_is_not_the_same_twice),
        cmocka_unit_test(leaves_nothing_behind_an_altered_answer),
        cmocka_unit_test(gives_up_when_the_slots_stay_taken),
        cmocka_unit_test(takes_the_password_of_the_owner),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
