/* SPDX-License-Identifier: MIT */
#include "jwks/jwk.h"

#include <stdio.h>
#include <string.h>

#include "base/b64u.h"
#include "base/json.h"

static const struct {
    const char *name;
    enum pubkey_type type;
} algs[JWK_ALGS] = {
    [JWK_ALG_EDDSA] = {"EdDSA", PUBKEY_ED25519},
    [JWK_ALG_ED25519] = {"Ed25519", PUBKEY_ED25519},
    [JWK_ALG_ES256] = {"ES256", PUBKEY_P256},
};

static const struct {
    const char *kty, *crv;
    enum jwk_alg alg;
} types[PUBKEY_TYPES] = {
    [PUBKEY_ED25519] = {"OKP", "Ed25519", JWK_ALG_EDDSA},
    [PUBKEY_P256] = {"EC", "P-256", JWK_ALG_ES256},
};

static const char *const coords[] = {"x", "y"};

static size_t
n_coords(enum pubkey_type type)
{
    return pubkey_len(type) / PUBKEY_COORD_LEN;
}

const char *
jwk_alg_name(enum jwk_alg alg)
{
    return algs[alg].name;
}

bool
jwk_alg_from(struct slice name, enum jwk_alg *ret)
{
    for (size_t i = JWK_ALG_NONE + 1; i < ARRAY_LEN(algs); i++) {
        if (slice_is(name, algs[i].name)) {
            *ret = (enum jwk_alg)i;
            return true;
        }
    }
    return false;
}

enum pubkey_type
jwk_alg_type(enum jwk_alg alg)
{
    return algs[alg].type;
}

bool
jwk_alg_fits(enum jwk_alg alg, enum pubkey_type type)
{
    return alg == JWK_ALG_NONE || algs[alg].type == type;
}

enum jwk_alg
jwk_alg_of(enum pubkey_type type)
{
    return types[type].alg;
}

const char *
jwk_kty(enum pubkey_type type)
{
    return types[type].kty;
}

const char *
jwk_crv(enum pubkey_type type)
{
    return types[type].crv;
}

bool
jwk_type_from(struct slice kty, struct slice crv, enum pubkey_type *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_is(kty, types[i].kty) && slice_is(crv, types[i].crv)) {
            *ret = (enum pubkey_type)i;
            return true;
        }
    }
    return false;
}

const char *
jwk_decode(struct pubkey *key, enum pubkey_type type, struct slice x, struct slice y)
{
    const struct slice from[] = {x, y};
    struct pubkey read = {.type = type};
    for (size_t i = 0; i < n_coords(type); i++) {
        if (!b64u_decode_exact(read.bytes + i * PUBKEY_COORD_LEN, PUBKEY_COORD_LEN, from[i]))
            return coords[i];
    }
    *key = read;
    return NULL;
}

void
jwk_write_coords(const struct pubkey *key, struct buf *out)
{
    for (size_t i = 0; i < n_coords(key->type); i++) {
        buf_printf(out, ",\"%s\":\"", coords[i]);
        b64u_append(out, key->bytes + i * PUBKEY_COORD_LEN, PUBKEY_COORD_LEN);
        buf_char(out, '"');
    }
}

void
jwk_thumbprint(char out[JWK_THUMBPRINT_LEN + 1], const struct pubkey *key)
{
    /* The required members in lexicographic order, without white space: RFC 7638 section 3. */
    char text[160], x[44];
    uint8_t hash[SHA256_LEN];
    int len = snprintf(text, sizeof(text), "{\"crv\":\"%s\",\"kty\":\"%s\"", types[key->type].crv,
                       types[key->type].kty);
    for (size_t i = 0; i < n_coords(key->type); i++) {
        b64u_encode(x, key->bytes + i * PUBKEY_COORD_LEN, PUBKEY_COORD_LEN);
        len += snprintf(text + len, sizeof(text) - (size_t)len, ",\"%s\":\"%.43s\"", coords[i], x);
    }
    text[len++] = '}';
    sha256(hash, text, (size_t)len);
    b64u_encode(out, hash, sizeof(hash));
    out[JWK_THUMBPRINT_LEN] = '\0';
}

void
jwk_write(const struct pubkey *key, struct buf *out)
{
    buf_printf(out, "{\"kty\":\"%s\",\"crv\":\"%s\"", types[key->type].kty, types[key->type].crv);
    jwk_write_coords(key, out);
    buf_char(out, '}');
}

static enum attest_rc
fail(struct attest_error *err, const char **member, const char *name, const char *why)
{
    if (member)
        *member = name;
    return error_set(err, ATTEST_E_CLAIMS, "JWK%s%s: %s", *name ? " " : "", name, why);
}

/* The empty slice when there is no such string. */
static struct slice
text_of(const struct json *j, const struct json_node *object, const char *name)
{
    const struct json_node *v = json_member(j, object, name);
    return v && v->type == JSON_STRING ? v->text : (struct slice){"", 0};
}

/* kty decides which crv it may be; both have to be of one row. */
static enum attest_rc
read_type(const struct json *j, const struct json_node *object, enum pubkey_type *ret,
          const char **member, struct attest_error *err)
{
    struct slice kty = text_of(j, object, "kty"), crv = text_of(j, object, "crv");
    if (jwk_type_from(kty, crv, ret))
        return ATTEST_OK;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_is(kty, types[i].kty))
            return fail(err, member, "crv", "is not one of this kty");
    }
    return fail(err, member, "kty", "must be OKP or EC");
}

enum attest_rc
jwk_read(const struct json *j, const struct json_node *object, struct pubkey *key,
         const char **member, struct attest_error *err)
{
    struct pubkey read;
    enum pubkey_type type;
    if (!object || object->type != JSON_OBJECT)
        return fail(err, member, "", "must be an object");
    enum attest_rc rc = read_type(j, object, &type, member, err);
    if (rc)
        return rc;
    if (json_member(j, object, "d"))
        return fail(err, member, "d", "a private key has no place here");
    const char *at = jwk_decode(&read, type, text_of(j, object, "x"), text_of(j, object, "y"));
    if (at)
        return fail(err, member, at, "must be 32 bytes in base64url");
    if (!pubkey_ok(&read))
        return fail(err, member, "x", "is not a point that can be a key");
    *key = read;
    return ATTEST_OK;
}

enum attest_rc
jwk_read_ed25519(const struct json *j, const struct json_node *object,
                 uint8_t public_key[ED25519_PUBLIC_LEN], const char **member,
                 struct attest_error *err)
{
    struct pubkey key;
    bool is_object = object && object->type == JSON_OBJECT;
    if (is_object && !slice_is(text_of(j, object, "kty"), types[PUBKEY_ED25519].kty))
        return fail(err, member, "kty", "must be OKP");
    enum attest_rc rc = jwk_read(j, object, &key, member, err);
    if (rc)
        return rc;
    memcpy(public_key, key.bytes, ED25519_PUBLIC_LEN);
    return ATTEST_OK;
}
