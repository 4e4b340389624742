/* SPDX-License-Identifier: MIT */
#include "verify/token_cache.h"

#include <pthread.h>
#include <string.h>

#define WAYS 8
#define STRIPES 16

struct slot {
    uint8_t digest[SHA256_LEN];
    struct attest_claims *claims; /* NULL: empty */
    uint64_t used;                /* the stripe's clock when it was */
};

/* Every STRIPES-th set is under one lock. */
struct stripe {
    _Alignas(64) pthread_mutex_t lock; /* on cache lines of its own */
    uint64_t clock, hits, misses;
    size_t entries;
};

struct token_cache {
    struct stripe stripes[STRIPES];
    size_t n_sets, ways;
    uint64_t factor; /* odd and secret: who chooses tokens cannot choose where they go */
    struct slot *slots;
};

enum attest_rc
token_cache_new(size_t entries_max, struct token_cache **ret, struct attest_error *err)
{
    if (entries_max == 0 || entries_max > TOKEN_CACHE_MAX)
        return error_set(err, ATTEST_E_ARGUMENT, "token cache: at most %zu entries",
                         TOKEN_CACHE_MAX);
    struct token_cache *cache = aligned_alloc(_Alignof(struct token_cache), sizeof(*cache));
    struct slot *slots = calloc(entries_max, sizeof(*slots));
    if (!cache || !slots) {
        free(cache);
        free(slots);
        return error_set(err, ATTEST_E_NOMEM, "token cache: out of memory");
    }
    memset(cache, 0, sizeof(*cache));
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&cache->stripes[i].lock, NULL);
    cache->ways = entries_max < WAYS ? entries_max : WAYS;
    cache->n_sets = entries_max / cache->ways;
    cache->slots = slots;
    random_bytes(&cache->factor, sizeof(cache->factor));
    cache->factor |= 1;
    *ret = cache;
    return ATTEST_OK;
}

void
token_cache_free(struct token_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < cache->n_sets * cache->ways; i++)
        attest_claims_free(cache->slots[i].claims);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&cache->stripes[i].lock);
    free(cache->slots);
    free(cache);
}

/* The place of a digest, its stripe locked. */
static struct slot *
open_set(struct token_cache *cache, const uint8_t digest[SHA256_LEN], struct stripe **stripe)
{
    uint64_t hash;
    memcpy(&hash, digest, sizeof(hash));
    hash *= cache->factor; /* its upper half depends on every bit of the digest's */
    size_t set = (size_t)((hash >> 32) * cache->n_sets >> 32);
    *stripe = &cache->stripes[set % STRIPES];
    pthread_mutex_lock(&(*stripe)->lock);
    return &cache->slots[set * cache->ways];
}

static struct slot *
find(const struct token_cache *cache, struct slot *set, const uint8_t digest[SHA256_LEN])
{
    for (size_t i = 0; i < cache->ways; i++) {
        if (set[i].claims && memcmp(set[i].digest, digest, SHA256_LEN) == 0)
            return &set[i];
    }
    return NULL;
}

struct attest_claims *
token_cache_get(struct token_cache *cache, const uint8_t digest[SHA256_LEN])
{
    struct stripe *stripe;
    struct slot *slot = find(cache, open_set(cache, digest, &stripe), digest);
    struct attest_claims *claims = slot ? claims_hold(slot->claims) : NULL;
    if (slot)
        slot->used = ++stripe->clock;
    stripe->hits += slot != NULL;
    stripe->misses += slot == NULL;
    pthread_mutex_unlock(&stripe->lock);
    return claims;
}

/* Empty before ended before long unused. */
static struct slot *
room_for(const struct token_cache *cache, struct slot *set, int64_t now_s)
{
    struct slot *room = set;
    for (size_t i = 0; i < cache->ways; i++) {
        if (!set[i].claims || set[i].claims->times.until_s <= now_s)
            return &set[i];
        if (set[i].used < room->used)
            room = &set[i];
    }
    return room;
}

void
token_cache_put(struct token_cache *cache, const uint8_t digest[SHA256_LEN],
                struct attest_claims *claims, int64_t now_s)
{
    struct stripe *stripe;
    struct slot *set = open_set(cache, digest, &stripe);
    struct slot *slot = find(cache, set, digest);
    if (!slot)
        slot = room_for(cache, set, now_s);
    struct attest_claims *old = slot->claims;
    memcpy(slot->digest, digest, SHA256_LEN);
    slot->claims = claims_hold(claims);
    slot->used = ++stripe->clock;
    stripe->entries += old == NULL;
    pthread_mutex_unlock(&stripe->lock);
    attest_claims_free(old);
}

void
token_cache_drop(struct token_cache *cache, const uint8_t digest[SHA256_LEN])
{
    struct stripe *stripe;
    struct attest_claims *old = NULL;
    struct slot *slot = find(cache, open_set(cache, digest, &stripe), digest);
    if (slot) {
        old = STEAL(slot->claims);
        stripe->entries--;
    }
    pthread_mutex_unlock(&stripe->lock);
    attest_claims_free(old);
}

void
token_cache_stats(struct token_cache *cache, struct token_cache_stats *ret)
{
    *ret = (struct token_cache_stats){0};
    for (size_t i = 0; i < STRIPES; i++) {
        struct stripe *stripe = &cache->stripes[i];
        pthread_mutex_lock(&stripe->lock);
        ret->hits += stripe->hits;
        ret->misses += stripe->misses;
        ret->entries += stripe->entries;
        pthread_mutex_unlock(&stripe->lock);
    }
}
