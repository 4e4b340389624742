/* SPDX-License-Identifier: MIT */
#include "evidence/evidence.h"

#include <stdio.h>
#include <string.h>

#define LABEL "attest-evidence/1"

void
evidence_qualifying(struct slice key_set, const uint8_t nonce[EVIDENCE_NONCE_LEN],
                    uint8_t digest[SHA256_LEN])
{
    uint8_t text[sizeof(LABEL) + SHA256_LEN + EVIDENCE_NONCE_LEN] = LABEL; /* with its NUL */
    sha256(text + sizeof(LABEL), key_set.p, key_set.len);
    memcpy(text + sizeof(LABEL) + SHA256_LEN, nonce, EVIDENCE_NONCE_LEN);
    sha256(digest, text, sizeof(text));
}

const char *
evidence_check_name(enum evidence_check check)
{
    static const char *const names[] = {
        [EVIDENCE_AK] = "attestation key",
        [EVIDENCE_ATTRIBUTES] = "attributes of the key",
        [EVIDENCE_SIGNATURE] = "signature",
        [EVIDENCE_MAGIC] = "made by a TPM",
        [EVIDENCE_TYPE] = "a quote",
        [EVIDENCE_NONCE] = "nonce",
        [EVIDENCE_KEY_SET] = "key set",
        [EVIDENCE_SELECTION] = "choice of PCRs",
        [EVIDENCE_DIGEST] = "values of the PCRs",
        [EVIDENCE_CHECKS] = "none",
    };
    return (size_t)check < ARRAY_LEN(names) ? names[check] : "unknown";
}

/* ---- the attestation key ---- */

/* TPMA_OBJECT (TPM 2.0 Library, part 2, section 8.3); any bit that is not here is reserved. */
static const struct attribute {
    uint32_t bit;
    const char *name;
    enum { MUST, MUST_NOT, MAY } rule;
} attributes_known[] = {
    {1U << 1, "fixedTPM", MUST},    {1U << 2, "stClear", MAY},
    {1U << 4, "fixedParent", MUST}, {1U << 5, "sensitiveDataOrigin", MUST},
    {1U << 6, "userWithAuth", MAY}, {1U << 7, "adminWithPolicy", MAY},
    {1U << 10, "noDA", MAY},        {1U << 11, "encryptedDuplication", MUST_NOT},
    {1U << 16, "restricted", MUST}, {1U << 17, "decrypt", MUST_NOT},
    {1U << 18, "sign", MUST},       {1U << 19, "x509sign", MUST_NOT},
};

enum attest_rc
evidence_attributes(uint32_t attributes, struct attest_error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(attributes_known); i++) {
        const struct attribute *a = &attributes_known[i];
        bool set = attributes & a->bit;
        if (a->rule != MAY && set != (a->rule == MUST))
            return error_set(err, ATTEST_E_DENIED, "the attestation key is %s%s", set ? "" : "not ",
                             a->name);
        attributes &= ~a->bit;
    }
    if (attributes)
        return error_set(err, ATTEST_E_DENIED, "the attestation key has unknown attributes (%08x)",
                         (unsigned)attributes);
    return ATTEST_OK;
}

/* ---- the checks: each says no in a sentence ---- */

struct checking {
    const struct evidence *evidence;
    const struct evidence_expect *expect;
    struct evidence_verdict *verdict;
};

static enum attest_rc
check_ak(struct checking *c, struct attest_error *err)
{
    struct tpm_public *ak = &c->verdict->ak;
    enum attest_rc rc = tpm_public_read(c->evidence->ak_public, ak, err);
    if (!rc && memcmp(ak->name, c->expect->ak_name, TPM_NAME_LEN) != 0)
        rc = error_set(err, ATTEST_E_DENIED, "another attestation key than the pinned one");
    return rc;
}

static enum attest_rc
check_attributes(struct checking *c, struct attest_error *err)
{
    return evidence_attributes(c->verdict->ak.attributes, err);
}

static enum attest_rc
check_signature(struct checking *c, struct attest_error *err)
{
    uint8_t sig[ES256_SIG_LEN];
    enum attest_rc rc = tpm_signature_read(c->evidence->signature, sig, err);
    if (!rc && es256_verify(c->verdict->ak.point, c->evidence->quote, sig))
        rc = error_set(err, ATTEST_E_DENIED, "the attestation key did not sign this quote");
    return rc;
}

static enum attest_rc
check_magic(struct checking *c, struct attest_error *err)
{
    struct tpm_attest *quote = &c->verdict->quote;
    enum attest_rc rc = tpm_attest_read(c->evidence->quote, quote, err);
    if (!rc && quote->magic != TPM_GENERATED)
        rc = error_set(err, ATTEST_E_DENIED, "what was signed does not come from a TPM's inside");
    return rc;
}

