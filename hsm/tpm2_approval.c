/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_approval.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static const char type[] = "attestd-pcr-approval/1";
static const struct json_limits limits = {
    .text_max = TPM2_APPROVAL_MAX, .string_max = 128, .depth_max = 2, .members_max = 24};
#define NODES_MAX 64

/* ---- reading ---- */

static bool
hex_member(const struct json_node *node, uint8_t *out, size_t len)
{
    return node->type == JSON_STRING && hex_decode(out, len, node->text);
}

static bool
take_type(const struct json *j, const struct json_node *node, struct tpm2_approval *a)
{
    (void)j, (void)a;
    return node->type == JSON_STRING && slice_is(node->text, type);
}

static bool
take_tpm(const struct json *j, const struct json_node *node, struct tpm2_approval *a)
{
    (void)j;
    return hex_member(node, a->tpm, sizeof(a->tpm));
}

static bool
take_line(const struct json *j, const struct json_node *node, struct tpm2_approval *a)
{
    (void)j;
    return hex_member(node, a->line, sizeof(a->line));
}

static bool
take_counter(const struct json *j, const struct json_node *node, struct tpm2_approval *a)
{
    (void)j;
    uint8_t bytes[4];
    if (!hex_member(node, bytes, sizeof(bytes)))
        return false;
    a->counter = be32_get(bytes);
    return true;
}

static bool
take_serial(const struct json *j, const struct json_node *node, struct tpm2_approval *a)
{
    (void)j;
    int64_t n;
    if (!json_int64(node, &n) || n < 1)
        return false;
    a->serial = (uint64_t)n;
    return true;
}

static bool
take_pcrs(const struct json *j, const struct json_node *node, struct tpm2_approval *a)
{
    struct slice key;
    if (node->type != JSON_OBJECT)
        return false;
    for (const struct json_node *v = NULL; json_each(j, node, &key, &v);) {
        unsigned n = 0;
        char text[4];
        do {
            snprintf(text, sizeof(text), "%u", n);
        } while (!slice_is(key, text) && ++n < TPM2_PCR_COUNT);
        if (n == TPM2_PCR_COUNT || !hex_member(v, a->values[n], SHA256_LEN))
            return false;
        a->pcrs |= 1U << n;
    }
    return a->pcrs != 0;
}

static bool
take_signature(const struct json *j, const struct json_node *node, struct tpm2_approval *a)
{
    (void)j;
    a->has_signature = hex_member(node, a->signature, sizeof(a->signature));
    return a->has_signature;
}

static const struct {
    const char *name;
    bool (*take)(const struct json *j, const struct json_node *node, struct tpm2_approval *a);
    bool optional;
} members[] = {
    {"type", take_type, false},          {"tpm", take_tpm, false},       {"line", take_line, false},
    {"counter", take_counter, false},    {"serial", take_serial, false}, {"pcrs", take_pcrs, false},
    {"signature", take_signature, true},
};

enum attest_rc
tpm2_approval_read(struct slice text, struct tpm2_approval *ret, struct attest_error *err)
{
    JSON_NODES(j, NODES_MAX);
    struct tpm2_approval a = {0};
    if (text.len > TPM2_APPROVAL_MAX)
        return error_set(err, ATTEST_E_MALFORMED, "approval: too long");
    AUTO(mem) char *copy = slice_dup(text);
    if (!copy)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    enum attest_rc rc = json_read(&j, copy, text.len, &limits, err);
    if (rc)
        return rc;
    const struct json_node *root = json_root(&j);
    uint32_t found = 0;
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const struct json_node *node = json_member(&j, root, members[i].name);
        if (!node && members[i].optional)
            continue;
        if (!node || !members[i].take(&j, node, &a))
            return error_set(err, ATTEST_E_MALFORMED, "approval: %s is %s", members[i].name,
                             node ? "not as it has to be" : "missing");
        found++;
    }
    if (found != root->count)
        return error_set(err, ATTEST_E_MALFORMED, "approval: a member that is not known");
    *ret = a;
    return ATTEST_OK;
}

