/* SPDX-License-Identifier: MIT */
#ifndef BASE_PUBKEY_H
#define BASE_PUBKEY_H

#include "base/bytes.h"
#include "base/ed25519.h"
#include "base/es256.h"

/*
 * A public key and of which kind it is, so that whoever passes keys on need not know how many kinds
 * there are. Ed25519 is what we sign with; P-256 is what a TPM can sign with by itself (ES256, RFC
 * 7518 section 3.4). Pure, thread-safe.
 */

enum pubkey_type {
    PUBKEY_ED25519,
    PUBKEY_P256,
    PUBKEY_TYPES,
};

#define PUBKEY_COORD_LEN 32 /* bytes of each number that a key of either kind is made of */
#define PUBKEY_LEN_MAX 64
#define PUBKEY_SIG_LEN 64 /* Ed25519: R and S; P-256: r and s. No other form. */

struct pubkey {
    enum pubkey_type type;
    uint8_t bytes[PUBKEY_LEN_MAX]; /* Ed25519: the first 32, RFC 8032; P-256: x and y */
};

/* How many of the bytes count: 32 or 64. */
size_t pubkey_len(enum pubkey_type type);

static inline struct pubkey
pubkey_ed25519(const uint8_t bytes[ED25519_PUBLIC_LEN])
{
    struct pubkey key = {.type = PUBKEY_ED25519};
    memcpy(key.bytes, bytes, ED25519_PUBLIC_LEN);
    return key;
}

/* A key of this type from its bytes; false when they are not as many. Nothing else is asked. */
bool pubkey_set(struct pubkey *key, enum pubkey_type type, struct slice bytes);
struct slice pubkey_bytes(const struct pubkey *key);

bool pubkey_eq(const struct pubkey *a, const struct pubkey *b);

/* Whether it can be anyone's key: a point of the right group, in its one spelling. */
bool pubkey_ok(const struct pubkey *key);

/* Strict, as ed25519_verify() and es256_verify() are. */
bool pubkey_verify(const struct pubkey *key, struct slice msg, const uint8_t sig[PUBKEY_SIG_LEN]);

#endif
