/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_REPLAY_API_H
#define VERIFY_REPLAY_API_H

#include <attest/replay.h>

#include <sys/types.h>

#include "replay/replay.h"

/* The inside of <attest/replay.h>: a store that several may hold. */
struct attest_replay {
    atomic_uint holders;
    pid_t pid; /* a store does not survive fork(): children would not know of each other */
    struct replay_store *store;
};

/* Takes the store over, also when it fails. ATTEST_E_NOMEM. */
enum attest_rc replay_wrap(struct replay_store *store, struct attest_replay **ret,
                           struct attest_error *err);

/* One more holder, who gives it up with attest_replay_free(). */
struct attest_replay *replay_hold(struct attest_replay *replay);

DEFINE_AUTO(attest_replay, struct attest_replay *, attest_replay_free);

#endif
