/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_box.h"

#include <openssl/evp.h>
#include <string.h>

#define NONCE_LEN 12
#define TAG_LEN 16

static const char seed_domain[] = "attestd-tpm2-seed/1";
static const char file_domain[] = "attestd-tpm2-file/1";

DEFINE_AUTO(evp, EVP_CIPHER_CTX *, EVP_CIPHER_CTX_free);

/* What is bound to it, in two parts so that a whole file need not be copied. */
struct bound {
    struct slice domain, data;
};

static bool
start(EVP_CIPHER_CTX *ctx, const struct secret *wrapping, const uint8_t *nonce,
      const struct bound *bound, int encrypt)
{
    int n;
    return wrapping->len == TPM2_WRAPPING_LEN &&
           EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, wrapping->p, nonce, encrypt) == 1 &&
           EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)bound->domain.p,
                            (int)bound->domain.len) == 1 &&
           EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)bound->data.p, (int)bound->data.len) ==
               1;
}

/* box: nonce, as many bytes as are in plain, tag. */
static bool
box_close(const struct secret *wrapping, const struct bound *bound, struct slice plain,
          uint8_t *box)
{
    AUTO(evp) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, last = 0;
    random_bytes(box, NONCE_LEN);
    uint8_t *out = box + NONCE_LEN;
    return ctx && start(ctx, wrapping, box, bound, 1) &&
           (plain.len == 0 ||
            EVP_CipherUpdate(ctx, out, &n, (const uint8_t *)plain.p, (int)plain.len) == 1) &&
           (size_t)n == plain.len && EVP_CipherFinal_ex(ctx, out + n, &last) == 1 && last == 0 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, out + n) == 1;
}

/* plain_len bytes into plain; what is there when it fails means nothing. */
static bool
box_open(const struct secret *wrapping, const struct bound *bound, const uint8_t *box,
         uint8_t *plain, size_t plain_len)
{
    AUTO(evp) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t tag[TAG_LEN], none[1];
    int n = 0, last = 0;
    const uint8_t *in = box + NONCE_LEN;
    memcpy(tag, in + plain_len, TAG_LEN);
    return ctx && start(ctx, wrapping, box, bound, 0) &&
           (plain_len == 0 || EVP_CipherUpdate(ctx, plain, &n, in, (int)plain_len) == 1) &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1 &&
           EVP_CipherFinal_ex(ctx, plain_len ? plain + n : none, &last) == 1;
}

static void
bind_seed(const struct tpm2_file *file, const struct tpm2_file_key *key, struct buf *out)
{
    uint8_t serial[8];
    be32_put(serial, (uint32_t)(file->serial >> 32));
    be32_put(serial + 4, (uint32_t)file->serial);
    buf_reset(out);
    buf_append(out, serial, sizeof(serial));
    buf_append(out, key->ref.id, sizeof(key->ref.id));
    buf_append(out, key->ref.public_key, sizeof(key->ref.public_key));
    buf_append(out, key->purpose, strlen(key->purpose) + 1);
    buf_append(out, key->label, strlen(key->label) + 1);
}

static struct slice
seed_at(const struct secret *seeds, size_t i)
{
    return (struct slice){(const char *)seeds->p + i * ED25519_SEED_LEN, ED25519_SEED_LEN};
}

enum attest_rc
tpm2_box_close(struct tpm2_file *file, const struct secret *wrapping, const struct secret *seeds,
               struct buf *out, struct attest_error *err)
{
    AUTO(buf) struct buf data;
    buf_init(&data, 512);
    struct bound bound = {{seed_domain, sizeof(seed_domain)}, {NULL, 0}};
    for (size_t i = 0; i < file->n_keys; i++) {
        bind_seed(file, &file->keys[i], &data);
        bound.data = buf_view(&data);
        if (buf_rc(&data) || !box_close(wrapping, &bound, seed_at(seeds, i), file->keys[i].box))
            return error_set(err, ATTEST_E_NOMEM, "a seed could not be encrypted");
    }
    size_t from = out->len;
    tpm2_file_write(file, out);
    if (buf_rc(out))
        return error_set(err, buf_rc(out), "sealed keys: %s", attest_strerror(buf_rc(out)));
    bound.domain = (struct slice){file_domain, sizeof(file_domain)};
    bound.data = (struct slice){out->p + from, out->len - from};
    if (!box_close(wrapping, &bound, (struct slice){NULL, 0}, file->seal))
        return error_set(err, ATTEST_E_NOMEM, "the sealed keys could not be authenticated");
    buf_append(out, file->seal, sizeof(file->seal));
    return buf_rc(out) ? error_set(err, buf_rc(out), "sealed keys: no room") : ATTEST_OK;
}

static bool
open_one(const struct tpm2_file *file, size_t i, const struct secret *wrapping,
         const struct secret *seeds, struct buf *data)
{
    const struct tpm2_file_key *key = &file->keys[i];
    const struct secret seed = {seeds->p + i * ED25519_SEED_LEN, ED25519_SEED_LEN};
    uint8_t public_key[ED25519_PUBLIC_LEN];
    bind_seed(file, key, data);
    const struct bound bound = {{seed_domain, sizeof(seed_domain)}, buf_view(data)};
    if (buf_rc(data) || !box_open(wrapping, &bound, key->box, seed.p, seed.len))
        return false;
    ed25519_public_from_seed(public_key, &seed);
    return memcmp(public_key, key->ref.public_key, sizeof(public_key)) == 0;
}

enum attest_rc
tpm2_box_open(const struct tpm2_file *file, struct slice bytes, const struct secret *wrapping,
              struct secret *seeds, struct attest_error *err)
{
    if (bytes.len < TPM2_SEAL_LEN || seeds->len < file->n_keys * ED25519_SEED_LEN)
        return error_set(err, ATTEST_E_ARGUMENT, "sealed keys: no room");
    const struct bound whole = {{file_domain, sizeof(file_domain)},
                                {bytes.p, bytes.len - TPM2_SEAL_LEN}};
    const uint8_t *seal = (const uint8_t *)bytes.p + bytes.len - TPM2_SEAL_LEN;
    if (!box_open(wrapping, &whole, seal, NULL, 0))
        return error_set(err, ATTEST_E_CORRUPT, "the file of sealed keys was changed by others");
    AUTO(buf) struct buf data;
    buf_init(&data, 512);
    for (size_t i = 0; i < file->n_keys; i++) {
        if (!open_one(file, i, wrapping, seeds, &data)) {
            secret_wipe(seeds->p, seeds->len);
            return error_set(err, ATTEST_E_CORRUPT, "sealed keys: a seed does not open");
        }
    }
    return ATTEST_OK;
}
