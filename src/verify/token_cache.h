/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_TOKEN_CACHE_H
#define VERIFY_TOKEN_CACHE_H

#include "base/ed25519.h"
#include "verify/claims.h"

/*
 * What bound tokens said that were verified, each under the SHA-256 of the whole token, so that an
 * agent's next request costs one proof. It saves work and decides nothing: whoever finds claims
 * here asks verify_again() whether they hold, and where they do not, verifies the token as if it
 * had never been seen. So it may forget whatever it likes whenever it likes.
 *
 * Bounded: a set of a few entries for each place that a digest may lead to, where a new one takes
 * the room of one that has ended or else was used least lately. Thread-safe.
 */
struct token_cache;

struct token_cache_stats {
    uint64_t hits;   /* of token_cache_get() */
    uint64_t misses; /* of the same */
    size_t entries;
};

/* entries_max: 1 to TOKEN_CACHE_MAX. ATTEST_E_ARGUMENT, ATTEST_E_NOMEM. */
#define TOKEN_CACHE_MAX ((size_t)1 << 24)
enum attest_rc token_cache_new(size_t entries_max, struct token_cache **ret,
                               struct attest_error *err);
void token_cache_free(struct token_cache *cache);
DEFINE_AUTO(token_cache, struct token_cache *, token_cache_free);

/* A hold of what is known of the token, for attest_claims_free(); or NULL. */
struct attest_claims *token_cache_get(struct token_cache *cache, const uint8_t digest[SHA256_LEN]);

/*
 * Takes a hold of its own. now_s tells which of the others in that place have ended, and may be
 * given up first.
 */
void token_cache_put(struct token_cache *cache, const uint8_t digest[SHA256_LEN],
                     struct attest_claims *claims, int64_t now_s);

/* Forgets it. */
void token_cache_drop(struct token_cache *cache, const uint8_t digest[SHA256_LEN]);

void token_cache_stats(struct token_cache *cache, struct token_cache_stats *ret);

#endif
