/* SPDX-License-Identifier: MIT */
#include "jwks/jwk.h"

#include <string.h>

#include "base/b64u.h"
#include "base/json.h"

static const char *const alg_names[] = {
    [JWK_ALG_NONE] = NULL,
    [JWK_ALG_EDDSA] = "EdDSA",
    [JWK_ALG_ED25519] = "Ed25519",
};

const char *
jwk_alg_name(enum jwk_alg alg)
{
    return alg_names[alg];
}

bool
jwk_alg_from(struct slice name, enum jwk_alg *ret)
{
    for (size_t i = JWK_ALG_EDDSA; i < ARRAY_LEN(alg_names); i++) {
        if (slice_is(name, alg_names[i])) {
            *ret = (enum jwk_alg)i;
            return true;
        }
    }
    return false;
}

void
jwk_thumbprint(char out[JWK_THUMBPRINT_LEN + 1], const uint8_t public_key[ED25519_PUBLIC_LEN])
{
    /* The required members in lexicographic order, without white space: RFC 7638 section 3. */
    static const char before[] = "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"";
    static const char behind[] = "\"}";
    char text[sizeof(before) - 1 + 43 + sizeof(behind) - 1];
    uint8_t hash[SHA256_LEN];

    memcpy(text, before, sizeof(before) - 1);
    b64u_encode(text + sizeof(before) - 1, public_key, ED25519_PUBLIC_LEN);
    memcpy(text + sizeof(before) - 1 + 43, behind, sizeof(behind) - 1);
    sha256(hash, text, sizeof(text));
    b64u_encode(out, hash, sizeof(hash));
    out[JWK_THUMBPRINT_LEN] = '\0';
}

void
jwk_write(const uint8_t public_key[ED25519_PUBLIC_LEN], struct buf *out)
{
    buf_str(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
    b64u_append(out, public_key, ED25519_PUBLIC_LEN);
    buf_str(out, "\"}");
}

static enum attest_rc
fail(struct attest_error *err, const char **member, const char *name, const char *why)
{
    if (member)
        *member = name;
    return error_set(err, ATTEST_E_CLAIMS, "JWK%s%s: %s", *name ? " " : "", name, why);
}

static bool
string_is(const struct json_node *v, const char *text)
{
    return v && v->type == JSON_STRING && slice_is(v->text, text);
}

enum attest_rc
jwk_read(const struct json *j, const struct json_node *object,
         uint8_t public_key[ED25519_PUBLIC_LEN], const char **member, struct attest_error *err)
{
    uint8_t key[ED25519_PUBLIC_LEN];
    if (!object || object->type != JSON_OBJECT)
        return fail(err, member, "", "must be an object");
    if (!string_is(json_member(j, object, "kty"), "OKP"))
        return fail(err, member, "kty", "must be OKP");
    if (!string_is(json_member(j, object, "crv"), "Ed25519"))
        return fail(err, member, "crv", "must be Ed25519");
    if (json_member(j, object, "d"))
        return fail(err, member, "d", "a private key has no place here");
    const struct json_node *x = json_member(j, object, "x");
    if (!x || x->type != JSON_STRING || !b64u_decode_exact(key, sizeof(key), x->text))
        return fail(err, member, "x", "must be 32 bytes in base64url");
    if (!ed25519_public_ok(key))
        return fail(err, member, "x", "is not a point that can be a key");
    memcpy(public_key, key, sizeof(key));
    return ATTEST_OK;
}
