/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "admin/answer.h"
#include "admin/sealed.h"
#include "base/jsondoc.h"

static const char *
advice_for(enum attest_rc rc)
{
    switch (rc) {
    case ATTEST_E_ARGUMENT:
        return "set pcrs in attest-signer.yaml, give --pin-file, or both";
    case ATTEST_E_KEY_OUT_OF_REACH:
        return "without a resource manager one program at a time can use the TPM";
    default:
        return NULL;
    }
}

static enum exit_status
print_sealed(const struct options *o, const struct sealed *keys, const char *pcrs, const char *done,
             const char *note)
{
    bool pin = keys->pin.len > 0;
    struct attest_error err = {0};
    uint8_t id[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    /* And so they open. A PIN that is sealed needs no id: it is the token that tells a wrong one.
     */
    if (sealing_id(&keys->config, id, &err))
        return report(o, &err, NULL);
    hex_encode(hex, id, sizeof(id));
    if (o->json) {
        AUTO(json_t)
        json_t *object = json_pack("{s:s, s:s, s:b, s:s*}", "sealed_keys", keys->path, "pcrs", pcrs,
                                   "pin", pin, "sealed_id", keys->holds_keys ? hex : NULL);
        return print_json(object);
    }
    printf("%s %s, sealed to %s%s%s\n", done, keys->path, pcrs[0] ? pcrs : "no PCR",
           pin ? " and a PIN" : ", without a PIN", note);
    if (keys->holds_keys)
        printf("sealed_id: %s\n", hex);
    return EXIT_DONE;
}

enum exit_status
cmd_hsm_seal(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    AUTO(sealed) struct sealed keys = {0};
    struct attest_error err = {0};
    enum exit_status status = sealed_open(o, &keys);
    if (status || (status = sealed_pin(o, &keys)))
        return status;
    if (!keys.holds_keys)
        return complain(EXIT_USAGE, "the keystore is no TPM; hsm seal-pin seals the PIN");
    if (keys.pin.len == 0 && !o->no_pin)
        return complain(EXIT_USAGE,
                        "name the signer's PIN with --pin-file, which may be its credential %s, or "
                        "say --no-pin if it has none",
                        keys.settings.pin_credential);
    keys.config.sealed_id = NULL; /* it is not made yet */
    enum attest_rc rc = keystore_create(&keys.config, &err);
    if (rc)
        return report(o, &err, advice_for(rc));
    return print_sealed(o, &keys, keys.settings.pcrs ? keys.settings.pcrs : "", "made",
                        "; it holds no key yet");
}

/* Not for an older copy, nor for another TPM: of those the error itself says what to do. */
static bool
state_moved(const struct sealed *keys)
{
    struct seal_status now;
    struct attest_error err = {0};
    return sealing_status(&keys->config, &now, &err) == ATTEST_OK && !now.tpm_rc && now.same_tpm &&
           !now.opens;
}

static const char *
reseal_advice(const struct sealed *keys, enum attest_rc rc)
{
    switch (rc) {
    case ATTEST_E_BUSY:
        return "stop the signer first";
    case ATTEST_E_DENIED:
        if (!state_moved(keys))
            return NULL;
        return "the keys have to be sealed anew while what they are sealed to is still so, before "
               "an update; attestctl hsm seal-status says what moved";
    default:
        return advice_for(rc);
    }
}

enum exit_status
cmd_hsm_reseal(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    AUTO(sealed) struct sealed keys = {0};
    struct seal_status now;
    struct attest_error err = {0};
    enum exit_status status = sealed_open(o, &keys);
    if (status || (status = sealed_pin(o, &keys)))
        return status;
    if (sealing_reseal(&keys.config, o->force || !keys.holds_keys, &err) ||
        sealing_status(&keys.config, &now, &err))
        return report(o, &err, reseal_advice(&keys, err.rc));
    /* Where the configuration names none they stay what they were. */
    char pcrs[TPM2_PCRS_TEXT_MAX];
    tpm2_pcrs_text(now.policy.pcrs, pcrs);
    return print_sealed(o, &keys, pcrs, "sealed anew", "");
}
