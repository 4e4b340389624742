/* SPDX-License-Identifier: MIT */
#ifndef JWKS_KEYSET_H
#define JWKS_KEYSET_H

#include "jwks/jwk.h"
#include "jwks/keystate.h"

/*
 * Key set documents (RFC 7517 section 5): what an issuer publishes at /.well-known/jwks.json, and
 * what a verifier makes of such a document. Pure: no I/O, no clock.
 */

#define KEYSET_TEXT_MAX 65536 /* bytes of a document that is read */

/* ---- writing ---- */

struct keyset_entry {
    struct pubkey public_key;
    enum jwk_alg alg; /* JWK_ALG_NONE is written as EdDSA or, of a P-256 key, ES256 */
    enum key_state state;
};

/*
 * Appends {"keys":[{"kty":"OKP","crv":"Ed25519","kid":…,"x":…,"use":"sig","alg":"EdDSA"}]}, of a
 * P-256 key {"kty":"EC","crv":"P-256","kid":…,"x":…,"y":…,"use":"sig","alg":"ES256"}: active keys
 * first, then published, then retired ones, each group in the order given; keys in any other state
 * are left out. The kid is the thumbprint.
 */
void keyset_write(const struct keyset_entry *entries, size_t n, struct buf *out);
/* The array alone; "[]" when no key is in such a state. */
void keyset_write_list(const struct keyset_entry *entries, size_t n, struct buf *out);
/* One element of it. */
void keyset_write_key(const struct pubkey *key, enum jwk_alg alg, struct buf *out);

/* ---- reading ---- */

struct jwk {
    struct slice kid; /* borrowed from the key set */
    enum jwk_alg alg; /* as the document says; it fits the key */
    struct pubkey public_key;
};

/* Immutable once read, so it may be used from any number of threads. */
struct keyset;

/*
 * Reads a document. Keys that are not ours to use are passed over: another kty or crv, a `use`
 * other than sig, key_ops without verify, another alg or one of another kty, no kid. The whole set
 * is refused when it is not strict JSON, when one kid is there twice (on whatever keys), when any
 * key shows a private member, when a usable key's kid is empty or longer than JWK_KID_MAX, or its x
 * or y is not 32 bytes of strict base64url, or is one that pubkey_ok() refuses.
 *
 * ATTEST_OK, ATTEST_E_MALFORMED, ATTEST_E_LIMIT (larger than KEYSET_TEXT_MAX), ATTEST_E_NOT_FOUND
 * (well-formed, but no usable key in it) or ATTEST_E_NOMEM. Free *ret with keyset_free(). text is
 * not needed afterwards.
 */
enum attest_rc keyset_read(const char *text, size_t len, struct keyset **ret,
                           struct attest_error *err);
/* The same from the array of this name, which may be empty: never ATTEST_E_NOT_FOUND. */
enum attest_rc keyset_read_member(const char *text, size_t len, const char *member,
                                  struct keyset **ret, struct attest_error *err);
void keyset_free(struct keyset *set);
DEFINE_AUTO(keyset, struct keyset *, keyset_free);

/* The key with exactly these bytes as kid, or NULL. Logarithmic. */
const struct jwk *keyset_find(const struct keyset *set, struct slice kid);

/* All keys, ordered by kid. */
size_t keyset_count(const struct keyset *set);
const struct jwk *keyset_at(const struct keyset *set, size_t i);

#endif
