/* SPDX-License-Identifier: MIT */
#include "evidence/tpm_read.h"

#include <string.h>

/* TPM 2.0 Library, part 2, tables 9, 12 and 19 of revision 1.59, as far as they occur here. */
enum {
    ALG_SHA256 = 0x000b,
    ALG_NULL = 0x0010,
    ALG_ECDSA = 0x0018,
    ALG_ECC = 0x0023,
    CURVE_P256 = 0x0003,
    EXTRA_MAX = 64,  /* TPM2B_DATA */
    SIGNER_MAX = 68, /* TPM2B_NAME */
    SELECT_LEN = 3,  /* bytes for 24 PCRs */
};

void
tpm_pcrs_digest(const struct tpm_pcrs *pcrs, uint8_t digest[SHA256_LEN])
{
    uint8_t all[TPM_PCRS * SHA256_LEN];
    size_t len = 0;
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        if (!(pcrs->chosen >> i & 1))
            continue;
        memcpy(all + len, pcrs->values[i], SHA256_LEN);
        len += SHA256_LEN;
    }
    sha256(digest, all, len);
}

/* ---- a cursor; once it ran over the end, all that it gives is zero ---- */

struct cursor {
    const uint8_t *p;
    size_t left;
    bool bad;
};

static struct cursor
cursor_of(struct slice bytes)
{
    return (struct cursor){(const uint8_t *)bytes.p, bytes.len, false};
}

static const uint8_t *
take(struct cursor *c, size_t len)
{
    if (c->bad || c->left < len) {
        c->bad = true;
        return NULL;
    }
    const uint8_t *p = c->p;
    c->p += len;
    c->left -= len;
    return p;
}

static uint64_t
take_number(struct cursor *c, size_t len)
{
    const uint8_t *p = take(c, len);
    uint64_t v = 0;
    for (size_t i = 0; p && i < len; i++)
        v = v << 8 | p[i];
    return v;
}

static uint16_t
take_16(struct cursor *c)
{
    return (uint16_t)take_number(c, 2);
}

static uint32_t
take_32(struct cursor *c)
{
    return (uint32_t)take_number(c, 4);
}

/* A TPM2B of at most max bytes. */
static struct slice
take_sized(struct cursor *c, size_t max)
{
    size_t len = take_16(c);
    if (len > max)
        c->bad = true;
    const uint8_t *p = take(c, len);
    return p ? (struct slice){(const char *)p, len} : (struct slice){"", 0};
}

/* A TPM2B_ECC_PARAMETER into 32 bytes: some TPMs leave zeros in front out. */
static void
take_coordinate(struct cursor *c, uint8_t out[32])
{
    struct slice s = take_sized(c, 32);
    if (s.len == 0)
        c->bad = true;
    memset(out, 0, 32);
    memcpy(out + 32 - s.len, s.p, s.len);
}

static enum attest_rc
ends(const struct cursor *c, const char *what, struct attest_error *err)
{
    if (c->bad)
        return error_set(err, ATTEST_E_MALFORMED, "%s: cut short, or a length is wrong", what);
    if (c->left > 0)
        return error_set(err, ATTEST_E_MALFORMED, "%s: bytes behind its end", what);
    return ATTEST_OK;
}

/* ---- TPMS_ATTEST ---- */

static enum attest_rc
read_selection(struct cursor *c, struct tpm_attest *a, struct attest_error *err)
{
    uint32_t banks = take_32(c);
    uint16_t bank = take_16(c);
    size_t len = (size_t)take_number(c, 1);
    if (!c->bad && (banks != 1 || bank != ALG_SHA256 || len != SELECT_LEN))
        return error_set(err, ATTEST_E_UNSUPPORTED,
                         "quote: PCRs of the SHA-256 bank, and no other, expected");
    const uint8_t *bits = take(c, SELECT_LEN);
    if (bits)
        a->chosen = (uint32_t)bits[0] | (uint32_t)bits[1] << 8 | (uint32_t)bits[2] << 16;
    return ATTEST_OK;
}

