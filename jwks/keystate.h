/* SPDX-License-Identifier: MIT */
#ifndef JWKS_KEYSTATE_H
#define JWKS_KEYSTATE_H

#include <stdint.h>

/*
 * The life of a key, derived from time stamps and never stored. Pure.
 *
 *   created -> published -> active -> retired -> removed        revoked: from any state, at once
 *   (token)    (in JWKS)    (signs)   (in JWKS)  (out of JWKS)
 */
enum key_state {
    KEY_CREATED,
    KEY_PUBLISHED,
    KEY_ACTIVE,
    KEY_RETIRED,
    KEY_REMOVED,
    KEY_REVOKED,
};

/*
 * Seconds since the epoch; 0 is "not yet". published_s, active_s and retired_s may be planned and
 * lie in the future.
 */
struct key_times {
    int64_t created_s;
    int64_t published_s;
    int64_t active_s;
    int64_t retired_s;
    int64_t removed_s;
    int64_t revoked_s;
    int64_t destroyed_s;
};

enum key_state key_state(const struct key_times *times, int64_t now_s);

/* What it was, or will be, at a moment that is not now: what came later had not happened then. */
enum key_state key_state_at(const struct key_times *times, int64_t when_s);

/* "created", "published", "active", "retired", "removed", "revoked". */
const char *key_state_name(enum key_state state);

#endif
