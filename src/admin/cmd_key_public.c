/* SPDX-License-Identifier: MIT */
#include "admin/answer.h"
#include "admin/keys.h"
#include "base/b64u.h"
#include "base/jsondoc.h"
#include "jwks/jwk.h"

#define SPKI_HEAD_MAX 27
#define PEM_SIZE 256
#define PEM_LINE 64

/* What stands before a key's bytes in a SubjectPublicKeyInfo: RFC 8410; RFC 5480, uncompressed. */
static const struct {
    size_t len;
    uint8_t bytes[SPKI_HEAD_MAX];
} spki_heads[PUBKEY_TYPES] = {
    [PUBKEY_ED25519] = {12,
                        {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}},
    [PUBKEY_P256] = {27, {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                          0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                          0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04}},
};

static void
write_pem(char out[PEM_SIZE], const struct pubkey *key)
{
    uint8_t der[SPKI_HEAD_MAX + PUBKEY_LEN_MAX];
    size_t head_len = spki_heads[key->type].len, len = head_len + pubkey_len(key->type);
    /* PEM has the other alphabet, pads to four characters, and short lines. */
    char text[(sizeof(der) + 2) / 3 * 4 + 1] = "", *to = out;
    memcpy(der, spki_heads[key->type].bytes, head_len);
    memcpy(der + head_len, key->bytes, len - head_len);
    b64u_encode(text, der, len);
    for (char *p = text; *p; p++)
        *p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
    for (size_t n = b64u_encoded_len(len); n % 4; n++)
        memcpy(text + n, "=", 2);
    to += sprintf(to, "-----BEGIN PUBLIC KEY-----\n");
    for (const char *p = text; *p; p += strnlen(p, PEM_LINE))
        to += sprintf(to, "%.*s\n", PEM_LINE, p);
    sprintf(to, "-----END PUBLIC KEY-----\n");
}

/* The key that was asked for: by its kid, or the active one of a purpose. */
static enum exit_status
choose(const struct options *o, char **args, int n_args, json_t **list, const json_t **ret)
{
    if (n_args && o->purpose)
        return complain(EXIT_USAGE, "give a KID or --purpose, not both");
    if (n_args)
        return keys_find(o, args[0], list, ret);
    const char *purpose = o->purpose ? o->purpose : "root";
    if (strcmp(purpose, "root") != 0 && strcmp(purpose, "log") != 0 &&
        strcmp(purpose, "token") != 0)
        return complain(EXIT_USAGE, "--purpose is root, log or token");
    enum exit_status status = keys_ask(o, list);
    if (status)
        return status;
    *ret = keys_active(*list, purpose);
    if (!*ret)
        return complain(EXIT_FAILED,
                        "no %s key is active; see attestctl key list, or make one with attestctl "
                        "key generate --purpose %s",
                        purpose, purpose);
    return EXIT_DONE;
}

/* Others will trust this key for years: it has to be the one whose name it bears. */
static bool
read_key(const json_t *key, struct pubkey *ret)
{
    char kid[JWK_THUMBPRINT_LEN + 1];
    enum jwk_alg alg = JWK_ALG_EDDSA;
    struct slice said = slice_cstr(keys_text(key, "alg"));
    if (said.len && !jwk_alg_from(said, &alg))
        return false;
    if (jwk_decode(ret, jwk_alg_type(alg), slice_cstr(keys_text(key, "x")),
                   slice_cstr(keys_text(key, "y"))))
        return false;
    jwk_thumbprint(kid, ret);
    return strcmp(kid, keys_text(key, "kid")) == 0;
}

static json_t *
make_jwk(const json_t *key, enum pubkey_type type)
{
    const char *alg = keys_text(key, "alg");
    return json_pack("{s:s, s:s, s:s, s:s, s:O*, s:s, s:s}", "kty", jwk_kty(type), "crv",
                     jwk_crv(type), "kid", keys_text(key, "kid"), "x", keys_text(key, "x"), "y",
                     json_object_get(key, "y"), "use", "sig", "alg",
                     *alg ? alg : jwk_alg_name(jwk_alg_of(type)));
}

enum exit_status
cmd_key_public(const struct options *o, char **args, int n_args)
{
    const char *format = o->format ? o->format : "jwk";
    bool pem = strcmp(format, "pem") == 0, set = strcmp(format, "jwks") == 0;
    if (!pem && !set && strcmp(format, "jwk") != 0)
        return complain(EXIT_USAGE, "--format is jwk, jwks or pem");
    AUTO(json_t) json_t *list = NULL;
    const json_t *key = NULL;
    enum exit_status status = choose(o, args, n_args, &list, &key);
    if (status)
        return status;
    struct pubkey public_key;
    if (!read_key(key, &public_key))
        return complain(EXIT_FAILED,
                        "the signer's answer has a key that its kid does not fit; do not pin it, "
                        "and see the signer's log");
    char text[PEM_SIZE];
    write_pem(text, &public_key);
    if (pem && !o->json) {
        fputs(text, stdout);
        return EXIT_DONE;
    }
    AUTO(json_t) json_t *jwk = make_jwk(key, public_key.type);
    AUTO(json_t)
    json_t *object = !jwk ? NULL
                     : pem
                         ? json_pack("{s:O, s:s}", "kid", json_object_get(jwk, "kid"), "pem", text)
                     : set ? json_pack("{s:[O]}", "keys", jwk)
                           : json_incref(jwk);
    return print_json(object);
}
