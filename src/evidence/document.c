/* SPDX-License-Identifier: MIT */
#include "evidence/document.h"

#include <stdlib.h>
#include <string.h>

#include "base/b64u.h"
#include "base/json.h"

enum { NODES_MAX = 256, STRING_MAX = (EVIDENCE_LOG_MAX * 4 + 2) / 3 };

static const struct json_limits limits = {EVIDENCE_DOCUMENT_MAX, STRING_MAX, 4, 64};

struct reading {
    const struct json *json;
    const struct json_node *root;
    uint8_t *free; /* decoded bytes go here, and always fit: they are fewer than their text */
    struct attest_error *err;
};

static enum attest_rc
read_bytes(struct reading *r, const char *name, size_t max, struct slice *ret)
{
    const struct json_node *node = json_member(r->json, r->root, name);
    size_t len;
    if (!node || node->type != JSON_STRING)
        return error_set(r->err, ATTEST_E_MALFORMED, "%s: missing, or no string", name);
    if (node->text.len > b64u_encoded_len(max) ||
        !b64u_decode(r->free, b64u_decoded_len(node->text.len), &len, node->text))
        return error_set(r->err, ATTEST_E_MALFORMED, "%s: not base64url of at most %zu bytes", name,
                         max);
    *ret = (struct slice){(const char *)r->free, len};
    r->free += len;
    return ATTEST_OK;
}

/* "0" to "23", no zero in front; TPM_PCRS for anything else. */
static unsigned
pcr_number(struct slice s)
{
    unsigned n = 0;
    if (s.len < 1 || s.len > 2 || (s.len == 2 && s.p[0] == '0'))
        return TPM_PCRS;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return TPM_PCRS;
        n = n * 10 + (unsigned)(s.p[i] - '0');
    }
    return n < TPM_PCRS ? n : TPM_PCRS;
}

static enum attest_rc
read_pcrs(struct reading *r, struct tpm_pcrs *ret)
{
    const struct json_node *bank =
        json_member(r->json, json_member(r->json, r->root, "pcrs"), "sha256");
    struct slice key;
    if (!bank || bank->type != JSON_OBJECT)
        return error_set(r->err, ATTEST_E_MALFORMED, "pcrs: no sha256 in it");
    for (const struct json_node *v = NULL; json_each(r->json, bank, &key, &v);) {
        unsigned n = pcr_number(key);
        if (n == TPM_PCRS || v->type != JSON_STRING ||
            !hex_decode(ret->values[n], SHA256_LEN, v->text))
            return error_set(r->err, ATTEST_E_MALFORMED,
                             "pcrs: numbers with 64 lower-case hex digits expected");
        ret->chosen |= 1U << n;
    }
    return ATTEST_OK;
}

static enum attest_rc
read_members(struct reading *r, struct evidence_document *d)
{
    struct evidence *e = &d->evidence;
    const struct json_node *version = json_member(r->json, r->root, "version");
    struct slice nonce;
    if (r->root->type != JSON_OBJECT || !version || version->type != JSON_STRING)
        return error_set(r->err, ATTEST_E_MALFORMED, "version: missing; this is no evidence");
    if (!slice_is(version->text, EVIDENCE_VERSION))
        return error_set(r->err, ATTEST_E_UNSUPPORTED, "version: not " EVIDENCE_VERSION);
    enum attest_rc rc;
    if ((rc = read_bytes(r, "nonce", EVIDENCE_NONCE_LEN, &nonce)) ||
        (rc = read_bytes(r, "key_set", EVIDENCE_KEY_SET_MAX, &e->key_set)) ||
        (rc = read_bytes(r, "quote", TPM_ATTEST_MAX, &e->quote)) ||
        (rc = read_bytes(r, "signature", TPM_SIGNATURE_MAX, &e->signature)) ||
        (rc = read_bytes(r, "ak_public", TPM_PUBLIC_MAX, &e->ak_public)) ||
        (rc = read_pcrs(r, &e->pcrs)))
        return rc;
    if (nonce.len != EVIDENCE_NONCE_LEN)
        return error_set(r->err, ATTEST_E_MALFORMED, "nonce: %d bytes expected",
                         EVIDENCE_NONCE_LEN);
    memcpy(e->nonce, nonce.p, EVIDENCE_NONCE_LEN);
    if (!json_member(r->json, r->root, "event_log"))
        return ATTEST_OK;
    return read_bytes(r, "event_log", EVIDENCE_LOG_MAX, &d->event_log);
}

enum attest_rc
evidence_document_read(char *text, size_t len, struct evidence_document *ret,
                       struct attest_error *err)
{
    JSON_NODES(json, NODES_MAX);
    AUTO(evidence_document) struct evidence_document d = {.event_log = {"", 0}};
    enum attest_rc rc = json_read(&json, text, len, &limits, err);
    if (rc)
        return rc;
    d.bytes = malloc(len);
    if (!d.bytes)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    struct reading r = {&json, json_root(&json), (uint8_t *)d.bytes, err};
    rc = read_members(&r, &d);
    if (rc)
        return rc;
    *ret = d;
    d.bytes = NULL;
    return ATTEST_OK;
}

void
evidence_document_done(struct evidence_document *document)
{
    free(document->bytes);
    document->bytes = NULL;
}

static void
put_bytes(struct buf *out, const char *name, struct slice bytes)
{
    buf_printf(out, ",\"%s\":\"", name);
    b64u_append(out, bytes.p, bytes.len);
    buf_char(out, '"');
}

void
evidence_members_write(const struct evidence *e, struct buf *out)
{
    put_bytes(out, "key_set", e->key_set);
    put_bytes(out, "quote", e->quote);
    put_bytes(out, "signature", e->signature);
    put_bytes(out, "ak_public", e->ak_public);
    buf_str(out, ",\"pcrs\":{\"sha256\":{");
    for (unsigned i = 0, n = 0; i < TPM_PCRS; i++) {
        char hex[2 * SHA256_LEN + 1];
        if (!(e->pcrs.chosen >> i & 1))
            continue;
        hex_encode(hex, e->pcrs.values[i], SHA256_LEN);
        buf_printf(out, "%s\"%u\":\"%s\"", n++ ? "," : "", i, hex);
    }
    buf_str(out, "}}");
}
