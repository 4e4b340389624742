/* SPDX-License-Identifier: MIT */
#ifndef JWKS_JWK_H
#define JWKS_JWK_H

#include "base/pubkey.h"

/* base/json.h; not included, because its names and jansson's cannot meet in one file. */
struct json;
struct json_node;

/*
 * One public key as JSON Web Key (RFC 7517): kty OKP, crv Ed25519 (RFC 8037), or kty EC, crv P-256
 * (RFC 7518 section 6.2). Pure, thread-safe.
 */

#define JWK_KID_MAX 256       /* bytes of a key id that we accept */
#define JWK_THUMBPRINT_LEN 43 /* characters of a thumbprint */

/*
 * What a key or a token header says of the algorithm. The first two mean the same for keys of type
 * OKP; ES256 is for those of type EC and for no other.
 */
enum jwk_alg {
    JWK_ALG_NONE, /* a key that does not say */
    JWK_ALG_EDDSA,
    JWK_ALG_ED25519, /* RFC 9864 */
    JWK_ALG_ES256,
    JWK_ALGS,
};

/* "EdDSA", "Ed25519", "ES256"; NULL for JWK_ALG_NONE. */
const char *jwk_alg_name(enum jwk_alg alg);
/* False for any other spelling. */
bool jwk_alg_from(struct slice name, enum jwk_alg *ret);
/* Whether keys of this type are used with it; JWK_ALG_NONE goes with every type. */
bool jwk_alg_fits(enum jwk_alg alg, enum pubkey_type type);
/* The type of the keys of an algorithm that is not JWK_ALG_NONE, and what a key that does not say
 * is used with. */
enum pubkey_type jwk_alg_type(enum jwk_alg alg);
enum jwk_alg jwk_alg_of(enum pubkey_type type);

/* "OKP" and "EC", "Ed25519" and "P-256". */
const char *jwk_kty(enum pubkey_type type);
const char *jwk_crv(enum pubkey_type type);
/* False when it is no type of ours. */
bool jwk_type_from(struct slice kty, struct slice crv, enum pubkey_type *ret);

/*
 * A key of this type from its coordinates in base64url; y is looked at only where there is one.
 * NULL, or which of them is not 32 bytes: "x", "y". Whether it can be a key is pubkey_ok()'s to
 * say.
 */
const char *jwk_decode(struct pubkey *key, enum pubkey_type type, struct slice x, struct slice y);

/*
 * The RFC 7638 thumbprint, SHA-256 over {"crv":"Ed25519","kty":"OKP","x":"…"} or
 * {"crv":"P-256","kty":"EC","x":"…","y":"…"}, in base64url, with NUL. It is the kid of every key
 * that we issue.
 */
void jwk_thumbprint(char out[JWK_THUMBPRINT_LEN + 1], const struct pubkey *key);

/* {"kty":"OKP","crv":"Ed25519","x":"…"}: the form of cnf.jwk. */
void jwk_write(const struct pubkey *key, struct buf *out);
/* ,"x":"…" and, where there is one, ,"y":"…": for who writes the rest himself. */
void jwk_write_coords(const struct pubkey *key, struct buf *out);

/*
 * Reads such an object from the token path's reader. Members that do not belong to the key itself
 * (kid, use, alg…) are ignored; private ones are refused, as is what pubkey_ok() does not like.
 * ATTEST_OK or ATTEST_E_CLAIMS; *member (may be NULL) then names the member at fault: "kty", "crv",
 * "x", "y", "d" or "" for the whole. The key is set on ATTEST_OK only.
 */
enum attest_rc jwk_read(const struct json *j, const struct json_node *object, struct pubkey *key,
                        const char **member, struct attest_error *err);
/* The same for who takes Ed25519 keys alone, as cnf.jwk does. */
enum attest_rc jwk_read_ed25519(const struct json *j, const struct json_node *object,
                                uint8_t public_key[ED25519_PUBLIC_LEN], const char **member,
                                struct attest_error *err);

#endif
