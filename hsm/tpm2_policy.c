/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_policy.h"

#include <stdio.h>
#include <string.h>

/* Part 2 of the specification; the library's headers are there only when it is. */
#define ALG_SHA256 0x000bU
#define CC_POLICY_NV 0x00000149U
#define CC_POLICY_AUTHORIZE 0x0000016aU
#define CC_POLICY_AUTH_VALUE 0x0000016bU
#define CC_POLICY_OR 0x00000171U
#define CC_POLICY_PCR 0x0000017fU

/* ---- PCRs ---- */

static const char bank[] = "sha256:";

enum attest_rc
tpm2_pcrs_parse(const char *text, uint32_t *ret, struct attest_error *err)
{
    uint32_t pcrs = 0;
    if (text[0]) {
        if (strncmp(text, bank, strlen(bank)) != 0)
            return error_set(err, ATTEST_E_CONFIG, "pcrs: \"sha256:0,2,7,11\" expected");
        const char *p = text + strlen(bank);
        for (;;) {
            unsigned n = 0, digits = 0;
            for (; *p >= '0' && *p <= '9' && digits < 3; p++, digits++)
                n = n * 10 + (unsigned)(*p - '0');
            bool padded = digits > 1 && p[-(int)digits] == '0';
            if (digits == 0 || padded || n >= TPM2_PCR_COUNT || pcrs >> n)
                return error_set(err, ATTEST_E_CONFIG,
                                 "pcrs: numbers from 0 to %d, ascending, expected behind sha256:",
                                 TPM2_PCR_COUNT - 1);
            pcrs |= 1U << n;
            if (!*p)
                break;
            if (*p++ != ',')
                return error_set(err, ATTEST_E_CONFIG, "pcrs: a comma between numbers expected");
        }
    }
    *ret = pcrs;
    return ATTEST_OK;
}

static void
put_numbers(uint32_t pcrs, const char *between, char *out, size_t out_size)
{
    size_t len = 0;
    out[0] = 0;
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        if (pcrs >> i & 1)
            len += (size_t)snprintf(out + len, out_size - len, "%s%u", len ? between : "", i);
    }
}

void
tpm2_pcrs_text(uint32_t pcrs, char out[TPM2_PCRS_TEXT_MAX])
{
    out[0] = 0;
    if (!pcrs)
        return;
    memcpy(out, bank, sizeof(bank));
    put_numbers(pcrs, ",", out + strlen(bank), TPM2_PCRS_TEXT_MAX - strlen(bank));
}

void
tpm2_pcrs_names(uint32_t pcrs, char out[TPM2_PCRS_TEXT_MAX])
{
    /* All 24 with ", " between would not fit, and nobody would read them. */
    put_numbers(pcrs, __builtin_popcount(pcrs) <= 16 ? ", " : ",", out, TPM2_PCRS_TEXT_MAX);
}

uint32_t
tpm2_pcrs_moved(uint32_t pcrs, const tpm2_pcr_values a, const tpm2_pcr_values b)
{
    uint32_t moved = 0;
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        if (pcrs >> i & 1 && memcmp(a[i], b[i], SHA256_LEN) != 0)
            moved |= 1U << i;
    }
    return moved;
}

/* ---- digests ---- */

static void
digest_of_values(uint32_t pcrs, const tpm2_pcr_values values, uint8_t digest[SHA256_LEN])
{
    uint8_t all[TPM2_PCR_COUNT * SHA256_LEN];
    size_t len = 0;
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        if (!(pcrs >> i & 1))
            continue;
        memcpy(all + len, values[i], SHA256_LEN);
        len += SHA256_LEN;
    }
    sha256(digest, all, len);
}

/* Each step hashes its command and arguments onto what was there. */
#define STEP_MAX 72
static void
step(uint8_t digest[SHA256_LEN], uint32_t command, const void *args, size_t args_len)
{
    uint8_t bytes[SHA256_LEN + 4 + STEP_MAX];
    memcpy(bytes, digest, SHA256_LEN);
    be32_put(bytes + SHA256_LEN, command);
    memcpy(bytes + SHA256_LEN + 4, args, args_len);
    sha256(digest, bytes, SHA256_LEN + 4 + args_len);
}

/* Section 23.7. */
static void
step_pcr(uint8_t digest[SHA256_LEN], uint32_t pcrs, const tpm2_pcr_values values)
{
    uint8_t args[10 + SHA256_LEN];
    be32_put(args, 1); /* one selection: its bank, three bytes of bits */
    be32_put(args + 4, ALG_SHA256 << 16 | 3U << 8 | (pcrs & 0xff));
    args[8] = (uint8_t)(pcrs >> 8);
    args[9] = (uint8_t)(pcrs >> 16);
    digest_of_values(pcrs, values, args + 10);
    step(digest, CC_POLICY_PCR, args, sizeof(args));
}