enum attest_rc
tpm_attest_read(struct slice bytes, struct tpm_attest *ret, struct attest_error *err)
{
    struct cursor c = cursor_of(bytes);
    struct tpm_attest a = {0};
    a.magic = take_32(&c);
    a.type = take_16(&c);
    if (!c.bad && (a.magic != TPM_GENERATED || a.type != TPM_ST_QUOTE)) {
        *ret = a;
        return ATTEST_OK;
    }
    a.signer = take_sized(&c, SIGNER_MAX);
    a.extra = take_sized(&c, EXTRA_MAX);
    a.clock_ms = take_number(&c, 8);
    a.resets = take_32(&c);
    a.restarts = take_32(&c);
    uint64_t safe = take_number(&c, 1);
    a.clock_safe = safe == 1;
    a.firmware = take_number(&c, 8);
    if (safe > 1)
        return error_set(err, ATTEST_E_MALFORMED, "quote: a yes or no that is neither");
    enum attest_rc rc = read_selection(&c, &a, err);
    if (rc)
        return rc;
    struct slice digest = take_sized(&c, SHA256_LEN);
    if (digest.len != SHA256_LEN)
        c.bad = true;
    if ((rc = ends(&c, "quote", err)))
        return rc;
    memcpy(a.pcr_digest, digest.p, SHA256_LEN);
    *ret = a;
    return ATTEST_OK;
}

/* ---- TPMT_PUBLIC ---- */

/*
 * A TPM2B has its own length in front, a TPMT the type ECC: no TPM2B_PUBLIC of a key like ours is
 * 35 bytes long.
 */
static struct slice
inner_public(struct slice bytes)
{
    if (bytes.len < 2)
        return bytes;
    const uint8_t *p = (const uint8_t *)bytes.p;
    size_t len = (size_t)p[0] << 8 | p[1];
    if (len == ALG_ECC || len != bytes.len - 2)
        return bytes;
    return (struct slice){bytes.p + 2, len};
}

/* What has only one right value here; another is noted, and the reading goes on. */
static void
take_fixed(struct cursor *c, uint16_t expected, bool *ours)
{
    if (take_16(c) != expected)
        *ours = false;
}

enum attest_rc
tpm_public_read(struct slice bytes, struct tpm_public *ret, struct attest_error *err)
{
    struct slice inner = inner_public(bytes);
    struct cursor c = cursor_of(inner);
    struct tpm_public a = {0};
    bool ours = true;
    take_fixed(&c, ALG_ECC, &ours);
    take_fixed(&c, ALG_SHA256, &ours);
    a.attributes = take_32(&c);
    a.policy = take_sized(&c, SHA256_LEN);
    take_fixed(&c, ALG_NULL, &ours); /* symmetric */
    take_fixed(&c, ALG_ECDSA, &ours);
    take_fixed(&c, ALG_SHA256, &ours);
    take_fixed(&c, CURVE_P256, &ours);
    take_fixed(&c, ALG_NULL, &ours); /* kdf */
    if (!c.bad && !ours)
        return error_set(err, ATTEST_E_UNSUPPORTED,
                         "attestation key: not a P-256 key for ECDSA with SHA-256");
    if (a.policy.len > 0 && a.policy.len != SHA256_LEN)
        c.bad = true;
    take_coordinate(&c, a.point);
    take_coordinate(&c, a.point + 32);
    enum attest_rc rc = ends(&c, "attestation key", err);
    if (rc)
        return rc;
    if (!es256_point_ok(a.point))
        return error_set(err, ATTEST_E_MALFORMED, "attestation key: not a point of the curve");
    a.name[1] = ALG_SHA256;
    sha256(a.name + 2, inner.p, inner.len);
    *ret = a;
    return ATTEST_OK;
}

/* ---- TPMT_SIGNATURE ---- */

enum attest_rc
tpm_signature_read(struct slice bytes, uint8_t ret[ES256_SIG_LEN], struct attest_error *err)
{
    struct cursor c = cursor_of(bytes);
    uint8_t sig[ES256_SIG_LEN];
    bool ours = true;
    take_fixed(&c, ALG_ECDSA, &ours);
    take_fixed(&c, ALG_SHA256, &ours);
    if (!c.bad && !ours)
        return error_set(err, ATTEST_E_UNSUPPORTED, "signature: ECDSA with SHA-256 expected");
    take_coordinate(&c, sig);
    take_coordinate(&c, sig + 32);
    enum attest_rc rc = ends(&c, "signature", err);
    if (!rc)
        memcpy(ret, sig, sizeof(sig));
    return rc;
}
