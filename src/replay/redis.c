/* SPDX-License-Identifier: MIT */
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/ed25519.h"
#include "replay/redis_url.h"
#include "replay/replay.h"

/*
 * One SET with NX and PX: whether it was there, and for how long it is kept, are one step on the
 * server. Every answer but a plain yes or no is "unavailable"; the connection is then dropped and
 * made again by the next call.
 */
#define KEY_PREFIX "attest:seen:"
#define KEY_SIZE (sizeof(KEY_PREFIX) + 2 * SHA256_LEN)

struct redis {
    struct replay_store store;
    struct redis_url url;
    unsigned timeout_ms;
    pthread_mutex_t lock;
    redisContext *context; /* NULL: not connected */
};

DEFINE_AUTO(redisReply, redisReply *, freeReplyObject);

/*
 * hiredis writes without MSG_NOSIGNAL: to a server that went away that would end a program which
 * leaves SIGPIPE at its default. Held back in this thread, and taken off if it came by us.
 */
struct held_pipe {
    sigset_t before;
    bool was_pending;
};

static void
hold_pipe(struct held_pipe *held)
{
    sigset_t pipe_only, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    held->was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &held->before);
}

static void
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

static bool
command_ok(redisContext *context, int n, const char **words)
{
    AUTO(redisReply) redisReply *reply = redisCommandArgv(context, n, words, NULL);
    return reply && reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0;
}

static bool
log_in(const struct redis *r, redisContext *context)
{
    char database[16];
    const char *with_user[] = {"AUTH", r->url.user, r->url.password};
    const char *without[] = {"AUTH", r->url.password};
    const char *select[] = {"SELECT", database};
    snprintf(database, sizeof(database), "%d", r->url.database);
    if (r->url.password &&
        !(r->url.user ? command_ok(context, 3, with_user) : command_ok(context, 2, without)))
        return false;
    return r->url.database == 0 || command_ok(context, 2, select);
}

static void
disconnect(struct redis *r)
{
    if (r->context)
        redisFree(r->context);
    r->context = NULL;
}

static bool
connect_to(struct redis *r)
{
    struct timeval limit = {.tv_sec = r->timeout_ms / 1000,
                            .tv_usec = (suseconds_t)(r->timeout_ms % 1000) * 1000};
    r->context = r->url.path ? redisConnectUnixWithTimeout(r->url.path, limit)
                             : redisConnectWithTimeout(r->url.host, r->url.port, limit);
    if (r->context && !r->context->err && redisSetTimeout(r->context, limit) == REDIS_OK &&
        log_in(r, r->context))
        return true;
    disconnect(r);
    return false;
}

/* The same name on every server that shares the store, whatever bytes scope and id hold. */
static bool
key_of(struct slice scope, struct slice id, char key[KEY_SIZE])
{
    uint8_t digest[SHA256_LEN];
    AUTO(buf) struct buf text;
    buf_init(&text, 4096);
    buf_printf(&text, "%zu:", scope.len);
    buf_slice(&text, scope);
    buf_slice(&text, id);
    if (buf_rc(&text))
        return false;
    sha256(digest, text.p, text.len);
    memcpy(key, KEY_PREFIX, sizeof(KEY_PREFIX) - 1);
    hex_encode(key + sizeof(KEY_PREFIX) - 1, digest, sizeof(digest));
    return true;
}

static enum attest_rc
set_once(struct redis *r, const char *key, int64_t keep_ms)
{
    if (!r->context && !connect_to(r))
        return ATTEST_E_REPLAY_STORE;
    AUTO(redisReply)
    redisReply *reply = redisCommand(r->context, "SET %s 1 NX PX %lld", key, (long long)keep_ms);
    if (reply && reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0)
        return ATTEST_OK;
    if (reply && reply->type == REDIS_REPLY_NIL)
        return ATTEST_E_REPLAY;
    disconnect(r);
    return ATTEST_E_REPLAY_STORE;
}

static enum attest_rc
redis_consume(struct replay_store *store, const struct replay_item *item, int64_t now_s,
              struct attest_error *err)
{
    struct redis *r = (struct redis *)store;
    int64_t keep_until_s = item->keep_until_s;
    char key[KEY_SIZE];
    if (now_s < 0 || keep_until_s < now_s || keep_until_s - now_s > REPLAY_KEEP_MAX_S ||
        !key_of(item->scope, item->id, key))
        return error_set(err, ATTEST_E_REPLAY_STORE, "replay store: entry outside its bounds");
    struct held_pipe held;
    hold_pipe(&held);
    pthread_mutex_lock(&r->lock);
    /* Redis counts real time, where now_s may stand still or run ahead: never less than the most.
     */
    enum attest_rc rc = set_once(r, key, (REPLAY_KEEP_MAX_S + INT64_C(1)) * 1000);
    pthread_mutex_unlock(&r->lock);
    release_pipe(&held);
    if (rc == ATTEST_E_REPLAY_STORE)
        replay_set_state(store, REPLAY_UNHEALTHY, "no answer from Redis");
    else
        replay_set_state(store, REPLAY_HEALTHY, "Redis answers");
    if (rc == ATTEST_E_REPLAY)
        return error_set(err, rc, "seen before");
    return rc ? error_set(err, rc, "replay store: no answer from Redis") : ATTEST_OK;
}

static void
redis_free(struct replay_store *store)
{
    struct redis *r = (struct redis *)store;
    disconnect(r);
    pthread_mutex_destroy(&r->lock);
    secret_wipe(&r->url, sizeof(r->url));
    free(r);
}

static const struct replay_kind redis_kind = {redis_consume, NULL, redis_free};

enum attest_rc
replay_redis_new(const char *url, unsigned timeout_ms, struct replay_store **ret,
                 struct attest_error *err)
{
    struct redis *r = calloc(1, sizeof(*r));
    if (!r)
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    if (!redis_url_read(url, &r->url) || timeout_ms == 0) {
        free(r);
        return error_set(err, ATTEST_E_ARGUMENT, "replay store: no URL of a Redis");
    }
    if (pthread_mutex_init(&r->lock, NULL) != 0) {
        free(r);
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    }
    r->store.kind = &redis_kind;
    r->timeout_ms = timeout_ms;
    AUTO(replay_store) struct replay_store *store = &r->store;
    struct held_pipe held;
    hold_pipe(&held);
    bool connected = connect_to(r);
    release_pipe(&held);
    if (!connected)
        return error_set(err, ATTEST_E_IO, "replay store: %s does not answer or refuses us",
                         r->url.path ? r->url.path : r->url.host);
    *ret = STEAL(store);
    return ATTEST_OK;
}
