/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_DISCOVERY_H
#define ISSUER_DISCOVERY_H

#include "issuer/http.h"

/*
 * The two documents by which clients find the rest (OpenID Connect Discovery 1.0, RFC 8414): one
 * content, built once for each choice of algorithms. Their members are fixed (docs/protocol.md,
 * section 3); signed_jwks_uri and token_endpoint name the places that those resources have, served
 * or not yet.
 */
struct MHD_Response *discovery_new(const char *issuer, bool es256);
/* The text itself. es256: there are token keys of that algorithm. */
void discovery_write(const char *issuer, bool es256, struct buf *out);

enum MHD_Result discovery_get(struct exchange *x);

#endif
