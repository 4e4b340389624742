/* SPDX-License-Identifier: MIT */
#include "replay/replay.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/ed25519.h"

/*
 * Each shard is a hash table and, through the same entries, a wheel: one list for each second at
 * which entries end. Moving on by a second drops one list, so nothing is ever searched for what has
 * expired. An entry of either list is named by its index plus one, so that zeroed memory is empty;
 * the kernel lends pages only as they are touched.
 */
#define WHEEL_SLOTS 2048 /* more than REPLAY_KEEP_MAX_S, a power of two */
#define DIGEST_LEN 16
#define SALT_LEN 16
#define SHARDS_MAX 16
#define SHARD_ENTRIES_MIN 4096
#define SCOPE_MAX 1024
#define ID_MAX 256

struct entry {
    uint8_t digest[DIGEST_LEN];
    uint32_t hash_next;
    uint32_t wheel_next;
};

struct shard {
    pthread_mutex_t lock;
    bool ready;
    struct entry *entries;
    uint32_t *heads;
    uint32_t capacity, used; /* entries ever handed out */
    uint32_t unused;         /* list of those that came back, through wheel_next */
    uint32_t mask;           /* of heads */
    int64_t swept_s;         /* lists of seconds before this one are gone */
    uint32_t wheel[WHEEL_SLOTS];
};

struct memory {
    struct replay_store store;
    uint8_t salt[SALT_LEN];
    size_t entries_max;
    _Atomic size_t count;
    uint32_t n_shards;
    struct shard shards[SHARDS_MAX];
};

static uint32_t
power_of_two_from(size_t n)
{
    uint32_t p = 1;
    while (p < n)
        p *= 2;
    return p;
}

static uint32_t *
head_of(struct shard *shard, const uint8_t digest[DIGEST_LEN])
{
    uint32_t hash;
    memcpy(&hash, digest, sizeof(hash));
    return &shard->heads[hash & shard->mask];
}

static void
unlink_hash(struct shard *shard, uint32_t number)
{
    struct entry *entry = &shard->entries[number - 1];
    uint32_t *at = head_of(shard, entry->digest);
    while (*at != number)
        at = &shard->entries[*at - 1].hash_next;
    *at = entry->hash_next;
}

static size_t
drop_second(struct shard *shard, int64_t second)
{
    size_t n = 0;
    uint32_t *list = &shard->wheel[(uint64_t)second % WHEEL_SLOTS];
    while (*list) {
        uint32_t number = *list;
        struct entry *entry = &shard->entries[number - 1];
        unlink_hash(shard, number);
        *list = entry->wheel_next;
        entry->wheel_next = shard->unused;
        shard->unused = number;
        n++;
    }
    return n;
}

/* Forgets what ended before now_s. A clock that went back forgets nothing. */
static size_t
sweep(struct shard *shard, int64_t now_s)
{
    size_t n = 0;
    if (now_s - shard->swept_s > WHEEL_SLOTS)
        shard->swept_s = now_s - WHEEL_SLOTS;
    for (; shard->swept_s < now_s; shard->swept_s++)
        n += drop_second(shard, shard->swept_s);
    return n;
}

static bool
seen(struct shard *shard, const uint8_t digest[DIGEST_LEN])
{
    for (uint32_t i = *head_of(shard, digest); i; i = shard->entries[i - 1].hash_next) {
        if (memcmp(shard->entries[i - 1].digest, digest, DIGEST_LEN) == 0)
            return true;
    }
    return false;
}

static uint32_t
take_entry(struct shard *shard)
{
    uint32_t number = shard->unused;
    if (number)
        shard->unused = shard->entries[number - 1].wheel_next;
    else if (shard->used < shard->capacity)
        number = ++shard->used;
    return number;
}