static void
name_of(const uint8_t *public_area, size_t len, uint8_t name[TPM2_NAME_LEN])
{
    name[0] = ALG_SHA256 >> 8;
    name[1] = ALG_SHA256 & 0xff;
    sha256(name + 2, public_area, len);
}

/* TPMT_PUBLIC, part 2, section 12.2.4: sign, no authorization policy, ECDSA with SHA-256, P-256. */
void
tpm2_approver_name(const uint8_t point[ES256_POINT_LEN], uint8_t name[TPM2_NAME_LEN])
{
    static const uint8_t head[] = {0x00, 0x23, 0x00, 0x0b, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00,
                                   0x00, 0x10, 0x00, 0x18, 0x00, 0x0b, 0x00, 0x03, 0x00, 0x10};
    uint8_t area[sizeof(head) + 2 * (2 + 32)];
    memcpy(area, head, sizeof(head));
    for (size_t i = 0; i < 2; i++) {
        uint8_t *p = area + sizeof(head) + i * 34;
        p[0] = 0;
        p[1] = 32;
        memcpy(p + 2, point + i * 32, 32);
    }
    name_of(area, sizeof(area), name);
}

/* TPMS_NV_PUBLIC, part 2, section 13.5: eight bytes, no authorization policy. */
void
tpm2_counter_name(uint32_t counter, uint32_t attributes, uint8_t name[TPM2_NAME_LEN])
{
    uint8_t area[14] = {[4] = 0x00, [5] = 0x0b, [13] = 8};
    be32_put(area, counter);
    be32_put(area + 6, attributes);
    name_of(area, sizeof(area), name);
}

/* Section 23.9: a digest of the arguments, and the name of the index. */
static void
step_nv(uint8_t digest[SHA256_LEN], uint32_t counter, uint64_t most)
{
    uint8_t operand[12] = {[11] = 9 /* TPM2_EO_UNSIGNED_LE */}, args[SHA256_LEN + TPM2_NAME_LEN];
    be32_put(operand, (uint32_t)(most >> 32));
    be32_put(operand + 4, (uint32_t)most);
    sha256(args, operand, sizeof(operand));
    tpm2_counter_name(counter, TPM2_APPROVAL_COUNTER_ATTRIBUTES, args + SHA256_LEN);
    step(digest, CC_POLICY_NV, args, sizeof(args));
}

void
tpm2_approval_ref(const uint8_t tpm_name[TPM2_NAME_LEN], uint32_t counter,
                  const uint8_t line[TPM2_LINE_LEN], uint8_t ref[SHA256_LEN])
{
    static const char label[] = "attestd-pcr-approval/1";
    uint8_t bytes[sizeof(label) + 2 * TPM2_NAME_LEN + TPM2_LINE_LEN], *p = bytes + sizeof(label);
    memcpy(bytes, label, sizeof(label));
    memcpy(p, tpm_name, TPM2_NAME_LEN);
    tpm2_counter_name(counter, TPM2_APPROVAL_COUNTER_ATTRIBUTES, p + TPM2_NAME_LEN);
    memcpy(p + 2 * TPM2_NAME_LEN, line, TPM2_LINE_LEN);
    sha256(ref, bytes, sizeof(bytes));
}

void
tpm2_policy_state(uint32_t pcrs, const tpm2_pcr_values values, uint32_t counter, uint64_t serial,
                  uint8_t digest[SHA256_LEN])
{
    memset(digest, 0, SHA256_LEN);
    step_pcr(digest, pcrs, values);
    step_nv(digest, counter, serial);
}

void
tpm2_policy_ways(const struct tpm2_policy *policy, uint8_t ways[2][SHA256_LEN])
{
    const struct tpm2_approver *a = &policy->approver;
    uint8_t name[TPM2_NAME_LEN], both[2 * SHA256_LEN];
    tpm2_policy_state(policy->pcrs, policy->values, a->counter, a->serial, ways[0]);
    /* Section 23.16: starts anew; the name of the key, and the reference in a hash of its own. */
    tpm2_approver_name(a->point, name);
    memset(ways[1], 0, SHA256_LEN);
    step(ways[1], CC_POLICY_AUTHORIZE, name, sizeof(name));
    memcpy(both, ways[1], SHA256_LEN);
    memcpy(both + SHA256_LEN, a->ref, SHA256_LEN);
    sha256(ways[1], both, sizeof(both));
}

void
tpm2_policy_digest(const struct tpm2_policy *policy, uint8_t digest[SHA256_LEN])
{
    uint8_t ways[2][SHA256_LEN];
    memset(digest, 0, SHA256_LEN);
    if (policy->approved) { /* section 23.6: starts anew */
        tpm2_policy_ways(policy, ways);
        step(digest, CC_POLICY_OR, ways, sizeof(ways));
    } else if (policy->pcrs) {
        step_pcr(digest, policy->pcrs, policy->values);
    }
    if (policy->auth) /* section 23.17 */
        step(digest, CC_POLICY_AUTH_VALUE, "", 0);
}
