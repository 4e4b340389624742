/* SPDX-License-Identifier: MIT */
#include "jwks/keystate.h"

#include <stdbool.h>

static bool
reached(int64_t when_s, int64_t now_s)
{
    return when_s != 0 && when_s <= now_s;
}

enum key_state
key_state(const struct key_times *times, int64_t now_s)
{
    /* Never planned, so never in the future: a clock that is set back brings no key to life. */
    if (times->revoked_s)
        return KEY_REVOKED;
    if (times->removed_s)
        return KEY_REMOVED;
    if (reached(times->retired_s, now_s))
        return KEY_RETIRED;
    if (reached(times->active_s, now_s))
        return KEY_ACTIVE;
    if (reached(times->published_s, now_s))
        return KEY_PUBLISHED;
    return KEY_CREATED;
}

enum key_state
key_state_at(const struct key_times *times, int64_t when_s)
{
    struct key_times then = *times;
    if (!reached(then.revoked_s, when_s))
        then.revoked_s = 0;
    if (!reached(then.removed_s, when_s))
        then.removed_s = 0;
    return key_state(&then, when_s);
}

const char *
key_state_name(enum key_state state)
{
    static const char *const names[] = {
        [KEY_CREATED] = "created", [KEY_PUBLISHED] = "published", [KEY_ACTIVE] = "active",
        [KEY_RETIRED] = "retired", [KEY_REMOVED] = "removed",     [KEY_REVOKED] = "revoked",
    };
    return names[state];
}
