/* SPDX-License-Identifier: MIT */
#include "verify/replay_api.h"

#include <unistd.h>

#include "base/ed25519.h"

enum attest_rc
replay_wrap(struct replay_store *store, struct attest_replay **ret, struct attest_error *err)
{
    struct attest_replay *replay = calloc(1, sizeof(*replay));
    if (!replay) {
        replay_free(store);
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    }
    atomic_init(&replay->holders, 1);
    replay->pid = getpid();
    replay->store = store;
    *ret = replay;
    return ATTEST_OK;
}

enum attest_rc
attest_replay_new_memory(size_t entries_max, struct attest_replay **ret, struct attest_error *err)
{
    struct replay_store *store = NULL;
    enum attest_rc rc = crypto_init(err);
    if (rc == ATTEST_OK)
        rc = replay_memory_new(entries_max ? entries_max : ATTEST_REPLAY_DEFAULT,
                               REPLAY_FULL_REFUSE, &store, err);
    return rc == ATTEST_OK ? replay_wrap(store, ret, err) : rc;
}

enum attest_rc
attest_replay_new_redis(const char *url, unsigned timeout_ms, struct attest_replay **ret,
                        struct attest_error *err)
{
    const struct replay_redis options = {
        .url = url,
        .timeout_ms = timeout_ms ? timeout_ms : REPLAY_TIMEOUT_DEFAULT_MS,
        .connections_max = REPLAY_CONNECTIONS_DEFAULT,
    };
    struct replay_store *store = NULL;
    enum attest_rc rc = crypto_init(err);
    if (rc == ATTEST_OK)
        rc = replay_redis_new(&options, &store, err);
    return rc == ATTEST_OK ? replay_wrap(store, ret, err) : rc;
}

struct attest_replay *
replay_hold(struct attest_replay *replay)
{
    atomic_fetch_add(&replay->holders, 1);
    return replay;
}

void
attest_replay_free(struct attest_replay *replay)
{
    /* In a child a thread that is not there may be in the midst of anything, or be waited for. */
    if (!replay || replay->pid != getpid() || atomic_fetch_sub(&replay->holders, 1) != 1)
        return;
    replay_free(replay->store);
    free(replay);
}

_Static_assert((int)ATTEST_REPLAY_HEALTHY == (int)REPLAY_HEALTHY &&
                   (int)ATTEST_REPLAY_DEGRADED == (int)REPLAY_DEGRADED &&
                   (int)ATTEST_REPLAY_UNHEALTHY == (int)REPLAY_UNHEALTHY,
               "the states outside are those inside");

enum attest_replay_state
attest_replay_state(const struct attest_replay *replay)
{
    return (enum attest_replay_state)replay_state(replay->store);
}

const char *
attest_replay_state_name(enum attest_replay_state state)
{
    return replay_state_name((enum replay_state)state);
}

uint64_t
attest_replay_count(const struct attest_replay *replay, enum attest_replay_counter counter)
{
    static const size_t at[] = {
        [ATTEST_REPLAY_CONSUMED] = offsetof(struct replay_stats, consumed),
        [ATTEST_REPLAY_REPLAYED] = offsetof(struct replay_stats, replayed),
        [ATTEST_REPLAY_UNAVAILABLE] = offsetof(struct replay_stats, unavailable),
        [ATTEST_REPLAY_FALLBACK] = offsetof(struct replay_stats, fallback),
        [ATTEST_REPLAY_UNREMEMBERED] = offsetof(struct replay_stats, unremembered),
        [ATTEST_REPLAY_LOSSES] = offsetof(struct replay_stats, losses),
        [ATTEST_REPLAY_CHANGES] = offsetof(struct replay_stats, changes),
        [ATTEST_REPLAY_ENTRIES] = offsetof(struct replay_stats, entries),
        [ATTEST_REPLAY_CONNECTIONS] = offsetof(struct replay_stats, connections),
        [ATTEST_REPLAY_CONNECTS] = offsetof(struct replay_stats, connects),
        [ATTEST_REPLAY_CONNECT_FAILURES] = offsetof(struct replay_stats, connect_failures),
    };
    struct replay_stats stats;
    /* In a child a lock may be held for ever, by a thread that is not there. */
    if ((size_t)counter >= ARRAY_LEN(at) || getpid() != replay->pid)
        return 0;
    replay_stats(replay->store, &stats);
    uint64_t n;
    memcpy(&n, (const char *)&stats + at[counter], sizeof(n));
    return n;
}

int64_t
attest_replay_lost_at_s(const struct attest_replay *replay)
{
    struct replay_stats stats;
    if (getpid() != replay->pid)
        return 0;
    replay_stats(replay->store, &stats);
    return stats.lost_s;
}
