/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_box.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#define NONCE_LEN 12
#define TAG_LEN 16

static const char seed_domain[] = "attestd-tpm2-seed/1";
static const char authority_domain[] = "attestd-tpm2-authority/1";
static const char file_domain[] = "attestd-tpm2-file/1";
static const char auth_domain[] = "attestd-tpm2-auth/1";
static const char pin_domain[] = "attestd-tpm2-pin/1";

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
put_serial(const struct tpm2_file *file, struct buf *out)
{
    uint8_t serial[8];
    be32_put(serial, (uint32_t)(file->serial >> 32));
    be32_put(serial + 4, (uint32_t)file->serial);
    buf_reset(out);
    buf_append(out, serial, sizeof(serial));
}

static struct bound
bind_authority(const struct tpm2_file *file, struct buf *data)
{
    put_serial(file, data);
    return (struct bound){{authority_domain, sizeof(authority_domain)}, buf_view(data)};
}

static struct bound
bind_seed(const struct tpm2_file *file, const struct tpm2_file_key *key, struct buf *data)
{
    put_serial(file, data);
    buf_append(data, key->ref.id, sizeof(key->ref.id));
    buf_slice(data, pubkey_bytes(&key->ref.public_key));
    buf_append(data, key->purpose, strlen(key->purpose) + 1);
    buf_append(data, key->label, strlen(key->label) + 1);
    return (struct bound){{seed_domain, sizeof(seed_domain)}, buf_view(data)};
}

static struct slice
part_of(const struct secret *secret, size_t at, size_t len)
{
    return (struct slice){(const char *)secret->p + at, len};
}

/* Every box but the last, of which `data` is room for what is bound. */
static bool
close_boxes(struct tpm2_file *file, const struct tpm2_secrets *secrets, struct buf *data)
{
    struct bound bound = bind_authority(file, data);
    bool good = secrets->authority.len == TPM2_AUTHORITY_LEN &&
                box_close(&secrets->wrapping, &bound,
                          part_of(&secrets->authority, 0, TPM2_AUTHORITY_LEN), file->authority_box);
    for (size_t i = 0; good && i < file->n_keys; i++) {
        if (!tpm2_file_key_sealed(&file->keys[i]))
            continue;
        bound = bind_seed(file, &file->keys[i], data);
        good = box_close(&secrets->wrapping, &bound,
                         part_of(&secrets->seeds, i * ED25519_SEED_LEN, ED25519_SEED_LEN),
                         file->keys[i].box);
    }
    return good && !buf_rc(data);
}

enum attest_rc
tpm2_box_close(struct tpm2_file *file, const struct tpm2_secrets *secrets, struct buf *out,
               struct attest_error *err)
{
    AUTO(buf) struct buf data;
    buf_init(&data, 512);
    if (!close_boxes(file, secrets, &data))
        return error_set(err, ATTEST_E_NOMEM, "a seed could not be encrypted");
    size_t from = out->len;
    tpm2_file_write(file, out);
    if (buf_rc(out))
        return error_set(err, buf_rc(out), "sealed keys: %s", attest_strerror(buf_rc(out)));
    const struct bound whole = {{file_domain, sizeof(file_domain)},
                                {out->p + from, out->len - from}};
    if (!box_close(&secrets->wrapping, &whole, (struct slice){NULL, 0}, file->seal))
        return error_set(err, ATTEST_E_NOMEM, "the sealed keys could not be authenticated");
    buf_append(out, file->seal, sizeof(file->seal));
    return buf_rc(out) ? error_set(err, buf_rc(out), "sealed keys: no room") : ATTEST_OK;
}

static bool
open_seed(const struct tpm2_file *file, size_t i, struct tpm2_secrets *secrets, struct buf *data)
{
    const struct tpm2_file_key *key = &file->keys[i];
    const struct secret seed = {secrets->seeds.p + i * ED25519_SEED_LEN, ED25519_SEED_LEN};
    uint8_t public_key[ED25519_PUBLIC_LEN];
    const struct bound bound = bind_seed(file, key, data);
    if (buf_rc(data) || !box_open(&secrets->wrapping, &bound, key->box, seed.p, seed.len))
        return false;
    ed25519_public_from_seed(public_key, &seed);
    return memcmp(public_key, key->ref.public_key.bytes, sizeof(public_key)) == 0;
}

