/* SPDX-License-Identifier: MIT */
#include "admin/answer.h"
#include "admin/keys.h"
#include "base/b64u.h"
#include "base/jsondoc.h"
#include "jwks/jwk.h"

/* RFC 8410: what stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo. */
static const uint8_t spki_head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                    0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

#define PEM_SIZE 160

static void
write_pem(char out[PEM_SIZE], const uint8_t public_key[ED25519_PUBLIC_LEN])
{
    uint8_t der[sizeof(spki_head) + ED25519_PUBLIC_LEN];
    /* PEM has the other alphabet, and pads 44 bytes with one character. */
    char text[(sizeof(der) + 2) / 3 * 4 + 1] = "";
    memcpy(der, spki_head, sizeof(spki_head));
    memcpy(der + sizeof(spki_head), public_key, ED25519_PUBLIC_LEN);
    b64u_encode(text, der, sizeof(der));
    for (char *p = text; *p; p++)
        *p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
    text[b64u_encoded_len(sizeof(der))] = '=';
    text[b64u_encoded_len(sizeof(der)) + 1] = '\0';
    snprintf(out, PEM_SIZE, "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n", text);
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
read_key(const json_t *key, uint8_t public_key[ED25519_PUBLIC_LEN])
{
    char kid[JWK_THUMBPRINT_LEN + 1];
    if (!b64u_decode_exact(public_key, ED25519_PUBLIC_LEN, slice_cstr(keys_text(key, "x"))))
        return false;
    jwk_thumbprint(kid, public_key);
    return strcmp(kid, keys_text(key, "kid")) == 0;
}

static json_t *
make_jwk(const json_t *key)
{
    const char *alg = keys_text(key, "alg");
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "kty", "OKP", "crv", "Ed25519", "kid",
                     keys_text(key, "kid"), "x", keys_text(key, "x"), "use", "sig", "alg",
                     *alg ? alg : "EdDSA");
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
    uint8_t public_key[ED25519_PUBLIC_LEN];
    if (!read_key(key, public_key))
        return complain(EXIT_FAILED,
                        "the signer's answer has a key that its kid does not fit; do not pin it, "
                        "and see the signer's log");
    char text[PEM_SIZE];
    write_pem(text, public_key);
    if (pem && !o->json) {
        fputs(text, stdout);
        return EXIT_DONE;
    }
    AUTO(json_t) json_t *jwk = make_jwk(key);
    AUTO(json_t)
    json_t *object = !jwk ? NULL
                     : pem
                         ? json_pack("{s:O, s:s}", "kid", json_object_get(jwk, "kid"), "pem", text)
                     : set ? json_pack("{s:[O]}", "keys", jwk)
                           : json_incref(jwk);
    return print_json(object);
}
