/* SPDX-License-Identifier: MIT */
/*
 * For shell tests, without an issuer: `minttoken jwks` prints a key set, `minttoken token [NAME
 * JSON]…` a token of now by the key in it, with members replaced (JSON "" takes one out).
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "support/mint.h"

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

int
main(int argc, char **argv)
{
    struct mint_key key;
    if (argc < 2 || crypto_init(NULL) != ATTEST_OK)
        return 2;
    mint_key_init(&key, 1);
    char *text AUTO(mem) =
        strcmp(argv[1], "jwks") == 0 ? mint_jwks(&key) : token(&key, argc - 2, argv + 2);
    mint_key_done(&key);
    printf("%s\n", text);
    return 0;
}
