/* SPDX-License-Identifier: MIT */
#include "replay/redis_pool.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "base/secret.h"

/*
 * One SET with NX and PX: whether it was there, and for how long it is kept, are one step on the
 * server. Behind it, in the same bytes, a GET of the epoch: when the memory was emptied before the
 * SET, the epoch is gone by the GET, and what was set is not believed.
 */
#define KEY_SIZE (sizeof(REDIS_TAG) + 2 * SHA256_LEN)
#define FAILURES_MAX 3   /* in a row, until Redis is left alone for a while */
#define PAUSE_MIN_MS 100 /* that while, doubled with each try in vain */
#define PAUSE_MAX_MS 1000
#define CHECK_EVERY_MS 1000  /* who the server is, its policy and clock, of each connection */
#define LOSS_TOLD_S 120      /* how long a loss counts as degraded, */
#define ALONE_TOLD_MS 120000 /* and having accepted something without Redis */
/* Redis counts real time, where the caller's clock may stand still or run ahead: never less than
 * the most. And its clock may have been set forward by the slack twice before it is noticed. */
#define KEEP_MS ((REPLAY_KEEP_MAX_S + 1) * 1000 + 3 * REDIS_CLOCK_SLACK_MS)

struct redis {
    struct replay_store store;
    struct redis_target target;
    struct redis_pool pool;
    struct replay_store *memory; /* for when Redis does not answer; NULL: refuse */
    pthread_mutex_t lock;        /* of known and failure */
    bool ready;
    struct redis_known known;
    struct attest_error failure; /* the last of those counted in failures */
    _Atomic int64_t lost_s;      /* nothing is known of before */
    atomic_bool by_date; /* nobody is known to have accepted anything before: the date decides */
    _Atomic uint64_t losses, fallback, unremembered;
    _Atomic unsigned failures, pause_ms;
    _Atomic int64_t retry_at_ms;
    _Atomic int64_t alone_ms; /* when the memory last accepted in the place of Redis; 0: never */
};

/* The same name on every server that shares the store, whatever bytes scope and id hold. */
static bool
key_of(const struct replay_item *item, char key[KEY_SIZE])
{
    uint8_t digest[SHA256_LEN];
    AUTO(buf) struct buf text;
    buf_init(&text, 4096);
    buf_printf(&text, "%zu:", item->scope.len);
    buf_slice(&text, item->scope);
    buf_slice(&text, item->id);
    if (buf_rc(&text))
        return false;
    sha256(digest, text.p, text.len);
    memcpy(key, REDIS_TAG, sizeof(REDIS_TAG) - 1);
    hex_encode(key + sizeof(REDIS_TAG) - 1, digest, sizeof(digest));
    return true;
}

/* ---- what was lost ---- */

static int64_t
lost_s(const struct redis *r)
{
    return atomic_load_explicit(&r->lost_s, memory_order_acquire);
}

/* The date first: a loss that comes after a start takes by_date back before it says since when. */
static bool
is_lost(const struct redis *r, const struct replay_item *item)
{
    int64_t lost = lost_s(r);
    bool by_date = atomic_load_explicit(&r->by_date, memory_order_acquire);
    return by_date ? item->dated_s < lost : item->since_s <= lost;
}

static enum attest_rc
say_lost(const struct redis *r, struct attest_error *err)
{
    return error_set(err, ATTEST_E_REPLAY_STORE,
                     "replay store: Redis knows nothing of before %" PRId64, lost_s(r));
}

/*
 * Against which reading steps of the server's clock are told. Not always the last one, or small
 * steps would never add up; not one of before it was set back, or it could come forward unnoticed.
 */
static bool
is_new_reference(const struct redis_clock *before, const struct redis_clock *now)
{
    return now->boot_ms - before->boot_ms > REPLAY_KEEP_MAX_S * INT64_C(1000) ||
           redis_clock_step(before, now) != 0;
}

/*
 * Takes note of a server's epoch. The first one says itself since when it knows. Another one than
 * before: what was known is lost, up to this moment, whatever its own clock said.
 */
static void
adopt(struct redis *r, struct redis_link *link, const struct redis_look *found)
{
    struct redis_known *known = &r->known;
    pthread_mutex_lock(&r->lock);
    bool is_first = !known->epoch[0];
    bool changed = !is_first && strcmp(known->epoch, link->epoch) != 0;
    bool by_date = is_first && known->believe_start && found->epoch.start_s;
    int64_t since_s = by_date ? found->epoch.start_s : found->epoch.since_s;
    if (changed && since_s < found->now_s)
        since_s = found->now_s;
    if (is_first || changed)
        atomic_store_explicit(&r->by_date, by_date, memory_order_release);
    if (since_s > lost_s(r))
        atomic_store_explicit(&r->lost_s, since_s, memory_order_release);
    if (is_first || changed || is_new_reference(&known->clock, &found->clock))
        known->clock = found->clock;
    memcpy(known->epoch, link->epoch, sizeof(known->epoch));
    if (changed)
        redis_pool_renew(&r->pool, link);
    pthread_mutex_unlock(&r->lock);
    if (changed)
        atomic_fetch_add_explicit(&r->losses, 1, memory_order_relaxed);
}

