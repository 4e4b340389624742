/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_JWKS_H
#define ISSUER_JWKS_H

#include "issuer/http.h"
#include "wire/frame.h"

/*
 * The key set as the signer last gave it, plain and signed, made into responses once per change.
 * When the signer is away the last ones are served on. Thread-safe.
 */
struct jwks;

struct jwks *jwks_new(void);
void jwks_free(struct jwks *jwks);
DEFINE_AUTO(jwks, struct jwks *, jwks_free);

/* A snapshot from the signer (docs/protocol.md, section 6). ATTEST_E_MALFORMED leaves the old. */
enum attest_rc jwks_update(struct jwks *jwks, const struct json *json,
                           const struct json_node *keyset, struct attest_error *err);
/* The connection to the signer came or went. */
void jwks_link(struct jwks *jwks, bool up, const char *why);

#define JWKS_KEYS_MAX 64

struct jwks_key {
    char kid[64], purpose[16], state[16];
    int64_t since_s; /* active since, else created; 0 unknown */
};

/* What the signer's rotation is about to do; times in seconds since the epoch, 0 unknown. */
struct jwks_rollover {
    bool known;
    char loop[16]; /* running, waiting, stopped, passive */
    char why[160]; /* not running: a sentence */
    char next_action[16];
    int64_t next_at_s, due_s, overdue_s;
};

struct jwks_status {
    bool link_up, have, ready;
    bool evidence;        /* the signer has a TPM that gives it */
    bool es256;           /* a token key stays in one */
    int64_t signed_exp_s; /* the signed key set's; 0: there is none */
    struct jwks_rollover rollover;
    char keystore[32];
    char why[160]; /* not ready: a sentence */
    int64_t updated_ms;
    struct jwks_key keys[JWKS_KEYS_MAX];
    size_t n_keys;
};
void jwks_status(struct jwks *jwks, struct jwks_status *ret);
/* Whether a key of the set signs by ES256. */
bool jwks_es256(struct jwks *jwks);

/* /.well-known/jwks.json and jwks.jwt. */
enum MHD_Result jwks_get(struct exchange *x);
enum MHD_Result jwks_get_signed(struct exchange *x);

#endif
