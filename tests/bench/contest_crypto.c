/* SPDX-License-Identifier: MIT */

/* The ceilings: a signature and nothing else. */
#include <openssl/evp.h>
#include <sodium.h>

#include "tests/bench/contest.h"

static void *
sodium_open(const struct contest *c)
{
    return (void *)c->public_key;
}

static bool
sodium_verify(void *state, const struct contest *c, size_t i)
{
    return crypto_sign_verify_detached(c->sig[i], (const uint8_t *)c->token[i], c->signed_len[i],
                                       state) == 0;
}

static void
sodium_close(void *state)
{
    (void)state;
}

const struct contestant contestant_sodium = {
    .name = "libsodium",
    .does = "the bare signature",
    .open = sodium_open,
    .verify = sodium_verify,
    .close = sodium_close,
};

static void *
openssl_open(const struct contest *c)
{
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, c->public_key, ED25519_PUBLIC_LEN);
}

static bool
openssl_verify(void *state, const struct contest *c, size_t i)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, state) == 1 &&
                EVP_DigestVerify(ctx, c->sig[i], sizeof(c->sig[i]),
                                 (const unsigned char *)c->token[i], c->signed_len[i]) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static void
openssl_close(void *state)
{
    EVP_PKEY_free(state);
}

const struct contestant contestant_openssl = {
    .name = "OpenSSL EVP",
    .does = "the bare signature",
    .open = openssl_open,
    .verify = openssl_verify,
    .close = openssl_close,
};
