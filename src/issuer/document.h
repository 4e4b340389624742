/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_DOCUMENT_H
#define ISSUER_DOCUMENT_H

#include "issuer/http.h"

/*
 * A public document that changes seldom, made into responses once: ETag, 304, Cache-Control, open
 * to every origin. Immutable; whoever replaces one locks.
 */
#define DOCUMENT_ETAG_BYTES 18

struct document {
    struct MHD_Response *response; /* for 200, HEAD and 304; NULL: there is no document */
    struct MHD_Response *late;     /* from late_s on: not to be kept by caches */
    int64_t late_s;
    char etag[DOCUMENT_ETAG_BYTES * 4 / 3 + 3];
};

/*
 * Copies text. It may be cached for max_age_s, and not beyond expires_s (seconds since the epoch;
 * INT64_MAX for what does not expire). ATTEST_E_NOMEM.
 */
enum attest_rc document_make(struct document *document, struct slice text, const char *type,
                             int64_t max_age_s, int64_t expires_s, struct attest_error *err);
/* Safe on zero, and while somebody still sends it. */
void document_done(struct document *document);

/* Answers GET and HEAD with a document that is there. */
enum MHD_Result document_answer(const struct document *document, struct exchange *x, int64_t now_s);

/* Whether an If-None-Match has this entity tag (quotes included), or "*" (RFC 9110, 13.1.2). Pure.
 */
bool etag_listed(struct slice list, const char *etag);

#endif