static enum attest_rc
look(struct redis *r, struct redis_link *link, const struct redis_moment *moment,
     int64_t deadline_ms, struct attest_error *err)
{
    struct redis_look found;
    pthread_mutex_lock(&r->lock);
    struct redis_known known = r->known;
    pthread_mutex_unlock(&r->lock);
    enum attest_rc rc = redis_link_check(link, &known, moment, deadline_ms, &found, err);
    if (rc == ATTEST_OK)
        adopt(r, link, &found);
    return rc;
}

/* ---- one question ---- */

static bool
is_epoch(const redisReply *reply, const char *epoch)
{
    return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, epoch) == 0;
}

static enum attest_rc
set_once(struct redis *r, struct redis_link *link, const char *key,
         const struct redis_moment *moment, int64_t deadline_ms, struct attest_error *err)
{
    AUTO(buf) struct buf commands;
    AUTO(redis_replies) struct redis_replies replies = {0};
    char keep_ms[24];
    snprintf(keep_ms, sizeof(keep_ms), "%d", KEEP_MS);
    buf_init(&commands, 1024);
    REDIS_PUT(&commands, "SET", key, "1", "NX", "PX", keep_ms);
    REDIS_PUT(&commands, "GET", REDIS_EPOCH_KEY);
    enum attest_rc rc = redis_link_ask(link, &commands, 2, &replies, deadline_ms, err);
    const redisReply *set = replies.at[0], *epoch = replies.at[1];
    if (rc != ATTEST_OK && set && set->type == REDIS_REPLY_NIL) /* whatever became of the rest */
        return error_set(err, ATTEST_E_REPLAY, "seen before");
    if (rc != ATTEST_OK)
        return rc;
    if (set->type != REDIS_REPLY_NIL && !redis_said_ok(set))
        return redis_refused(set, err);
    if (epoch->type == REDIS_REPLY_ERROR)
        return redis_refused(epoch, err);
    if (!is_epoch(epoch, link->epoch)) {
        rc = look(r, link, moment, deadline_ms, err);
        return rc == ATTEST_OK ? say_lost(r, err) : rc;
    }
    return set->type == REDIS_REPLY_NIL ? error_set(err, ATTEST_E_REPLAY, "seen before")
                                        : ATTEST_OK;
}

/* Serves nobody, in difference to one that refuses: only then may a memory decide instead. */
static bool
is_away(enum attest_rc rc)
{
    return rc == ATTEST_E_IO || rc == ATTEST_E_TIMEOUT;
}

static bool
is_answer(enum attest_rc rc)
{
    return rc == ATTEST_OK || rc == ATTEST_E_REPLAY || rc == ATTEST_E_REPLAY_STORE;
}

/* Whether to ask a Redis at all that did not answer lately; one caller at a time finds out. */
static bool
may_ask(struct redis *r)
{
    if (atomic_load(&r->failures) < FAILURES_MAX)
        return true;
    int64_t now_ms = clock_mono_ms(), at_ms = atomic_load(&r->retry_at_ms);
    int64_t again_ms = now_ms + r->target.timeout_ms + PAUSE_MAX_MS;
    return now_ms >= at_ms && atomic_compare_exchange_strong(&r->retry_at_ms, &at_ms, again_ms);
}

static enum attest_rc
say_failure(struct redis *r, struct attest_error *err)
{
    struct attest_error failure;
    pthread_mutex_lock(&r->lock);
    failure = r->failure;
    pthread_mutex_unlock(&r->lock);
    return error_set(err, failure.rc, "%s", failure.text);
}

static void
note_answer(struct redis *r, enum attest_rc rc, const struct attest_error *why)
{
    if (rc == ATTEST_E_BUSY)
        return; /* says nothing of Redis */
    if (is_answer(rc)) {
        if (atomic_load_explicit(&r->failures, memory_order_relaxed))
            atomic_store(&r->failures, 0);
        return;
    }
    pthread_mutex_lock(&r->lock);
    r->failure = *why;
    pthread_mutex_unlock(&r->lock);
    unsigned failures = atomic_fetch_add(&r->failures, 1) + 1;
    if (failures < FAILURES_MAX)
        return;
    unsigned pause_ms = failures == FAILURES_MAX ? PAUSE_MIN_MS : 2 * atomic_load(&r->pause_ms);
    if (pause_ms > PAUSE_MAX_MS)
        pause_ms = PAUSE_MAX_MS;
    atomic_store(&r->pause_ms, pause_ms);
    atomic_store(&r->retry_at_ms, clock_mono_ms() + pause_ms);
}

