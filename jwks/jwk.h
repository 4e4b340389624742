/* SPDX-License-Identifier: MIT */
#ifndef JWKS_JWK_H
#define JWKS_JWK_H

#include "base/bytes.h"
#include "base/ed25519.h"

/* base/json.h; not included, because its names and jansson's cannot meet in one file. */
struct json;
struct json_node;

/*
 * One public key as JSON Web Key: kty OKP, crv Ed25519 (RFC 7517, RFC 8037). Pure, thread-safe.
 */

#define JWK_KID_MAX 256       /* bytes of a key id that we accept */
#define JWK_THUMBPRINT_LEN 43 /* characters of a thumbprint */

/* What a key or a token header says of the algorithm; both mean Ed25519 for keys of this type. */
enum jwk_alg {
    JWK_ALG_NONE, /* a key that does not say */
    JWK_ALG_EDDSA,
    JWK_ALG_ED25519, /* RFC 9864 */
};

/* "EdDSA", "Ed25519"; NULL for JWK_ALG_NONE. */
const char *jwk_alg_name(enum jwk_alg alg);
/* False for any other spelling. */
bool jwk_alg_from(struct slice name, enum jwk_alg *ret);

/*
 * The RFC 7638 thumbprint, SHA-256 over {"crv":"Ed25519","kty":"OKP","x":"…"}, in base64url, with
 * NUL. It is the kid of every key that we issue.
 */
void jwk_thumbprint(char out[JWK_THUMBPRINT_LEN + 1], const uint8_t public_key[ED25519_PUBLIC_LEN]);

/* {"kty":"OKP","crv":"Ed25519","x":"…"}: the form of cnf.jwk. */
void jwk_write(const uint8_t public_key[ED25519_PUBLIC_LEN], struct buf *out);

/*
 * Reads such an object from the token path's reader. Members that do not belong to the key itself
 * (kid, use, alg…) are ignored; private ones are refused, as is an x that is not a canonical point
 * of the prime-order group. ATTEST_OK or ATTEST_E_CLAIMS; *member (may be NULL) then names the
 * member at fault: "kty", "crv", "x", "d" or "" for the whole. public_key is set on ATTEST_OK only.
 */
enum attest_rc jwk_read(const struct json *j, const struct json_node *object,
                        uint8_t public_key[ED25519_PUBLIC_LEN], const char **member,
                        struct attest_error *err);

#endif
