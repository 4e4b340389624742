/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_JWKS_H
#define ISSUER_JWKS_H

#include "issuer/http.h"
#include "wire/frame.h"

/*
 * The key set as the signer last gave it, made into responses once per change. When the signer is
 * away the last one is served on. Thread-safe.
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

struct jwks_status {
    bool link_up, have, ready;
    char keystore[32];
    char why[160]; /* not ready: a sentence */
    int64_t updated_ms;
    struct jwks_key keys[JWKS_KEYS_MAX];
    size_t n_keys;
};
void jwks_status(struct jwks *jwks, struct jwks_status *ret);

enum MHD_Result jwks_get(struct exchange *x);

/* Whether an If-None-Match has this entity tag (quotes included), or "*" (RFC 9110, 13.1.2). Pure.
 */
bool etag_listed(struct slice list, const char *etag);

#endif