static bool
open_boxes(const struct tpm2_file *file, struct tpm2_secrets *secrets)
{
    AUTO(buf) struct buf data;
    buf_init(&data, 512);
    const struct bound bound = bind_authority(file, &data);
    bool good = !buf_rc(&data) && box_open(&secrets->wrapping, &bound, file->authority_box,
                                           secrets->authority.p, TPM2_AUTHORITY_LEN);
    for (size_t i = 0; good && i < file->n_keys; i++)
        good = !tpm2_file_key_sealed(&file->keys[i]) || open_seed(file, i, secrets, &data);
    return good;
}

enum attest_rc
tpm2_box_open(const struct tpm2_file *file, struct slice bytes, struct tpm2_secrets *secrets,
              struct attest_error *err)
{
    if (bytes.len < TPM2_SEAL_LEN)
        return error_set(err, ATTEST_E_ARGUMENT, "sealed keys: too few bytes");
    const struct bound whole = {{file_domain, sizeof(file_domain)},
                                {bytes.p, bytes.len - TPM2_SEAL_LEN}};
    const uint8_t *seal = (const uint8_t *)bytes.p + bytes.len - TPM2_SEAL_LEN;
    if (!box_open(&secrets->wrapping, &whole, seal, NULL, 0))
        return error_set(err, ATTEST_E_CORRUPT, "the file of sealed keys was changed by others");
    secrets->authority = secret_new(TPM2_AUTHORITY_LEN);
    secrets->seeds = secret_new((file->n_keys + 1) * ED25519_SEED_LEN);
    memset(secrets->seeds.p, 0, secrets->seeds.len);
    if (open_boxes(file, secrets))
        return ATTEST_OK;
    secret_free(&secrets->authority);
    secret_free(&secrets->seeds);
    return error_set(err, ATTEST_E_CORRUPT, "sealed keys: a seed does not open");
}

void
tpm2_secrets_free(struct tpm2_secrets *secrets)
{
    secret_free(&secrets->wrapping);
    secret_free(&secrets->authority);
    secret_free(&secrets->seeds);
}

bool
tpm2_auth_value(const struct secret *authority, const char *name,
                uint8_t value[TPM2_AUTH_VALUE_LEN])
{
    uint8_t data[128];
    size_t name_len = strlen(name);
    unsigned len = 0;
    if (authority->len != TPM2_AUTHORITY_LEN || sizeof(auth_domain) + name_len > sizeof(data))
        return false;
    memcpy(data, auth_domain, sizeof(auth_domain));
    memcpy(data + sizeof(auth_domain), name, name_len);
    if (!HMAC(EVP_sha256(), authority->p, TPM2_AUTHORITY_LEN, data, sizeof(auth_domain) + name_len,
              value, &len) ||
        len != TPM2_AUTH_VALUE_LEN)
        return false;
    value[TPM2_AUTH_VALUE_LEN - 1] |= 0x80;
    return true;
}

/* ---- the PIN of a token ---- */

static const struct bound bound_to_pin = {{pin_domain, sizeof(pin_domain)}, {"", 0}};

enum attest_rc
tpm2_box_pin(struct tpm2_file *file, const struct secret *wrapping, const struct secret *pin,
             struct attest_error *err)
{
    if (pin->len < 1 || pin->len > TPM2_PIN_MAX)
        return error_set(err, ATTEST_E_ARGUMENT, "PIN to seal: 1 to %d bytes", TPM2_PIN_MAX);
    if (!box_close(wrapping, &bound_to_pin, part_of(pin, 0, pin->len), file->pin_box))
        return error_set(err, ATTEST_E_NOMEM, "the PIN could not be encrypted");
    file->pin_box_len = NONCE_LEN + pin->len + TAG_LEN;
    return ATTEST_OK;
}

enum attest_rc
tpm2_unbox_pin(const struct tpm2_file *file, const struct secret *wrapping, struct secret *ret,
               struct attest_error *err)
{
    if (file->pin_box_len <= NONCE_LEN + TAG_LEN)
        return error_set(err, ATTEST_E_NOT_FOUND, "no PIN is sealed in this file");
    AUTO(secret) struct secret pin = secret_new(file->pin_box_len - NONCE_LEN - TAG_LEN);
    if (!box_open(wrapping, &bound_to_pin, file->pin_box, pin.p, pin.len))
        return error_set(err, ATTEST_E_CORRUPT, "the sealed PIN does not open");
    *ret = pin;
    pin = (struct secret){0};
    return ATTEST_OK;
}
