/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/clock.h"
#include "replay/redis_link.h"

/* How often another verifier may be quicker with a new epoch before we give up. */
#define ATTEMPTS 4

static bool
is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

static struct slice
text_of(const redisReply *reply)
{
    return (struct slice){reply->str, reply->len};
}

int64_t
redis_now_s(const struct redis_moment *moment)
{
    return moment->now_s + (clock_boot_ms() - moment->boot_ms) / 1000;
}

/*
 * Who it is, and the epoch as it stands, watched from here on; text "" when there is none. INFO
 * comes last: the time in it is later than any loss that the epoch shows.
 */
static enum attest_rc
ask_server(struct redis_link *link, struct redis_server *server, char text[REDIS_EPOCH_MAX + 1],
           int64_t deadline_ms, struct attest_error *err)
{
    AUTO(buf) struct buf commands;
    AUTO(redis_replies) struct redis_replies replies = {0};
    buf_init(&commands, 256);
    REDIS_PUT(&commands, "WATCH", REDIS_EPOCH_KEY);
    REDIS_PUT(&commands, "GET", REDIS_EPOCH_KEY);
    REDIS_PUT(&commands, "INFO");
    enum attest_rc rc = redis_link_ask(link, &commands, 3, &replies, deadline_ms, err);
    if (rc != ATTEST_OK)
        return rc;
    const redisReply *watched = replies.at[0], *value = replies.at[1], *info = replies.at[2];
    if (!is_text(info))
        return redis_refused(info, err);
    rc = redis_server_read(text_of(info), server, err);
    if (rc != ATTEST_OK)
        return rc;
    text[0] = '\0';
    if (server->replica) /* it may answer the rest as it likes; redis_server_fit() refuses it */
        return ATTEST_OK;
    if (!redis_said_ok(watched))
        return redis_refused(watched, err);
    if (value->type == REDIS_REPLY_NIL)
        return ATTEST_OK;
    if (!is_text(value))
        return redis_refused(value, err);
    snprintf(text, REDIS_EPOCH_MAX + 1, "%.*s", SLICE_ARG(text_of(value)));
    return ATTEST_OK;
}

/* Where MULTI is refused nothing may follow: it would be done at once, whatever was watched. */
static enum attest_rc
begin_transaction(struct redis_link *link, int64_t deadline_ms, struct attest_error *err)
{
    AUTO(buf) struct buf commands;
    AUTO(redis_replies) struct redis_replies replies = {0};
    buf_init(&commands, 64);
    REDIS_PUT(&commands, "MULTI");
    enum attest_rc rc = redis_link_ask(link, &commands, 1, &replies, deadline_ms, err);
    const redisReply *begun = replies.at[0];
    return rc != ATTEST_OK || redis_said_ok(begun) ? rc : redis_refused(begun, err);
}

/* Unless somebody else changed it since it was watched; then ATTEST_E_BUSY. */
static enum attest_rc
set_epoch(struct redis_link *link, const char *text, int64_t deadline_ms, struct attest_error *err)
{
    AUTO(buf) struct buf commands;
    AUTO(redis_replies) struct redis_replies replies = {0};
    buf_init(&commands, 1024);
    REDIS_PUT(&commands, "SET", REDIS_EPOCH_KEY, text);
    REDIS_PUT(&commands, "EXEC");
    enum attest_rc rc = begin_transaction(link, deadline_ms, err);
    if (rc == ATTEST_OK)
        rc = redis_link_ask(link, &commands, 2, &replies, deadline_ms, err);
    if (rc != ATTEST_OK)
        return rc;
    const redisReply *queued = replies.at[0], *done = replies.at[1];
    if (done->type == REDIS_REPLY_NIL)
        return ATTEST_E_BUSY;
    if (done->type != REDIS_REPLY_ARRAY || done->elements != 1)
        return redis_refused(queued->type == REDIS_REPLY_ERROR ? queued : done, err);
    return redis_said_ok(done->element[0]) ? ATTEST_OK : redis_refused(done->element[0], err);
}

/* Whether the epoch `text`, which is read into look, says what this server remembers. */
static bool
holds(const char *text, const struct redis_server *server, const struct redis_known *known,
      struct redis_look *look)
{
    return redis_epoch_read(slice_cstr(text), &look->epoch) &&
           strcmp(look->epoch.identity, server->identity) == 0 &&
           look->epoch.since_s <= look->now_s + REPLAY_CLOCKS_APART_MAX_S &&
           (strcmp(text, known->epoch) != 0 || redis_clock_step(&known->clock, &look->clock) <= 0);
}

/*
 * A new epoch in the place of `text`, which does not hold. That it is new is not believed by who
 * has seen another one before, nor of a server that may have it from a file or a master of before.
 */
static enum attest_rc
begin_epoch(struct redis_link *link, const struct redis_server *server, const char *text,
            const struct redis_known *known, int64_t deadline_ms, struct redis_look *look,
            struct attest_error *err)
{
    bool is_new = strcmp(text, REDIS_EPOCH_NEW) == 0 && server->fresh && !known->epoch[0];
    bool from_start = known->believe_start && server->untouched && !text[0] && !known->epoch[0];
    look->epoch.since_s = is_new ? 0 : look->now_s;
    look->epoch.start_s = from_start ? server->start_s : 0;
    memcpy(look->epoch.identity, server->identity, sizeof(look->epoch.identity));
    redis_epoch_write(link->epoch, &look->epoch);
    return set_epoch(link, link->epoch, deadline_ms, err);
}

enum attest_rc
redis_link_check(struct redis_link *link, const struct redis_known *known,
                 const struct redis_moment *moment, int64_t deadline_ms, struct redis_look *ret,
                 struct attest_error *err)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        struct redis_server server;
        char text[REDIS_EPOCH_MAX + 1];
        link->checked_ms = clock_boot_ms();
        enum attest_rc rc = ask_server(link, &server, text, deadline_ms, err);
        int64_t own_s = redis_now_s(moment);
        if (rc == ATTEST_OK)
            rc = redis_server_fit(&server, own_s, err);
        if (rc != ATTEST_OK)
            return rc;
        int64_t server_s = server.now_ms / 1000;
        ret->clock = (struct redis_clock){server.now_ms, clock_boot_ms()};
        ret->now_s = server_s > own_s ? server_s : own_s;
        if (holds(text, &server, known, ret)) {
            memcpy(link->epoch, text, sizeof(text));
            return ATTEST_OK; /* what is watched stays so without harm: nothing is queued */
        }
        rc = begin_epoch(link, &server, text, known, deadline_ms, ret, err);
        if (rc != ATTEST_E_BUSY)
            return rc;
    }
    return error_set(err, ATTEST_E_CONFIG, "replay store: its epoch does not settle");
}
