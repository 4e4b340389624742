/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CONTEST_H
#define BENCH_CONTEST_H

#include "base/bytes.h"
#include "base/ed25519.h"

/* The same tokens, verified by whoever can. */

#define CONTEST_TOKENS 32 /* different ones, so that nobody answers from a cache */
#define CONTEST_ISSUER "https://attest.example.com"
#define CONTEST_AUDIENCE "https://mcp.example.com/v1"

struct contest {
    int64_t now_s;
    char *token[CONTEST_TOKENS];
    size_t token_len[CONTEST_TOKENS];
    size_t signed_len[CONTEST_TOKENS]; /* "header.payload" */
    uint8_t sig[CONTEST_TOKENS][ED25519_SIG_LEN];
    uint8_t public_key[ED25519_PUBLIC_LEN];
    char kid[64];
    char jwk[256];  /* the public key as a JWK */
    char jwks[512]; /* and as a set of one */
};

/*
 * One that verifies. open returns its state, or NULL when it cannot. verify says whether token i
 * verified; it does everything that a caller would have to do for each token.
 */
struct contestant {
    const char *name;
    const char *does; /* what is in its time */
    bool absent;      /* its library was not there at build time */
    void *(*open)(const struct contest *c);
    bool (*verify)(void *state, const struct contest *c, size_t i);
    void (*close)(void *state);
};

extern const struct contestant contestant_attest;
extern const struct contestant contestant_sodium;
extern const struct contestant contestant_openssl;
extern const struct contestant contestant_rhonabwy;
extern const struct contestant contestant_libjwt;
extern const struct contestant contestant_cjose;

#endif
