/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_VERIFIER_H
#define VERIFY_VERIFIER_H

#include <attest/verifier.h>

#include "base/bytes.h"
#include "verify/keys.h"
#include "verify/replay_api.h"
#include "verify/resolver.h"
#include "verify/result.h"
#include "verify/seeing.h"
#include "verify/token_cache.h"

/* The inside of <attest/verifier.h>. */

struct attest_verifier {
    pid_t pid;
    _Atomic bool in_use; /* what is set before that stays as it is */
    struct attest_policy *policy;
    struct attest_keys *keys;
    struct attest_replay *replay;
    /*
     * How long that remembers a token behind its exp: twice the skew, for what is behind and for a
     * clock that goes back. Not the own skew where another verifier may share the store, allow
     * more, and accept what this one has let it forget.
     */
    int64_t keep_behind_s;
    struct token_cache *tokens; /* NULL: none are kept */
    struct resolver *resolver;  /* NULL: its keys are brought to it */
    atomic_bool threaded;       /* that is what steps it */
    pthread_t thread;
    _Atomic pid_t runner; /* that thread's, once it runs; 0: none */
    int stop_fd;
    attest_clock_fn *clock;
    void *clock_ctx;
    int64_t (*boot_ms)(void); /* clock_boot_ms(); NULL: the clock alone says how time goes by */
    _Atomic int64_t ahead_ms; /* the most that the clock was ahead of boot_ms; INT64_MIN: unread */
    struct seeing seeing;
};

/* ATTEST_E_ARGUMENT once the verifier was used, ATTEST_E_FORKED in a child. */
enum attest_rc verifier_may_be_set(const struct attest_verifier *verifier,
                                   struct attest_error *err);
/* From a check, a step or the start of a thread on. */
static inline void
verifier_use(struct attest_verifier *verifier)
{
    if (!atomic_load_explicit(&verifier->in_use, memory_order_relaxed))
        atomic_store_explicit(&verifier->in_use, true, memory_order_relaxed);
}

/* Whether it is the verifier's own thread that asks. */
bool verifier_is_own_thread(const struct attest_verifier *verifier);
/* Ends the thread that steps it, if there is one. */
void verifier_stop_thread(struct attest_verifier *verifier);

DEFINE_AUTO(attest_verifier, struct attest_verifier *, attest_verifier_free);

#endif
