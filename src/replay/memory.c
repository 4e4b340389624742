/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <string.h>

#include "base/ed25519.h"
#include "replay/replay.h"

/*
 * A table of small buckets. An entry has two of them to be in, goes into the emptier one, and lies
 * over one whose time is over: so nothing is ever swept, no entry ever moves, and no call looks at
 * more than two buckets. With two choices buckets fill so evenly that a third more slots than
 * entries would do; there are three fifths more. How many are alive is known without looking at
 * them: each second has a count of the entries that end with it.
 */
#define WAYS 16
#define LOOKS 2 /* when the first finds no room, what is over is counted, and one more is taken */
#define SLOTS_TOUCHED_MAX 64
#define WHEEL_SLOTS 2048 /* more than REPLAY_KEEP_MAX_S, a power of two */
#define DIGEST_LEN KEYED_HASH_LEN
#define SHARES 256
#define SHARE_PARTS 16 /* of the wheel's turn */
#define SHARDS_MAX 16
#define SHARD_ENTRIES_MIN 4096
#define SCOPE_MAX 1024
#define ID_MAX 256

_Static_assert(LOOKS * 2 * WAYS <= SLOTS_TOUCHED_MAX, "one look is into two buckets");

struct bucket {
    uint8_t digest[WAYS][DIGEST_LEN];
    int64_t until_s[WAYS]; /* 0 in memory that was never used: long over */
};

/*
 * Whoever holds the key that a scope stands for makes its identifiers, as many as there is time
 * for. So that one cannot take everybody's room they are counted, for what has the same hash of a
 * scope and ends in the same part of a turn: at times with some that have just ended.
 */
struct share {
    uint32_t ending[SHARE_PARTS];
};

struct shard {
    pthread_mutex_t lock;
    bool ready;
    struct bucket *buckets;
    uint32_t n_buckets;
    int64_t over_s; /* what ends before this second has ended; never goes back */
    uint32_t ending[WHEEL_SLOTS];
    struct share shares[SHARES];
};

struct memory {
    struct replay_store store;
    _Atomic size_t count; /* on the line of the store's own counts, and away from what is read */
    _Atomic uint64_t unremembered;
    struct shard shards[SHARDS_MAX];
    uint8_t key[KEYED_HASH_KEY_LEN];
    size_t entries_max;
    uint32_t share_max; /* of a shard's entries */
    enum replay_full full;
    uint32_t n_shards;
};

struct entry {
    uint8_t digest[DIGEST_LEN];
    int64_t until_s;
    bool shares; /* the room of the shard with others, in this one of its shares */
    uint32_t share;
};

/* An evenly spread number below n out of four bytes of a digest. */
static uint32_t
spread(const uint8_t *p, uint32_t n)
{
    uint32_t hash;
    memcpy(&hash, p, sizeof(hash));
    return (uint32_t)((uint64_t)hash * n >> 32);
}

static uint32_t
part_of(int64_t until_s)
{
    return (uint32_t)((uint64_t)until_s % WHEEL_SLOTS / (WHEEL_SLOTS / SHARE_PARTS));
}

static void
end_part(struct shard *shard, uint32_t part)
{
    for (size_t i = 0; i < SHARES; i++)
        shard->shares[i].ending[part] = 0;
}

/* Moves on to now_s; how many ended. A clock that went back ends nothing. */
static size_t
move_on(struct shard *shard, int64_t now_s)
{
    size_t n = 0;
    if (now_s - shard->over_s > WHEEL_SLOTS)
        shard->over_s = now_s - WHEEL_SLOTS;
    for (; shard->over_s < now_s; shard->over_s++) {
        uint32_t *ending = &shard->ending[(uint64_t)shard->over_s % WHEEL_SLOTS];
        n += *ending;
        *ending = 0;
        if (part_of(shard->over_s + 1) != part_of(shard->over_s))
            end_part(shard, part_of(shard->over_s));
    }
    return n;
}

static void
move_on_counted(struct memory *m, struct shard *shard, int64_t now_s)
{
    size_t gone = move_on(shard, now_s);
    if (gone)
        atomic_fetch_sub_explicit(&m->count, gone, memory_order_relaxed);
}

/* What one bucket says: whether the digest is in it, else a slot that is free and how many are. */
struct look {
    bool seen;
    unsigned free, slot;
};

static struct look
look_into(const struct bucket *bucket, const uint8_t digest[DIGEST_LEN], int64_t over_s)
{
    struct look look = {0};
    for (unsigned i = 0; i < WAYS; i++) {
        if (bucket->until_s[i] < over_s) {
            look.free++;
            look.slot = i;
        } else if (memcmp(bucket->digest[i], digest, DIGEST_LEN) == 0) {
            look.seen = true;
        }
    }
    return look;
}

