/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_KEYS_H
#define ATTEST_KEYS_H

#include <stddef.h>

#include <attest/error.h>

/*
 * Public keys in hand, each belonging to the issuer under whose name it was added: a key of one
 * issuer never verifies a token that names another.
 *
 * Fill it, then share it: while nobody adds keys, any number of threads may verify with it.
 */
struct attest_keys;

/* The longest key set document that is read, in bytes. */
#define ATTEST_JWKS_MAX 65536

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An empty collection. Free it with attest_keys_free(). err may be NULL in every function of this
 * library; it is written on failure only. ATTEST_E_NOMEM, or ATTEST_E_INTERNAL when the
 * cryptographic library cannot be initialised.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_keys_new(struct attest_keys **ret, struct attest_error *err);

/*
 * Adds the keys of one issuer from a JWKS document (RFC 7517 section 5, RFC 8037) of jwks_len
 * bytes, in the place of those that this issuer had before. On failure nothing has changed.
 *
 * issuer   the `iss` that these keys speak for, byte for byte
 *
 * ATTEST_E_MALFORMED (not a strict key set; a kid that is there twice; a private key), _LIMIT
 * (longer than ATTEST_JWKS_MAX), _NOT_FOUND (no Ed25519 signature key in it), _ARGUMENT (a verifier
 * holds these keys already), _CONFIG (not an issuer URL), _NOMEM.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2, 3) enum attest_rc
    attest_keys_add_jwks(struct attest_keys *keys, const char *issuer, const char *jwks,
                         size_t jwks_len, struct attest_error *err);

/* The same from a file; also ATTEST_E_IO and ATTEST_E_NOT_FOUND (no such file). */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2, 3) enum attest_rc
    attest_keys_add_file(struct attest_keys *keys, const char *issuer, const char *path,
                         struct attest_error *err);

/* How many keys this issuer has here. */
ATTEST_EXPORT ATTEST_NONNULL(1, 2) size_t
    attest_keys_count(const struct attest_keys *keys, const char *issuer);

/* Gives up the caller's hold; a verifier that was made with these keys keeps its own. NULL is fine.
 */
ATTEST_EXPORT void attest_keys_free(struct attest_keys *keys);

#ifdef __cplusplus
}
#endif
#endif
