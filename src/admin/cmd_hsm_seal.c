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
    enum attest_rc rc = keystore_create(&keys.config, &err);
    if (rc)
        return report(o, &err, advice_for(rc));
    const char *pcrs = keys.settings.pcrs;
    bool pin = keys.pin.len > 0;
    if (o->json) {
        AUTO(json_t)
        json_t *object = json_pack("{s:s, s:s, s:b}", "sealed_keys", keys.path, "pcrs",
                                   pcrs ? pcrs : "", "pin", pin);
        return print_json(object);
    }
    printf("made %s, sealed to %s%s; it holds no key yet\n", keys.path, pcrs ? pcrs : "no PCR",
           pin ? " and a PIN" : ", without a PIN");
    return EXIT_DONE;
}
