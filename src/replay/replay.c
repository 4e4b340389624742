/* SPDX-License-Identifier: MIT */
#include "replay/replay.h"

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
replay_free(struct replay_store *store)
{
    if (store)
        store->kind->free(store);
}

void
replay_on_change(struct replay_store *store, replay_change_fn *fn, void *ctx)
{
    store->on_change = fn;
    store->change_ctx = ctx;
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
    enum replay_state before = (enum replay_state)atomic_exchange(&store->state, (int)state);
    if (before == state)
        return;
    count(&store->changes);
    if (store->on_change)
        store->on_change(store->change_ctx, before, state, why);
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
