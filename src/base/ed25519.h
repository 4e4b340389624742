/* SPDX-License-Identifier: MIT */
#ifndef BASE_ED25519_H
#define BASE_ED25519_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"

/*
 * Ed25519 (RFC 8032), the one file that knows which library does it. Stateless and thread-safe once
 * crypto_init() has returned.
 */
#define ED25519_PUBLIC_LEN 32
#define ED25519_SEED_LEN 32
#define ED25519_SIG_LEN 64
#define SHA256_LEN 32

/* Once in each process before anything else of this file or of secret.h; idempotent. */
enum attest_rc crypto_init(struct attest_error *err);

/*
 * Strict: a non-canonical S, a non-canonical or low-order public key and a low-order R are refused.
 */
bool ed25519_verify(const uint8_t sig[ED25519_SIG_LEN], const void *msg, size_t msg_len,
                    const uint8_t public_key[ED25519_PUBLIC_LEN]);

/* Whether these bytes are a canonical point of the prime-order group: fit to be anyone's key. */
bool ed25519_public_ok(const uint8_t public_key[ED25519_PUBLIC_LEN]);

/* seed holds ED25519_SEED_LEN bytes of guarded memory. */
void ed25519_public_from_seed(uint8_t public_key[ED25519_PUBLIC_LEN], const struct secret *seed);
void ed25519_sign(uint8_t sig[ED25519_SIG_LEN], const void *msg, size_t msg_len,
                  const struct secret *seed);

/*
 * The same from seed and public key side by side, for who signs often: nothing is derived and no
 * memory is asked for. A public key that is not the seed's makes signatures that give the seed
 * away: only one that ed25519_public_from_seed() made.
 */
#define ED25519_PAIR_LEN (ED25519_SEED_LEN + ED25519_PUBLIC_LEN)
void ed25519_sign_pair(uint8_t sig[ED25519_SIG_LEN], const void *msg, size_t msg_len,
                       const uint8_t pair[ED25519_PAIR_LEN]);

/*
 * SipHash-2-4 with 128 bits (Aumasson, Bernstein 2012): for tables whose places nobody without the
 * key may foresee. Not for anything that leaves the process.
 */
#define KEYED_HASH_LEN 16
#define KEYED_HASH_KEY_LEN 16
void keyed_hash(uint8_t out[KEYED_HASH_LEN], const void *p, size_t len,
                const uint8_t key[KEYED_HASH_KEY_LEN]);

void sha256(uint8_t out[SHA256_LEN], const void *p, size_t len);
void random_bytes(void *p, size_t len);
/* UUID version 4 (RFC 9562) as 36 characters and NUL. */
void random_uuid(char out[37]);

#endif
