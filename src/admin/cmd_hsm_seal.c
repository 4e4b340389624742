/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "admin/answer.h"
#include "admin/daemons.h"
#include "admin/pins.h"
#include "base/jsondoc.h"
#include "hsm/keystore.h"

static void
settings_auto(struct signer_config *settings)
{
    signer_settings_done(settings);
}

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

enum exit_status
cmd_hsm_seal(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    AUTO(settings) struct signer_config settings = {0};
    struct attest_error err = {0};
    if (signer_settings(o->config, &settings, &err))
        return complain(EXIT_FAILED, "%s; correct it, or name another with --config", err.text);
    if (!settings.keystore || strncmp(settings.keystore, "tpm2:", 5) != 0)
        return complain(EXIT_USAGE, "the signer's keystore is no TPM: keystore: \"tpm2:TCTI\"");
    AUTO(secret) struct secret pin = {0};
    const char *pin_file = o->pin_file ? o->pin_file : settings.pin_file;
    if (pin_file) {
        enum exit_status status = pin_get_new(o, "PIN to seal with", pin_file, "pin-file", &pin);
        if (status)
            return status;
    }
    AUTO(mem) char *path = signer_config_sealed_path(&settings);
    const struct keystore_config config = {
        .uri = settings.keystore, .sealed_path = path, .pcrs = settings.pcrs, .pin = &pin};
    enum attest_rc rc = keystore_create(&config, &err);
    if (rc)
        return report(o, &err, advice_for(rc));
    if (o->json) {
        AUTO(json_t)
        json_t *object = json_pack("{s:s, s:s, s:b}", "sealed_keys", path, "pcrs",
                                   settings.pcrs ? settings.pcrs : "", "pin", pin.len > 0);
        return print_json(object);
    }
    printf("made %s, sealed to %s%s%s; it holds no key yet\n", path,
           settings.pcrs ? settings.pcrs : "no PCR", pin.len > 0 ? " and a PIN" : "",
           pin.len > 0 ? "" : ", without a PIN");
    return EXIT_DONE;
}
