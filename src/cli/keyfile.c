/* SPDX-License-Identifier: MIT */
#include "cli/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>

#include "token/jws.h"

#define FILE_LEN_MAX 16384

DEFINE_AUTO(BIO, BIO *, BIO_free_all);
DEFINE_AUTO(EVP_PKEY, EVP_PKEY *, EVP_PKEY_free);

void
keyfile_done(struct keyfile *key)
{
    secret_free(&key->seed);
}

/* The content in guarded memory: which kind it is shows only afterwards. */
static enum attest_rc
read_content(const char *path, struct secret *ret, mode_t *mode, struct attest_error *err)
{
    struct stat st;
    AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno == ENOENT ? ATTEST_E_NOT_FOUND : ATTEST_E_IO, errno, "%s",
                           path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ATTEST_E_IO, "%s: not a file", path);
    if (st.st_size == 0 || st.st_size > FILE_LEN_MAX)
        return error_set(err, ATTEST_E_LIMIT, "%s: a key file has 1 to %d bytes", path,
                         FILE_LEN_MAX);
    AUTO(secret) struct secret content = secret_new((size_t)st.st_size);
    size_t len = 0;
    while (len < content.len) {
        ssize_t n = read(fd, content.p + len, content.len - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_errno(err, ATTEST_E_IO, n ? errno : EIO, "%s", path);
        len += (size_t)n;
    }
    *mode = st.st_mode;
    *ret = content;
    content = (struct secret){0};
    return ATTEST_OK;
}

/* No question at the terminal: an encrypted key is refused. */
static int
no_password(char *buf, int size, int rwflag, void *ctx)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)ctx;
    return -1;
}

static enum attest_rc
take_private(const EVP_PKEY *pkey, struct keyfile *key)
{
    size_t len = ED25519_SEED_LEN, public_len = ED25519_PUBLIC_LEN;
    struct secret seed = secret_new(ED25519_SEED_LEN);
    if (EVP_PKEY_get_raw_private_key(pkey, seed.p, &len) != 1 || len != ED25519_SEED_LEN ||
        EVP_PKEY_get_raw_public_key(pkey, key->public_key, &public_len) != 1) {
        secret_free(&seed);
        return ATTEST_E_MALFORMED;
    }
    key->seed = seed;
    return ATTEST_OK;
}

static enum attest_rc
take_public(const EVP_PKEY *pkey, struct keyfile *key)
{
    size_t len = ED25519_PUBLIC_LEN;
    if (EVP_PKEY_get_raw_public_key(pkey, key->public_key, &len) != 1 ||
        len != ED25519_PUBLIC_LEN || !ed25519_public_ok(key->public_key))
        return ATTEST_E_MALFORMED;
    return ATTEST_OK;
}

enum attest_rc
keyfile_read(const char *path, struct keyfile *ret, struct attest_error *err)
{
    AUTO(secret) struct secret content = {0};
    mode_t mode = 0;
    enum attest_rc rc = read_content(path, &content, &mode, err);
    if (rc != ATTEST_OK)
        return rc;
    bool private = memmem(content.p, content.len, "PRIVATE KEY-----", 16) != NULL;
    if (private && mode & 007)
        return error_set(err, ATTEST_E_DENIED,
                         "%s: a private key that others can read; chmod 600 it", path);
    AUTO(BIO) BIO *bio = BIO_new_mem_buf(content.p, (int)content.len);
    if (!bio)
        return error_set(err, ATTEST_E_NOMEM, "key: out of memory");
    AUTO(EVP_PKEY)
    EVP_PKEY *pkey = private ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL)
                             : PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    struct keyfile key = {0};
    rc = ATTEST_E_MALFORMED;
    if (pkey && EVP_PKEY_get_id(pkey) == EVP_PKEY_ED25519)
        rc = private ? take_private(pkey, &key) : take_public(pkey, &key);
    if (rc != ATTEST_OK)
        return error_set(err, rc, "%s: not an Ed25519 key in PEM; attest keygen makes one", path);
    *ret = key;
    return ATTEST_OK;
}

