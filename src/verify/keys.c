/* SPDX-License-Identifier: MIT */
#include "verify/keys.h"

#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "token/subject.h"

/* Without this a stream of readers would keep a new key set waiting for ever. */
static int
lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attr;
    int failed = pthread_rwlockattr_init(&attr);
    if (failed)
        return failed;
#ifdef __GLIBC__
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    failed = pthread_rwlock_init(lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    return failed;
}

pthread_rwlock_t *
keys_reading(const struct attest_keys *keys)
{
    /* Locking changes nothing that a caller could see. */
    pthread_rwlock_t *lock = &((struct attest_keys *)keys)->locks[metric_share()].lock;
    pthread_rwlock_rdlock(lock);
    return lock;
}

void
keys_writing(struct attest_keys *keys)
{
    for (size_t i = 0; i < METRIC_SHARES; i++)
        pthread_rwlock_wrlock(&keys->locks[i].lock);
}

void
keys_written(struct attest_keys *keys)
{
    for (size_t i = 0; i < METRIC_SHARES; i++)
        pthread_rwlock_unlock(&keys->locks[i].lock);
}

enum attest_rc
attest_keys_new(struct attest_keys **ret, struct attest_error *err)
{
    enum attest_rc rc = crypto_init(err);
    if (rc != ATTEST_OK)
        return rc;
    struct attest_keys *keys = aligned_alloc(METRIC_LINE, sizeof(*keys));
    if (!keys)
        return error_set(err, ATTEST_E_NOMEM, "keys: out of memory");
    memset(keys, 0, sizeof(*keys));
    atomic_init(&keys->holders, 1);
    keys->pid = getpid();
    bool failed = pthread_mutex_init(&keys->changing, NULL) != 0;
    for (size_t i = 0; i < METRIC_SHARES; i++)
        failed |= lock_init(&keys->locks[i].lock) != 0;
    if (failed) {
        attest_keys_free(keys);
        return error_set(err, ATTEST_E_NOMEM, "keys: out of memory");
    }
    *ret = keys;
    return ATTEST_OK;
}

void
attest_keys_free(struct attest_keys *keys)
{
    if (!keys || atomic_fetch_sub(&keys->holders, 1) != 1)
        return;
    for (size_t i = 0; i < keys->n; i++) {
        free(keys->list[i].issuer);
        keyset_free(keys->list[i].set);
        signed_keyset_free(keys->list[i].signed_set);
    }
    for (size_t i = 0; i < METRIC_SHARES; i++)
        pthread_rwlock_destroy(&keys->locks[i].lock);
    pthread_mutex_destroy(&keys->changing);
    free(keys);
}

struct attest_keys *
keys_hold(struct attest_keys *keys)
{
    atomic_fetch_add(&keys->holders, 1);
    return keys;
}

/* ---- looking up ---- */

static const struct issuer_keys *
find(const struct attest_keys *keys, struct slice issuer)
{
    for (size_t i = 0; i < keys->n; i++) {
        if (slice_is(issuer, keys->list[i].issuer))
            return &keys->list[i];
    }
    return NULL;
}

static const struct keyset *
set_of(const struct issuer_keys *entry)
{
    if (!entry)
        return NULL;
    if (entry->pinned)
        return entry->signed_set ? entry->signed_set->keys : NULL;
    return entry->set;
}

/* What a pinned issuer's signed set says against a key, or against itself. */
static enum attest_rc
check_signed(const struct signed_keyset *set, struct slice kid, int64_t now_s, int64_t skew_s,
             struct attest_error *err)
{
    if (!set)
        return error_set(err, ATTEST_E_KEY_FETCH, "no signed key set of this issuer yet");
    const struct signed_keyset_revoked *revoked = signed_keyset_revoked(set, kid);
    if (revoked)
        return error_set(err, ATTEST_E_KEY_REVOKED, "key %.*s was revoked%s%.*s", SLICE_ARG(kid),
                         revoked->reason.len ? ": " : "", SLICE_ARG(revoked->reason));
    if (now_s >= set->exp + skew_s)
        return error_set(err, ATTEST_E_KEY_FETCH, "the issuer's signed key set ended %lld s ago",
                         (long long)(now_s - set->exp));
    return ATTEST_OK;
}

