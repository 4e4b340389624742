/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_KEYS_H
#define VERIFY_KEYS_H

#include <attest/keys.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/metric.h"
#include "token/signed_keyset.h"
#include "verify/roots.h"

/* The inside of <attest/keys.h>. */

#define KEYS_ISSUERS_MAX 64

struct issuer_keys {
    char *issuer;
    struct keyset *set;               /* not pinned: from attest_keys_add_jwks() */
    bool pinned;                      /* then from attest_keys_add_signed() alone */
    struct roots roots;               /* pinned */
    struct signed_keyset *signed_set; /* pinned: the last that was taken, or NULL */
    int64_t usable_until_ms;          /* clock_boot_ms(); INT64_MAX: whoever added it knows */
};

/*
 * Whoever changes anything holds `changing` for as long as that takes, and all of `locks` only
 * while he puts the new in the place of the old; whoever looks a key up holds one of them for
 * reading and copies. So nobody who verifies waits for a document to be read. One for each share of
 * the processors (base/metric.h): those who read, which is every check, hardly ever write to a
 * cache line that another processor uses.
 */
struct attest_keys {
    atomic_uint holders;
    atomic_bool fetched; /* a verifier fetches them: one, or each would undo the other's bounds */
    pid_t pid;
    pthread_mutex_t changing;
    struct {
        _Alignas(METRIC_LINE) pthread_rwlock_t lock;
    } locks[METRIC_SHARES];
    size_t n;
    struct issuer_keys list[KEYS_ISSUERS_MAX];
};

/* A copy: the key set may be gone a moment later. */
struct found_key {
    enum jwk_alg alg;
    struct pubkey public_key;
};

/*
 * The issuer's key of this kid. ATTEST_E_KEY_REVOKED, _KEY_FETCH (the set is too old to be used; or
 * pinned, and there is no signed set yet or its exp + skew_s has passed), _KEY_UNKNOWN.
 * Thread-safe.
 */
enum attest_rc keys_find(const struct attest_keys *keys, struct slice issuer, struct slice kid,
                         int64_t now_s, int64_t skew_s, struct found_key *ret,
                         struct attest_error *err);

/* Whether keys_find() would find this very key now. Thread-safe. */
bool keys_still(const struct attest_keys *keys, struct slice issuer, struct slice kid,
                int64_t now_s, int64_t skew_s, const struct found_key *key);

/*
 * Whom to ask when a key is not found: rc is what keys_find() said. ATTEST_OK: look again; rc: say
 * that; another code, which err explains, instead.
 */
struct key_source {
    unsigned hits, misses; /* keys that were found, and that were not */
    /* NULL: nobody */
    enum attest_rc (*missing)(void *ctx, struct slice issuer, struct slice kid, enum attest_rc rc,
                              struct attest_error *err);
    int64_t (*now_s)(void *ctx); /* the time behind missing(), which may have waited */
    void *ctx;
};

/* Whether the issuer has a key set, or is pinned and may get one at any time. */
bool keys_has_issuer(const struct attest_keys *keys, struct slice issuer);

/*
 * The i-th issuer that has a key set or a pinned root, whose name lives as long as keys; NULL
 * behind the last. Thread-safe.
 */
const char *keys_issuer_at(const struct attest_keys *keys, size_t i);

/* How many keys keys_find() could find now. Thread-safe. */
size_t keys_usable(const struct attest_keys *keys, struct slice issuer, int64_t now_s,
                   int64_t skew_s);

/*
 * No key of this issuer is found from this moment of clock_boot_ms() on, until a set is added: a
 * machine that sleeps does not keep a set fresh.
 */
void keys_set_usable_until(struct attest_keys *keys, const char *issuer, int64_t boot_ms);
/* The same for a set that somebody brought, which has no end before this; no other is changed. */
void keys_end_brought(struct attest_keys *keys, const char *issuer, int64_t boot_ms);

/* One more holder. */
struct attest_keys *keys_hold(struct attest_keys *keys);

/* ---- for those who read them ---- */

/* Until this lock is opened (pthread_rwlock_unlock()) nothing changes. No second one meanwhile. */
pthread_rwlock_t *keys_reading(const struct attest_keys *keys);

/* ---- for those who change them ---- */

/* Nobody reads between these two. */
void keys_writing(struct attest_keys *keys);
void keys_written(struct attest_keys *keys);

/*
 * A set is read, which takes its time, and then put in its place, which is a moment; both between
 * keys_begin() and keys_end(). In between it is the issuer's entry as it is to be,
 * AUTO(issuer_keys): what it holds is the new set, and once that has its place, the one that was
 * there.
 */
void issuer_keys_auto(struct issuer_keys *next);

/* Takes `changing`; ATTEST_E_FORKED in a child of the process that made them, ATTEST_E_CONFIG for
 * what is no issuer. */
enum attest_rc keys_begin(struct attest_keys *keys, const char *issuer, struct attest_error *err);
void keys_end(struct attest_keys *keys);
/* As attest_keys_add_jwks() and attest_keys_add_signed(); *next is zeroed before. */
enum attest_rc keys_read_jwks(struct attest_keys *keys, const char *issuer, struct slice jwks,
                              struct issuer_keys *next, struct attest_error *err);
enum attest_rc keys_read_signed(struct attest_keys *keys, const char *issuer, struct slice jwt,
                                int64_t now_s, struct issuer_keys *next, struct attest_error *err);
/* usable_until_ms: as of keys_set_usable_until(); INT64_MAX for whoever knows better. */
void keys_put(struct attest_keys *keys, struct issuer_keys *next, int64_t usable_until_ms);
/* The issuer's entry, or NULL. */
struct issuer_keys *keys_entry(struct attest_keys *keys, const char *issuer);
/* The same, made when it is not there: NULL when there is no room (ATTEST_E_LIMIT, _NOMEM). */
struct issuer_keys *keys_new_entry(struct attest_keys *keys, const char *issuer,
                                   struct attest_error *err);

DEFINE_AUTO(attest_keys, struct attest_keys *, attest_keys_free);

#endif
