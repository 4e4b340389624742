/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_KEYS_H
#define ATTEST_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attest/error.h>

/*
 * Public keys in hand, each belonging to the issuer under whose name it was added: a key of one
 * issuer never verifies a token that names another.
 *
 * Any number of threads may verify with it while others add to it, verifiers that hold it included:
 * an issuer's new key set takes the place of the old one in one moment. What verifies waits for no
 * document to be read. In a child after fork() nothing can be added (ATTEST_E_FORKED), and no
 * thread of the parent may be adding while it forks. A verifier that fetches adds when it likes:
 * its keys are not for children.
 *
 * Two ways of trusting an issuer's keys:
 *
 *  - attest_keys_add_jwks(): whoever serves the key set is believed. Fetch it over TLS, from the
 *    issuer, and you trust that server and whoever can stand in for it.
 *  - attest_keys_pin_root() and attest_keys_add_signed(): the issuer's root key, which its HSM
 *    holds, is believed. The signed sets may then come over any channel. Revocations come along.
 */
struct attest_keys;

/* The longest key set document that is read, signed or not, in bytes. */
#define ATTEST_JWKS_MAX 65536

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An empty collection. Free it with attest_keys_free(). ATTEST_E_NOMEM, or ATTEST_E_INTERNAL when
 * the cryptographic library cannot be initialised.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_keys_new(struct attest_keys **ret, struct attest_error *err);

/*
 * Adds the keys of one issuer, Ed25519 and P-256, from a JWKS document (RFC 7517 section 5) of
 * jwks_len bytes, in the place of those that this issuer had before. On failure nothing has
 * changed.
 *
 * issuer   the `iss` that these keys speak for, byte for byte
 *
 * The set has no end of its own: add the next one. (It gets one where a verifier fetches.)
 *
 * A P-256 key in it verifies nothing unless the policy allows that issuer ES256.
 *
 * ATTEST_E_MALFORMED (not a strict key set; a kid that is there twice; a private key), _LIMIT
 * (longer than ATTEST_JWKS_MAX, or a 65th issuer), _NOT_FOUND (no such signature key in it),
 * _DENIED (the issuer's root is pinned), _CONFIG (not an issuer URL), _FORKED, _NOMEM. Thread-safe.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_keys_add_jwks(struct attest_keys *keys, const char *issuer, const char *jwks,
                         size_t jwks_len, struct attest_error *err);

/*
 * The same from a regular file; also ATTEST_E_NOT_FOUND (no such file), _DENIED, _IO, and _CONFIG
 * for what is no regular file.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2, 3) enum attest_rc
    attest_keys_add_file(struct attest_keys *keys, const char *issuer, const char *path,
                         struct attest_error *err);

/*
 * Pins a root key of this issuer: from now on its keys come from signed key sets
 * (attest_keys_add_signed()) and from nowhere else; those that it had otherwise are dropped, and
 * until the first signed set nothing of it verifies (1012). Several calls pin several roots, at
 * most 8: while the issuer changes its root, pin both.
 *
 * jwk      one JWK, or a JWK set of nothing but root keys, which may be P-256 keys (ES256) where a
 *          TPM holds them: pinning one is allowing it; jwk_len bytes, not PEM. Get it from the
 *          operator by a way that you trust: it is the one thing that is not verified
 *
 * When a signed set names a next_root, that key may sign the sets that follow. The first one that
 * it does sign makes it pinned and drops the root that named it, for good: pinning that one again
 * is no error and changes nothing. It may be of the other type (Ed25519, P-256): who pins a root
 * takes its word for that. This is remembered as long as keys
 * live, and no longer: a program that starts again needs the root of the day. Dropping a root by
 * hand is making new keys.
 *
 * ATTEST_E_MALFORMED (no public key, Ed25519 or P-256, or not only such), _LIMIT, _CONFIG (not an
 * issuer URL), _FORKED, _NOMEM; nothing has changed then. Thread-safe.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_keys_pin_root(struct attest_keys *keys, const char *issuer, const char *jwk,
                         size_t jwk_len, struct attest_error *err);

/*
 * The same from a regular file; also ATTEST_E_NOT_FOUND (no such file), _DENIED, _IO, and _CONFIG
 * for what is no regular file.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2, 3) enum attest_rc
    attest_keys_pin_root_file(struct attest_keys *keys, const char *issuer, const char *path,
                              struct attest_error *err);

/*
 * Takes a signed key set of a pinned issuer (what it serves at /.well-known/jwks.jwt; jwt_len
 * bytes) in the place of the last one. Its signature is verified before anything in it is believed.
 * On failure nothing has changed: the last one is good until it expires.
 *
 * A set lives an hour at most. Fetch the next one when the HTTP answer's Cache-Control lets you, at
 * the latest when half of the time to attest_keys_expires_at_s() is over, and go on trying. When it
 * has expired, the issuer's keys may not be used (1012) until the next one is there. A key that it
 * lists as revoked is refused (1011) at once. It may hold no usable key; then every token is
 * refused.
 *
 * now_s    seconds since the Unix epoch, UTC; compared with a skew of 30 s
 *
 * ATTEST_E_MALFORMED (1008), _LIMIT (longer than ATTEST_JWKS_MAX), _KEY_UNKNOWN (1010: no pinned
 * root signed it; err says which key did), _SIGNATURE (1003), _ISSUER (1004: of another issuer),
 * _EXPIRED (1001), _NOT_YET_VALID (1002: made in the future), _REPLAY (1006: older than the last
 * one, or of the same second and revoking less), _ARGUMENT (no root of this issuer is pinned,
 * or now_s is no time of this era), _CONFIG, _FORKED, _NOMEM. Thread-safe.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_keys_add_signed(struct attest_keys *keys, const char *issuer, const char *jwt,
                           size_t jwt_len, int64_t now_s, struct attest_error *err);

/*
 * Whether a root of this issuer is pinned, the name compared byte for byte. A new verifier refuses
 * keys with a root under a name that is not its policy's, unless all of the policy's have theirs; a
 * program that pins later, or calls attest_verify(), can ask here whether it is the right name.
 * Thread-safe.
 */
ATTEST_EXPORT ATTEST_NONNULL(1, 2) bool attest_keys_pinned(const struct attest_keys *keys,
                                                           const char *issuer);

/*
 * The exp of the issuer's signed set, seconds since the epoch; 0 when there is none. Thread-safe.
 */
ATTEST_EXPORT ATTEST_NONNULL(1, 2) int64_t
    attest_keys_expires_at_s(const struct attest_keys *keys, const char *issuer);

/*
 * The root key that the issuer's last signed set names as its next, as a JWK to be pinned before
 * this process starts again; NULL when it names none or one that is pinned, or out of memory.
 * free() it. Thread-safe.
 */
ATTEST_EXPORT
ATTEST_MUST_USE ATTEST_NONNULL(1, 2) char *attest_keys_next_root(const struct attest_keys *keys,
                                                                 const char *issuer);

/* How many keys the issuer's key set has here, of a signed set those that it revokes included. */
ATTEST_EXPORT ATTEST_NONNULL(1, 2) size_t
    attest_keys_count(const struct attest_keys *keys, const char *issuer);

/* Gives up the caller's hold; a verifier that was made with these keys keeps its own. NULL is fine.
 */
ATTEST_EXPORT void attest_keys_free(struct attest_keys *keys);

#ifdef __cplusplus
}
#endif
#endif
