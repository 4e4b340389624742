/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/b64u.h"
#include "evidence/evidence.h"

/* What a verifier expects, from files that people keep. */

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice
trim(struct slice s)
{
    while (s.len > 0 && is_space(s.p[0]))
        s = (struct slice){s.p + 1, s.len - 1};
    while (s.len > 0 && is_space(s.p[s.len - 1]))
        s.len--;
    return s;
}

/* ---- the attestation key ---- */

enum attest_rc
evidence_pin_read(struct slice file, uint8_t name[TPM_NAME_LEN], struct attest_error *err)
{
    uint8_t bytes[TPM_PUBLIC_MAX];
    struct tpm_public ak;
    struct slice text = trim(file), area = file;
    size_t len;
    if (file.len == 0)
        return error_set(err, ATTEST_E_MALFORMED, "attestation key: nothing is there");
    if (hex_decode(bytes, TPM_NAME_LEN, text) && bytes[0] == 0 && bytes[1] == 0x0b) {
        memcpy(name, bytes, TPM_NAME_LEN);
        return ATTEST_OK;
    }
    if (memmem(file.p, file.len, "-----BEGIN", 10))
        return error_set(err, ATTEST_E_UNSUPPORTED,
                         "a PEM file has no attributes of a key; its public area, as evidence or "
                         "tpm2_readpublic -f tss gives it, or its name expected");
    if (b64u_decode(bytes, sizeof(bytes), &len, text))
        area = (struct slice){(const char *)bytes, len};
    enum attest_rc rc = tpm_public_read(area, &ak, err);
    if (!rc)
        rc = evidence_attributes(ak.attributes, err);
    if (!rc)
        memcpy(name, ak.name, TPM_NAME_LEN);
    return rc;
}

/* ---- PCRs ---- */

static struct slice
next_line(struct slice *rest)
{
    const char *end = memchr(rest->p, '\n', rest->len);
    size_t len = end ? (size_t)(end - rest->p) : rest->len, taken = end ? len + 1 : len;
    struct slice line = {rest->p, len};
    *rest = (struct slice){rest->p + taken, rest->len - taken};
    return trim(line);
}

static int
hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool
read_digest(struct slice hex, uint8_t out[SHA256_LEN])
{
    if (hex.len > 2 && hex.p[0] == '0' && (hex.p[1] == 'x' || hex.p[1] == 'X'))
        hex = (struct slice){hex.p + 2, hex.len - 2};
    if (hex.len != 2 * SHA256_LEN)
        return false;
    for (size_t i = 0; i < SHA256_LEN; i++) {
        int high = hex_digit(hex.p[2 * i]), low = hex_digit(hex.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* "7 : 0x…" */
static bool
read_value(struct slice line, struct tpm_pcrs *to)
{
    const char *colon = memchr(line.p, ':', line.len);
    if (!colon)
        return false;
    size_t at = (size_t)(colon - line.p);
    struct slice number = trim((struct slice){line.p, at});
    struct slice value = trim((struct slice){colon + 1, line.len - at - 1});
    unsigned n = 0;
    for (size_t i = 0; i < number.len; i++) {
        if (number.p[i] < '0' || number.p[i] > '9' || i > 1)
            return false;
        n = n * 10 + (unsigned)(number.p[i] - '0');
    }
    if (number.len == 0 || n >= TPM_PCRS || to->chosen >> n & 1 ||
        !read_digest(value, to->values[n]))
        return false;
    to->chosen |= 1U << n;
    return true;
}

enum attest_rc
evidence_pcrs_read(struct slice file, struct tpm_pcrs *ret, struct attest_error *err)
{
    struct tpm_pcrs pcrs = {0};
    bool bank = false;
    struct slice rest = file;
    for (unsigned n = 1; rest.len > 0; n++) {
        struct slice line = next_line(&rest);
        if (line.len == 0 || line.p[0] == '#')
            continue;
        if (!bank && slice_is(line, "sha256:"))
            bank = true;
        else if (!bank || !read_value(line, &pcrs))
            return error_set(err, ATTEST_E_MALFORMED,
                             bank ? "line %u: \"7 : 0x...\" expected, a PCR once, 64 hex digits"
                                  : "line %u: \"sha256:\" expected, as tpm2_pcrread prints it",
                             n);
    }
    if (!pcrs.chosen)
        return error_set(err, ATTEST_E_MALFORMED, "no PCR in it");
    *ret = pcrs;
    return ATTEST_OK;
}