/* ATTEST_OK, _REPLAY, _REPLAY_STORE when it was lost; else why Redis gave no answer. */
static enum attest_rc
ask_redis(struct redis *r, const struct replay_item *item, const char *key,
          const struct redis_moment *moment, struct attest_error *err)
{
    struct redis_link *link = NULL;
    bool is_new = false;
    if (is_lost(r, item))
        return say_lost(r, err);
    if (!may_ask(r))
        return say_failure(r, err);
    int64_t deadline_ms = clock_mono_ms() + r->target.timeout_ms;
    enum attest_rc rc = redis_pool_take(&r->pool, &r->target, deadline_ms, &link, &is_new, err);
    if (rc == ATTEST_OK && (is_new || clock_boot_ms() - link->checked_ms > CHECK_EVERY_MS))
        rc = look(r, link, moment, deadline_ms, err);
    if (rc == ATTEST_OK && is_lost(r, item))
        rc = say_lost(r, err);
    if (rc == ATTEST_OK)
        rc = set_once(r, link, key, moment, deadline_ms, err);
    if (link && is_answer(rc))
        redis_pool_give(&r->pool, link);
    else if (link)
        redis_pool_drop(&r->pool, link);
    note_answer(r, rc, err);
    /* Another connection may have found the loss meanwhile. */
    return rc == ATTEST_OK && is_lost(r, item) ? say_lost(r, err) : rc;
}

/* ---- the store ---- */

static bool
was_alone(struct redis *r)
{
    int64_t alone_ms = atomic_load_explicit(&r->alone_ms, memory_order_relaxed);
    return alone_ms && clock_mono_ms() - alone_ms <= ALONE_TOLD_MS;
}

static void
tell_failure(struct redis *r, unsigned failures, bool memory_full)
{
    struct attest_error why;
    say_failure(r, &why);
    bool decides = r->memory && is_away(why.rc);
    bool works = decides ? !memory_full : failures < FAILURES_MAX;
    char text[sizeof(why.text) + 64];
    snprintf(text, sizeof(text), "%s%s", why.text,
             !decides      ? ""
             : memory_full ? "; and the memory beside it is full"
                           : "; each process remembers for itself");
    replay_set_state(&r->store, works ? REPLAY_DEGRADED : REPLAY_UNHEALTHY, text);
}

static void
tell_state(struct redis *r, int64_t now_s)
{
    struct replay_store *store = &r->store;
    unsigned failures = atomic_load_explicit(&r->failures, memory_order_relaxed);
    enum replay_state memory = r->memory ? replay_state(r->memory) : REPLAY_HEALTHY;
    int64_t lost = lost_s(r);
    if (failures)
        tell_failure(r, failures, memory == REPLAY_UNHEALTHY);
    else if (lost > now_s)
        replay_set_state(store, REPLAY_UNHEALTHY, "Redis has no memory of before a time to come");
    else if (lost && now_s <= lost + LOSS_TOLD_S)
        replay_set_state(store, REPLAY_DEGRADED,
                         "Redis has no memory of before: older tokens are refused");
    else if (was_alone(r))
        replay_set_state(store, REPLAY_DEGRADED, "tokens were accepted without Redis just now");
    else if (memory != REPLAY_HEALTHY)
        replay_set_state(store, REPLAY_DEGRADED, "the memory beside Redis is full");
    else
        replay_set_state(store, REPLAY_HEALTHY, "Redis answers");
}

/*
 * With a memory beside: what Redis accepts is remembered here, too, and where Redis is away the
 * memory decides. So no process accepts twice, whatever Redis does, while the memory has room.
 */
static enum attest_rc
and_memory(struct redis *r, enum attest_rc rc, const struct replay_item *item, int64_t now_s,
           struct attest_error *err)
{
    if (!r->memory || (rc != ATTEST_OK && !is_away(rc)))
        return rc;
    /* What Redis took is remembered as long as there is any room: a share is for who decides. */
    struct replay_item beside = *item;
    beside.by_holder = item->by_holder && rc != ATTEST_OK;
    enum attest_rc remembered = replay_consume(r->memory, &beside, now_s, err);
    if (rc == ATTEST_OK && remembered == ATTEST_E_REPLAY_STORE) {
        atomic_fetch_add_explicit(&r->unremembered, 1, memory_order_relaxed);
        return ATTEST_OK; /* Redis remembers it */
    }
    if (rc != ATTEST_OK && remembered == ATTEST_OK) {
        atomic_fetch_add_explicit(&r->fallback, 1, memory_order_relaxed);
        atomic_store_explicit(&r->alone_ms, clock_mono_ms(), memory_order_relaxed);
    }
    return remembered;
}

