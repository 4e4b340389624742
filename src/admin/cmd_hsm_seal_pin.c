/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "admin/answer.h"
#include "admin/pins.h"
#include "admin/sealed.h"
#include "base/jsondoc.h"

static const char *
advice_for(enum attest_rc rc)
{
    switch (rc) {
    case ATTEST_E_ARGUMENT:
        return "set pcrs in attest-signer.yaml: a sealed PIN has no other lock";
    case ATTEST_E_BUSY:
        return "stop the signer first";
    case ATTEST_E_KEY_OUT_OF_REACH:
        return "without a resource manager one program at a time can use the TPM";
    default:
        return NULL;
    }
}

enum exit_status
cmd_hsm_seal_pin(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    AUTO(sealed) struct sealed sealed = {0};
    AUTO(secret) struct secret pin = {0};
    struct seal_status now;
    struct attest_error err = {0};
    enum exit_status status = sealed_open(o, &sealed);
    if (status)
        return status;
    if (sealed.holds_keys)
        return complain(EXIT_USAGE, "the keystore is a TPM: the PIN to seal is a PKCS#11 token's");
    if ((status = pin_get(o, "PIN of the token", o->pin_file, "pin-file", &pin)))
        return status;
    if (sealing_pin_set(&sealed.config, &pin, &err) || sealing_status(&sealed.config, &now, &err))
        return report(o, &err, advice_for(err.rc));
    char pcrs[TPM2_PCRS_TEXT_MAX];
    tpm2_pcrs_text(now.policy.pcrs, pcrs);
    if (o->json) {
        AUTO(json_t)
        json_t *object = json_pack("{s:s, s:s}", "sealed_pin", sealed.path, "pcrs", pcrs);
        return print_json(object);
    }
    printf("sealed the PIN to %s in %s; no other file with it is needed\n", pcrs, sealed.path);
    return EXIT_DONE;
}
