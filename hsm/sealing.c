/* SPDX-License-Identifier: MIT */
#include "hsm/sealing.h"

#include <string.h>

#include "hsm/keystore_impl.h"

/* A TPM's keystore, and where its file is. */
static enum attest_rc
check(const struct keystore_config *config, struct attest_error *err)
{
    if (!config->uri || strncmp(config->uri, TPM2_SCHEME, strlen(TPM2_SCHEME)) != 0)
        return error_set(err, ATTEST_E_UNSUPPORTED, "the keystore is no TPM: \"tpm2:TCTI\"");
    if (!config->sealed_path || !config->sealed_path[0])
        return error_set(err, ATTEST_E_CONFIG, "no path for the file of sealed keys");
    return ATTEST_OK;
}

enum attest_rc
sealing_status(const struct keystore_config *config, struct seal_status *ret,
               struct attest_error *err)
{
    enum attest_rc rc = check(config, err);
    return rc ? rc : tpm2_sealing_status(config, ret, err);
}

enum attest_rc
sealing_reseal(const struct keystore_config *config, bool any, struct attest_error *err)
{
    enum attest_rc rc = check(config, err);
    return rc ? rc : tpm2_sealing_reseal(config, any, err);
}

enum attest_rc
sealing_id(const struct keystore_config *config, uint8_t id[SHA256_LEN], struct attest_error *err)
{
    enum attest_rc rc = check(config, err);
    return rc ? rc : tpm2_sealing_id(config, id, err);
}

enum attest_rc
sealing_pin_set(const struct keystore_config *config, const struct secret *token_pin,
                struct attest_error *err)
{
    enum attest_rc rc = check(config, err);
    return rc ? rc : tpm2_sealing_pin_set(config, token_pin, err);
}

enum attest_rc
sealing_pin_get(const struct keystore_config *config, struct secret *ret, struct attest_error *err)
{
    enum attest_rc rc = check(config, err);
    return rc ? rc : tpm2_sealing_pin_get(config, ret, err);
}
