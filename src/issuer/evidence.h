/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_EVIDENCE_H
#define ISSUER_EVIDENCE_H

#include "issuer/http.h"

/*
 * GET /.well-known/attestation-evidence?nonce=: what the signer's TPM says about the key set
 * (docs/protocol.md, section 3), put together here, made and vouched for there. One at a time for
 * all callers, so that strangers cannot keep the signer busy. Thread-safe.
 */
struct evidence_source;

/* Reads the firmware's event log, once; path "" for none. NULL when out of memory. */
struct evidence_source *evidence_source_new(const char *event_log);
void evidence_source_free(struct evidence_source *source);

enum MHD_Result evidence_get(struct exchange *x);

#endif
