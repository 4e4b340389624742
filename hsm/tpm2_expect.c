/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_expect.h"

#include <string.h>

bool
tpm2_sealed_id(const struct secret *authority, uint8_t id[SHA256_LEN])
{
    return tpm2_auth_value(authority, TPM2_AUTH_ID, id);
}

static enum attest_rc
expect_pin(const struct tpm2_store_config *config, const struct tpm2_file *file,
           struct attest_error *err)
{
    bool given = config->pin && config->pin->len > 0;
    if (!given || file->policy.auth || config->change == TPM2_CHANGE_ANY)
        return ATTEST_OK;
    return error_set(err, ATTEST_E_CONFIG,
                     "%.60s: asks for no PIN although there is one, so others could have made it; "
                     "if you did, attestctl hsm reseal --force",
                     config->path);
}

static enum attest_rc
expect_approver(const struct tpm2_store_config *config, const struct tpm2_file *file,
                struct attest_error *err)
{
    const struct tpm2_policy *policy = &file->policy;
    bool known = config->change != TPM2_CHANGE_NONE && policy->auth; /* by the PIN it is ours */
    if (!config->approver || known || config->change == TPM2_CHANGE_ANY ||
        (policy->approved &&
         !memcmp(policy->approver.point, config->approver, sizeof(policy->approver.point))))
        return ATTEST_OK;
    return error_set(err, ATTEST_E_CONFIG, "%.60s: sealed %s; attestctl hsm reseal", config->path,
                     policy->approved ? "with another approver than the configured one"
                                      : "without an approver although one is configured");
}

enum attest_rc
tpm2_expect(const struct tpm2_store_config *config, const struct tpm2_file *file,
            const struct secret *authority, struct attest_error *err)
{
    uint8_t id[SHA256_LEN];
    enum attest_rc rc = expect_pin(config, file, err);
    if (rc || (rc = expect_approver(config, file, err)) || !config->sealed_id)
        return rc;
    if (!tpm2_sealed_id(authority, id))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    if (memcmp(id, config->sealed_id, sizeof(id)) != 0)
        return error_set(err, ATTEST_E_CONFIG, "%s: not the file that sealed_id names",
                         config->path);
    return ATTEST_OK;
}
