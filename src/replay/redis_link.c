/* SPDX-License-Identifier: MIT */
#include "replay/redis_link.h"

#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "replay/redis_word.h"

#define PASSWORD_MAX 512

void
redis_put(struct buf *commands, const char *const *words)
{
    size_t n = 0;
    while (words[n])
        n++;
    buf_printf(commands, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++) {
        buf_printf(commands, "$%zu\r\n", strlen(words[i]));
        buf_str(commands, words[i]);
        buf_str(commands, "\r\n");
    }
}

/* ---- commands out, replies in ---- */

#define CHUNK 4096
#define ANSWER_MAX (1024 * 1024) /* of one question; INFO has some 10 KiB */

static enum attest_rc
no_redis(struct attest_error *err)
{
    return error_set(err, ATTEST_E_CONFIG, "replay store: this is no Redis");
}

static enum attest_rc
read_reply(struct redis_link *link, redisReply **ret, int64_t deadline_ms, struct attest_error *err)
{
    for (;;) {
        char chunk[CHUNK];
        size_t len;
        void *reply = NULL;
        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK)
            return no_redis(err);
        if (reply) {
            *ret = reply;
            return ATTEST_OK;
        }
        enum attest_rc rc =
            redis_stream_receive(&link->stream, chunk, sizeof(chunk), &len, deadline_ms, err);
        if (rc != ATTEST_OK)
            return rc;
        link->received += len;
        if (link->received > ANSWER_MAX)
            return no_redis(err);
        if (redisReaderFeed(link->reader, chunk, len) != REDIS_OK)
            return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    }
}

/* The reply is not shown: a server could put into it what it was sent. */
static enum attest_rc
refused_unquoted(const redisReply *reply, struct attest_error *err)
{
    const struct redis_word *word =
        redis_word_find(reply->type == REDIS_REPLY_ERROR ? reply->str : "");
    return error_set(err, word->rc, "replay store: %s", word->means);
}

/*
 * Why nothing can be sent any more: who refuses may say so and hang up before it was asked, and
 * what it said has come.
 */
static enum attest_rc
last_words(struct redis_link *link, enum attest_rc sent, redisReply **first, int64_t deadline_ms,
           struct attest_error *err)
{
    struct attest_error why = {0};
    enum attest_rc rc = read_reply(link, first, deadline_ms, &why);
    if (rc == ATTEST_OK || rc == ATTEST_E_IO || rc == ATTEST_E_TIMEOUT)
        return sent;
    return error_set(err, rc, "%s", why.text);
}

enum attest_rc
redis_link_ask(struct redis_link *link, const struct buf *commands, size_t n,
               struct redis_replies *ret, int64_t deadline_ms, struct attest_error *err)
{
    redisReply **const at = ret->at;
    if (buf_rc(commands))
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    enum attest_rc rc = redis_stream_send(&link->stream, buf_view(commands), deadline_ms, err);
    size_t got = 0;
    link->received = 0;
    if (rc == ATTEST_E_IO)
        rc = last_words(link, rc, &at[0], deadline_ms, err);
    while (rc == ATTEST_OK && got < n) {
        rc = read_reply(link, &at[got], deadline_ms, err);
        got += rc == ATTEST_OK;
    }
    if (rc == ATTEST_OK && link->reader->pos != link->reader->len) /* more than was asked for */
        rc = no_redis(err);
    link->broken = rc != ATTEST_OK;
    /* A refusal is one, also when no more came behind it. */
    if ((rc == ATTEST_E_IO || rc == ATTEST_E_TIMEOUT) && at[0] && at[0]->type == REDIS_REPLY_ERROR)
        rc = refused_unquoted(at[0], err);
    return rc;
}

/* ---- what replies mean ---- */

bool
redis_said_ok(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0;
}

enum attest_rc
redis_refused(const redisReply *reply, struct attest_error *err)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return error_set(err, ATTEST_E_CONFIG, "replay store: an answer that Redis does not give");
    const struct redis_word *word = redis_word_find(reply->str);
    if (!word->prefix[0])
        return error_set(err, word->rc, "replay store: Redis refuses and says %.*s",
                         (int)strcspn(reply->str, " "), reply->str);
    return error_set(err, word->rc, "replay store: %s", word->means);
}

/* ---- opening ---- */

static enum attest_rc
ask_for_ok(struct redis_link *link, const struct buf *commands, int64_t deadline_ms,
           struct attest_error *err)
{
    AUTO(redis_replies) struct redis_replies replies = {0};
    enum attest_rc rc = redis_link_ask(link, commands, 1, &replies, deadline_ms, err);
    const redisReply *reply = replies.at[0];
    return rc != ATTEST_OK || redis_said_ok(reply) ? rc : refused_unquoted(reply, err);
}

static enum attest_rc
log_in(struct redis_link *link, const struct redis_target *target, int64_t deadline_ms,
       struct attest_error *err)
{
    AUTO(secret) struct secret file = {0};
    AUTO(buf) struct buf commands = {0};
    char word[PASSWORD_MAX + 1];
    const char *password = target->url.password;
    if (target->password_file) {
        enum attest_rc rc = secret_read_file(target->password_file, PASSWORD_MAX, &file, err);
        if (rc != ATTEST_OK && rc != ATTEST_E_NOMEM) { /* none of it is a Redis that is away */
            rc = ATTEST_E_CONFIG;
            if (err)
                err->rc = rc;
        }
        if (rc != ATTEST_OK)
            return rc;
        if (memchr(file.p, '\0', file.len))
            return error_set(err, ATTEST_E_CONFIG, "replay store: a password with a NUL in it");
        memcpy(word, file.p, file.len);
        word[file.len] = '\0';
        password = word;
    }
    buf_init(&commands, 4096);
    buf_reserve(&commands, 2048); /* no copy of it is left behind by growing */
    if (password && target->url.user)
        REDIS_PUT(&commands, "AUTH", target->url.user, password);
    else if (password)
        REDIS_PUT(&commands, "AUTH", password);
    enum attest_rc rc = ATTEST_OK;
    if (password)
        rc = ask_for_ok(link, &commands, deadline_ms, err);
    secret_wipe(word, sizeof(word));
    if (commands.p)
        secret_wipe(commands.p, commands.cap);
    return rc;
}

static enum attest_rc
select_database(struct redis_link *link, int database, int64_t deadline_ms,
                struct attest_error *err)
{
    AUTO(buf) struct buf commands = {0};
    char number[16];
    if (database == 0)
        return ATTEST_OK;
    buf_init(&commands, 256);
    snprintf(number, sizeof(number), "%d", database);
    REDIS_PUT(&commands, "SELECT", number);
    return ask_for_ok(link, &commands, deadline_ms, err);
}

enum attest_rc
redis_link_open(const struct redis_target *target, int64_t deadline_ms, struct redis_link **ret,
                struct attest_error *err)
{
    AUTO(redis_link) struct redis_link *link = calloc(1, sizeof(*link));
    if (!link)
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    enum attest_rc rc = redis_stream_open(&link->stream, target, deadline_ms, err);
    if (rc == ATTEST_OK && !(link->reader = redisReaderCreate()))
        rc = error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    if (rc == ATTEST_OK)
        rc = log_in(link, target, deadline_ms, err);
    if (rc == ATTEST_OK)
        rc = select_database(link, target->url.database, deadline_ms, err);
    if (rc == ATTEST_OK)
        *ret = STEAL(link);
    return rc;
}

void
redis_link_free(struct redis_link *link)
{
    if (!link)
        return;
    redis_stream_close(&link->stream);
    if (link->reader)
        redisReaderFree(link->reader);
    free(link);
}
