/* SPDX-License-Identifier: MIT */
#include "replay/redis_link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

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

/* ---- bytes out and in ---- */

void
hold_pipe(struct held_pipe *held)
{
    sigset_t pipe_only, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    held->was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &held->before);
}

void
release_pipe(const struct held_pipe *held)
{
    sigset_t pipe_only;
    const struct timespec at_once = {0};
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    while (!held->was_pending && sigtimedwait(&pipe_only, NULL, &at_once) == SIGPIPE)
        ;
    pthread_sigmask(SIG_SETMASK, &held->before, NULL);
}

static enum attest_rc
wait_for(const struct redis_link *link, short events, int64_t deadline_ms, struct attest_error *err)
{
    struct pollfd fd = {.fd = link->context->fd, .events = events};
    for (;;) {
        int64_t left_ms = deadline_ms - clock_mono_ms();
        int n = left_ms > 0 ? poll(&fd, 1, (int)left_ms) : 0;
        if (n > 0)
            return ATTEST_OK;
        if (n == 0)
            return error_set(err, ATTEST_E_TIMEOUT, "replay store: no answer from Redis in time");
        if (errno != EINTR)
            return error_errno(err, ATTEST_E_IO, errno, "replay store: poll");
    }
}

static enum attest_rc
send_plain(struct redis_link *link, struct slice bytes, int64_t deadline_ms,
           struct attest_error *err)
{
    while (bytes.len) {
        ssize_t n = send(link->context->fd, bytes.p, bytes.len, MSG_NOSIGNAL);
        if (n >= 0) {
            bytes.p += n;
            bytes.len -= (size_t)n;
        } else if (errno == EAGAIN) {
            enum attest_rc rc = wait_for(link, POLLOUT, deadline_ms, err);
            if (rc != ATTEST_OK)
                return rc;
        } else if (errno != EINTR) {
            return error_errno(err, ATTEST_E_IO, errno, "replay store: Redis");
        }
    }
    return ATTEST_OK;
}

static enum attest_rc
send_tls(struct redis_link *link, struct slice bytes, int64_t deadline_ms, struct attest_error *err)
{
    int done = 0;
    if (redisAppendFormattedCommand(link->context, bytes.p, bytes.len) != REDIS_OK)
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    for (;;) {
        struct held_pipe held;
        hold_pipe(&held);
        int written = redisBufferWrite(link->context, &done);
        release_pipe(&held);
        if (written != REDIS_OK)
            return error_set(err, ATTEST_E_IO, "replay store: Redis: %s", link->context->errstr);
        if (done)
            return ATTEST_OK;
        enum attest_rc rc = wait_for(link, POLLIN | POLLOUT, deadline_ms, err);
        if (rc != ATTEST_OK)
            return rc;
    }
}

/* TLS may hold bytes that the descriptor no longer shows: read first, wait afterwards. */
static enum attest_rc
read_reply(struct redis_link *link, bool tls, redisReply **ret, int64_t deadline_ms,
           struct attest_error *err)
{
    for (bool first = true;; first = false) {
        void *reply = NULL;
        if (redisReaderGetReply(link->context->reader, &reply) != REDIS_OK)
            return error_set(err, ATTEST_E_IO, "replay store: this is no Redis");
        if (reply) {
            *ret = reply;
            return ATTEST_OK;
        }
        enum attest_rc rc = tls && first ? ATTEST_OK : wait_for(link, POLLIN, deadline_ms, err);
        if (rc != ATTEST_OK)
            return rc;
        if (redisBufferRead(link->context) != REDIS_OK)
            return error_set(err, ATTEST_E_IO, "replay store: Redis: %s", link->context->errstr);
    }
}

static bool
is_tls(const struct redis_link *link)
{
#if HIREDIS_MAJOR >= 1
    return link->context->privctx != NULL;
#else
    (void)link;
    return false;
#endif
}

enum attest_rc
redis_link_ask(struct redis_link *link, const struct buf *commands, size_t n, redisReply **replies,
               int64_t deadline_ms, struct attest_error *err)
{
    bool tls = is_tls(link);
    if (buf_rc(commands))
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    enum attest_rc rc = tls ? send_tls(link, buf_view(commands), deadline_ms, err)
                            : send_plain(link, buf_view(commands), deadline_ms, err);
    size_t got = 0;
    while (rc == ATTEST_OK && got < n) {
        rc = read_reply(link, tls, &replies[got], deadline_ms, err);
        got += rc == ATTEST_OK;
    }
    while (rc != ATTEST_OK && got > 0)
        freeReplyObject(STEAL(replies[--got]));
    return rc;
}

bool
redis_link_quiet(const struct redis_link *link)
{
    struct pollfd fd = {.fd = link->context->fd, .events = POLLIN};
    return poll(&fd, 1, 0) == 0;
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

/* The reply is not shown: a server could put into it what it was sent. */
static enum attest_rc
ask_for_ok(struct redis_link *link, const struct buf *commands, int64_t deadline_ms,
           struct attest_error *err)
{
    AUTO(redisReply) redisReply *reply = NULL;
    enum attest_rc rc = redis_link_ask(link, commands, 1, &reply, deadline_ms, err);
    if (rc != ATTEST_OK || redis_said_ok(reply))
        return rc;
    const struct redis_word *word =
        redis_word_find(reply->type == REDIS_REPLY_ERROR ? reply->str : "");
    return error_set(err, word->rc, "replay store: %s", word->means);
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

/* From here on nothing waits but wait_for(). */
static enum attest_rc
stop_blocking(redisContext *context, struct attest_error *err)
{
    int flags = fcntl(context->fd, F_GETFL);
    if (flags < 0 || fcntl(context->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "replay store: fcntl");
    fcntl(context->fd, F_SETFD, FD_CLOEXEC);
    context->flags &= ~REDIS_BLOCK;
    return ATTEST_OK;
}

enum attest_rc
redis_link_open(const struct redis_target *target, int64_t deadline_ms, struct redis_link **ret,
                struct attest_error *err)
{
    const struct redis_url *url = &target->url;
    int64_t left_ms = deadline_ms - clock_mono_ms();
    if (left_ms < 1)
        return error_set(err, ATTEST_E_TIMEOUT, "replay store: no connection in time");
    struct timeval limit = {.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};
    AUTO(redis_link) struct redis_link *link = calloc(1, sizeof(*link));
    if (!link)
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    link->context = url->path ? redisConnectUnixWithTimeout(url->path, limit)
                              : redisConnectWithTimeout(url->host, url->port, limit);
    if (!link->context)
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    if (link->context->err)
        return error_set(err, ATTEST_E_IO, "replay store: %s: %s",
                         url->path ? url->path : url->host, link->context->errstr);
    enum attest_rc rc = ATTEST_OK;
    if (url->tls && redisSetTimeout(link->context, limit) != REDIS_OK)
        rc = error_set(err, ATTEST_E_IO, "replay store: setsockopt");
    else if (url->tls)
        rc = redis_tls_start(link->context, target, err);
    if (rc == ATTEST_OK)
        rc = stop_blocking(link->context, err);
    if (rc == ATTEST_OK)
        rc = log_in(link, target, deadline_ms, err);
    if (rc == ATTEST_OK)
        rc = select_database(link, url->database, deadline_ms, err);
    if (rc == ATTEST_OK)
        *ret = STEAL(link);
    return rc;
}

void
redis_link_free(struct redis_link *link)
{
    if (link && link->context)
        redisFree(link->context);
    free(link);
}
