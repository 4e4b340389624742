/* SPDX-License-Identifier: MIT */
/*
 * For shell tests, without an issuer: `minttoken jwks` prints a key set, `minttoken token [NAME
 * JSON]…` a token of now by the key in it, with members replaced (JSON "" takes one out).
 * `minttoken signed ROOT AGE [revoked] [next N]` is a signed key set with that key, made AGE
 * seconds ago by the root of that number; `minttoken root N` is that root as JWK.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/mint.h"
#include "token/signed_keyset.h"

static char *
token(const struct mint_key *key, int n, char **members)
{
    char now[24], exp[24], jti[40], uuid[37];
    struct mint_object payload;
    mint_payload(&payload);
    random_uuid(uuid);
    snprintf(now, sizeof(now), "%lld", (long long)clock_wall_s());
    snprintf(exp, sizeof(exp), "%lld", (long long)clock_wall_s() + 300);
    snprintf(jti, sizeof(jti), "\"%s\"", uuid);
    mint_set(&payload, "iat", now);
    mint_set(&payload, "nbf", now);
    mint_set(&payload, "exp", exp);
    mint_set(&payload, "jti", jti);
    for (int i = 0; i + 1 < n; i += 2)
        mint_set(&payload, members[i], *members[i + 1] ? members[i + 1] : NULL);
    return mint_token(key, NULL, &payload);
}

static char *
signed_set(const struct mint_key *key, int n, char **words)
{
    struct mint_key root, next;
    const struct keyset_entry entry = {.public_key = key->public_key, .state = KEY_ACTIVE};
    struct signed_keyset_revoked revoked = {slice_cstr(key->kid), 1, slice_cstr("stolen")};
    int64_t iat = clock_wall_s() - atoi(words[1]);
    struct signed_keyset_source source = {
        .iat = iat, .exp = iat + 3600, .keys = &entry, .n_keys = 1, .revoked = &revoked};
    mint_key_init(&root, (uint8_t)atoi(words[0]));
    mint_key_init(&next, 0);
    for (int i = 2; i < n; i++) {
        source.n_revoked |= strcmp(words[i], "revoked") == 0;
        if (strcmp(words[i], "next") == 0 && i + 1 < n) {
            mint_key_done(&next);
            mint_key_init(&next, (uint8_t)atoi(words[i + 1]));
            source.next_root = &next.public_key;
        }
    }
    char *text = mint_signed_keyset(&root, source);
    mint_key_done(&next);
    mint_key_done(&root);
    return text;
}

static char *
root_jwk(const char *number)
{
    struct mint_key root;
    mint_key_init(&root, (uint8_t)atoi(number));
    char *text = mint_jwk(&root);
    mint_key_done(&root);
    return text;
}

int
main(int argc, char **argv)
{
    struct mint_key key;
    if (argc < 2 || crypto_init(NULL) != ATTEST_OK)
        return 2;
    mint_key_init(&key, 1);
    char *text AUTO(mem) =
        strcmp(argv[1], "jwks") == 0                  ? mint_jwks(&key)
        : strcmp(argv[1], "signed") == 0 && argc >= 4 ? signed_set(&key, argc - 2, argv + 2)
        : strcmp(argv[1], "root") == 0 && argc == 3   ? root_jwk(argv[2])
                                                      : token(&key, argc - 2, argv + 2);
    mint_key_done(&key);
    printf("%s\n", text);
    return 0;
}