/* One more if that stays within the limit. */
static bool
count_up(struct memory *m)
{
    size_t n = atomic_load_explicit(&m->count, memory_order_relaxed);
    do {
        if (n >= m->entries_max)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&m->count, &n, n + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* Gives back what has ended elsewhere: a quiet shard must not keep the others from working. */
static void
sweep_all(struct memory *m, int64_t now_s)
{
    for (uint32_t i = 0; i < m->n_shards; i++) {
        pthread_mutex_lock(&m->shards[i].lock);
        size_t gone = sweep(&m->shards[i], now_s);
        pthread_mutex_unlock(&m->shards[i].lock);
        atomic_fetch_sub_explicit(&m->count, gone, memory_order_relaxed);
    }
}

static enum attest_rc
consume_locked(struct memory *m, struct shard *shard, const uint8_t digest[DIGEST_LEN],
               int64_t keep_until_s, int64_t now_s)
{
    atomic_fetch_sub_explicit(&m->count, sweep(shard, now_s), memory_order_relaxed);
    if (seen(shard, digest))
        return ATTEST_E_REPLAY;
    /* Its second is gone already, or would share a list with another one. */
    if (keep_until_s < shard->swept_s || keep_until_s - shard->swept_s >= WHEEL_SLOTS)
        return ATTEST_E_ARGUMENT;
    if (!count_up(m))
        return ATTEST_E_BUSY;
    uint32_t number = take_entry(shard);
    if (!number) {
        atomic_fetch_sub_explicit(&m->count, 1, memory_order_relaxed);
        return ATTEST_E_BUSY;
    }
    struct entry *entry = &shard->entries[number - 1];
    uint32_t *head = head_of(shard, digest);
    uint32_t *list = &shard->wheel[(uint64_t)keep_until_s % WHEEL_SLOTS];
    memcpy(entry->digest, digest, DIGEST_LEN);
    entry->hash_next = *head;
    *head = number;
    entry->wheel_next = *list;
    *list = number;
    return ATTEST_OK;
}

/*
 * Salted, so that who chooses identifiers cannot choose where they land. 128 bits: two that collide
 * by chance would make the second one a replay, never the other way round.
 */
static bool
digest_of(const struct memory *m, struct slice scope, struct slice id, uint8_t out[SHA256_LEN])
{
    uint8_t text[SALT_LEN + 4 + SCOPE_MAX + ID_MAX];
    if (scope.len > SCOPE_MAX || id.len > ID_MAX)
        return false;
    memcpy(text, m->salt, SALT_LEN);
    be32_put(text + SALT_LEN, (uint32_t)scope.len);
    memcpy(text + SALT_LEN + 4, scope.p, scope.len);
    memcpy(text + SALT_LEN + 4 + scope.len, id.p, id.len);
    sha256(out, text, SALT_LEN + 4 + scope.len + id.len);
    return true;
}

static enum attest_rc
memory_consume(struct replay_store *store, const struct replay_item *item, int64_t now_s,
               struct attest_error *err)
{
    struct memory *m = (struct memory *)store;
    int64_t keep_until_s = item->keep_until_s;
    uint8_t digest[SHA256_LEN];
    if (now_s < 0 || keep_until_s < now_s || keep_until_s - now_s > REPLAY_KEEP_MAX_S ||
        !digest_of(m, item->scope, item->id, digest))
        return error_set(err, ATTEST_E_REPLAY_STORE, "replay store: entry outside its bounds");
    struct shard *shard = &m->shards[digest[SHA256_LEN - 1] % m->n_shards];
    enum attest_rc rc = ATTEST_E_BUSY;
    for (int attempt = 0; attempt < 2 && rc == ATTEST_E_BUSY; attempt++) {
        if (attempt)
            sweep_all(m, now_s);
        pthread_mutex_lock(&shard->lock);
        rc = consume_locked(m, shard, digest, keep_until_s, now_s);
        pthread_mutex_unlock(&shard->lock);
    }
    if (rc == ATTEST_E_REPLAY)
        return error_set(err, rc, "seen before");
    if (rc == ATTEST_E_BUSY)
        return error_set(err, ATTEST_E_REPLAY_STORE, "replay store: full with %zu live entries",
                         m->entries_max);
    if (rc != ATTEST_OK)
        return error_set(err, ATTEST_E_REPLAY_STORE, "replay store: entry outside its bounds");
    return ATTEST_OK;
}

static void
memory_free(struct replay_store *store)
{
    struct memory *m = (struct memory *)store;
    for (uint32_t i = 0; i < m->n_shards; i++) {
        struct shard *shard = &m->shards[i];
        if (shard->ready)
            pthread_mutex_destroy(&shard->lock);
        free(shard->entries);
        free(shard->heads);
    }
    free(m);
}

static void
memory_stats(const struct replay_store *store, struct replay_stats *stats)
{
    stats->entries = replay_memory_count(store);
}

static const struct replay_kind memory_kind = {memory_consume, memory_stats, memory_free};

static bool
shard_init(struct shard *shard, uint32_t capacity)
{
    uint32_t heads = power_of_two_from(capacity);
    shard->capacity = capacity;
    shard->mask = heads - 1;
    shard->entries = calloc(capacity, sizeof(*shard->entries));
    shard->heads = calloc(heads, sizeof(*shard->heads));
    shard->ready = pthread_mutex_init(&shard->lock, NULL) == 0;
    return shard->entries && shard->heads && shard->ready;
}

enum attest_rc
replay_memory_new(size_t entries_max, struct replay_store **ret, struct attest_error *err)
{
    if (entries_max == 0 || entries_max > REPLAY_MEMORY_MAX)
        return error_set(err, ATTEST_E_ARGUMENT, "replay store: 1 to %zu entries",
                         REPLAY_MEMORY_MAX);
    AUTO(replay_store) struct replay_store *store = NULL;
    struct memory *m = calloc(1, sizeof(*m));
    if (!m)
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    store = &m->store;
    store->kind = &memory_kind;
    random_bytes(m->salt, sizeof(m->salt));
    m->entries_max = entries_max;
    while (m->n_shards < SHARDS_MAX && (m->n_shards + 1) * SHARD_ENTRIES_MIN <= entries_max)
        m->n_shards++;
    if (m->n_shards == 0)
        m->n_shards = 1;
    /* Chance does not spread evenly: an eighth more room each; the count keeps the limit. */
    size_t even = entries_max / m->n_shards + 1;
    uint32_t capacity = (uint32_t)(m->n_shards == 1 ? entries_max : even + even / 8);
    for (uint32_t i = 0; i < m->n_shards; i++) {
        if (!shard_init(&m->shards[i], capacity))
            return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    }
    *ret = STEAL(store);
    return ATTEST_OK;
}

size_t
replay_memory_count(const struct replay_store *store)
{
    return atomic_load_explicit(&((const struct memory *)store)->count, memory_order_relaxed);
}
