/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "admin/answer.h"
#include "admin/sealed.h"
#include "admin/table.h"
#include "base/jsondoc.h"

struct hex {
    char text[2 * TPM2_NAME_LEN + 1];
};
#define HEX(bytes) (hex_of(&(struct hex){{0}}, (bytes), sizeof(bytes)))

static const char *
hex_of(struct hex *room, const uint8_t *bytes, size_t len)
{
    hex_encode(room->text, bytes, len);
    return room->text;
}

/* What stands in the way of unsealing, and what to do about it; NULL: nothing. */
static const char *
obstacle(const struct seal_status *s)
{
    if (s->tpm_rc)
        return "the TPM cannot be asked; without a resource manager one program at a time can use "
               "it";
    if (!s->same_tpm)
        return "this is not the TPM that sealed the keys, or it was cleared since: bring that one "
               "back, or begin with new keys (hsm seal)";
    if (!s->opens && s->policy.approved)
        return "put the machine back into a state that is approved, or have this one approved: "
               "attestctl hsm approve-pcrs, and the approval into the directory beside the keys";
    if (!s->opens)
        return "put the machine into the state that the keys are sealed to, and before the next "
               "change of it seal them to what will not move (hsm reseal)";
    if (s->locked && s->policy.auth)
        return "wait until the TPM allows another try; find out who gives it wrong values";
    return NULL;
}

static json_t *
pcrs_json(const struct seal_status *s)
{
    AUTO(json_t) json_t *list = json_array();
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        if (!(s->policy.pcrs >> i & 1))
            continue;
        AUTO(json_t)
        json_t *one = json_pack("{s:i, s:s}", "pcr", i, "recorded", HEX(s->policy.values[i]));
        if (!s->tpm_rc && one) {
            json_object_set_new(one, "now", json_string(HEX(s->now[i])));
            json_object_set_new(one, "moved", json_boolean(s->moved >> i & 1));
        }
        json_array_append(list, one);
    }
    return STEAL(list);
}

static bool
add_approvals(json_t *object, const struct seal_status *s)
{
    AUTO(buf) struct buf text;
    buf_init(&text, TPM2_APPROVAL_MAX);
    tpm2_approval_write(&s->request, &text);
    json_t *request = json_loadb(text.p, text.len, 0, NULL), *list = json_array();
    for (size_t i = 0; i < s->n_approvals; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:s}", "name", s->approvals[i].name, "serial",
                                        (json_int_t)s->approvals[i].serial, "verdict",
                                        tpm2_approval_verdict_text(s->approvals[i].verdict)));
    return json_object_set_new(object, "request", request) == 0 &&
           json_object_set_new(object, "approvals", list) == 0 &&
           json_object_set_new(object, "approvals_used", json_integer((json_int_t)s->shown)) == 0 &&
           json_object_set_new(object, "recorded_revoked", json_boolean(s->recorded_revoked)) == 0;
}

static bool
print_approvals(const struct seal_status *s)
{
    static const char *const heads[] = {"approval", "serial", "verdict"};
    AUTO(table) struct table t;
    table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < s->n_approvals; i++) {
        table_cell(&t, "%s", s->approvals[i].name);
        table_cell(&t, "%llu", (unsigned long long)s->approvals[i].serial);
        table_cell(&t, "%s", tpm2_approval_verdict_text(s->approvals[i].verdict));
    }
    putchar('\n');
    return table_print(&t, stdout);
}

static enum exit_status
print_as_json(const struct sealed *keys, const struct seal_status *s, const char *next)
{
    char pcrs[TPM2_PCRS_TEXT_MAX];
    tpm2_pcrs_text(s->policy.pcrs, pcrs);
    AUTO(json_t)
    json_t *object = json_pack("{s:b, s:s, s:I, s:I, s:s, s:b, s:s, s:o, s:s*}", "ok", !next,
                               "sealed_keys", keys->path, "serial", (json_int_t)s->serial, "keys",
                               (json_int_t)s->n_keys, "policy_pcrs", pcrs, "pin", s->policy.auth,
                               "tpm_name", HEX(s->tpm_name), "pcrs", pcrs_json(s), "next", next);
    if (!object)
        return complain(EXIT_FAILED, "out of memory");
    if (s->ek_checked)
        json_object_set_new(object, "ek_certificate", json_string(HEX(s->ek_certificate)));
    if (s->tpm_rc) {
        json_object_set_new(object, "error", json_string(s->tpm_err.text));
        return print_json(object);
    }
    json_object_set_new(object, "same_tpm", json_boolean(s->same_tpm));
    if (s->policy.approved && s->same_tpm && !add_approvals(object, s))
        return complain(EXIT_FAILED, "out of memory");
    json_object_set_new(object, "lockout",
                        json_pack("{s:b, s:I, s:I, s:I}", "locked", s->locked, "failed",
                                  (json_int_t)s->failed, "failed_max", (json_int_t)s->failed_max,
                                  "interval_s", (json_int_t)s->interval_s));
    return print_json(object);
}

