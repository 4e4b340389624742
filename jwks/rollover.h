/* SPDX-License-Identifier: MIT */
#ifndef JWKS_ROLLOVER_H
#define JWKS_ROLLOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "jwks/keystate.h"

/*
 * When which key does what. Pure: no clock, no I/O, no memory of its own. A loop asks
 * rollover_next(), does that one thing, stores it, and asks again; whatever happens in between, the
 * next answer follows from the stored time stamps alone.
 *
 * The promise: a verifier that keeps a key set no longer than the cache headers and
 * verifier_cache_max_s allow never meets a valid token whose key it cannot know.
 */

/* All in seconds. */
struct rollover_policy {
    int64_t active_period_s; /* how long a key signs before the next takes over */
    int64_t jitter_s;        /* a rotation comes up to this much early, by the key's own measure */
    int64_t publish_lead_s;  /* how long a key is in the JWKS before it may sign */
    int64_t retire_lag_s;    /* how long it stays there after it signed last */
    int64_t destroy_grace_s; /* from leaving the JWKS to being destroyed on the token */
    int64_t overdue_grace_s; /* how late a rotation may be before minting stops */

    int64_t lifetime_max_s;       /* what the others have to respect */
    int64_t jwks_max_age_s;       /* Cache-Control of the key set */
    int64_t verifier_cache_max_s; /* how much longer than that a verifier may keep it */
    int64_t propagation_s;        /* from a stored change to every copy of the JWKS */
    int64_t skew_s;               /* between any two clocks */
};

/*
 * Refuses a policy that cannot keep the promise. ATTEST_E_CONFIG; err names the inequality with its
 * numbers: "publish_lead_s 300 < 760 = jwks_max_age_s 300 + …".
 */
enum attest_rc rollover_policy_check(const struct rollover_policy *policy,
                                     struct attest_error *err);

#define ROLLOVER_JWKS_KEYS_MAX 6

struct rollover_key {
    struct key_times times;
    uint32_t jitter; /* any number that stays with the key, evenly spread: from its kid */
};

enum rollover_action {
    ROLLOVER_WAIT,     /* nothing to do before at_s */
    ROLLOVER_GENERATE, /* make a key on the token */
    ROLLOVER_PUBLISH,  /* set published_s of `key` */
    ROLLOVER_ACTIVATE, /* set active_s of `key`, and retired_s of `retiring` to the same moment */
    ROLLOVER_REMOVE,   /* set removed_s of `key` */
    ROLLOVER_DESTROY,  /* destroy `key` on the token, then set destroyed_s */
};

#define ROLLOVER_NO_KEY SIZE_MAX

struct rollover_step {
    enum rollover_action action;
    size_t key;      /* an index into keys, or ROLLOVER_NO_KEY */
    size_t retiring; /* the same */
    int64_t at_s;    /* ROLLOVER_WAIT: when to ask again; INT64_MAX: when something has changed */
};

/*
 * What should happen now. keys are all that were ever made for one purpose, destroyed ones too, in
 * any order: only the very first may sign without having waited for caches.
 */
struct rollover_step rollover_next(const struct rollover_key *keys, size_t n,
                                   const struct rollover_policy *policy, int64_t now_s);

/*
 * What an operator asks for, as changes of the stored times; the loop goes on from there. Each
 * changes keys only on ATTEST_OK. The times they set may lie in the future: key_state() then makes
 * the one key active and the other retired at the same moment, whoever is running. The loop may do
 * the same with ROLLOVER_ACTIVATE: both times one second ahead, so that storing them is over when
 * they come to pass.
 *
 * rotate: the standby takes over as soon as caches allow; *when_s says when. ATTEST_E_NOT_FOUND
 * without an active key or a standby, ATTEST_E_EXISTS when a take-over is already planned (*when_s
 * is set), ATTEST_E_LIMIT when the JWKS would grow too long.
 */
enum attest_rc rollover_rotate(struct rollover_key *keys, size_t n,
                               const struct rollover_policy *policy, int64_t now_s, int64_t *when_s,
                               struct attest_error *err);

/* publish: ATTEST_E_ARGUMENT unless it is merely created, ATTEST_E_LIMIT when the JWKS is full. */
enum attest_rc rollover_publish(struct rollover_key *keys, size_t n, size_t key, int64_t now_s,
                                struct attest_error *err);

/*
 * activate: this published key signs from now on. Before caches allow only with force: verifiers
 * may then refuse its tokens until rollover_ready_s(). ATTEST_E_DENIED without force.
 */
enum attest_rc rollover_activate(struct rollover_key *keys, size_t n,
                                 const struct rollover_policy *policy, size_t key, bool force,
                                 int64_t now_s, struct attest_error *err);

/*
 * retire: the active key signs no more from now on; what it signed stays good. The standby, if it
 * is ready, is active in the same moment. Without one that is ready nobody signs until it is:
 * ATTEST_E_DENIED without force. ATTEST_E_ARGUMENT unless the key is active.
 */
enum attest_rc rollover_retire(struct rollover_key *keys, size_t n,
                               const struct rollover_policy *policy, size_t key, bool force,
                               int64_t now_s, struct attest_error *err);

/*
 * revoke: out of the JWKS at once. If it was the active key and the standby is ready, that one is
 * active in the same moment. ATTEST_E_EXISTS when it was revoked before.
 */
enum attest_rc rollover_revoke(struct rollover_key *keys, size_t n,
                               const struct rollover_policy *policy, size_t key, int64_t now_s,
                               struct attest_error *err);

/* When the last verifier stops accepting what a key signed that was revoked at this moment. */
int64_t rollover_revocation_complete_s(const struct rollover_policy *policy, int64_t revoked_s);

/*
 * When the standby takes over, as things stand: planned by hand or by the schedule. INT64_MAX while
 * there is no standby.
 */
int64_t rollover_takeover_s(const struct rollover_key *keys, size_t n,
                            const struct rollover_policy *policy, int64_t now_s);

/* "generate", "publish"… */
const char *rollover_action_name(enum rollover_action action);

/* The earliest moment at which a published key may sign; INT64_MAX for one that is not published.
 */
int64_t rollover_ready_s(const struct rollover_key *key, const struct rollover_policy *policy);

/* When the schedule wants the successor of this active key to take over, and when it is overdue. */
int64_t rollover_due_s(const struct rollover_key *key, const struct rollover_policy *policy);
int64_t rollover_overdue_s(const struct rollover_key *key, const struct rollover_policy *policy);

/*
 * The last moment at which a token signed now by this key may expire: its key is then still in the
 * JWKS, by any clock. Never later than now_s + lifetime_max_s.
 */
int64_t rollover_exp_max_s(const struct rollover_key *key, const struct rollover_policy *policy,
                           int64_t now_s);

/* How many of the keys the JWKS shows now. */
size_t rollover_jwks_count(const struct rollover_key *keys, size_t n, int64_t now_s);

#endif
