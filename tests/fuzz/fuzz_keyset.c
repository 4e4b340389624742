/* SPDX-License-Identifier: MIT */
/* Key set documents from anywhere. Whatever is accepted keeps what jwks/keyset.h promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jwks/keyset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
    if (!holds)
        abort();
}

/* What we publish of these keys can be read again and holds the same keys. */
static void
write_and_read(const struct keyset *set)
{
    size_t n = keyset_count(set);
    AUTO(mem) struct keyset_entry *entries = calloc(n, sizeof(*entries));
    must(entries);
    for (size_t i = 0; i < n; i++) {
        entries[i].state = KEY_ACTIVE;
        entries[i].alg = keyset_at(set, i)->alg;
        entries[i].public_key = keyset_at(set, i)->public_key;
    }
    AUTO(buf) struct buf text;
    buf_init(&text, 1 << 20);
    keyset_write(entries, n, &text);
    must(!buf_rc(&text));
    AUTO(keyset) struct keyset *again = NULL;
    /* One key under two kids becomes one kid twice, and a full document grows beyond the limit. */
    if (keyset_read(text.p, text.len, &again, NULL))
        return;
    must(keyset_count(again) == n);
    for (size_t i = 0; i < n; i++) {
        char kid[JWK_THUMBPRINT_LEN + 1];
        jwk_thumbprint(kid, &entries[i].public_key);
        const struct jwk *found = keyset_find(again, slice_cstr(kid));
        must(found && pubkey_eq(&found->public_key, &entries[i].public_key));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        must(crypto_init(NULL) == ATTEST_OK);
    ready = true;

    struct attest_error err = {0};
    struct keyset *set = NULL;
    AUTO(mem) char *text = malloc(size ? size : 1);
    must(text);
    memcpy(text, data, size);
    enum attest_rc rc = keyset_read(text, size, &set, &err);
    if (rc) {
        must(set == NULL && err.rc == rc && *err.text);
        must(rc == ATTEST_E_MALFORMED || rc == ATTEST_E_LIMIT || rc == ATTEST_E_NOT_FOUND);
        return 0;
    }
    memset(text, 0, size); /* the set owns what it holds */
    must(keyset_count(set) >= 1);
    for (size_t i = 0; i < keyset_count(set); i++) {
        const struct jwk *key = keyset_at(set, i);
        must(key->kid.len >= 1 && key->kid.len <= JWK_KID_MAX);
        must(pubkey_ok(&key->public_key));
        must(keyset_find(set, key->kid) == key);
    }
    write_and_read(set);
    keyset_free(set);
    return 0;
}
