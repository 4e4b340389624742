/* SPDX-License-Identifier: MIT */
/*
 * Signed key sets from anywhere. What begins like a payload is signed by the pinned root first, so
 * that the fuzzer gets behind the signature; anything else is read as it is. Whatever is accepted
 * keeps what token/signed_keyset.h promises.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "token/claims.h"
#include "token/jws.h"
#include "token/signed_keyset.h"

#define NOW INT64_C(1800000000)
#define ISSUER "https://ai.example.com"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct secret seed;
static struct signed_keyset_root root;

static void
must(bool holds)
{
    if (!holds)
        abort();
}

static void
check_keys(const struct keyset *keys)
{
    for (size_t i = 0; i < keyset_count(keys); i++) {
        const struct jwk *key = keyset_at(keys, i);
        must(key->kid.len >= 1 && key->kid.len <= JWK_KID_MAX);
        must(pubkey_ok(&key->public_key));
        must(keyset_find(keys, key->kid) == key);
    }
}

static void
check_accepted(const struct signed_keyset *set)
{
    must(set->iat >= 0 && set->iat < set->exp && set->exp <= CLAIMS_TIME_MAX);
    must(set->exp - set->iat <= SIGNED_KEYSET_LIFETIME_MAX_S);
    must(set->iat <= NOW + 30 && set->exp + 30 > NOW && set->signed_by == 0);
    must(set->keys != NULL);
    check_keys(set->keys);
    if (set->log_keys)
        check_keys(set->log_keys);
    for (size_t i = 0; i < set->n_revoked; i++) {
        const struct signed_keyset_revoked *r = &set->revoked[i];
        must(r->kid.len >= 1 && r->kid.len <= JWK_KID_MAX);
        must(r->reason.len <= SIGNED_KEYSET_REASON_MAX && r->revoked_at_s >= 0);
        must(signed_keyset_revoked(set, r->kid) == r);
        for (size_t k = 0; k < r->reason.len; k++)
            must((uint8_t)r->reason.p[k] >= 0x20 && r->reason.p[k] != 0x7f);
    }
    if (set->has_next_root)
        must(pubkey_ok(&set->next_root.public_key));
}

static void
run(const char *text, size_t len, bool is_signed)
{
    struct attest_error err = {0};
    struct signed_keyset *set = NULL;
    AUTO(mem) char *copy = malloc(len ? len : 1);
    must(copy);
    memcpy(copy, text, len);
    enum attest_rc rc =
        signed_keyset_read(copy, len, slice_cstr(ISSUER), &root, 1, NOW, 30, &set, &err);
    memset(copy, 0, len); /* the set owns what it holds */
    if (rc) {
        must(set == NULL && err.rc == rc && *err.text);
        must(!is_signed || rc != ATTEST_E_SIGNATURE);
        return;
    }
    must(is_signed);
    check_accepted(set);
    signed_keyset_free(set);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char kid[JWK_THUMBPRINT_LEN + 1];
    uint8_t signature[ED25519_SIG_LEN];
    if (!seed.p) {
        must(crypto_init(NULL) == ATTEST_OK);
        seed = secret_new(ED25519_SEED_LEN);
        must(seed.p != NULL);
        memset(seed.p, 1, ED25519_SEED_LEN);
        ed25519_public_from_seed(root.public_key.bytes, &seed);
        jwk_thumbprint(kid, &root.public_key);
    }
    struct signed_keyset_root found[4];
    size_t n = 0;
    if (signed_keyset_read_roots((const char *)data, size, found, 4, &n, NULL) == ATTEST_OK)
        must(n >= 1 && n <= 4);
    if (size == 0 || data[0] != '{') {
        run((const char *)data, size, false);
        return 0;
    }
    AUTO(buf) struct buf text;
    buf_init(&text, 2 * SIGNED_KEYSET_TEXT_MAX);
    jws_write_signing_input(&text, JWK_ALG_EDDSA, SIGNED_KEYSET_TYP, slice_cstr(kid),
                            (struct slice){(const char *)data, size});
    ed25519_sign(signature, text.p, text.len, &seed);
    jws_write_signature(&text, signature);
    if (!buf_rc(&text))
        run(text.p, text.len, true);
    return 0;
}