/* ---- writing ---- */

static void
put_hex(struct buf *out, const uint8_t *p, size_t len)
{
    char hex[2 * ES256_SIG_LEN + 1];
    hex_encode(hex, p, len);
    buf_printf(out, "\"%s\"", hex);
}

void
tpm2_approval_write(const struct tpm2_approval *a, struct buf *out)
{
    bool first = true;
    buf_printf(out, "{\"type\":\"%s\",\n \"tpm\":", type);
    put_hex(out, a->tpm, sizeof(a->tpm));
    buf_str(out, ",\n \"line\":");
    put_hex(out, a->line, sizeof(a->line));
    buf_printf(out, ",\n \"counter\":\"%08" PRIx32 "\",\n \"serial\":%" PRIu64 ",\n \"pcrs\":{",
               a->counter, a->serial);
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        if (!(a->pcrs >> i & 1))
            continue;
        buf_printf(out, "%s\"%u\":", first ? "" : ",\n         ", i);
        put_hex(out, a->values[i], SHA256_LEN);
        first = false;
    }
    buf_char(out, '}');
    if (a->has_signature) {
        buf_str(out, ",\n \"signature\":");
        put_hex(out, a->signature, sizeof(a->signature));
    }
    buf_str(out, "}\n");
}

/* ---- worth ---- */

void
tpm2_approval_message(const struct tpm2_approval *a, uint8_t message[TPM2_APPROVAL_MESSAGE_LEN])
{
    tpm2_policy_state(a->pcrs, a->values, a->counter, a->serial, message);
    tpm2_approval_ref(a->tpm, a->counter, a->line, message + SHA256_LEN);
}

enum tpm2_approval_verdict
tpm2_approval_judge(const struct tpm2_approval *a, const struct tpm2_policy *policy,
                    const uint8_t tpm_name[TPM2_NAME_LEN], uint64_t shown,
                    const tpm2_pcr_values now)
{
    uint8_t message[TPM2_APPROVAL_MESSAGE_LEN];
    tpm2_approval_message(a, message);
    const struct slice signed_part = {(const char *)message, sizeof(message)};
    if (memcmp(a->tpm, tpm_name, TPM2_NAME_LEN) != 0 || a->counter != policy->approver.counter ||
        memcmp(a->line, policy->approver.line, TPM2_LINE_LEN) != 0)
        return TPM2_APPROVAL_OTHER_TPM;
    if (!a->has_signature || es256_verify(policy->approver.point, signed_part, a->signature))
        return TPM2_APPROVAL_NOT_SIGNED;
    if (policy->pcrs & ~a->pcrs)
        return TPM2_APPROVAL_FEWER_PCRS;
    if (a->serial < shown)
        return TPM2_APPROVAL_REVOKED;
    if (a->serial - shown > TPM2_APPROVAL_JUMP_MAX)
        return TPM2_APPROVAL_TOO_FAR;
    return tpm2_pcrs_moved(a->pcrs, a->values, now) ? TPM2_APPROVAL_OTHER_STATE
                                                    : TPM2_APPROVAL_FITS;
}

const char *
tpm2_approval_verdict_text(enum tpm2_approval_verdict verdict)
{
    static const char *const texts[] = {
        [TPM2_APPROVAL_FITS] = "fits",
        [TPM2_APPROVAL_OTHER_STATE] = "for another state",
        [TPM2_APPROVAL_REVOKED] = "revoked by a later one",
        [TPM2_APPROVAL_TOO_FAR] = "its serial is too far ahead",
        [TPM2_APPROVAL_OTHER_TPM] = "for another TPM or other keys",
        [TPM2_APPROVAL_NOT_SIGNED] = "not signed by the approver",
        [TPM2_APPROVAL_FEWER_PCRS] = "leaves out PCRs that the keys are sealed to",
        [TPM2_APPROVAL_UNREADABLE] = "no approval",
    };
    return (size_t)verdict < ARRAY_LEN(texts) ? texts[verdict] : "unknown";
}
