/* SPDX-License-Identifier: MIT */
#include "base/b64u.h"
#include "jwks/keyset.h"

static void
put_key(const struct keyset_entry *key, struct buf *out)
{
    char kid[JWK_THUMBPRINT_LEN + 1];
    jwk_thumbprint(kid, key->public_key);
    buf_printf(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\",\"x\":\"", kid);
    b64u_append(out, key->public_key, ED25519_PUBLIC_LEN);
    buf_printf(out, "\",\"use\":\"sig\",\"alg\":\"%s\"}",
               jwk_alg_name(key->alg ? key->alg : JWK_ALG_EDDSA));
}

void
keyset_write(const struct keyset_entry *entries, size_t n, struct buf *out)
{
    static const enum key_state order[] = {KEY_ACTIVE, KEY_PUBLISHED, KEY_RETIRED};
    bool first = true;
    buf_str(out, "{\"keys\":[");
    for (size_t s = 0; s < ARRAY_LEN(order); s++) {
        for (size_t i = 0; i < n; i++) {
            if (entries[i].state != order[s])
                continue;
            if (!first)
                buf_char(out, ',');
            put_key(&entries[i], out);
            first = false;
        }
    }
    buf_str(out, "]}");
}
