/* SPDX-License-Identifier: MIT */
#include "admin/sealed.h"

#include <stdlib.h>
#include <string.h>

#include "admin/daemons.h"
#include "admin/pins.h"
#include "hsm/approver_key.h"

#define LOCKED_MIN (64 * 1024)

enum exit_status
sealed_open(const struct options *o, struct sealed *ret)
{
    struct attest_error err = {0};
    *ret = (struct sealed){0};
    if (!secret_lockable(LOCKED_MIN))
        (void)complain(EXIT_DONE, "warning: no locked memory for secrets (ulimit -l): they could "
                                  "get into the swap");
    struct signer_config *settings = &ret->settings;
    if (signer_settings(o->config, settings, &err))
        return complain(EXIT_FAILED, "%s; correct it, or name another with --config", err.text);
    bool keys = settings->keystore && !strncmp(settings->keystore, "tpm2:", 5);
    if (!keys && !settings->pin_tpm2)
        return complain(EXIT_USAGE, "the signer has neither a TPM as keystore (keystore: "
                                    "\"tpm2:TCTI\") nor its PIN sealed by one (pin.tpm2)");
    ret->uri = keys ? strdup(settings->keystore) : signer_config_pin_uri(settings);
    ret->path = keys ? signer_config_sealed_path(settings) : strdup(settings->pin_tpm2);
    ret->holds_keys = keys;
    if (!ret->uri || !ret->path)
        return complain(EXIT_FAILED, "out of memory");
    if (settings->owner_auth_file &&
        secret_read_file(settings->owner_auth_file, TPM2_AUTH_MAX, &ret->owner_auth, &err))
        return complain(EXIT_FAILED, "%s", err.text);
    if (settings->approver && approver_key_public(settings->approver, ret->approver, &err))
        return complain(EXIT_FAILED, "approver: %s", err.text);
    if (settings->sealed_id && !signer_config_sealed_id(settings, ret->sealed_id))
        return complain(EXIT_FAILED, "sealed_id: %d hex digits expected", 2 * SHA256_LEN);
    ret->config =
        (struct keystore_config){.uri = ret->uri,
                                 .sealed_path = ret->path,
                                 .pcrs = settings->pcrs,
                                 .pin = &ret->pin,
                                 .owner_auth = &ret->owner_auth,
                                 .ek_ca = settings->ek_ca,
                                 .approver = settings->approver ? ret->approver : NULL,
                                 .sealed_id = keys && settings->sealed_id ? ret->sealed_id : NULL};
    return EXIT_DONE;
}

void
sealed_done(struct sealed *s)
{
    signer_settings_done(&s->settings);
    secret_free(&s->pin);
    secret_free(&s->owner_auth);
    free(s->path);
    free(s->uri);
}

enum exit_status
sealed_pin(const struct options *o, struct sealed *s)
{
    if (!s->holds_keys)
        return EXIT_DONE; /* the PIN is what is sealed, and needs none */
    const char *file = o->pin_file ? o->pin_file : s->settings.pin_file;
    if (o->no_pin && o->pin_file)
        return complain(EXIT_USAGE, "--pin-file and --no-pin: one of them");
    if (o->no_pin)
        return EXIT_DONE;
    return file || s->settings.pin_prompt ? pin_get(o, "PIN", file, "pin-file", &s->pin)
                                          : EXIT_DONE;
}