enum attest_rc
keys_find(const struct attest_keys *keys, struct slice issuer, struct slice kid, int64_t now_s,
          int64_t skew_s, struct found_key *ret, struct attest_error *err)
{
    enum attest_rc rc = ATTEST_OK;
    pthread_rwlock_t *lock = keys_reading(keys);
    const struct issuer_keys *entry = find(keys, issuer);
    if (entry && entry->usable_until_ms != INT64_MAX && clock_boot_ms() >= entry->usable_until_ms)
        rc = error_set(err, ATTEST_E_KEY_FETCH, "no key set of this issuer that is fresh enough");
    else if (entry && entry->pinned)
        rc = check_signed(entry->signed_set, kid, now_s, skew_s, err);
    const struct keyset *set = set_of(entry);
    const struct jwk *key = set && rc == ATTEST_OK ? keyset_find(set, kid) : NULL;
    if (key) {
        ret->alg = key->alg;
        ret->public_key = key->public_key;
    }
    pthread_rwlock_unlock(lock);
    if (rc == ATTEST_OK && !key)
        return error_set(err, ATTEST_E_KEY_UNKNOWN, "key %.*s is not in the issuer's key set",
                         SLICE_ARG(kid));
    return rc;
}

bool
keys_still(const struct attest_keys *keys, struct slice issuer, struct slice kid, int64_t now_s,
           int64_t skew_s, const struct found_key *key)
{
    struct found_key found;
    return keys_find(keys, issuer, kid, now_s, skew_s, &found, NULL) == ATTEST_OK &&
           found.alg == key->alg && pubkey_eq(&found.public_key, &key->public_key);
}

bool
keys_has_issuer(const struct attest_keys *keys, struct slice issuer)
{
    pthread_rwlock_t *lock = keys_reading(keys);
    const struct issuer_keys *entry = find(keys, issuer);
    bool has = entry && (entry->pinned || entry->set);
    pthread_rwlock_unlock(lock);
    return has;
}

const char *
keys_issuer_at(const struct attest_keys *keys, size_t i)
{
    pthread_rwlock_t *lock = keys_reading(keys);
    const char *issuer = i < keys->n ? keys->list[i].issuer : NULL;
    pthread_rwlock_unlock(lock);
    return issuer;
}

size_t
attest_keys_count(const struct attest_keys *keys, const char *issuer)
{
    pthread_rwlock_t *lock = keys_reading(keys);
    const struct keyset *set = set_of(find(keys, slice_cstr(issuer)));
    size_t n = set ? keyset_count(set) : 0;
    pthread_rwlock_unlock(lock);
    return n;
}

size_t
keys_usable(const struct attest_keys *keys, struct slice issuer, int64_t now_s, int64_t skew_s)
{
    pthread_rwlock_t *lock = keys_reading(keys);
    const struct issuer_keys *entry = find(keys, issuer);
    const struct keyset *set = set_of(entry);
    if (set && entry->usable_until_ms != INT64_MAX && clock_boot_ms() >= entry->usable_until_ms)
        set = NULL;
    if (set && entry->pinned && now_s >= entry->signed_set->exp + skew_s)
        set = NULL;
    size_t n = set ? keyset_count(set) : 0;
    pthread_rwlock_unlock(lock);
    return n;
}

/* ---- changing ---- */

void
keys_set_usable_until(struct attest_keys *keys, const char *issuer, int64_t boot_ms)
{
    keys_writing(keys);
    struct issuer_keys *entry = keys_entry(keys, issuer);
    if (entry)
        entry->usable_until_ms = boot_ms;
    keys_written(keys);
}

void
keys_end_brought(struct attest_keys *keys, const char *issuer, int64_t boot_ms)
{
    keys_writing(keys);
    struct issuer_keys *entry = keys_entry(keys, issuer);
    if (entry && entry->usable_until_ms == INT64_MAX)
        entry->usable_until_ms = boot_ms;
    keys_written(keys);
}

