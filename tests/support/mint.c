/* SPDX-License-Identifier: MIT */
#include "support/mint.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/b64u.h"
#include "jwks/jwk.h"
#include "jwks/keyset.h"
#include "token/jws.h"
#include "token/signed_keyset.h"

void
mint_key_init(struct mint_key *key, uint8_t number)
{
    key->seed = secret_new(ED25519_SEED_LEN);
    memset(key->seed.p, number, ED25519_SEED_LEN);
    key->public_key = (struct pubkey){.type = PUBKEY_ED25519};
    ed25519_public_from_seed(key->public_key.bytes, &key->seed);
    jwk_thumbprint(key->kid, &key->public_key);
}

void
mint_key_done(struct mint_key *key)
{
    secret_free(&key->seed);
}

static char *
finish(struct buf *b)
{
    bool whole = buf_terminate(b);
    assert(whole);
    (void)whole;
    return b->p;
}

char *
mint_jwks(const struct mint_key *key)
{
    struct buf b;
    const struct keyset_entry entry = {
        .public_key = key->public_key, .alg = JWK_ALG_EDDSA, .state = KEY_ACTIVE};
    buf_init(&b, 65536);
    keyset_write(&entry, 1, &b);
    return finish(&b);
}

char *
mint_signed_keyset(const struct mint_key *root, struct signed_keyset_source source)
{
    struct buf text;
    AUTO(buf) struct buf payload;
    uint8_t signature[ED25519_SIG_LEN];
    buf_init(&payload, SIGNED_KEYSET_TEXT_MAX);
    buf_init(&text, 2 * SIGNED_KEYSET_TEXT_MAX);
    if (!source.issuer.p)
        source.issuer = slice_cstr(MINT_ISSUER);
    signed_keyset_write(&source, &payload);
    jws_write_signing_input(&text, JWK_ALG_EDDSA, SIGNED_KEYSET_TYP, slice_cstr(root->kid),
                            buf_view(&payload));
    ed25519_sign(signature, text.p, text.len, &root->seed);
    jws_write_signature(&text, signature);
    return finish(&text);
}

char *
mint_jwk(const struct mint_key *key)
{
    struct buf text;
    buf_init(&text, 1024);
    jwk_write(&key->public_key, &text);
    return finish(&text);
}

void
mint_set(struct mint_object *object, const char *name, const char *json)
{
    size_t i = 0;
    while (i < object->n && strcmp(object->member[i].name, name) != 0)
        i++;
    assert(i < MINT_MEMBERS_MAX);
    object->member[i].name = name;
    object->member[i].value = json;
    if (i == object->n)
        object->n++;
}

void
mint_payload(struct mint_object *payload)
{
    *payload = (struct mint_object){0};
    mint_set(payload, "iss", "\"" MINT_ISSUER "\"");
    mint_set(payload, "sub", "\"spiffe://ai.example.com/model/claude-sonnet-4\"");
    mint_set(payload, "aud", "\"" MINT_AUDIENCE "\"");
    mint_set(payload, "iat", "1800000000");
    mint_set(payload, "nbf", "1800000000");
    mint_set(payload, "exp", "1800000300");
    mint_set(payload, "jti", "\"0b0e7b1c-4a5f-4d7e-9c33-0a1b2c3d4e5f\"");
    mint_set(payload, "agent_identity",
             "{\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\","
             "\"provider\":\"anthropic\"}");
    mint_set(payload, "attestation_metadata",
             "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
             "\"safety_level\":\"standard\",\"capabilities_declared\":[\"tools\",\"c\\u00e9\"]}");
}

char *
mint_cnf(const struct mint_key *key)
{
    struct buf b;
    buf_init(&b, 1024);
    buf_str(&b, "{\"jwk\":");
    jwk_write(&key->public_key, &b);
    buf_str(&b, "}");
    return finish(&b);
}

static void
append_object(const struct mint_object *object, struct buf *out)
{
    bool first = true;
    buf_char(out, '{');
    for (size_t i = 0; i < object->n; i++) {
        if (!object->member[i].value)
            continue;
        buf_printf(out, "%s\"%s\":", first ? "" : ",", object->member[i].name);
        buf_str(out, object->member[i].value);
        first = false;
    }
    buf_char(out, '}');
}

char *
mint_json(const struct mint_object *object)
{
    struct buf b;
    buf_init(&b, 65536);
    append_object(object, &b);
    return finish(&b);
}

static char *
sign(const struct mint_key *key, const char *header, const struct mint_object *payload)
{
    struct buf text, token;
    uint8_t sig[ED25519_SIG_LEN];
    buf_init(&text, 65536);
    buf_init(&token, 131072);
    append_object(payload, &text);
    b64u_append(&token, header, strlen(header));
    buf_char(&token, '.');
    b64u_append(&token, text.p, text.len);
    ed25519_sign(sig, token.p, token.len, &key->seed);
    buf_char(&token, '.');
    b64u_append(&token, sig, sizeof(sig));
    buf_done(&text);
    return finish(&token);
}

char *
mint_token(const struct mint_key *key, const char *header, const struct mint_object *payload)
{
    char usual[160];
    snprintf(usual, sizeof(usual), "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}", key->kid);
    return sign(key, header ? header : usual, payload);
}

char *
mint_proof(const struct mint_key *key, const char *token, const char *name, const char *value)
{
    struct mint_object payload = {0};
    uint8_t digest[SHA256_LEN];
    char hash[64] = {0};
    sha256(digest, token, strlen(token));
    hash[0] = '"';
    b64u_encode(hash + 1, digest, sizeof(digest));
    hash[1 + b64u_encoded_len(sizeof(digest))] = '"';
    mint_set(&payload, "aud", "\"" MINT_AUDIENCE "\"");
    mint_set(&payload, "exp", "1800000030");
    mint_set(&payload, "jti", "\"proof-1\"");
    mint_set(&payload, "wth", hash);
    if (name)
        mint_set(&payload, name, value);
    return sign(key, "{\"alg\":\"EdDSA\",\"typ\":\"wpt+jwt\"}", &payload);
}
