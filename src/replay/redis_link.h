/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REDIS_LINK_H
#define REPLAY_REDIS_LINK_H

#include <hiredis/hiredis.h>

#include "replay/redis_server.h"
#include "replay/redis_stream.h"

/*
 * One connection to Redis, logged in: commands go out in one piece, the replies are waited for
 * until a deadline of clock_mono_ms(), however the bytes trickle. Not thread-safe. No SIGPIPE.
 */

struct redis_link {
    struct redis_stream stream;
    redisReader *reader;
    size_t received;                 /* of the answer to one question */
    bool broken;                     /* what comes may belong to a question of before */
    uint64_t generation;             /* the pool's, when it was made */
    int64_t checked_ms;              /* by clock_boot_ms(): when it was last asked who it is */
    char epoch[REDIS_EPOCH_MAX + 1]; /* that it had then */
};

/*
 * Connects and logs in. ATTEST_E_DENIED (password, ACL), ATTEST_E_CONFIG, ATTEST_E_IO,
 * ATTEST_E_TIMEOUT, ATTEST_E_NOMEM.
 */
enum attest_rc redis_link_open(const struct redis_target *target, int64_t deadline_ms,
                               struct redis_link **ret, struct attest_error *err);
void redis_link_free(struct redis_link *link);
DEFINE_AUTO(redis_link, struct redis_link *, redis_link_free);

/* To as many commands as one question has. */
struct redis_replies {
    redisReply *at[3];
};

static inline void
redis_replies_auto(struct redis_replies *replies)
{
    for (size_t i = 0; i < ARRAY_LEN(replies->at); i++)
        freeReplyObject(replies->at[i]);
}

/* Appends one command of words, each NUL-terminated, NULL behind the last. */
void redis_put(struct buf *commands, const char *const *words);
#define REDIS_PUT(commands, ...) redis_put(commands, (const char *const[]){__VA_ARGS__, NULL})

/*
 * Sends the commands and waits for n replies. Error replies are replies. In difference to them an
 * error leaves the connection broken, and in ret, which is zeroed before, the replies of which that
 * many came; if the first was a refusal the error is what that says.
 */
enum attest_rc redis_link_ask(struct redis_link *link, const struct buf *commands, size_t n,
                              struct redis_replies *ret, int64_t deadline_ms,
                              struct attest_error *err);

/* What a reply that was not asked for means, by redis_word_find(), with a sentence. */
enum attest_rc redis_refused(const redisReply *reply, struct attest_error *err);
bool redis_said_ok(const redisReply *reply);

/* What the caller's clock said, and when that was by clock_boot_ms(): a machine may be put to sleep
 * behind it. */
struct redis_moment {
    int64_t now_s, boot_ms;
};
/* The caller's clock now. */
int64_t redis_now_s(const struct redis_moment *moment);

/* What is known from the last look, zeroed before the first. */
struct redis_known {
    char epoch[REDIS_EPOCH_MAX + 1];
    struct redis_clock clock;
    bool believe_start; /* as in struct replay_redis */
};

/* What a look found. */
struct redis_look {
    struct redis_epoch epoch;
    struct redis_clock clock;
    int64_t now_s; /* the later of the server's clock and ours, read with or after the epoch */
};

/*
 * Asks the server who it is and what its epoch is, and gives it a new one, that begins now, when it
 * has none, another server's, or one of the future, and when its clock was set forward since the
 * last look: what it then forgot cannot be told. With believe_start that of an untouched server
 * begins when it started. Fills link->epoch and ret. Errors of
 * redis_server_read(), redis_server_fit(), redis_refused() and redis_link_ask().
 */
enum attest_rc redis_link_check(struct redis_link *link, const struct redis_known *known,
                                const struct redis_moment *moment, int64_t deadline_ms,
                                struct redis_look *ret, struct attest_error *err);

#define REDIS_TAG                                                                                  \
    "attest:{seen}:" /* one hash tag: what belongs together is in one Cluster slot                 \
                      */
#define REDIS_EPOCH_KEY REDIS_TAG "epoch"

#endif
