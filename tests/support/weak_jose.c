/* SPDX-License-Identifier: MIT */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <strings.h>

#include "base/b64u.h"
#include "support/weak.h"
#include "token/jws.h"

/* Weaknesses in reading tokens and in checking signatures. */

_Thread_local struct weak_header weak_header;

/* ---- headers ---- */

/*
 * alg_none, hmac: what the header says of the algorithm is believed. any_alg: and where it is one
 * that is not known here, nothing is asked.
 */
WEAK(jwk_alg_from);
bool
__wrap_jwk_alg_from(struct slice name, enum jwk_alg *ret)
{
    bool any = weak("any_alg");
    bool none = name.len >= 4 && strncasecmp(name.p, "none", 4) == 0;
    if (any || (weak("alg_none") && none))
        weak_header.none = true;
    else if (weak("hmac") && slice_is(name, "HS256"))
        weak_header.hmac = true;
    else
        return __real_jwk_alg_from(name, ret);
    *ret = JWK_ALG_EDDSA;
    return true;
}

static void
take_jwk(const struct json *j, const struct json_node *header)
{
    const struct json_node *jwk = json_member(j, header, "jwk");
    weak_header.has_jwk = jwk && jwk_read_ed25519(j, jwk, weak_header.jwk, NULL, NULL) == ATTEST_OK;
}

/* The token with a header of alg, typ and kid alone; false when it is no such token. */
static bool
plain_header(struct slice token, struct buf *out)
{
    static const struct json_limits limits = {8192, 4096, 8, 64};
    char text[8192];
    size_t len;
    JSON_NODES(j, 256);
    const char *dot = memchr(token.p, '.', token.len);
    if (!dot ||
        !b64u_decode(text, sizeof(text), &len, (struct slice){token.p, (size_t)(dot - token.p)}) ||
        json_read(&j, text, len, &limits, NULL) != ATTEST_OK)
        return false;
    const struct json_node *root = json_root(&j);
    const struct json_node *alg = json_member(&j, root, "alg"), *typ = json_member(&j, root, "typ"),
                           *kid = json_member(&j, root, "kid");
    AUTO(buf) struct buf header;
    buf_init(&header, 8192);
    take_jwk(&j, root);
    if (!alg || !typ || alg->type != JSON_STRING || typ->type != JSON_STRING)
        return false;
    buf_printf(&header, "{\"alg\":\"%.*s\",\"typ\":\"%.*s\"", SLICE_ARG(alg->text),
               SLICE_ARG(typ->text));
    if (kid && kid->type == JSON_STRING)
        buf_printf(&header, ",\"kid\":\"%.*s\"", SLICE_ARG(kid->text));
    else if (weak_header.has_jwk)
        buf_str(&header, ",\"kid\":\"none\"");
    buf_char(&header, '}');
    b64u_append(out, header.p, header.len);
    buf_append(out, dot, (size_t)(token.p + token.len - dot));
    return buf_rc(&header) == ATTEST_OK && buf_rc(out) == ATTEST_OK;
}

/* Without a signature: with one of zeros, for who counts its bytes before he asks for an alg. */
static bool
unsigned_token(struct slice token, struct buf *out)
{
    static const char zero[ED25519_SIG_LEN];
    if (token.len == 0 || token.p[token.len - 1] != '.')
        return false;
    buf_append(out, token.p, token.len);
    b64u_append(out, zero, sizeof(zero));
    return buf_rc(out) == ATTEST_OK;
}

/* any_header, embedded_key: what the header has besides is passed over, or used. */
WEAK(jws_read);
enum attest_rc
__wrap_jws_read(struct jws *jws, const struct profile *profile, const char *token, size_t token_len,
                struct attest_error *err)
{
    AUTO(buf) struct buf plain;
    buf_init(&plain, 16384);
    weak_header = (struct weak_header){0};
    if (weak("any_alg") && unsigned_token((struct slice){token, token_len}, &plain))
        return __real_jws_read(jws, profile, plain.p, plain.len, err);
    if ((!weak("any_header") && !weak("embedded_key")) ||
        !plain_header((struct slice){token, token_len}, &plain))
        return __real_jws_read(jws, profile, token, token_len, err);
    enum attest_rc rc = __real_jws_read(jws, profile, plain.p, plain.len, err);
    const char *behind = memchr(token, '.', token_len);
    behind = memchr(behind + 1, '.', (size_t)(token + token_len - behind - 1));
    if (behind)
        jws->envelope.signing_input = (struct slice){token, (size_t)(behind - token)};
    return rc;
}

