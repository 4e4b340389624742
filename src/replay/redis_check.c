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

/* Who it is, and whether it will do. */
static enum attest_rc
ask_server(struct redis_link *link, struct redis_server *server, int64_t deadline_ms,
           struct attest_error *err)
{
    AUTO(buf) struct buf commands;
    AUTO(redisReply) redisReply *info = NULL;
    buf_init(&commands, 256);
    REDIS_PUT(&commands, "INFO");
    enum attest_rc rc = redis_link_ask(link, &commands, 1, &info, deadline_ms, err);
    if (rc != ATTEST_OK)
        return rc;
    if (!is_text(info))
        return redis_refused(info, err);
    rc = redis_server_read(text_of(info), server, err);
    return rc == ATTEST_OK ? redis_server_fit(server, err) : rc;
}

/* The epoch as it stands; text "" when there is none. */
static enum attest_rc
get_epoch(struct redis_link *link, bool watch, char text[REDIS_EPOCH_MAX + 1], int64_t deadline_ms,
          struct attest_error *err)
{
    AUTO(buf) struct buf commands;
    redisReply *replies[2] = {NULL, NULL};
    buf_init(&commands, 256);
    if (watch)
        REDIS_PUT(&commands, "WATCH", REDIS_EPOCH_KEY);
    REDIS_PUT(&commands, "GET", REDIS_EPOCH_KEY);
    enum attest_rc rc = redis_link_ask(link, &commands, watch ? 2 : 1, replies, deadline_ms, err);
    if (rc != ATTEST_OK)
        return rc;
    AUTO(redisReply) redisReply *watched = watch ? replies[0] : NULL;
    AUTO(redisReply) redisReply *value = watch ? replies[1] : replies[0];
    if (watch && !redis_said_ok(watched))
        return redis_refused(watched, err);
    if (value->type == REDIS_REPLY_NIL) {
        text[0] = '\0';
        return ATTEST_OK;
    }
    if (!is_text(value))
        return redis_refused(value, err);
    snprintf(text, REDIS_EPOCH_MAX + 1, "%.*s", SLICE_ARG(text_of(value)));
    return ATTEST_OK;
}

/* Unless somebody else changed it since it was watched; then ATTEST_E_BUSY. */
static enum attest_rc
set_epoch(struct redis_link *link, const char *text, int64_t deadline_ms, struct attest_error *err)
{
    AUTO(buf) struct buf commands;
    redisReply *replies[3] = {NULL, NULL, NULL};
    buf_init(&commands, 1024);
    REDIS_PUT(&commands, "MULTI");
    REDIS_PUT(&commands, "SET", REDIS_EPOCH_KEY, text);
    REDIS_PUT(&commands, "EXEC");
    enum attest_rc rc = redis_link_ask(link, &commands, 3, replies, deadline_ms, err);
    if (rc != ATTEST_OK)
        return rc;
    AUTO(redisReply) redisReply *begun = replies[0];
    AUTO(redisReply) redisReply *queued = replies[1];
    AUTO(redisReply) redisReply *done = replies[2];
    const redisReply *failed = begun->type == REDIS_REPLY_ERROR    ? begun
                               : queued->type == REDIS_REPLY_ERROR ? queued
                                                                   : done;
    if (done->type == REDIS_REPLY_NIL)
        return ATTEST_E_BUSY;
    if (done->type != REDIS_REPLY_ARRAY || done->elements != 1)
        return redis_refused(failed, err);
    return redis_said_ok(done->element[0]) ? ATTEST_OK : redis_refused(done->element[0], err);
}

static bool
is_of(const char *text, const struct redis_server *server, struct redis_epoch *epoch)
{
    return redis_epoch_read(slice_cstr(text), epoch) &&
           strcmp(epoch->identity, server->identity) == 0;
}

/* A new epoch in the place of `text`, which has none for this server. */
static enum attest_rc
begin_epoch(struct redis_link *link, const struct redis_server *server, const char *text,
            int64_t now_s, int64_t deadline_ms, struct redis_epoch *epoch, struct attest_error *err)
{
    *epoch = (struct redis_epoch){.since_s = strcmp(text, REDIS_EPOCH_NEW) == 0 ? 0 : now_s};
    memcpy(epoch->identity, server->identity, sizeof(epoch->identity));
    redis_epoch_write(link->epoch, epoch);
    return set_epoch(link, link->epoch, deadline_ms, err);
}

enum attest_rc
redis_link_check(struct redis_link *link, int64_t now_s, int64_t deadline_ms,
                 struct redis_epoch *epoch, struct attest_error *err)
{
    struct redis_server server;
    enum attest_rc rc = ask_server(link, &server, deadline_ms, err);
    if (rc == ATTEST_OK)
        rc = get_epoch(link, false, link->epoch, deadline_ms, err);
    link->checked_ms = clock_mono_ms();
    if (rc != ATTEST_OK || is_of(link->epoch, &server, epoch))
        return rc;
    for (int i = 0; i < ATTEMPTS; i++) {
        char text[REDIS_EPOCH_MAX + 1];
        rc = get_epoch(link, true, text, deadline_ms, err);
        if (rc != ATTEST_OK)
            return rc;
        if (is_of(text, &server, epoch)) {
            memcpy(link->epoch, text, sizeof(text));
            return ATTEST_OK; /* what is watched stays so without harm: nothing is queued */
        }
        rc = begin_epoch(link, &server, text, now_s, deadline_ms, epoch, err);
        if (rc != ATTEST_E_BUSY)
            return rc;
    }
    return error_set(err, ATTEST_E_IO, "replay store: its epoch does not settle");
}
