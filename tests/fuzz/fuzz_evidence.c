/* SPDX-License-Identifier: MIT */
/*
 * Evidence from anywhere: the JSON, and the bytes in it. An input with a tag in front is one of the
 * inner things, so that the fuzzer need not learn base64. What is accepted keeps its limits, lies
 * inside what was read, and is still nothing that a check without the right key would believe.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "evidence/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
    if (!holds)
        abort();
}

static bool
inside(struct slice s, struct slice of)
{
    return s.len == 0 || (s.p >= of.p && s.p + s.len <= of.p + of.len);
}

static void
try_attest(struct slice s)
{
    struct tpm_attest a;
    struct attest_error err = {0};
    if (tpm_attest_read(s, &a, &err)) {
        must(err.rc && *err.text);
        return;
    }
    if (a.magic != TPM_GENERATED || a.type != TPM_ST_QUOTE)
        return;
    must(inside(a.signer, s) && inside(a.extra, s) && a.extra.len <= 64 && a.signer.len <= 68);
    must(a.chosen >> TPM_PCRS == 0);
    must(s.len == 4 + 2 + 2 + a.signer.len + 2 + a.extra.len + 17 + 8 + 10 + 2 + SHA256_LEN);
}

static void
try_public(struct slice s)
{
    struct tpm_public a;
    uint8_t name[TPM_NAME_LEN];
    if (tpm_public_read(s, &a, NULL) == ATTEST_OK)
        must(inside(a.policy, s) && es256_point_ok(a.point) && a.name[1] == 0x0b);
    (void)evidence_pin_read(s, name, NULL);
}

static void
try_signature(struct slice s)
{
    uint8_t sig[ES256_SIG_LEN];
    if (tpm_signature_read(s, sig, NULL) == ATTEST_OK)
        must(s.len >= 4 + 3 + 3 && s.len <= 72);
}

static void
try_pcrs(struct slice s)
{
    struct tpm_pcrs pcrs;
    if (evidence_pcrs_read(s, &pcrs, NULL) == ATTEST_OK)
        must(pcrs.chosen && pcrs.chosen >> TPM_PCRS == 0);
}

static void
try_document(struct slice s)
{
    AUTO(mem) char *text = malloc(s.len ? s.len : 1);
    AUTO(evidence_document) struct evidence_document d = {0};
    struct attest_error err = {0};
    must(text);
    memcpy(text, s.p, s.len);
    if (evidence_document_read(text, s.len, &d, &err)) {
        must(!d.bytes && err.rc && *err.text);
        return;
    }
    const struct slice room = {d.bytes, s.len};
    const struct evidence *e = &d.evidence;
    must(inside(e->key_set, room) && e->key_set.len <= EVIDENCE_KEY_SET_MAX);
    must(inside(e->quote, room) && inside(e->signature, room) && inside(e->ak_public, room));
    must(inside(d.event_log, room) && d.event_log.len <= EVIDENCE_LOG_MAX);
    static const uint8_t nobody[TPM_NAME_LEN];
    const struct evidence_expect expect = {nobody, &e->pcrs, e->nonce};
    struct evidence_verdict v;
    must(evidence_check(e, &expect, &v, &err) == ATTEST_E_DENIED && v.failed == EVIDENCE_AK);
    try_attest(e->quote);
    try_public(e->ak_public);
    try_signature(e->signature);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        char tag;
        void (*try)(struct slice s);
    } tags[] = {{'Q', try_attest}, {'A', try_public}, {'S', try_signature}, {'P', try_pcrs}};
    const struct slice whole = {(const char *)data, size};
    for (size_t i = 0; size > 0 && i < ARRAY_LEN(tags); i++) {
        if (whole.p[0] == tags[i].tag)
            tags[i].try((struct slice){whole.p + 1, whole.len - 1});
    }
    try_document(whole);
    return 0;
}
