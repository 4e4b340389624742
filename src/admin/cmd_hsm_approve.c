/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/sealed.h"
#include "base/file.h"
#include "base/jsondoc.h"
#include "hsm/approver_key.h"
#include "hsm/tpm2_approval.h"

#define VALUES_MAX 65536
#define VALUES_DEPTH_MAX 6

/* What seal-status --json says, or its "request" alone. */
static enum exit_status
request_from_file(const struct options *o, struct tpm2_approval *ret)
{
    struct attest_error err = {0};
    AUTO(buf) struct buf text;
    buf_init(&text, VALUES_MAX);
    if (file_read(o->values, VALUES_MAX, &text, &err))
        return complain(EXIT_FAILED, "%s", err.text);
    AUTO(json_t)
    json_t *all = jsondoc_read(text.p, text.len, VALUES_MAX, VALUES_DEPTH_MAX, &err);
    if (!all)
        return complain(EXIT_USAGE, "%s: %s", o->values, err.text);
    const json_t *inner = json_object_get(all, "request");
    AUTO(mem) char *one = json_dumps(inner ? inner : all, JSON_COMPACT);
    if (!one)
        return complain(EXIT_FAILED, "out of memory");
    if (tpm2_approval_read(slice_cstr(one), ret, &err))
        return complain(EXIT_USAGE, "%s: %s; attestctl hsm seal-status --json writes one",
                        o->values, err.text);
    return EXIT_DONE;
}

static enum exit_status
request_from_here(const struct options *o, struct tpm2_approval *ret,
                  uint8_t approver[ES256_POINT_LEN])
{
    AUTO(sealed) struct sealed keys = {0};
    struct seal_status s;
    struct attest_error err = {0};
    enum exit_status status = sealed_open(o, &keys);
    if (status)
        return status;
    if (sealing_status(&keys.config, &s, &err))
        return report(o, &err, NULL);
    if (s.tpm_rc)
        return report(o, &s.tpm_err, NULL);
    if (!s.policy.approved)
        return refuse(o, "the keys are sealed without an approver; set approver in the signer's "
                         "configuration and seal them anew (hsm reseal)");
    if (!s.same_tpm)
        return refuse(o, "this is not the TPM that sealed the keys: there is nothing to approve");
    memcpy(approver, s.policy.approver.point, ES256_POINT_LEN);
    *ret = s.request;
    return EXIT_DONE;
}

static enum exit_status
take_serial(const struct options *o, struct tpm2_approval *a)
{
    char *end;
    if (!o->serial)
        return EXIT_DONE;
    unsigned long long n = strtoull(o->serial, &end, 10);
    if (*end || o->serial[0] < '1' || o->serial[0] > '9' || n > INT64_MAX)
        return complain(EXIT_USAGE, "--serial wants a number from 1 on");
    if (n >= a->serial + TPM2_APPROVAL_JUMP_MAX)
        return complain(EXIT_USAGE, "--serial: at most %llu, %d beyond what was used",
                        (unsigned long long)a->serial - 1 + TPM2_APPROVAL_JUMP_MAX,
                        TPM2_APPROVAL_JUMP_MAX);
    a->serial = n;
    return EXIT_DONE;
}

static enum exit_status
write_out(const struct options *o, const struct tpm2_approval *a)
{
    char pcrs[TPM2_PCRS_TEXT_MAX];
    struct attest_error err = {0};
    AUTO(buf) struct buf text;
    buf_init(&text, TPM2_APPROVAL_MAX);
    tpm2_approval_write(a, &text);
    if (buf_rc(&text))
        return complain(EXIT_FAILED, "out of memory");
    if (!o->out) {
        fwrite(text.p, 1, text.len, stdout);
        return EXIT_DONE;
    }
    /* No secret, and the signer's user has to read what another may have put there. */
    if (file_replace(o->out, 0644, buf_view(&text), &err))
        return complain(EXIT_FAILED, "%s", err.text);
    tpm2_pcrs_text(a->pcrs, pcrs);
    if (!o->json)
        printf("approved %s with serial %llu in %s\n", pcrs, (unsigned long long)a->serial, o->out);
    else
        printf("{\"serial\":%llu,\"pcrs\":\"%s\"}\n", (unsigned long long)a->serial, pcrs);
    return EXIT_DONE;
}

enum exit_status
cmd_hsm_approve_pcrs(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    struct tpm2_approval a;
    struct attest_error err = {0};
    uint8_t message[TPM2_APPROVAL_MESSAGE_LEN], point[ES256_POINT_LEN], approver[ES256_POINT_LEN];
    if (!o->key)
        return complain(EXIT_USAGE, "which key approves? --key FILE, a P-256 key in PEM");
    enum exit_status status =
        o->values ? request_from_file(o, &a) : request_from_here(o, &a, approver);
    if (status || (status = take_serial(o, &a)))
        return status;
    tpm2_approval_message(&a, message);
    const struct slice msg = {(const char *)message, sizeof(message)};
    if (approver_key_sign(o->key, msg, a.signature, point, &err))
        return report(o, &err, NULL);
    if (!o->values && memcmp(point, approver, sizeof(point)) != 0)
        return refuse(o, "this is not the key of the approver that the keys are sealed with");
    a.has_signature = true;
    return write_out(o, &a);
}
