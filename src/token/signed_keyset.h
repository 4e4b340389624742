/* SPDX-License-Identifier: MIT */
#ifndef TOKEN_SIGNED_KEYSET_H
#define TOKEN_SIGNED_KEYSET_H

#include "jwks/keyset.h"
#include "token/profile.h"

/*
 * The signed key set (docs/protocol.md section 3): an issuer's keys and revocations in a compact
 * JWS by its root key, for verifiers that pin that key. Pure: no I/O, no clock; thread-safe on
 * distinct arguments.
 */

#define SIGNED_KEYSET_TEXT_MAX KEYSET_TEXT_MAX /* bytes of the whole JWS */
#define SIGNED_KEYSET_LIFETIME_MAX_S 3600
#define SIGNED_KEYSET_REASON_MAX 256 /* bytes of a reason */

/* ---- writing ---- */

struct signed_keyset_revoked {
    struct slice kid;
    int64_t revoked_at_s;
    struct slice reason; /* UTF-8; empty is written as "" */
};

struct signed_keyset_source {
    struct slice issuer;
    int64_t iat, exp; /* seconds since the epoch */
    const struct keyset_entry *keys;
    size_t n_keys;
    const struct keyset_entry *log_keys;
    size_t n_log_keys;
    const struct signed_keyset_revoked *revoked;
    size_t n_revoked;
    const uint8_t *next_root; /* ED25519_PUBLIC_LEN bytes, or NULL */
    enum jwk_alg next_root_alg;
};

/*
 * Appends the payload. keys and log_keys become what keyset_write() makes of them: those that are
 * active, published or retired. What would keep a verifier from reading the rest is mended here: an
 * exp more than SIGNED_KEYSET_LIFETIME_MAX_S behind iat is brought forward, a reason is cut at
 * SIGNED_KEYSET_REASON_MAX and its control characters become spaces, a kid that is revoked twice is
 * written once, the first time.
 *
 *     jws_write_signing_input(out, alg, SIGNED_KEYSET_TYP, root's kid, payload), the signature over
 *     what that appended, jws_write_signature()
 */
void signed_keyset_write(const struct signed_keyset_source *source, struct buf *out);

#define SIGNED_KEYSET_TYP "jwk-set+jwt"

#endif
