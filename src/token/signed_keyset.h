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
    const struct pubkey *next_root; /* or NULL */
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

/* ---- reading ---- */

/* A key that may sign sets. */
struct signed_keyset_root {
    struct pubkey public_key;
    enum jwk_alg alg; /* JWK_ALG_NONE: whichever fits the key */
};

/* Immutable once read. */
struct signed_keyset {
    int64_t iat, exp;
    size_t signed_by;        /* index of the root */
    struct keyset *keys;     /* may hold none: revoked keys are taken out of it, not replaced */
    struct keyset *log_keys; /* NULL: the document does not speak of any */
    struct signed_keyset_revoked *revoked; /* ordered by kid */
    size_t n_revoked;
    bool has_next_root;
    struct signed_keyset_root next_root;
    char *strings; /* what revoked borrows from */
};

/*
 * Reads one and believes nothing before the signature holds: size, structure, header (typ
 * SIGNED_KEYSET_TYP and nothing else), kid among the roots' thumbprints, signature, issuer, time,
 * content. Keys go by the rules of keyset_read(), but there may be none. Which of keys and revoked
 * a kid is in is for the caller to ask in this order: revoked, keys. Members that are not of the
 * format are passed over.
 *
 * ATTEST_E_LIMIT (longer than SIGNED_KEYSET_TEXT_MAX), _MALFORMED (not of the form, exp not behind
 * iat or more than SIGNED_KEYSET_LIFETIME_MAX_S behind it, a kid that is revoked twice),
 * _KEY_UNKNOWN (signed by none of the roots; err says by whom), _SIGNATURE, _ISSUER (iss or sub is
 * another), _NOT_YET_VALID (iat more than skew_s ahead), _EXPIRED (exp and skew_s have passed),
 * _NOMEM. Free *ret with signed_keyset_free(). text is not needed afterwards.
 */
enum attest_rc signed_keyset_read(const char *text, size_t len, struct slice issuer,
                                  const struct signed_keyset_root *roots, size_t n_roots,
                                  int64_t now_s, int64_t skew_s, struct signed_keyset **ret,
                                  struct attest_error *err);
void signed_keyset_free(struct signed_keyset *set);
DEFINE_AUTO(signed_keyset, struct signed_keyset *, signed_keyset_free);

/*
 * For who hands one on and trusts where it came from: form, header and times. Nothing is verified.
 * ATTEST_E_MALFORMED, _LIMIT, _NOMEM.
 */
enum attest_rc signed_keyset_peek(const char *text, size_t len, int64_t *iat_s, int64_t *exp_s,
                                  struct attest_error *err);

/* The entry with exactly these bytes as kid, or NULL. Logarithmic. */
const struct signed_keyset_revoked *signed_keyset_revoked(const struct signed_keyset *set,
                                                          struct slice kid);

/* One of them, from a JWK object in a document; ATTEST_E_MALFORMED. */
enum attest_rc signed_keyset_read_root(const struct json *j, const struct json_node *jwk,
                                       struct signed_keyset_root *ret, struct attest_error *err);

/*
 * Roots to pin, as a person hands them over: one JWK, or a JWK set. Everything in it has to be a
 * public key, Ed25519 or P-256. *n is the number of them, at least 1. ATTEST_E_MALFORMED,
 * ATTEST_E_LIMIT (more than n_max, or the text longer than SIGNED_KEYSET_TEXT_MAX), ATTEST_E_NOMEM.
 */
enum attest_rc signed_keyset_read_roots(const char *text, size_t len,
                                        struct signed_keyset_root *roots, size_t n_max, size_t *n,
                                        struct attest_error *err);

#endif
