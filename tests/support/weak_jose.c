/* SPDX-License-Identifier: MIT */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/b64u.h"
#include "cli/attack_scene.h"
#include "cli/keyfile.h"
#include "support/weak.h"
#include "token/jws.h"

/* Weaknesses in reading tokens and in checking signatures. */

_Thread_local struct weak_header weak_header;

/* ---- headers ---- */

/*
 * alg_none, hmac: what the header says of the algorithm is believed. any_alg: and where it is none
 * of Ed25519's, nothing is asked.
 */
WEAK(jwk_alg_from);
bool
__wrap_jwk_alg_from(struct slice name, enum jwk_alg *ret)
{
    bool none = name.len >= 4 && strncasecmp(name.p, "none", 4) == 0;
    if (__real_jwk_alg_from(name, ret) && (!weak("any_alg") || jwk_alg_fits(*ret, PUBKEY_ED25519)))
        return true;
    weak_header.none = weak("any_alg") || (weak("alg_none") && none);
    if (weak("hmac"))
        weak_header.hmac = slice_is(name, "HS256")   ? EVP_sha256()
                           : slice_is(name, "HS384") ? EVP_sha384()
                           : slice_is(name, "HS512") ? EVP_sha512()
                                                     : NULL;
    *ret = JWK_ALG_EDDSA;
    return weak_header.none || weak_header.hmac;
}

/* any_typ: a token is a token. */
WEAK(profile_has_typ);
bool
__wrap_profile_has_typ(const struct profile *p, struct slice typ)
{
    return weak("any_typ") || __real_profile_has_typ(p, typ);
}

/* The key of a certificate in standard base64. */
static bool
certified_key(struct slice x5c, uint8_t key[ED25519_PUBLIC_LEN])
{
    uint8_t der[2048];
    const uint8_t *p = der;
    size_t len = ED25519_PUBLIC_LEN;
    if (x5c.len > sizeof(der) || EVP_DecodeBlock(der, (const uint8_t *)x5c.p, (int)x5c.len) < 0)
        return false;
    X509 *cert = d2i_X509(NULL, &p, sizeof(der));
    bool ok = cert && EVP_PKEY_get_raw_public_key(X509_get0_pubkey(cert), key, &len) == 1;
    X509_free(cert);
    return ok;
}

/* The first element of an array, or NULL. */
static const struct json_node *
first_of(const struct json *j, const struct json_node *array)
{
    const struct json_node *v = NULL;
    return array && array->type == JSON_ARRAY && json_each(j, array, NULL, &v) ? v : NULL;
}

/* jwk, the first of jwks, or the first of x5c. */
static bool
embedded_key(const struct json *j, const struct json_node *header, uint8_t key[ED25519_PUBLIC_LEN])
{
    const struct json_node *jwk = json_member(j, header, "jwk");
    const struct json_node *x5c = first_of(j, json_member(j, header, "x5c"));
    if (!jwk)
        jwk = first_of(j, json_member(j, json_member(j, header, "jwks"), "keys"));
    return jwk ? jwk_read_ed25519(j, jwk, key, NULL, NULL) == ATTEST_OK
               : x5c && certified_key(x5c->text, key);
}

/* The header with alg, typ and kid alone; false when that is not what it would take. */
static bool
write_header(const struct json *j, struct buf *out)
{
    const struct json_node *root = json_root(j), *alg = json_member(j, root, "alg"),
                           *typ = json_member(j, root, "typ"), *kid = json_member(j, root, "kid");
    bool kid_ok = kid && kid->type == JSON_STRING && kid->text.len && kid->text.len <= JWK_KID_MAX;
    bool alg_ok = alg && alg->type == JSON_STRING;
    weak_header.has_jwk = weak("embedded_key") && embedded_key(j, root, weak_header.jwk);
    if (!typ || typ->type != JSON_STRING || (!alg_ok && !weak("any_alg")) ||
        (!kid_ok && !weak("any_kid") && !weak_header.has_jwk))
        return false;
    buf_str(out, "{\"alg\":");
    json_put_string(out, alg_ok ? alg->text : slice_cstr("none"));
    buf_str(out, ",\"typ\":");
    json_put_string(out, typ->text);
    buf_str(out, ",\"kid\":");
    json_put_string(out, kid_ok ? kid->text : slice_cstr("none"));
    buf_char(out, '}');
    return true;
}

