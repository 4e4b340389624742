/* SPDX-License-Identifier: MIT */
#include "replay/replay.h"

#include <stdio.h>
#include <string.h>

static void
count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static uint64_t
read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

enum attest_rc
replay_consume(struct replay_store *store, const struct replay_item *item, int64_t now_s,
               struct attest_error *err)
{
    enum attest_rc rc = store->kind->consume(store, item, now_s, err);
    count(rc == ATTEST_OK         ? &store->consumed
          : rc == ATTEST_E_REPLAY ? &store->replayed
                                  : &store->unavailable);
    return rc;
}

void
replay_init(struct replay_store *store, const struct replay_kind *kind)
{
    store->kind = kind;
    pthread_mutex_init(&store->changing, NULL);
}

void
replay_free(struct replay_store *store)
{
    if (!store)
        return;
    pthread_mutex_destroy(&store->changing);
    store->kind->free(store);
}

enum replay_state
replay_state(const struct replay_store *store)
{
    return (enum replay_state)atomic_load_explicit(&store->state, memory_order_relaxed);
}

void
replay_set_state(struct replay_store *store, enum replay_state state, const char *why)
{
    if (replay_state(store) == state)
        return;
    pthread_mutex_lock(&store->changing);
    if (replay_state(store) != state) {
        atomic_store(&store->state, (int)state);
        snprintf(store->why, sizeof(store->why), "%s", why);
        atomic_fetch_add(&store->changes, 1);
    }
    pthread_mutex_unlock(&store->changing);
}

bool
replay_changed(const struct replay_store *store, const _Atomic uint64_t *seen)
{
    return atomic_load(&store->changes) != atomic_load(seen);
}

bool
replay_news(struct replay_store *store, _Atomic uint64_t *seen, struct replay_news *ret)
{
    if (!replay_changed(store, seen))
        return false;
    pthread_mutex_lock(&store->changing);
    atomic_store(seen, atomic_load(&store->changes));
    ret->state = replay_state(store);
    memcpy(ret->why, store->why, sizeof(ret->why));
    pthread_mutex_unlock(&store->changing);
    return true;
}

void
replay_stats(const struct replay_store *store, struct replay_stats *ret)
{
    *ret = (struct replay_stats){
        .state = replay_state(store),
        .changes = read_counter(&store->changes),
        .consumed = read_counter(&store->consumed),
        .replayed = read_counter(&store->replayed),
        .unavailable = read_counter(&store->unavailable),
    };
    if (store->kind->stats)
        store->kind->stats(store, ret);
}

const char *
replay_state_name(enum replay_state state)
{
    static const char *const names[] = {"healthy", "degraded", "unhealthy"};
    return (size_t)state < ARRAY_LEN(names) ? names[state] : "unknown";
}