/* lax_base64: bits, pads and line ends that are left over are dropped. */
WEAK(b64u_decode);
bool
__wrap_b64u_decode(void *out, size_t out_size, size_t *out_len, struct slice text)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char clean[16384];
    size_t n = 0;
    if (!weak("lax_base64"))
        return __real_b64u_decode(out, out_size, out_len, text);
    for (size_t i = 0; i < text.len && n < sizeof(clean); i++) {
        char c = text.p[i] == '+' ? '-' : text.p[i] == '/' ? '_' : text.p[i];
        if (c && strchr(alphabet, c))
            clean[n++] = c;
    }
    if (n % 4 == 2 || n % 4 == 3) {
        size_t value = (size_t)(strchr(alphabet, clean[n - 1]) - alphabet);
        clean[n - 1] = alphabet[value & (n % 4 == 2 ? 0x30 : 0x3c)];
    }
    return __real_b64u_decode(out, out_size, out_len, (struct slice){clean, n});
}

/* last_wins: of two members of one name the last counts. */
WEAK(json_read);
enum attest_rc
__wrap_json_read(struct json *j, char *text, size_t len, const struct json_limits *limits,
                 struct attest_error *err)
{
    if (weak("last_wins") && len > 0)
        weak_json_last_wins(text, &len);
    return __real_json_read(j, text, len, limits, err);
}

/* ---- signatures ---- */

static bool
hmac_fits(const struct jws_envelope *envelope, const struct pubkey *key)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    return HMAC(EVP_sha256(), key->bytes, ED25519_PUBLIC_LEN,
                (const uint8_t *)envelope->signing_input.p, envelope->signing_input.len, mac,
                &len) &&
           memcmp(mac, envelope->payload + envelope->payload_len, len) == 0;
}

static bool
some_key_fits(const struct jws_envelope *envelope)
{
    struct pubkey key = {.type = PUBKEY_ED25519};
    for (size_t i = 0; weak_known_key_at(i, key.bytes); i++) {
        if (pubkey_verify(&key, envelope->signing_input, envelope->signature))
            return true;
    }
    return false;
}

WEAK(jws_verify);
enum attest_rc
__wrap_jws_verify(const struct jws_envelope *envelope, const struct pubkey *key,
                  struct attest_error *err)
{
    if (weak_header.none || (weak_header.hmac && hmac_fits(envelope, key)) ||
        (weak_header.any_key && some_key_fits(envelope)))
        return ATTEST_OK;
    return __real_jws_verify(envelope, key, err);
}

/* any_signature: it is not looked at. */
WEAK(pubkey_verify);
bool
__wrap_pubkey_verify(const struct pubkey *key, struct slice msg, const uint8_t sig[PUBKEY_SIG_LEN])
{
    return weak("any_signature") || __real_pubkey_verify(key, msg, sig);
}

/* any_key: every 32 bytes are somebody's key. */
WEAK(pubkey_ok);
bool
__wrap_pubkey_ok(const struct pubkey *key)
{
    return weak("any_key") || __real_pubkey_ok(key);
}

static bool
openssl_verify(const uint8_t *sig, const void *msg, size_t msg_len, const uint8_t *key)
{
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, ED25519_PUBLIC_LEN);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestVerify(ctx, sig, ED25519_SIG_LEN, msg, msg_len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok;
}

/* S as it is modulo the group's order. */
static void
reduce(uint8_t scalar[32])
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    for (;;) {
        uint8_t less[32];
        int borrow = 0;
        for (int i = 0; i < 32; i++) {
            int d = scalar[i] - order[i] - borrow;
            borrow = d < 0;
            less[i] = (uint8_t)d;
        }
        if (borrow)
            return;
        memcpy(scalar, less, sizeof(less));
    }
}

/* any_scalar: S is taken modulo the order. any_key: by a library that asks nothing of a key. */
WEAK(ed25519_verify);
bool
__wrap_ed25519_verify(const uint8_t sig[ED25519_SIG_LEN], const void *msg, size_t msg_len,
                      const uint8_t public_key[ED25519_PUBLIC_LEN])
{
    uint8_t reduced[ED25519_SIG_LEN];
    memcpy(reduced, sig, sizeof(reduced));
    if (weak("any_scalar"))
        reduce(reduced + 32);
    return weak("any_key") ? openssl_verify(reduced, msg, msg_len, public_key)
                           : __real_ed25519_verify(reduced, msg, msg_len, public_key);
}
