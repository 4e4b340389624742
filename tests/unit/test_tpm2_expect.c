/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hsm/sealing.h"
#include "hsm/tpm2_store.h"
#include "tests/support/swtpm_esys.h"

/* A file that this TPM unseals, and yet not the one that the configuration means. */

#define PIN "seal-12345678"

static struct swtpm tpm;
static char uri[600], path[192];
static const uint8_t approver[ES256_POINT_LEN] = {1}, another[ES256_POINT_LEN] = {2};

static struct keystore_config
config_of(const struct secret *pin, const uint8_t *approved_by)
{
    return (struct keystore_config){.uri = uri,
                                    .sealed_path = path,
                                    .pcrs = "sha256:0,7",
                                    .pin = pin,
                                    .approver = approved_by,
                                    .workers = 1,
                                    .queue_max = 16,
                                    .call_timeout_ms = 30000};
}

static void
make(const struct secret *pin, const uint8_t *approved_by)
{
    const struct keystore_config config = config_of(pin, approved_by);
    struct attest_error err = {0};
    unlink(path);
    if (keystore_create(&config, &err))
        fail_msg("create: %s", err.text);
}

static enum attest_rc
opens(const struct keystore_config *config, struct attest_error *err)
{
    AUTO(keystore) struct keystore *ks = NULL;
    return keystore_open(config, &ks, err);
}

static void
asks_for_the_pin(void **state)
{
    (void)state;
    struct attest_error err = {0};
    AUTO(secret) struct secret pin = secret_copy(PIN, strlen(PIN));
    const struct keystore_config with = config_of(&pin, NULL), without = config_of(NULL, NULL);
    make(NULL, NULL); /* somebody's, who has this TPM and knows what the PCRs hold */
    assert_int_equal(opens(&without, &err), ATTEST_OK);
    assert_int_equal(opens(&with, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "asks for no PIN although there is one"));
    assert_int_equal(sealing_reseal(&with, false, &err), ATTEST_E_CONFIG);
    assert_int_equal(opens(&without, &err), ATTEST_OK);
    assert_int_equal(sealing_reseal(&with, true, &err), ATTEST_OK);
    assert_int_equal(opens(&with, &err), ATTEST_OK);
    assert_int_equal(opens(&without, &err), ATTEST_E_PIN);
}

static void
names_the_approver(void **state)
{
    (void)state;
    struct attest_error err = {0};
    AUTO(secret) struct secret pin = secret_copy(PIN, strlen(PIN));
    const struct keystore_config his = config_of(NULL, approver), of_none = config_of(NULL, NULL);
    make(NULL, another);
    assert_int_equal(opens(&of_none, &err), ATTEST_OK);
    assert_int_equal(opens(&his, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "another approver"));
    assert_int_equal(sealing_reseal(&his, false, &err), ATTEST_E_CONFIG);
    make(NULL, NULL);
    assert_int_equal(opens(&his, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "without an approver"));
    make(NULL, approver);
    assert_int_equal(opens(&his, &err), ATTEST_OK);

    /* Behind a PIN it is ours, whoever may have been the approver. */
    const struct keystore_config ours = config_of(&pin, approver);
    make(&pin, another);
    assert_int_equal(opens(&ours, &err), ATTEST_E_CONFIG);
    assert_int_equal(sealing_reseal(&ours, false, &err), ATTEST_OK);
    assert_int_equal(opens(&ours, &err), ATTEST_OK);
}

static void
is_the_one_with_the_id(void **state)
{
    (void)state;
    struct attest_error err = {0};
    uint8_t id[SHA256_LEN], now[SHA256_LEN];
    struct keystore_config config = config_of(NULL, NULL);
    make(NULL, NULL);
    assert_int_equal(sealing_id(&config, id, &err), ATTEST_OK);
    config.sealed_id = id;
    assert_int_equal(opens(&config, &err), ATTEST_OK);
    assert_int_equal(sealing_reseal(&config, false, &err), ATTEST_OK);
    assert_int_equal(sealing_id(&config, now, &err), ATTEST_OK);
    assert_memory_equal(id, now, sizeof(id));
    make(NULL, NULL); /* the same in all, and yet not it */
    assert_int_equal(opens(&config, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "sealed_id"));
    assert_int_equal(sealing_reseal(&config, true, &err), ATTEST_E_CONFIG);
}

/* Something of what is secret is told, so that the bus can be searched for it. */
static int
tell(void **state)
{
    (void)state;
    const struct tpm2_store_config config = {.link = {.tcti = tpm.plain}, .path = path};
    struct tpm2_store store;
    swtpm_secret(&tpm, "pin", PIN, strlen(PIN));
    if (tpm2_store_open(&store, &config, NULL) == ATTEST_OK) {
        swtpm_secrets_of(&tpm, &store);
        tpm2_store_close(&store);
    }
    assert_int_equal(swtpm_loaded(&tpm), 0);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(asks_for_the_pin, tell),
        cmocka_unit_test_teardown(names_the_approver, tell),
        cmocka_unit_test_teardown(is_the_one_with_the_id, tell),
    };
    if (!swtpm_start(&tpm))
        return 77;
    snprintf(uri, sizeof(uri), "tpm2:%s", tpm.tcti);
    snprintf(path, sizeof(path), "%s/sealed.keys", tpm.dir);
    int failures = crypto_init(NULL) ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failures;
}
