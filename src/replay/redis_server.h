/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REDIS_SERVER_H
#define REPLAY_REDIS_SERVER_H

#include "base/bytes.h"

/*
 * What a Redis or Valkey says of itself, and the epoch of its memory. Pure.
 *
 * The epoch is the value of one key beside the entries: since when nothing was forgotten, and in
 * which server. Gone: the memory was emptied. Of another server: this one was started again or
 * took over from another, and has at best what had reached its disk or itself by then.
 */

#define REDIS_IDENTITY_MAX 81 /* run id, '.', replication id */

struct redis_server {
    char identity[REDIS_IDENTITY_MAX + 1];
    char policy[32]; /* maxmemory-policy */
    bool replica;
    bool fresh; /* all its data came to itself, since it started: from no file, no other master */
    bool untouched;  /* fresh, and nothing was ever written to it, so that nothing can be gone */
    int64_t now_ms;  /* its clock, Unix time */
    int64_t start_s; /* when it started, by that; of an untouched one */
};

/*
 * The reply to INFO. ATTEST_E_UNSUPPORTED when run id, role, maxmemory_policy or server_time_usec
 * is not in it.
 */
enum attest_rc redis_server_read(struct slice info, struct redis_server *ret,
                                 struct attest_error *err);
/*
 * Whether what it keeps, it keeps: ATTEST_E_CONFIG for a maxmemory-policy that forgets what is
 * alive, for a replica, which takes no writes, and for clocks that are more than
 * REPLAY_CLOCKS_APART_MAX_S apart. The date of a loss is the later of the two, so that one that is
 * behind hides nothing; this bounds what one that is ahead shuts out.
 */
enum attest_rc redis_server_fit(const struct redis_server *server, int64_t now_s,
                                struct attest_error *err);

/*
 * Its clock beside ours that nobody sets. What it keeps for a while goes by its clock: when that is
 * set forward, what is alive is forgotten.
 */
struct redis_clock {
    int64_t server_ms, boot_ms;
};
#define REDIS_CLOCK_SLACK_MS 10000

/* 1: set forward between the two readings, by more than the slack and a thousandth; -1: back. */
int redis_clock_step(const struct redis_clock *before, const struct redis_clock *after);

#define REDIS_EPOCH_MAX 160
/* What an operator sets the epoch to when nothing was accepted yet by anyone. Believed of a fresh
 * server alone: an older file, or a replica that lags, can bring it back. */
#define REDIS_EPOCH_NEW "new"

struct redis_epoch {
    int64_t since_s; /* Unix time; 0: since there is anything */
    int64_t start_s; /* the server was untouched then, and started at this; 0: not said */
    char identity[REDIS_IDENTITY_MAX + 1];
};

/* False when it is no epoch, REDIS_EPOCH_NEW included. */
bool redis_epoch_read(struct slice text, struct redis_epoch *ret);
/* One that differs from any other. */
void redis_epoch_write(char out[REDIS_EPOCH_MAX + 1], const struct redis_epoch *epoch);

#endif