static enum attest_rc
check_type(struct checking *c, struct attest_error *err)
{
    if (c->verdict->quote.type != TPM_ST_QUOTE)
        return error_set(err, ATTEST_E_DENIED, "signed by the TPM, but not a quote (type %04x)",
                         c->verdict->quote.type);
    return ATTEST_OK;
}

static enum attest_rc
check_nonce(struct checking *c, struct attest_error *err)
{
    const uint8_t *nonce = c->expect->nonce;
    if (nonce && memcmp(nonce, c->evidence->nonce, EVIDENCE_NONCE_LEN) != 0)
        return error_set(err, ATTEST_E_DENIED, "made for another nonce: it may be an old one");
    return ATTEST_OK;
}

static enum attest_rc
check_key_set(struct checking *c, struct attest_error *err)
{
    uint8_t digest[SHA256_LEN];
    const struct slice *extra = &c->verdict->quote.extra;
    evidence_qualifying(c->evidence->key_set, c->evidence->nonce, digest);
    if (extra->len != SHA256_LEN || memcmp(extra->p, digest, SHA256_LEN) != 0)
        return error_set(err, ATTEST_E_DENIED, "the quote is about another key set or nonce");
    return ATTEST_OK;
}

static void
list_pcrs(uint32_t pcrs, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < TPM_PCRS && len < size; i++) {
        if (pcrs >> i & 1)
            len += (size_t)snprintf(out + len, size - len, "%s%u", len ? "," : "", i);
    }
}

static enum attest_rc
check_selection(struct checking *c, struct attest_error *err)
{
    char quoted[80], expected[80];
    if (c->verdict->quote.chosen == c->expect->pcrs->chosen)
        return ATTEST_OK;
    list_pcrs(c->verdict->quote.chosen, quoted, sizeof(quoted));
    list_pcrs(c->expect->pcrs->chosen, expected, sizeof(expected));
    return error_set(err, ATTEST_E_DENIED, "quoted are the PCRs %s, expected %s", quoted, expected);
}

static enum attest_rc
check_digest(struct checking *c, struct attest_error *err)
{
    char moved[80];
    uint8_t digest[SHA256_LEN];
    const uint8_t *quoted = c->verdict->quote.pcr_digest;
    const struct tpm_pcrs *claimed = &c->evidence->pcrs, *expected = c->expect->pcrs;
    tpm_pcrs_digest(expected, digest);
    if (memcmp(digest, quoted, SHA256_LEN) == 0)
        return ATTEST_OK;
    /* Which ones moved only the values that came with the quote can say, if they are its. */
    tpm_pcrs_digest(claimed, digest);
    if (claimed->chosen != expected->chosen || memcmp(digest, quoted, SHA256_LEN) != 0)
        return error_set(err, ATTEST_E_DENIED, "the PCRs have other values than expected");
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        if (claimed->chosen >> i & 1 &&
            memcmp(claimed->values[i], expected->values[i], SHA256_LEN) != 0)
            c->verdict->moved |= 1U << i;
    }
    list_pcrs(c->verdict->moved, moved, sizeof(moved));
    return error_set(err, ATTEST_E_DENIED, "PCR %s has another value than expected", moved);
}

static enum attest_rc (*const checks[EVIDENCE_CHECKS])(struct checking *, struct attest_error *) = {
    [EVIDENCE_AK] = check_ak,
    [EVIDENCE_ATTRIBUTES] = check_attributes,
    [EVIDENCE_SIGNATURE] = check_signature,
    [EVIDENCE_MAGIC] = check_magic,
    [EVIDENCE_TYPE] = check_type,
    [EVIDENCE_NONCE] = check_nonce,
    [EVIDENCE_KEY_SET] = check_key_set,
    [EVIDENCE_SELECTION] = check_selection,
    [EVIDENCE_DIGEST] = check_digest,
};

enum attest_rc
evidence_check(const struct evidence *evidence, const struct evidence_expect *expect,
               struct evidence_verdict *ret, struct attest_error *err)
{
    struct evidence_verdict verdict = {.failed = EVIDENCE_CHECKS};
    struct checking c = {evidence, expect, &verdict};
    enum attest_rc rc = ATTEST_OK;
    for (unsigned i = 0; i < EVIDENCE_CHECKS && !rc; i++) {
        rc = checks[i](&c, err);
        if (rc)
            verdict.failed = (enum evidence_check)i;
    }
    if (rc && err)
        err->rc = ATTEST_E_DENIED; /* what cannot be read is refused like what is wrong */
    *ret = verdict;
    return rc ? ATTEST_E_DENIED : ATTEST_OK;
}