/*
 * Who was stopped between his clock and his question, or whose machine slept, may ask when
 * another's entry is no longer kept; which it is as long as anyone could accept what it stands for.
 */
static enum attest_rc
say_too_late(struct attest_error *err)
{
    return error_set(err, ATTEST_E_REPLAY_STORE, "replay store: Redis was asked too late");
}

static enum attest_rc
redis_consume(struct replay_store *store, const struct replay_item *item, int64_t now_s,
              struct attest_error *err)
{
    struct redis *r = (struct redis *)store;
    const struct redis_moment moment = {now_s, clock_boot_ms()};
    struct attest_error why;
    char key[KEY_SIZE];
    if (now_s < 1 || item->keep_until_s < now_s || item->keep_until_s - now_s > REPLAY_KEEP_MAX_S ||
        !key_of(item, key))
        return error_set(err, ATTEST_E_REPLAY_STORE, "replay store: entry outside its bounds");
    enum attest_rc rc = ask_redis(r, item, key, &moment, &why);
    if (rc == ATTEST_OK && redis_now_s(&moment) > item->keep_until_s)
        rc = say_too_late(&why);
    rc = and_memory(r, rc, item, now_s, &why);
    tell_state(r, now_s);
    if (rc == ATTEST_OK)
        return rc;
    return error_set(err, is_answer(rc) ? rc : ATTEST_E_REPLAY_STORE, "%s", why.text);
}

static void
redis_stats(const struct replay_store *store, struct replay_stats *stats)
{
    struct redis *r = (struct redis *)store;
    struct replay_stats memory = {0};
    if (r->memory)
        replay_stats(r->memory, &memory);
    stats->fallback = atomic_load_explicit(&r->fallback, memory_order_relaxed);
    stats->unremembered =
        memory.unremembered + atomic_load_explicit(&r->unremembered, memory_order_relaxed);
    stats->entries = memory.entries;
    stats->losses = atomic_load_explicit(&r->losses, memory_order_relaxed);
    stats->lost_s = lost_s(r);
    stats->connects = atomic_load_explicit(&r->pool.connects, memory_order_relaxed);
    stats->connect_failures = atomic_load_explicit(&r->pool.failures, memory_order_relaxed);
    stats->connections = redis_pool_open(&r->pool);
}

static void
redis_free(struct replay_store *store)
{
    struct redis *r = (struct redis *)store;
    redis_pool_done(&r->pool);
    if (r->ready)
        pthread_mutex_destroy(&r->lock);
    replay_free(r->memory);
    redis_target_done(&r->target);
    free(r);
}

static const struct replay_kind redis_kind = {redis_consume, redis_stats, redis_free};

/* One that refuses us, or is not fit, will be so tomorrow: said at once. */
static enum attest_rc
first_connection(struct redis *r, struct attest_error *err)
{
    struct redis_link *link = NULL;
    bool is_new;
    const struct redis_moment moment = {clock_wall_s(), clock_boot_ms()};
    int64_t deadline_ms = clock_mono_ms() + r->target.timeout_ms;
    struct attest_error why;
    enum attest_rc rc = redis_pool_take(&r->pool, &r->target, deadline_ms, &link, &is_new, &why);
    if (rc == ATTEST_OK)
        rc = look(r, link, &moment, deadline_ms, &why);
    if (rc == ATTEST_OK)
        redis_pool_give(&r->pool, link);
    else if (link)
        redis_pool_drop(&r->pool, link);
    if (is_away(rc) && r->memory) {
        note_answer(r, rc, &why);
        rc = ATTEST_OK;
    }
    if (rc != ATTEST_OK)
        return error_set(err, is_away(rc) ? ATTEST_E_IO : rc, "%s", why.text);
    tell_state(r, clock_wall_s());
    return ATTEST_OK;
}

enum attest_rc
replay_redis_new(const struct replay_redis *options, struct replay_store **ret,
                 struct attest_error *err)
{
    struct redis *r = calloc(1, sizeof(*r));
    if (!r)
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    replay_init(&r->store, &redis_kind);
    AUTO(replay_store) struct replay_store *store = &r->store;
    enum attest_rc rc = redis_target_init(&r->target, options, err);
    if (rc != ATTEST_OK)
        return rc;
    r->known.believe_start = options->believe_start;
    r->ready = pthread_mutex_init(&r->lock, NULL) == 0;
    if (!r->ready || !redis_pool_init(&r->pool, options->connections_max))
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    if (options->memory_max)
        rc = replay_memory_new(options->memory_max, options->full, &r->memory, err);
    if (rc == ATTEST_OK)
        rc = first_connection(r, err);
    if (rc == ATTEST_OK)
        *ret = STEAL(store);
    return rc;
}
