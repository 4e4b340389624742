/* SPDX-License-Identifier: MIT */
#ifndef EVIDENCE_DOCUMENT_H
#define EVIDENCE_DOCUMENT_H

#include "evidence/evidence.h"

/*
 * Evidence as it travels, one JSON object (docs/protocol.md, section 3):
 *
 *   {"version":"attest-evidence/1","nonce":B,"key_set":B,"quote":B,"signature":B,"ak_public":B,
 *    "pcrs":{"sha256":{"0":H,…}},"event_log":B}
 *
 * B is base64url without padding, H 64 lower-case hex digits; event_log may be missing, members of
 * other names are passed over. Reading believes nothing: evidence_check() does the judging.
 */

#define EVIDENCE_VERSION "attest-evidence/1"
#define EVIDENCE_LOG_MAX 524288         /* bytes of an event log */
#define EVIDENCE_DOCUMENT_MAX (1 << 20) /* bytes of the JSON text */

struct evidence_document {
    struct evidence evidence; /* borrows from the bytes below */
    struct slice event_log;   /* empty when there is none; nothing vouches for it but a replay */
    char *bytes;
};

/*
 * text is changed. ATTEST_E_MALFORMED with the member at fault, ATTEST_E_UNSUPPORTED for another
 * version, ATTEST_E_NOMEM.
 */
enum attest_rc evidence_document_read(char *text, size_t len, struct evidence_document *ret,
                                      struct attest_error *err);
void evidence_document_done(struct evidence_document *document);

static inline void
evidence_document_auto(struct evidence_document *document)
{
    evidence_document_done(document);
}

/*
 * The members "key_set" to "pcrs", which say what the TPM and its user said, each with a comma in
 * front: what attest-signer answers and attestd passes on.
 */
void evidence_members_write(const struct evidence *evidence, struct buf *out);

#endif