static bool
take_point(const EVP_PKEY *pkey, struct pubkey *key)
{
    char group[32];
    uint8_t octets[1 + ES256_POINT_LEN];
    size_t len = 0;
    return EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
           strcmp(group, SN_X9_62_prime256v1) == 0 &&
           EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, octets, sizeof(octets),
                                           &len) == 1 &&
           len == sizeof(octets) && octets[0] == POINT_CONVERSION_UNCOMPRESSED &&
           pubkey_set(key, PUBKEY_P256,
                      (struct slice){(const char *)octets + 1, ES256_POINT_LEN}) &&
           pubkey_ok(key);
}

static bool
take_any(const EVP_PKEY *pkey, struct pubkey *ret)
{
    struct keyfile key;
    if (EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519)
        return EVP_PKEY_get_id(pkey) == EVP_PKEY_EC && take_point(pkey, ret);
    if (take_public(pkey, &key) != ATTEST_OK)
        return false;
    *ret = pubkey_ed25519(key.public_key);
    return true;
}

enum attest_rc
keyfile_read_public(const char *path, struct pubkey *ret, struct attest_error *err)
{
    AUTO(secret) struct secret content = {0};
    mode_t mode = 0;
    enum attest_rc rc = read_content(path, &content, &mode, err);
    if (rc != ATTEST_OK)
        return rc;
    if (memmem(content.p, content.len, "PRIVATE KEY-----", 16))
        return error_set(err, ATTEST_E_DENIED, "%s: a private key, which belongs to the issuer",
                         path);
    AUTO(BIO) BIO *bio = BIO_new_mem_buf(content.p, (int)content.len);
    if (!bio)
        return error_set(err, ATTEST_E_NOMEM, "key: out of memory");
    AUTO(EVP_PKEY) EVP_PKEY *pkey = PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    if (!pkey || !take_any(pkey, ret))
        return error_set(err, ATTEST_E_MALFORMED, "%s: not an Ed25519 or P-256 key in PEM", path);
    return ATTEST_OK;
}

enum attest_rc
keyfile_public_pem(const uint8_t public_key[ED25519_PUBLIC_LEN], struct buf *out,
                   struct attest_error *err)
{
    char *text;
    AUTO(BIO) BIO *bio = BIO_new(BIO_s_mem());
    AUTO(EVP_PKEY)
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, ED25519_PUBLIC_LEN);
    if (!bio || !pkey || PEM_write_bio_PUBKEY(bio, pkey) != 1)
        return error_set(err, ATTEST_E_INTERNAL, "key: it cannot be written as PEM");
    long len = BIO_get_mem_data(bio, &text);
    buf_append(out, text, (size_t)len);
    return buf_rc(out) ? error_set(err, buf_rc(out), "key: out of memory") : ATTEST_OK;
}

enum attest_rc
keyfile_private_pem(const struct secret *seed, struct secret *ret, struct attest_error *err)
{
    char *text;
    AUTO(BIO) BIO *bio = BIO_new(BIO_s_mem());
    AUTO(EVP_PKEY)
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed->p, ED25519_SEED_LEN);
    if (!bio || !pkey || PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) != 1)
        return error_set(err, ATTEST_E_INTERNAL, "key: it cannot be written as PEM");
    long len = BIO_get_mem_data(bio, &text);
    *ret = secret_copy(text, (size_t)len);
    OPENSSL_cleanse(text, (size_t)len);
    return ATTEST_OK;
}

void
keyfile_fingerprint(char out[2 * SHA256_LEN + 1], const uint8_t public_key[ED25519_PUBLIC_LEN])
{
    uint8_t digest[SHA256_LEN];
    sha256(digest, public_key, ED25519_PUBLIC_LEN);
    hex_encode(out, digest, sizeof(digest));
}

enum attest_rc
keyfile_sign(const struct keyfile *key, const char *typ, struct slice payload, struct buf *out,
             struct attest_error *err)
{
    uint8_t sig[ED25519_SIG_LEN];
    jws_write_signing_input(out, JWK_ALG_EDDSA, typ, (struct slice){0}, payload);
    if (buf_rc(out) == ATTEST_OK) {
        ed25519_sign(sig, out->p, out->len, &key->seed);
        jws_write_signature(out, sig);
    }
    return buf_rc(out) ? error_set(err, buf_rc(out), "signature: %s", attest_strerror(buf_rc(out)))
                       : ATTEST_OK;
}
