/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_policy.h"

#include <stdio.h>
#include <string.h>

/* Part 2 of the specification; the library's headers are there only when it is. */
#define ALG_SHA256 0x000bU
#define CC_POLICY_AUTH_VALUE 0x0000016bU
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

void
tpm2_policy_digest(const struct tpm2_policy *policy, uint8_t digest[SHA256_LEN])
{
    memset(digest, 0, SHA256_LEN);
    if (policy->pcrs)
        step_pcr(digest, policy->pcrs, policy->values);
    if (policy->auth) /* section 23.17 */
        step(digest, CC_POLICY_AUTH_VALUE, "", 0);
}
