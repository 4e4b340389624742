/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CONTEST_H
#define BENCH_CONTEST_H

#include "base/bytes.h"
#include "base/ed25519.h"

/* The same tokens, verified by whoever can. */

#define CONTEST_WARM 8 /* verified before the clock starts */
#define CONTEST_COUNTED 32
#define CONTEST_TOKENS (CONTEST_WARM + CONTEST_COUNTED) /* all different */
#define CONTEST_ISSUER "https://attest.example.com"
#define CONTEST_AUDIENCE "https://mcp.example.com/v1"

struct contest {
    int64_t now_s;
    char *token[CONTEST_TOKENS];
    size_t token_len[CONTEST_TOKENS];
    size_t signed_len[CONTEST_TOKENS]; /* "header.payload" */
    uint8_t sig[CONTEST_TOKENS][ED25519_SIG_LEN];
    uint8_t pair[ED25519_PAIR_LEN]; /* what signs; the public half is in its second half */
    const uint8_t *public_key;
    char kid[64];
    char jwk[256];  /* the public key as a JWK */
    char jwks[512]; /* and as a set of one */
};

/* A new key; contest_renew() makes its tokens. False when it could not be done. */
bool contest_init(struct contest *c);
/* New tokens in the place of the old: other jtis, the time of now. */
bool contest_renew(struct contest *c);
void contest_done(struct contest *c);

/* One token of now, with a jti of its own; free() it. NULL: no memory. */
char *contest_token(const struct contest *c, const char *issuer, const char *kid, size_t *len,
                    size_t *signed_len, uint8_t sig[ED25519_SIG_LEN]);

/*
 * One that verifies. open returns its state, or NULL when it cannot. verify says whether token i
 * verified; it does everything that a caller would have to do for each token.
 */
struct contestant {
    const char *name;
    const char *does; /* what is in its time */
    bool absent;      /* its library was not there at build time */
    bool may_lack;    /* distributions have versions of it that cannot verify EdDSA */
    void *(*open)(const struct contest *c);
    bool (*verify)(void *state, const struct contest *c, size_t i);
    void (*close)(void *state);
    const char *command; /* it is a program of its own (peer.h) */
};

extern const struct contestant contestant_attest;
extern const struct contestant contestant_check;
extern const struct contestant contestant_sodium;
extern const struct contestant contestant_openssl;
extern const struct contestant contestant_rhonabwy;
extern const struct contestant contestant_libjwt;
extern const struct contestant contestant_cjose;

#endif
