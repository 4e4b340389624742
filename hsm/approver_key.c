/* SPDX-License-Identifier: MIT */
#include "hsm/approver_key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/file.h"
#include "base/secret.h"

#define PEM_MAX 8192

DEFINE_AUTO(bio, BIO *, BIO_free_all);
DEFINE_AUTO(pkey, EVP_PKEY *, EVP_PKEY_free);
DEFINE_AUTO(digest, EVP_MD_CTX *, EVP_MD_CTX_free);
DEFINE_AUTO(signature, ECDSA_SIG *, ECDSA_SIG_free);

static enum attest_rc
not_a_key(const char *path, const char *kind, struct attest_error *err)
{
    ERR_clear_error();
    return error_set(err, ATTEST_E_CONFIG, "%s: no PEM file of a P-256 %s key", path, kind);
}

static bool
point_of(EVP_PKEY *key, uint8_t point[ES256_POINT_LEN])
{
    uint8_t all[1 + ES256_POINT_LEN];
    char group[32];
    size_t len = 0;
    if (!EVP_PKEY_is_a(key, "EC") ||
        EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 ||
        strcmp(group, "prime256v1") != 0 ||
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, all, sizeof(all),
                                        &len) != 1 ||
        len != sizeof(all) || all[0] != 4 || !es256_point_ok(all + 1))
        return false;
    memcpy(point, all + 1, ES256_POINT_LEN);
    return true;
}

enum attest_rc
approver_key_public(const char *path, uint8_t point[ES256_POINT_LEN], struct attest_error *err)
{
    AUTO(buf) struct buf pem;
    buf_init(&pem, PEM_MAX);
    enum attest_rc rc = file_read(path, PEM_MAX, &pem, err);
    if (rc)
        return rc;
    AUTO(bio) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
    AUTO(pkey) EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    return key && point_of(key, point) ? ATTEST_OK : not_a_key(path, "public", err);
}

static bool
sign(EVP_PKEY *key, struct slice msg, uint8_t sig[ES256_SIG_LEN])
{
    uint8_t der[80];
    size_t len = sizeof(der);
    const uint8_t *at = der;
    AUTO(digest) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(ctx, der, &len, (const uint8_t *)msg.p, msg.len) != 1)
        return false;
    AUTO(signature) ECDSA_SIG *both = d2i_ECDSA_SIG(NULL, &at, (long)len);
    return both && BN_bn2binpad(ECDSA_SIG_get0_r(both), sig, 32) == 32 &&
           BN_bn2binpad(ECDSA_SIG_get0_s(both), sig + 32, 32) == 32;
}

enum attest_rc
approver_key_sign(const char *path, struct slice msg, uint8_t sig[ES256_SIG_LEN],
                  uint8_t point[ES256_POINT_LEN], struct attest_error *err)
{
    AUTO(secret) struct secret pem = {0};
    enum attest_rc rc = secret_read_file(path, PEM_MAX, &pem, err);
    if (rc)
        return rc;
    AUTO(bio) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
    AUTO(pkey) EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    if (!key || !point_of(key, point) || !sign(key, msg, sig))
        return not_a_key(path, "private", err);
    return es256_verify(point, msg, sig)
               ? error_set(err, ATTEST_E_INTERNAL, "%s: the signature does not verify", path)
               : ATTEST_OK;
}
