/* SPDX-License-Identifier: MIT */
#include "base/pubkey.h"

static bool
verify_ed25519(const uint8_t *key, struct slice msg, const uint8_t *sig)
{
    return ed25519_verify(sig, msg.p, msg.len, key);
}

static bool
verify_p256(const uint8_t *key, struct slice msg, const uint8_t *sig)
{
    return es256_verify(key, msg, sig) == ATTEST_OK;
}

static const struct {
    size_t len;
    bool (*ok)(const uint8_t *key);
    bool (*verify)(const uint8_t *key, struct slice msg, const uint8_t *sig);
} types[PUBKEY_TYPES] = {
    [PUBKEY_ED25519] = {ED25519_PUBLIC_LEN, ed25519_public_ok, verify_ed25519},
    [PUBKEY_P256] = {ES256_POINT_LEN, es256_point_ok, verify_p256},
};

_Static_assert(ES256_POINT_LEN == PUBKEY_LEN_MAX, "the longer of the two");
_Static_assert(ES256_SIG_LEN == PUBKEY_SIG_LEN && ED25519_SIG_LEN == PUBKEY_SIG_LEN, "one form");

size_t
pubkey_len(enum pubkey_type type)
{
    return types[type].len;
}

bool
pubkey_set(struct pubkey *key, enum pubkey_type type, struct slice bytes)
{
    if (bytes.len != types[type].len)
        return false;
    *key = (struct pubkey){.type = type};
    memcpy(key->bytes, bytes.p, bytes.len);
    return true;
}

struct slice
pubkey_bytes(const struct pubkey *key)
{
    return (struct slice){(const char *)key->bytes, types[key->type].len};
}

bool
pubkey_eq(const struct pubkey *a, const struct pubkey *b)
{
    return a->type == b->type && memcmp(a->bytes, b->bytes, types[a->type].len) == 0;
}

bool
pubkey_ok(const struct pubkey *key)
{
    return types[key->type].ok(key->bytes);
}

bool
pubkey_verify(const struct pubkey *key, struct slice msg, const uint8_t sig[PUBKEY_SIG_LEN])
{
    return types[key->type].verify(key->bytes, msg, sig);
}
