/* SPDX-License-Identifier: MIT */
#ifndef CLI_KEYFILE_H
#define CLI_KEYFILE_H

#include "base/pubkey.h"

/*
 * Keys, Ed25519 unless said otherwise, in PEM files (RFC 7468, RFC 8410): PKCS#8 PRIVATE KEY and
 * SubjectPublicKeyInfo PUBLIC KEY. By OpenSSL.
 */
struct keyfile {
    uint8_t public_key[ED25519_PUBLIC_LEN];
    struct secret seed; /* empty when the file holds a public key only */
};

/*
 * Reads either kind. A private key that others than owner and group may read is ATTEST_E_DENIED.
 * Also ATTEST_E_NOT_FOUND, _IO, _MALFORMED (no PEM, encrypted, or no Ed25519 key), _LIMIT.
 */
enum attest_rc keyfile_read(const char *path, struct keyfile *ret, struct attest_error *err);
void keyfile_done(struct keyfile *key);

/*
 * A public key, Ed25519 or P-256, for who verifies with it. Errors as of keyfile_read(); a private
 * key is ATTEST_E_DENIED.
 */
enum attest_rc keyfile_read_public(const char *path, struct pubkey *ret, struct attest_error *err);

/* The public half as PEM, appended to out. */
enum attest_rc keyfile_public_pem(const uint8_t public_key[ED25519_PUBLIC_LEN], struct buf *out,
                                  struct attest_error *err);
/* The private key as PEM in guarded memory. */
enum attest_rc keyfile_private_pem(const struct secret *seed, struct secret *ret,
                                   struct attest_error *err);

/* Lower-case hex SHA-256 of the raw public key, with NUL. */
void keyfile_fingerprint(char out[2 * SHA256_LEN + 1],
                         const uint8_t public_key[ED25519_PUBLIC_LEN]);

/*
 * A compact JWS by this key over what the caller wrote as payload, in the header's typ; kid none.
 * ATTEST_E_LIMIT or ATTEST_E_NOMEM.
 */
enum attest_rc keyfile_sign(const struct keyfile *key, const char *typ, struct slice payload,
                            struct buf *out, struct attest_error *err);

static inline void
keyfile_auto(struct keyfile *key)
{
    keyfile_done(key);
}

#endif
