/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_MINT_H
#define SUPPORT_MINT_H

#include "base/pubkey.h"

/*
 * Tokens for tests, right or wrong in any one place: a set of members, each replaced or taken out,
 * signed by a key that a number stands for.
 */
struct mint_key {
    struct secret seed;
    struct pubkey public_key;
    char kid[48]; /* thumbprint */
};
void mint_key_init(struct mint_key *key, uint8_t number);
void mint_key_done(struct mint_key *key);

/* A JWKS with this one key; free() it. */
char *mint_jwks(const struct mint_key *key);

/* A signed key set of MINT_ISSUER by this root; free() it. */
struct signed_keyset_source;
char *mint_signed_keyset(const struct mint_key *root, struct signed_keyset_source source);
/* The key as JWK, for pinning; free() it. */
char *mint_jwk(const struct mint_key *key);

#define MINT_MEMBERS_MAX 24
struct mint_object {
    struct {
        const char *name, *value; /* JSON; NULL: left out */
    } member[MINT_MEMBERS_MAX];
    size_t n;
};
void mint_set(struct mint_object *object, const char *name, const char *json);

#define MINT_NOW INT64_C(1800000000)
#define MINT_ISSUER "https://ai.example.com"
#define MINT_AUDIENCE "https://mcp.example.com"
/* A right payload: issued at MINT_NOW for 300 s, unbound. */
void mint_payload(struct mint_object *payload);
/* {"jwk":{…}}: for the member cnf; free() it. */
char *mint_cnf(const struct mint_key *key);

/* The object as text; free() it. */
char *mint_json(const struct mint_object *object);

/* header, payload, signature; header NULL is the usual one. free() it. */
char *mint_token(const struct mint_key *key, const char *header, const struct mint_object *payload);
/* A proof of possession for the token. */
char *mint_proof(const struct mint_key *key, const char *token, const char *name,
                 const char *value);

#endif