enum attest_rc
keys_begin(struct attest_keys *keys, const char *issuer, struct attest_error *err)
{
    enum attest_rc rc = issuer_check(slice_cstr(issuer), true, err);
    if (rc != ATTEST_OK)
        return rc;
    /* A thread that the child does not have may have held a lock. */
    if (keys->pid != getpid())
        return error_set(err, ATTEST_E_FORKED, "keys: made before fork()");
    pthread_mutex_lock(&keys->changing);
    return ATTEST_OK;
}

void
keys_end(struct attest_keys *keys)
{
    pthread_mutex_unlock(&keys->changing);
}

struct issuer_keys *
keys_entry(struct attest_keys *keys, const char *issuer)
{
    return (struct issuer_keys *)find(keys, slice_cstr(issuer));
}

struct issuer_keys *
keys_new_entry(struct attest_keys *keys, const char *issuer, struct attest_error *err)
{
    struct issuer_keys *entry = keys_entry(keys, issuer);
    if (entry)
        return entry;
    if (keys->n == KEYS_ISSUERS_MAX) {
        error_set(err, ATTEST_E_LIMIT, "keys: at most %d issuers", KEYS_ISSUERS_MAX);
        return NULL;
    }
    char *name = strdup(issuer);
    if (!name) {
        error_set(err, ATTEST_E_NOMEM, "keys: out of memory");
        return NULL;
    }
    entry = &keys->list[keys->n];
    keys_writing(keys);
    *entry = (struct issuer_keys){.issuer = name, .usable_until_ms = INT64_MAX};
    keys->n++;
    keys_written(keys);
    return entry;
}

void
issuer_keys_auto(struct issuer_keys *next)
{
    keyset_free(next->set);
    signed_keyset_free(next->signed_set);
}

enum attest_rc
keys_read_jwks(struct attest_keys *keys, const char *issuer, struct slice jwks,
               struct issuer_keys *next, struct attest_error *err)
{
    AUTO(keyset) struct keyset *set = NULL;
    struct attest_error why = {.rc = ATTEST_E_INTERNAL};
    enum attest_rc rc = keyset_read(jwks.p, jwks.len, &set, err);
    if (rc != ATTEST_OK)
        return rc;
    const struct issuer_keys *entry = keys_new_entry(keys, issuer, &why);
    if (!entry)
        return error_set(err, why.rc, "%s", why.text);
    if (entry->pinned)
        return error_set(err, ATTEST_E_DENIED,
                         "keys: the issuer's root is pinned, so its keys come signed only");
    *next = (struct issuer_keys){.issuer = entry->issuer, .set = STEAL(set)};
    return ATTEST_OK;
}

void
keys_put(struct attest_keys *keys, struct issuer_keys *next, int64_t usable_until_ms)
{
    struct issuer_keys *entry = keys_entry(keys, next->issuer);
    next->usable_until_ms = usable_until_ms;
    keys_writing(keys);
    struct issuer_keys old = *entry;
    *entry = *next;
    keys_written(keys);
    *next = old; /* nobody holds a set without the lock */
}

enum attest_rc
attest_keys_add_jwks(struct attest_keys *keys, const char *issuer, const char *jwks,
                     size_t jwks_len, struct attest_error *err)
{
    AUTO(issuer_keys) struct issuer_keys next = {0};
    enum attest_rc rc = keys_begin(keys, issuer, err);
    if (rc != ATTEST_OK)
        return rc;
    rc = keys_read_jwks(keys, issuer, (struct slice){jwks, jwks_len}, &next, err);
    if (rc == ATTEST_OK)
        keys_put(keys, &next, INT64_MAX);
    keys_end(keys);
    return rc;
}

enum attest_rc
attest_keys_add_file(struct attest_keys *keys, const char *issuer, const char *path,
                     struct attest_error *err)
{
    AUTO(buf) struct buf text;
    buf_init(&text, ATTEST_JWKS_MAX);
    enum attest_rc rc = file_read_regular(path, ATTEST_JWKS_MAX, &text, err);
    if (rc != ATTEST_OK)
        return rc;
    return attest_keys_add_jwks(keys, issuer, text.p, text.len, err);
}