static void
print_facts(struct table *t, const struct sealed *keys, const struct seal_status *s)
{
    char pcrs[TPM2_PCRS_TEXT_MAX];
    tpm2_pcrs_text(s->policy.pcrs, pcrs);
    table_cell(t, "sealed keys");
    table_cell(t, "%s: %zu, serial %llu", keys->path, s->n_keys, (unsigned long long)s->serial);
    table_cell(t, "EK");
    table_cell(t, "%s%s", s->ek_checked ? "certificate " : "no certificate when they were sealed",
               s->ek_checked ? HEX(s->ek_certificate) : "");
    table_cell(t, "policy");
    table_cell(t, "%s%s%s", pcrs, s->policy.pcrs && s->policy.auth ? " and " : "",
               s->policy.auth ? "a PIN" : "");
    table_cell(t, "TPM");
    if (s->tpm_rc) {
        table_cell(t, "%s", s->tpm_err.text);
        return;
    }
    table_cell(t, "%s", s->same_tpm ? "the one that sealed them" : "another than sealed them");
    table_cell(t, "name");
    table_cell(t, "%s", HEX(s->tpm_name_now));
    if (s->policy.approved) {
        table_cell(t, "approvals");
        table_cell(t, "those with a serial below %llu are revoked%s", (unsigned long long)s->shown,
                   s->recorded_revoked ? ", and what was recorded" : "");
    }
    table_cell(t, "lockout");
    table_cell(t, "%s%u of %u wrong values counted, one is forgotten after %u s",
               s->locked ? "locked: " : "", s->failed, s->failed_max, s->interval_s);
}

static bool
print_pcrs(const struct seal_status *s)
{
    static const char *const heads[] = {"PCR", "recorded", "now"};
    AUTO(table) struct table t;
    table_init(&t, heads, ARRAY_LEN(heads));
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        if (!(s->policy.pcrs >> i & 1))
            continue;
        table_cell(&t, "%u", i);
        table_cell(&t, "%s", HEX(s->policy.values[i]));
        table_cell(&t, "%s", s->tpm_rc ? "?" : s->moved >> i & 1 ? HEX(s->now[i]) : "the same");
    }
    putchar('\n');
    return table_print(&t, stdout);
}

enum exit_status
cmd_hsm_seal_status(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    AUTO(sealed) struct sealed keys = {0};
    struct seal_status s;
    struct attest_error err = {0};
    enum exit_status status = sealed_open(o, &keys);
    if (status)
        return status;
    if (sealing_status(&keys.config, &s, &err))
        return report(o, &err, err.rc == ATTEST_E_NOT_FOUND ? "attestctl hsm seal makes it" : NULL);
    const char *next = obstacle(&s);
    status = s.tpm_rc ? EXIT_FAILED : next ? EXIT_REFUSED : EXIT_DONE;
    if (o->json) {
        enum exit_status printed = print_as_json(&keys, &s, next);
        return printed ? printed : status;
    }
    AUTO(table) struct table facts;
    table_init(&facts, NULL, 2);
    print_facts(&facts, &keys, &s);
    if (!table_print(&facts, stdout) || (s.policy.pcrs && !print_pcrs(&s)) ||
        (s.n_approvals && !print_approvals(&s)))
        return complain(EXIT_FAILED, "out of memory");
    printf("\n%s%s\n", next ? "next: " : "the TPM would unseal them",
           next            ? next
           : s.by_approval ? ", by an approval"
                           : "");
    if (!next)
        printf("whether this file is the newest is seen only once it is unsealed\n");
    return status;
}
