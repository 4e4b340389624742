/* SPDX-License-Identifier: MIT */
#ifndef BASE_ES256_H
#define BASE_ES256_H

#include "base/bytes.h"

/*
 * ECDSA with P-256 and SHA-256 as RFC 7518, section 3.4, has it: what a TPM can sign with by
 * itself. The one file that knows which library does it. Stateless and thread-safe.
 */
#define ES256_POINT_LEN 64 /* x and y, big-endian, 32 bytes each */
#define ES256_SIG_LEN 64   /* r and s, the same */

/* Whether x and y are a point of the curve, neither beyond the field's prime. */
bool es256_point_ok(const uint8_t point[ES256_POINT_LEN]);

/*
 * r and s have to lie between 1 and the group's order. (r, -s) verifies where (r, s) does: a
 * signature is no name for what it signs. ATTEST_E_SIGNATURE, also when the key is no point.
 */
enum attest_rc es256_verify(const uint8_t point[ES256_POINT_LEN], struct slice msg,
                            const uint8_t sig[ES256_SIG_LEN]);

#endif
