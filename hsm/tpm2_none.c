/* SPDX-License-Identifier: MIT */
#include "hsm/keystore_impl.h"

/* Built without tpm2-tss: a keystore that is a TPM's is known as one, and refused. */

static enum attest_rc
unsupported(struct attest_error *err)
{
    return error_set(err, ATTEST_E_UNSUPPORTED, "keystore: built without TPM 2.0");
}

enum attest_rc
tpm2_keystore_open(const struct keystore_config *config, struct keystore **ret,
                   struct attest_error *err)
{
    (void)config, (void)ret;
    return unsupported(err);
}

enum attest_rc
tpm2_keystore_create(const struct keystore_config *config, struct attest_error *err)
{
    (void)config;
    return unsupported(err);
}

enum attest_rc
tpm2_sealing_status(const struct keystore_config *config, struct seal_status *ret,
                    struct attest_error *err)
{
    (void)config, (void)ret;
    return unsupported(err);
}

enum attest_rc
tpm2_sealing_reseal(const struct keystore_config *config, bool any, struct attest_error *err)
{
    (void)config, (void)any;
    return unsupported(err);
}

enum attest_rc
tpm2_sealing_id(const struct keystore_config *config, uint8_t id[SHA256_LEN],
                struct attest_error *err)
{
    (void)config, (void)id;
    return unsupported(err);
}

enum attest_rc
tpm2_sealing_pin_set(const struct keystore_config *config, const struct secret *token_pin,
                     struct attest_error *err)
{
    (void)config, (void)token_pin;
    return unsupported(err);
}

enum attest_rc
tpm2_sealing_pin_get(const struct keystore_config *config, struct secret *ret,
                     struct attest_error *err)
{
    (void)config, (void)ret;
    return unsupported(err);
}
