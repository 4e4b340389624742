/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_CNF_PROOF_H
#define ISSUER_CNF_PROOF_H

#include "base/ed25519.h"
#include "token/mint_request.h"

/*
 * Who asks for a token bound to a key must show that he holds it: a compact JWS by that key, typ
 * cnf-proof+jwt, over iss (this issuer), exp (at most 60 s ahead, plus skew) and jti
 * (docs/protocol.md, section 4). Pure. ATTEST_OK or ATTEST_E_CLAIMS with a text that starts with
 * "cnf_proof: ". now_s is seconds since the epoch.
 */
enum attest_rc cnf_proof_check(const struct mint_request *request, const char *issuer,
                               int64_t now_s, struct attest_error *err);

#endif
