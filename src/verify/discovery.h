/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_DISCOVERY_H
#define VERIFY_DISCOVERY_H

#include "base/bytes.h"

/*
 * Where a discovery document (OpenID Connect Discovery 1.0, section 3) says that the key set is:
 * `member` of it, "jwks_uri" or "signed_jwks_uri". Pure, thread-safe.
 *
 * document_max: more bytes than that are refused. *ret is the caller's to free.
 *
 * ATTEST_E_ISSUER when the document is of another issuer, ATTEST_E_MALFORMED when it is no such
 * document or names no URL on the issuer's own scheme, host and port, ATTEST_E_NOMEM.
 */
enum attest_rc discovery_read(struct slice document, size_t document_max, const char *issuer,
                              const char *member, char **ret, struct attest_error *err);

#endif