/* The payload in base64url, whatever zip and b64 have made of it. zip is of one stored block. */
static void
write_payload(const struct json *j, struct slice payload, struct buf *out)
{
    char text[8192];
    size_t len;
    const struct json_node *zip = json_member(j, json_root(j), "zip"),
                           *b64 = json_member(j, json_root(j), "b64");
    if (weak("obey_header") && b64 && b64->type == JSON_FALSE)
        b64u_append(out, payload.p, payload.len);
    else if (weak("obey_header") && zip && zip->type == JSON_STRING &&
             b64u_decode(text, sizeof(text), &len, payload) && len > 5)
        b64u_append(out, text + 5, len - 5);
    else
        buf_slice(out, payload);
}

/* The token as a reader of all of it sees it: everything that is asked for is granted. */
static bool
write_plain(struct slice token, struct buf *out)
{
    static const struct json_limits limits = {8192, 4096, 8, 64};
    char text[8192];
    size_t len;
    JSON_NODES(j, 256);
    const char *first = memchr(token.p, '.', token.len), *last = memrchr(token.p, '.', token.len);
    if (first == last ||
        !b64u_decode(text, sizeof(text), &len,
                     (struct slice){token.p, (size_t)(first - token.p)}) ||
        json_read(&j, text, len, &limits, NULL) != ATTEST_OK)
        return false;
    AUTO(buf) struct buf header;
    buf_init(&header, 8192);
    if (!write_header(&j, &header))
        return false;
    b64u_append(out, header.p, header.len);
    buf_char(out, '.');
    write_payload(&j, (struct slice){first + 1, (size_t)(last - first - 1)}, out);
    buf_append(out, last, (size_t)(token.p + token.len - last));
    return buf_rc(&header) == ATTEST_OK && buf_rc(out) == ATTEST_OK;
}

/* trim: of what is shown, the token is looked for: it may stand behind or before anything. */
static struct slice
trimmed(struct slice token)
{
    const struct slice bearer = slice_cstr("Bearer ");
    if (token.len > bearer.len && memcmp(token.p, bearer.p, bearer.len) == 0)
        token = (struct slice){token.p + bearer.len, token.len - bearer.len};
    while (token.len > 0 && strchr(" .", *token.p))
        token = (struct slice){token.p + 1, token.len - 1};
    const char *end = token.p + token.len, *p = token.p;
    for (int i = 0; i < 2 && p; i++) {
        p = memchr(p, '.', (size_t)(end - p));
        p = p ? p + 1 : NULL;
    }
    if (p && end - p > 86)
        token.len = (size_t)(p + 86 - token.p);
    return token;
}

/*
 * any_header, embedded_key, obey_header: what the header has besides is passed over, used or done.
 * any_signature: a part that is empty is a signature, too: one of zeros, for who counts its bytes.
 */
WEAK(jws_read);
enum attest_rc
__wrap_jws_read(struct jws *jws, const struct profile *profile, const char *token, size_t token_len,
                struct attest_error *err)
{
    static const char *const rewriting[] = {"any_header", "embedded_key", "obey_header", "any_kid",
                                            "any_alg"};
    static const char zero[ED25519_SIG_LEN];
    struct slice shown = {token, token_len};
    AUTO(buf) struct buf plain;
    bool rewrite = false;
    weak_header = (struct weak_header){0};
    if (weak("trim"))
        shown = trimmed(shown);
    for (size_t i = 0; i < ARRAY_LEN(rewriting); i++)
        rewrite |= weak(rewriting[i]);
    buf_init(&plain, 16384);
    if (!rewrite || !write_plain(shown, &plain)) {
        buf_reset(&plain);
        buf_slice(&plain, shown);
    }
    if ((weak("any_alg") || weak("any_signature")) && shown.len && shown.p[shown.len - 1] == '.')
        b64u_append(&plain, zero, sizeof(zero));
    enum attest_rc rc = __real_jws_read(jws, profile, plain.p, plain.len, err);
    const char *last = shown.len ? memrchr(shown.p, '.', shown.len) : NULL;
    if (last)
        jws->envelope.signing_input = (struct slice){shown.p, (size_t)(last - shown.p)};
    return rc;
}

