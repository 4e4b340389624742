/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/file.h"
#include "token/claims.h"
#include "verify/keys.h"

/* Issuers whose root key is pinned: <attest/keys.h>, second half. */

enum { SKEW_S = 30, JWK_TEXT_MAX = 512 };

enum attest_rc
attest_keys_pin_root(struct attest_keys *keys, const char *issuer, const char *jwk, size_t jwk_len,
                     struct attest_error *err)
{
    struct signed_keyset_root list[ROOTS_MAX];
    struct attest_error why = {.rc = ATTEST_E_INTERNAL};
    AUTO(keyset) struct keyset *unsigned_set = NULL;
    size_t n = 0;
    enum attest_rc rc = signed_keyset_read_roots(jwk, jwk_len, list, ROOTS_MAX, &n, err);
    if (rc == ATTEST_OK)
        rc = keys_begin(keys, issuer, err);
    if (rc != ATTEST_OK)
        return rc;
    struct issuer_keys *entry = keys_new_entry(keys, issuer, &why);
    struct roots roots;
    if (entry) {
        roots = entry->roots;
        rc = roots_pin(&roots, list, n, &why);
    }
    if (!entry || rc != ATTEST_OK) {
        keys_end(keys);
        return error_set(err, why.rc, "%s", why.text);
    }
    keys_writing(keys);
    entry->roots = roots;
    entry->pinned = true;
    unsigned_set = STEAL(entry->set);
    keys_written(keys);
    keys_end(keys);
    return ATTEST_OK;
}

enum attest_rc
attest_keys_pin_root_file(struct attest_keys *keys, const char *issuer, const char *path,
                          struct attest_error *err)
{
    AUTO(buf) struct buf text;
    buf_init(&text, ATTEST_JWKS_MAX);
    enum attest_rc rc = file_read_regular(path, ATTEST_JWKS_MAX, &text, err);
    return rc == ATTEST_OK ? attest_keys_pin_root(keys, issuer, text.p, text.len, err) : rc;
}

/*
 * Times have the grain of a second. Of two sets of the same second the one that revokes less must
 * be the older, whatever it says.
 */
static bool
revokes_less(const struct signed_keyset *set, const struct signed_keyset *before)
{
    for (size_t i = 0; i < before->n_revoked; i++) {
        if (!signed_keyset_revoked(set, before->revoked[i].kid))
            return true;
    }
    return false;
}

static enum attest_rc
check_roll_back(const struct signed_keyset *set, const struct signed_keyset *before,
                struct attest_error *err)
{
    if (!before || set->iat > before->iat)
        return ATTEST_OK;
    if (set->iat < before->iat)
        return error_set(err, ATTEST_E_REPLAY, "signed key set: %lld s older than one seen before",
                         (long long)(before->iat - set->iat));
    if (revokes_less(set, before))
        return error_set(err, ATTEST_E_REPLAY,
                         "signed key set: of the same second as one that revoked more");
    return ATTEST_OK;
}

/* Only who changes keys reads without the lock. */
enum attest_rc
keys_read_signed(struct attest_keys *keys, const char *issuer, struct slice jwt, int64_t now_s,
                 struct issuer_keys *next, struct attest_error *err)
{
    struct signed_keyset_root list[2 * ROOTS_MAX];
    AUTO(signed_keyset) struct signed_keyset *set = NULL;
    const struct issuer_keys *entry = keys_entry(keys, issuer);
    if (!entry || !entry->pinned)
        return error_set(err, ATTEST_E_ARGUMENT, "keys: no root of this issuer is pinned");
    size_t n = roots_candidates(&entry->roots, list);
    enum attest_rc rc =
        signed_keyset_read(jwt.p, jwt.len, slice_cstr(issuer), list, n, now_s, SKEW_S, &set, err);
    if (rc == ATTEST_OK)
        rc = check_roll_back(set, entry->signed_set, err);
    if (rc != ATTEST_OK)
        return rc;
    *next = (struct issuer_keys){.issuer = entry->issuer, .pinned = true, .roots = entry->roots};
    roots_follow(&next->roots, &list[set->signed_by], set->has_next_root ? &set->next_root : NULL);
    next->signed_set = STEAL(set);
    return ATTEST_OK;
}

enum attest_rc
attest_keys_add_signed(struct attest_keys *keys, const char *issuer, const char *jwt,
                       size_t jwt_len, int64_t now_s, struct attest_error *err)
{
    AUTO(issuer_keys) struct issuer_keys next = {0};
    if (now_s < 0 || now_s > CLAIMS_TIME_MAX)
        return error_set(err, ATTEST_E_ARGUMENT, "now is no time of this era");
    enum attest_rc rc = keys_begin(keys, issuer, err);
    if (rc != ATTEST_OK)
        return rc;
    rc = keys_read_signed(keys, issuer, (struct slice){jwt, jwt_len}, now_s, &next, err);
    if (rc == ATTEST_OK)
        keys_put(keys, &next, INT64_MAX);
    keys_end(keys);
    return rc;
}

static const struct issuer_keys *
pinned_entry(const struct attest_keys *keys, const char *issuer)
{
    const struct issuer_keys *entry = keys_entry((struct attest_keys *)keys, issuer);
    return entry && entry->pinned ? entry : NULL;
}

bool
attest_keys_pinned(const struct attest_keys *keys, const char *issuer)
{
    pthread_rwlock_t *lock = keys_reading(keys);
    bool pinned = pinned_entry(keys, issuer) != NULL;
    pthread_rwlock_unlock(lock);
    return pinned;
}

int64_t
attest_keys_expires_at_s(const struct attest_keys *keys, const char *issuer)
{
    pthread_rwlock_t *lock = keys_reading(keys);
    const struct issuer_keys *entry = pinned_entry(keys, issuer);
    int64_t exp = entry && entry->signed_set ? entry->signed_set->exp : 0;
    pthread_rwlock_unlock(lock);
    return exp;
}

char *
attest_keys_next_root(const struct attest_keys *keys, const char *issuer)
{
    AUTO(buf) struct buf text;
    struct signed_keyset_root next;
    pthread_rwlock_t *lock = keys_reading(keys);
    const struct issuer_keys *entry = pinned_entry(keys, issuer);
    bool has = entry && entry->signed_set && entry->signed_set->has_next_root &&
               !roots_has(&entry->roots, &entry->signed_set->next_root);
    if (has)
        next = entry->signed_set->next_root;
    pthread_rwlock_unlock(lock);
    buf_init(&text, JWK_TEXT_MAX);
    if (!has)
        return NULL;
    keyset_write_key(&next.public_key, next.alg, &text);
    return buf_terminate(&text) ? STEAL(text.p) : NULL;
}
