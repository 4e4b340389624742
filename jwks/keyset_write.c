/* SPDX-License-Identifier: MIT */
#include "jwks/keyset.h"

void
keyset_write_key(const struct pubkey *key, enum jwk_alg alg, struct buf *out)
{
    char kid[JWK_THUMBPRINT_LEN + 1];
    jwk_thumbprint(kid, key);
    buf_printf(out, "{\"kty\":\"%s\",\"crv\":\"%s\",\"kid\":\"%s\"", jwk_kty(key->type),
               jwk_crv(key->type), kid);
    jwk_write_coords(key, out);
    buf_printf(out, ",\"use\":\"sig\",\"alg\":\"%s\"}",
               jwk_alg_name(alg ? alg : jwk_alg_of(key->type)));
}

void
keyset_write_list(const struct keyset_entry *entries, size_t n, struct buf *out)
{
    static const enum key_state order[] = {KEY_ACTIVE, KEY_PUBLISHED, KEY_RETIRED};
    bool first = true;
    buf_char(out, '[');
    for (size_t s = 0; s < ARRAY_LEN(order); s++) {
        for (size_t i = 0; i < n; i++) {
            if (entries[i].state != order[s])
                continue;
            if (!first)
                buf_char(out, ',');
            keyset_write_key(&entries[i].public_key, entries[i].alg, out);
            first = false;
        }
    }
    buf_char(out, ']');
}

void
keyset_write(const struct keyset_entry *entries, size_t n, struct buf *out)
{
    buf_str(out, "{\"keys\":");
    keyset_write_list(entries, n, out);
    buf_char(out, '}');
}
