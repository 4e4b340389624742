/* SPDX-License-Identifier: MIT */
#include "issuer/document.h"

#include <string.h>

#include "base/b64u.h"
#include "base/ed25519.h"

static void
make_etag(struct document *document, struct slice text)
{
    uint8_t hash[SHA256_LEN];
    sha256(hash, text.p, text.len);
    document->etag[0] = '"';
    b64u_encode(document->etag + 1, hash, DOCUMENT_ETAG_BYTES);
    memcpy(document->etag + sizeof(document->etag) - 2, "\"", 2);
}

static struct MHD_Response *
make_response(const struct document *document, struct slice text, const char *type,
              const char *cache)
{
    struct MHD_Response *r = http_response(text, type, cache);
    if (r && MHD_add_response_header(r, "ETag", document->etag) == MHD_YES &&
        MHD_add_response_header(r, "Access-Control-Allow-Origin", "*") == MHD_YES)
        return r;
    if (r)
        MHD_destroy_response(r);
    return NULL;
}

enum attest_rc
document_make(struct document *document, struct slice text, const char *type, int64_t max_age_s,
              int64_t expires_s, struct attest_error *err)
{
    struct document next = {.late_s = expires_s == INT64_MAX ? INT64_MAX : expires_s - max_age_s};
    char cache[64];
    snprintf(cache, sizeof(cache), "public, max-age=%lld", (long long)max_age_s);
    make_etag(&next, text);
    next.response = make_response(&next, text, type, cache);
    if (next.response && expires_s != INT64_MAX)
        next.late = make_response(&next, text, type, "public, no-cache");
    if (!next.response || (expires_s != INT64_MAX && !next.late)) {
        document_done(&next);
        return error_set(err, ATTEST_E_NOMEM, "no memory for the key set");
    }
    *document = next;
    return ATTEST_OK;
}

void
document_done(struct document *document)
{
    if (document->response)
        MHD_destroy_response(document->response);
    if (document->late)
        MHD_destroy_response(document->late);
    *document = (struct document){0};
}

bool
etag_listed(struct slice list, const char *etag)
{
    if (slice_is(list, "*"))
        return true;
    size_t etag_len = strlen(etag);
    for (size_t at = 0; at < list.len;) {
        if (strchr(" \t,", list.p[at])) {
            at++;
            continue;
        }
        if (list.len - at > 2 && memcmp(list.p + at, "W/", 2) == 0)
            at += 2; /* the comparison is the weak one */
        const char *quote =
            list.p[at] == '"' ? memchr(list.p + at + 1, '"', list.len - at - 1) : NULL;
        if (!quote)
            return false;
        size_t len = (size_t)(quote + 1 - (list.p + at));
        if (len == etag_len && memcmp(list.p + at, etag, len) == 0)
            return true;
        at += len;
    }
    return false;
}

enum MHD_Result
document_answer(const struct document *document, struct exchange *x, int64_t now_s)
{
    bool unchanged = x->head.if_none_match.p && etag_listed(x->head.if_none_match, document->etag);
    return http_answer(x, unchanged ? 304 : 200, /* without a body for 304 */
                       now_s > document->late_s ? document->late : document->response);
}
