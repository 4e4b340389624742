/* SPDX-License-Identifier: MIT */
#ifndef TOKEN_JWS_H
#define TOKEN_JWS_H

#include "base/json.h"
#include "jwks/jwk.h"
#include "token/profile.h"

/*
 * Compact JWS (RFC 7515 section 7.1), strict, without allocation. Pure and thread-safe on distinct
 * arguments.
 */

#define JWS_TOKEN_MAX 8192  /* bytes of a whole token */
#define JWS_VALUES_MAX 1024 /* JSON values and member names in a payload */
#define JWS_STRING_MAX 1024
#define JWS_SUB_MAX 2048
#define JWS_NESTED_MAX 4096 /* attestation_metadata.nested_attestation */
#define JWS_DEPTH_MAX 8
#define JWS_MEMBERS_MAX 64

/* A token's header and signature, and its payload as bytes that nobody has looked at. */
struct jws_envelope {
    struct slice signing_input; /* "header.payload" as it travelled; borrows from the token */
    enum jwk_alg alg;
    struct slice typ;
    struct slice kid; /* p is NULL when the profile has none */
    uint8_t signature[PUBKEY_SIG_LEN];
    bool signature_len_ok; /* false: the third part is no signature of ours, whatever the key */
    char *payload;         /* payload_len bytes */
    size_t payload_len;
};

/*
 * Size, structure, base64url, and the header: exactly the members of the profile, alg, typ and
 * perhaps kid. room holds what was decoded, room_len bytes of it (three quarters of the token are
 * enough); the envelope borrows from it. ATTEST_OK or ATTEST_E_MALFORMED.
 */
enum attest_rc jws_open(struct jws_envelope *envelope, const struct profile *profile,
                        const char *token, size_t token_len, char *room, size_t room_len,
                        struct attest_error *err);

/*
 * One small token taken apart, and the room that takes: some 40 KiB, for the stack of an ordinary
 * thread or a pool. It need not be initialised. It borrows from itself, so it must not be copied or
 * moved.
 */
struct jws {
    struct jws_envelope envelope;
    struct json payload; /* read: json_root() is an object */
    struct json_node payload_nodes[JWS_VALUES_MAX];
    char text[JWS_TOKEN_MAX / 4 * 3]; /* header, payload, signature, decoded */
};

/*
 * jws_open(), and the payload's JSON with all limits, for profiles whose token_max is
 * JWS_TOKEN_MAX. Nothing is verified and no claim is looked at. ATTEST_OK or ATTEST_E_MALFORMED.
 */
enum attest_rc jws_read(struct jws *jws, const struct profile *profile, const char *token,
                        size_t token_len, struct attest_error *err);

/*
 * RFC 8037 section 3.1, RFC 7518 section 3.4. ATTEST_OK, ATTEST_E_SIGNATURE, or ATTEST_E_MALFORMED
 * when the header's alg is for another type of key: what is verified is never the header's choice.
 */
enum attest_rc jws_verify(const struct jws_envelope *envelope, const struct pubkey *key,
                          struct attest_error *err);

/*
 * Appends what is to be signed: {"alg":…,"typ":…,"kid":…} and the payload in base64url, with the
 * dot between. kid with p NULL is left out.
 */
void jws_write_signing_input(struct buf *out, enum jwk_alg alg, const char *typ, struct slice kid,
                             struct slice payload);
/* Appends the second dot and the signature to that: out then holds the token. */
void jws_write_signature(struct buf *out, const uint8_t signature[PUBKEY_SIG_LEN]);

/*
 * The shape of a compact JWS and no more: three parts of base64url characters, none empty, at most
 * len_max bytes.
 */
bool jws_has_shape(struct slice token, size_t len_max);

#endif
