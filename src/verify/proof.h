/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_PROOF_H
#define VERIFY_PROOF_H

#include <attest/claims.h>

#include "base/bytes.h"
#include "base/ed25519.h"

/*
 * Proof of possession (docs/protocol.md section 2a): a compact JWS by the key in the token's cnf,
 * over this server's name, this token and an identifier of its own. Pure.
 */

#define PROOF_LIFETIME_MAX_S 60
#define PROOF_JTI_MAX 256

/* What the replay store is to remember. */
struct proof {
    char jti[PROOF_JTI_MAX + 1];
    int64_t exp;
};

/*
 * claims came from a token, which is bound and has this SHA-256. ATTEST_OK, or ATTEST_E_PROOF
 * whatever is wrong.
 */
enum attest_rc proof_verify(const struct attest_claims *claims, const uint8_t digest[SHA256_LEN],
                            struct slice proof, int64_t now_s, int64_t skew_s, struct proof *ret,
                            struct attest_error *err);

#endif