/* An eighth, once the half of all is taken. */
static bool
share_is_used_up(const struct memory *m, const struct shard *shard, const struct entry *entry)
{
    uint32_t n = 0;
    if (!entry->shares ||
        atomic_load_explicit(&m->count, memory_order_relaxed) < m->entries_max / 2)
        return false;
    for (uint32_t part = 0; part < SHARE_PARTS; part++)
        n += shard->shares[entry->share].ending[part];
    return n >= m->share_max;
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

/* A quiet shard must not keep the others from working. */
static void
move_all_on(struct memory *m, int64_t now_s)
{
    for (uint32_t i = 0; i < m->n_shards; i++) {
        pthread_mutex_lock(&m->shards[i].lock);
        move_on_counted(m, &m->shards[i], now_s);
        pthread_mutex_unlock(&m->shards[i].lock);
    }
}

/* Asked for together, the lines of two buckets come together. */
static void
fetch(const struct bucket *bucket)
{
    for (size_t at = 0; at < sizeof(*bucket); at += 64)
        __builtin_prefetch((const char *)bucket + at);
}

/* ATTEST_E_BUSY: all is taken; ATTEST_E_LIMIT: all that this scope may have. */
static enum attest_rc
consume_locked(struct memory *m, struct shard *shard, const struct entry *entry, int64_t now_s)
{
    struct bucket *one = &shard->buckets[spread(entry->digest, shard->n_buckets)];
    struct bucket *other = &shard->buckets[spread(entry->digest + 4, shard->n_buckets)];
    fetch(one);
    fetch(other);
    move_on_counted(m, shard, now_s);
    struct look in_one = look_into(one, entry->digest, shard->over_s);
    struct look in_other = look_into(other, entry->digest, shard->over_s);
    if (in_one.seen || in_other.seen)
        return ATTEST_E_REPLAY;
    /* Its second is over already, or would share a count with another one. */
    if (entry->until_s < shard->over_s || entry->until_s - shard->over_s >= WHEEL_SLOTS)
        return ATTEST_E_ARGUMENT;
    if (share_is_used_up(m, shard, entry))
        return ATTEST_E_LIMIT;
    bool first = in_one.free >= in_other.free;
    if ((in_one.free == 0 && in_other.free == 0) || !count_up(m))
        return ATTEST_E_BUSY;
    struct bucket *bucket = first ? one : other;
    unsigned slot = first ? in_one.slot : in_other.slot;
    memcpy(bucket->digest[slot], entry->digest, DIGEST_LEN);
    bucket->until_s[slot] = entry->until_s;
    shard->ending[(uint64_t)entry->until_s % WHEEL_SLOTS]++;
    if (entry->shares)
        shard->shares[entry->share].ending[part_of(entry->until_s)]++;
    return ATTEST_OK;
}

/*
 * Under a key of this store's own: who chooses identifiers cannot choose where they land. 128 bits:
 * two that collide by chance would make the second one a replay, never the other way round.
 */
static bool
read_item(const struct memory *m, const struct replay_item *item, struct entry *ret)
{
    uint8_t text[4 + SCOPE_MAX + ID_MAX], digest[DIGEST_LEN];
    const struct slice scope = item->scope, id = item->id;
    if (scope.len > SCOPE_MAX || id.len > ID_MAX)
        return false;
    be32_put(text, (uint32_t)scope.len);
    memcpy(text + 4, scope.p, scope.len);
    memcpy(text + 4 + scope.len, id.p, id.len);
    keyed_hash(ret->digest, text, 4 + scope.len + id.len, m->key);
    ret->until_s = item->keep_until_s;
    ret->shares = item->by_holder;
    if (ret->shares) {
        keyed_hash(digest, text, 4 + scope.len, m->key);
        ret->share = spread(digest, SHARES);
    }
    return true;
}

static bool
is_full(enum attest_rc rc)
{
    return rc == ATTEST_E_BUSY || rc == ATTEST_E_LIMIT;
}

static enum attest_rc
say_full(struct memory *m, enum attest_rc why, struct attest_error *err)
{
    if (m->full == REPLAY_FULL_ACCEPT) {
        atomic_fetch_add_explicit(&m->unremembered, 1, memory_order_relaxed);
        if (why != ATTEST_E_LIMIT) /* else it is one key's, and there is room for the others */
            replay_set_state(&m->store, REPLAY_DEGRADED,
                             "memory full: what is new is not remembered");
        return ATTEST_OK;
    }
    if (why == ATTEST_E_LIMIT)
        return error_set(err, ATTEST_E_REPLAY_STORE,
                         "replay store: this key has used up its share of %zu live entries",
                         m->entries_max);
    replay_set_state(&m->store, REPLAY_UNHEALTHY, "memory full: what is new is refused");
    return error_set(err, ATTEST_E_REPLAY_STORE, "replay store: full with %zu live entries",
                     m->entries_max);
}

/* Not at each entry that ends: an eighth has to be free before a full store is said to be well. */
static void
say_room(struct memory *m)
{
    if (replay_state(&m->store) != REPLAY_HEALTHY &&
        atomic_load_explicit(&m->count, memory_order_relaxed) <=
            m->entries_max - m->entries_max / 8)
        replay_set_state(&m->store, REPLAY_HEALTHY, "memory has room again");
}

static enum attest_rc
memory_consume(struct replay_store *store, const struct replay_item *item, int64_t now_s,
               struct attest_error *err)
{
    struct memory *m = (struct memory *)store;
    struct entry entry;
    if (now_s < 1 || item->keep_until_s < now_s || item->keep_until_s - now_s > REPLAY_KEEP_MAX_S ||
        !read_item(m, item, &entry))
        return error_set(err, ATTEST_E_REPLAY_STORE, "replay store: entry outside its bounds");
    struct shard *shard = &m->shards[spread(entry.digest + 8, m->n_shards)];
    enum attest_rc rc = ATTEST_E_BUSY;
    for (int look = 0; look < LOOKS && is_full(rc); look++) {
        if (look)
            move_all_on(m, now_s);
        pthread_mutex_lock(&shard->lock);
        rc = consume_locked(m, shard, &entry, now_s);
        pthread_mutex_unlock(&shard->lock);
    }
    if (rc == ATTEST_E_REPLAY)
        return error_set(err, rc, "seen before");
    if (is_full(rc))
        return say_full(m, rc, err);
    if (rc != ATTEST_OK)
        return error_set(err, ATTEST_E_REPLAY_STORE, "replay store: entry outside its bounds");
    say_room(m);
    return ATTEST_OK;
}

static void
memory_free(struct replay_store *store)
{
    struct memory *m = (struct memory *)store;
    for (uint32_t i = 0; i < m->n_shards; i++) {
        if (m->shards[i].ready)
            pthread_mutex_destroy(&m->shards[i].lock);
        free(m->shards[i].buckets);
    }
    free(m);
}

static void
memory_stats(const struct replay_store *store, struct replay_stats *stats)
{
    const struct memory *m = (const struct memory *)store;
    stats->entries = replay_memory_count(store);
    stats->unremembered = atomic_load_explicit(&m->unremembered, memory_order_relaxed);
}

static const struct replay_kind memory_kind = {memory_consume, memory_stats, memory_free};

/*
 * Written to, not merely zero: entries lie anywhere, so that a page that comes with its first entry
 * would come soon, and inside somebody's check, where it stops all threads for microseconds.
 */
static struct bucket *
buckets_new(size_t n)
{
    if (n > SIZE_MAX / sizeof(struct bucket))
        return NULL;
    struct bucket *buckets = aligned_alloc(64, n * sizeof(*buckets));
    if (buckets)
        memset(buckets, 0, n * sizeof(*buckets));
    return buckets;
}

static bool
shard_init(struct shard *shard, size_t entries)
{
    size_t slots = entries + entries / 5 * 3 + 3;
    shard->n_buckets = (uint32_t)((slots + WAYS - 1) / WAYS);
    shard->buckets = buckets_new(shard->n_buckets);
    shard->ready = pthread_mutex_init(&shard->lock, NULL) == 0;
    return shard->buckets && shard->ready;
}

enum attest_rc
replay_memory_new(size_t entries_max, enum replay_full full, struct replay_store **ret,
                  struct attest_error *err)
{
    if (entries_max == 0 || entries_max > REPLAY_MEMORY_MAX)
        return error_set(err, ATTEST_E_CONFIG, "replay store: 1 to %zu entries", REPLAY_MEMORY_MAX);
    AUTO(replay_store) struct replay_store *store = NULL;
    struct memory *m = calloc(1, sizeof(*m));
    if (!m)
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    store = &m->store;
    replay_init(store, &memory_kind);
    random_bytes(m->key, sizeof(m->key));
    m->entries_max = entries_max;
    m->full = full;
    while (m->n_shards < SHARDS_MAX && (m->n_shards + 1) * SHARD_ENTRIES_MIN <= entries_max)
        m->n_shards++;
    if (m->n_shards == 0)
        m->n_shards = 1;
    size_t shard_entries = entries_max / m->n_shards + 1;
    m->share_max = (uint32_t)(shard_entries + 7) / 8;
    for (uint32_t i = 0; i < m->n_shards; i++) {
        if (!shard_init(&m->shards[i], shard_entries))
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
