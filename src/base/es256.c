/* SPDX-License-Identifier: MIT */
#include "base/es256.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/auto.h"

#define HALF 32

DEFINE_AUTO(pkey, EVP_PKEY *, EVP_PKEY_free);
DEFINE_AUTO(pkey_ctx, EVP_PKEY_CTX *, EVP_PKEY_CTX_free);
DEFINE_AUTO(md_ctx, EVP_MD_CTX *, EVP_MD_CTX_free);
DEFINE_AUTO(ecdsa_sig, ECDSA_SIG *, ECDSA_SIG_free);
DEFINE_AUTO(bignum, BIGNUM *, BN_free);

/* NULL unless it is a point of the curve, which OpenSSL looks at as it reads it. */
static EVP_PKEY *
key_of(const uint8_t point[ES256_POINT_LEN])
{
    char group[] = SN_X9_62_prime256v1;
    uint8_t octets[1 + ES256_POINT_LEN] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(octets + 1, point, ES256_POINT_LEN);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, octets, sizeof(octets)),
        OSSL_PARAM_construct_end(),
    };
    AUTO(pkey_ctx) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    if (ctx && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
    return key;
}

/* RFC 3279's DER, which OpenSSL wants, of r and s. free() is OPENSSL_free(). */
static int
der_of(const uint8_t sig[ES256_SIG_LEN], uint8_t **ret)
{
    AUTO(ecdsa_sig) ECDSA_SIG *pair = ECDSA_SIG_new();
    AUTO(bignum) BIGNUM *r = BN_bin2bn(sig, HALF, NULL);
    AUTO(bignum) BIGNUM *s = BN_bin2bn(sig + HALF, HALF, NULL);
    if (!pair || !r || !s || ECDSA_SIG_set0(pair, r, s) != 1)
        return -1;
    r = s = NULL; /* the pair's now */
    return i2d_ECDSA_SIG(pair, ret);
}

static bool
verify(EVP_PKEY *key, struct slice msg, const uint8_t *der, size_t der_len)
{
    AUTO(md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    return ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestVerify(ctx, der, der_len, (const uint8_t *)msg.p, msg.len) == 1;
}

bool
es256_point_ok(const uint8_t point[ES256_POINT_LEN])
{
    ERR_set_mark(); /* the queue is the thread's, and not ours alone */
    AUTO(pkey) EVP_PKEY *key = key_of(point);
    ERR_pop_to_mark();
    return key != NULL;
}

enum attest_rc
es256_verify(const uint8_t point[ES256_POINT_LEN], struct slice msg,
             const uint8_t sig[ES256_SIG_LEN])
{
    ERR_set_mark();
    AUTO(pkey) EVP_PKEY *key = key_of(point);
    uint8_t *der = NULL;
    int der_len = key ? der_of(sig, &der) : -1;
    bool good = der_len > 0 && verify(key, msg, der, (size_t)der_len);
    OPENSSL_free(der);
    ERR_pop_to_mark();
    return good ? ATTEST_OK : ATTEST_E_SIGNATURE;
}
