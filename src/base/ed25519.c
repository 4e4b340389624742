/* SPDX-License-Identifier: MIT */
#include "base/ed25519.h"

#include <sodium.h>
#include <string.h>

#include "base/bytes.h"

enum attest_rc
crypto_init(struct attest_error *err)
{
    if (sodium_init() < 0)
        return error_set(err, ATTEST_E_INTERNAL, "libsodium could not be initialised");
    return ATTEST_OK;
}

bool
ed25519_verify(const uint8_t sig[ED25519_SIG_LEN], const void *msg, size_t msg_len,
               const uint8_t public_key[ED25519_PUBLIC_LEN])
{
    return crypto_sign_verify_detached(sig, msg, msg_len, public_key) == 0;
}

bool
ed25519_public_ok(const uint8_t public_key[ED25519_PUBLIC_LEN])
{
    return crypto_core_ed25519_is_valid_point(public_key) == 1;
}

/* libsodium's secret key is the seed and the public key; it must not outlive the call. */
static struct secret
expand(const struct secret *seed, uint8_t public_key[ED25519_PUBLIC_LEN])
{
    struct secret key = secret_new(crypto_sign_SECRETKEYBYTES);
    crypto_sign_seed_keypair(public_key, key.p, seed->p);
    return key;
}

void
ed25519_public_from_seed(uint8_t public_key[ED25519_PUBLIC_LEN], const struct secret *seed)
{
    AUTO(secret) struct secret key = expand(seed, public_key);
}

void
ed25519_sign(uint8_t sig[ED25519_SIG_LEN], const void *msg, size_t msg_len,
             const struct secret *seed)
{
    uint8_t public_key[ED25519_PUBLIC_LEN];
    AUTO(secret) struct secret key = expand(seed, public_key);
    crypto_sign_detached(sig, NULL, msg, msg_len, key.p);
}

void
ed25519_sign_pair(uint8_t sig[ED25519_SIG_LEN], const void *msg, size_t msg_len,
                  const uint8_t pair[ED25519_PAIR_LEN])
{
    crypto_sign_detached(sig, NULL, msg, msg_len, pair);
}

void
keyed_hash(uint8_t out[KEYED_HASH_LEN], const void *p, size_t len,
           const uint8_t key[KEYED_HASH_KEY_LEN])
{
    crypto_shorthash_siphashx24(out, p, len, key);
}

void
sha256(uint8_t out[SHA256_LEN], const void *p, size_t len)
{
    crypto_hash_sha256(out, p, len);
}

void
random_bytes(void *p, size_t len)
{
    randombytes_buf(p, len);
}

void
random_uuid(char out[37])
{
    uint8_t b[16];
    char hex[33];
    random_bytes(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    hex_encode(hex, b, sizeof(b));
    static const uint8_t group_len[] = {8, 4, 4, 4, 12};
    const char *from = hex;
    for (size_t i = 0; i < sizeof(group_len); i++) {
        memcpy(out, from, group_len[i]);
        from += group_len[i];
        out += group_len[i];
        *out++ = i + 1 < sizeof(group_len) ? '-' : '\0';
    }
}