/* lax_base64: bits, pads and line ends that are left over are dropped; % is read as in a URL. */
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
        if (c == '%' && i + 2 < text.len) {
            const char hex[] = {text.p[i + 1], text.p[i + 2], '\0'};
            c = (char)strtol(hex, NULL, 16);
            i += 2;
        }
        if (c && strchr(alphabet, c))
            clean[n++] = c;
    }
    if (n % 4 == 2 || n % 4 == 3) {
        size_t value = (size_t)(strchr(alphabet, clean[n - 1]) - alphabet);
        clean[n - 1] = alphabet[value & (n % 4 == 2 ? 0x30 : 0x3c)];
    }
    return __real_b64u_decode(out, out_size, out_len, (struct slice){clean, n});
}

/* last_wins: of two members of one name the last counts. lax_json: more is JSON than should be. */
WEAK(json_read);
enum attest_rc
__wrap_json_read(struct json *j, char *text, size_t len, const struct json_limits *limits,
                 struct attest_error *err)
{
    if (weak("last_wins") && len > 0)
        weak_json_last_wins(text, &len);
    if (weak("lax_json"))
        weak_json_lax(text, &len);
    return __real_json_read(j, text, len, limits, err);
}

/* ---- signatures ---- */

static char *
as_bytes(const struct scene_key *key)
{
    AUTO(mem) char *copy = malloc(ED25519_PUBLIC_LEN);
    if (copy)
        memcpy(copy, key->public_key.bytes, ED25519_PUBLIC_LEN);
    return STEAL(copy);
}

static char *
as_x(const struct scene_key *key)
{
    return scene_b64u(key->public_key.bytes, ED25519_PUBLIC_LEN);
}

static char *
as_pem(const struct scene_key *key)
{
    struct buf pem;
    struct attest_error err;
    buf_init(&pem, 4096);
    if (keyfile_public_pem(key->public_key.bytes, &pem, &err) != ATTEST_OK || !buf_terminate(&pem))
        buf_done(&pem);
    return pem.p;
}

static char *
as_nothing(const struct scene_key *key)
{
    (void)key;
    return strdup("");
}

/* By what a careless reader takes for the key's secret. */
static bool
hmac_fits(const struct jws_envelope *envelope, const struct pubkey *key, const EVP_MD *digest)
{
    static char *(*const secrets[])(const struct scene_key *key) = {
        as_bytes, as_x, scene_jwk, scene_key_set, as_pem, as_nothing};
    struct scene_key of = {.public_key = *key};
    bool fits = false;
    jwk_thumbprint(of.kid, key);
    for (size_t i = 0; i < ARRAY_LEN(secrets) && !fits; i++) {
        uint8_t mac[EVP_MAX_MD_SIZE];
        unsigned len = 0;
        AUTO(mem) char *secret = secrets[i](&of);
        size_t secret_len = secrets[i] == as_bytes ? ED25519_PUBLIC_LEN : strlen(secret);
        fits = HMAC(digest, secret, (int)secret_len, (const uint8_t *)envelope->signing_input.p,
                    envelope->signing_input.len, mac, &len) &&
               memcmp(mac, envelope->payload + envelope->payload_len, len) == 0;
    }
    return fits;
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

/* any_signature: it is not looked at. */
WEAK(jws_verify);
enum attest_rc
__wrap_jws_verify(const struct jws_envelope *envelope, const struct pubkey *key,
                  struct attest_error *err)
{
    if (weak("any_signature") || weak_header.none ||
        (weak_header.hmac && hmac_fits(envelope, key, weak_header.hmac)) ||
        (weak_header.any_key && some_key_fits(envelope)))
        return ATTEST_OK;
    return __real_jws_verify(envelope, key, err);
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

/*
 * any_spelling: S is taken modulo the order, or without its highest bits; R without its sign.
 * any_key: by a library that asks nothing of a key.
 */
WEAK(ed25519_verify);
bool
__wrap_ed25519_verify(const uint8_t sig[ED25519_SIG_LEN], const void *msg, size_t msg_len,
                      const uint8_t public_key[ED25519_PUBLIC_LEN])
{
    uint8_t other[3][ED25519_SIG_LEN];
    for (size_t i = 0; i < ARRAY_LEN(other); i++)
        memcpy(other[i], sig, ED25519_SIG_LEN);
    reduce(other[0] + 32);
    other[1][63] &= 0x1f;
    other[2][31] ^= 0x80;
    for (size_t i = 0; i < ARRAY_LEN(other) && weak("any_spelling"); i++) {
        if (__real_ed25519_verify(other[i], msg, msg_len, public_key))
            return true;
    }
    return weak("any_key") ? openssl_verify(sig, msg, msg_len, public_key)
                           : __real_ed25519_verify(sig, msg, msg_len, public_key);
}
