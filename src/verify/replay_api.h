/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_REPLAY_API_H
#define VERIFY_REPLAY_API_H

#include <attest/replay.h>

#include <pthread.h>
#include <sys/types.h>

#include "replay/replay.h"

/* The inside of <attest/replay.h>: a store that several may hold. */
struct attest_replay {
    atomic_uint holders;
    pid_t pid; /* a store does not survive fork(): children would not know of each other */
    struct replay_store *store;
    atomic_uint changes;  /* of state that were told */
    pthread_mutex_t lock; /* of the reason for the last of them */
    char why[160];
};

/* Takes the store over, also when it fails. ATTEST_E_NOMEM. */
enum attest_rc replay_wrap(struct replay_store *store, struct attest_replay **ret,
                           struct attest_error *err);

/* One more holder, who gives it up with attest_replay_free(). */
struct attest_replay *replay_hold(struct attest_replay *replay);

/* What became of the store. */
struct replay_news {
    enum replay_state state;
    char why[160];
};

/*
 * Whether the store changed its state since *seen, which is then brought up to date: of several
 * threads that share it, one is told. Changes that come faster than anyone asks are told as the
 * last of them. Costs one load when there is nothing.
 */
bool replay_changed(struct attest_replay *replay, atomic_uint *seen, struct replay_news *ret);

DEFINE_AUTO(attest_replay, struct attest_replay *, attest_replay_free);

#endif
