/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/ed25519.h"
#include "hsm/tpm2_slots.h"
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

static TSS2_RC
load_one(ESYS_CONTEXT *esys)
{
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
    ESYS_TR key;
    return Esys_CreatePrimary(esys, ESYS_TR_RH_NULL, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                              &sensitive, &template, &outside, &pcrs, &key, NULL, NULL, NULL, NULL);
}

static TSS2_RC
begin_one(ESYS_CONTEXT *esys)
{
    const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
    ESYS_TR session;
    return Esys_StartAuthSession(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                 ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &none, TPM2_ALG_SHA256,
                                 &session);
}

/* All that there is room for, which nobody will flush. */
static unsigned
fill(ESYS_CONTEXT *esys)
{
    unsigned n = 0;
    while (load_one(esys) == TSS2_RC_SUCCESS)
        n++;
    while (begin_one(esys) == TSS2_RC_SUCCESS)
        n++;
    return n;
}

/* Somebody who was killed has left no room, and no resource manager clears up behind him. */
static void
flushes_what_the_dead_left_behind(void **state)
{
    (void)state;
    struct swtpm_direct d = swtpm_connect(&tpm);
    assert_true(fill(d.esys) >= 4);
    swtpm_disconnect(&d);
    struct tpm2_link_config config = {.tcti = tpm.tcti};
    tpm2_link_close(open_link(&config));
    assert_int_equal(swtpm_loaded(&tpm), 0);
}

/* With one others are at the TPM: it is waited for, and nothing is taken from them. */
static void
leaves_others_behind_a_resource_manager_alone(void **state)
{
    (void)state;
    struct tpm2_link_config config = {.tcti = tpm.tcti};
    AUTO(secret) struct secret random = {0};
    struct tpm2_link *link = open_link(&config);
    assert_true(fill(link->esys) >= 2);
    const struct swtpm_direct d = {link->tcti, link->esys};
    unsigned full = swtpm_count(&d, 0x80000000U) + swtpm_count(&d, 0x02000000U);
    link->config.tcti = "device:/dev/tpmrm0";
    TSS2_RC rv = TPM2_CALL(link, load_one(link->esys));
    assert_int_equal(tpm2_error(NULL, "", rv), ATTEST_E_KEY_OUT_OF_REACH);
    assert_int_equal(tpm2_rc_base(rv), TPM2_RC_OBJECT_MEMORY);
    assert_int_equal(swtpm_count(&d, 0x80000000U) + swtpm_count(&d, 0x02000000U), full);
    /* And without one: all but what is this link's. */
    link->config.tcti = tpm.tcti;
    assert_int_equal(TPM2_CALL(link, load_one(link->esys)), TSS2_RC_SUCCESS);
    assert_int_equal(swtpm_count(&d, 0x80000000U) + swtpm_count(&d, 0x02000000U), 3);
    assert_int_equal(tpm2_random(link, &random, 32, NULL), ATTEST_OK);
    tpm2_link_close(link);
    swtpm_off(&tpm);
    assert_true(swtpm_on(&tpm));
}

static void
knows_where_there_is_no_resource_manager(void **state)
{
    (void)state;
    static const struct {
        const char *tcti;
        bool bare;
    } cases[] = {
        {"device:/dev/tpm0", true},    {"libtss2-tcti-device.so.0:/dev/tpm1", true},
        {"swtpm:port=2321", true},     {"mssim", true},
        {"device:/dev/tpmrm0", false}, {"device", false},
        {"device:/dev/tpm", false},    {"tabrmd:bus_type=session", false},
        {"cmd:ssh host tpm", false},   {"tabrmd:bus_name=com.example.swtpm", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(tpm2_slots_bare(cases[i].tcti), cases[i].bare);
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
        cmocka_unit_test(flushes_what_the_dead_left_behind),
        cmocka_unit_test(leaves_others_behind_a_resource_manager_alone),
        cmocka_unit_test(knows_where_there_is_no_resource_manager),
        cmocka_unit_test(takes_the_password_of_the_owner),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
