/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/ed25519.h"
#include "base/secret.h"
#include "replay/redis_url.h"
#include "verify/replay_api.h"

struct attest_replay_setup {
    size_t entries_max;
    enum replay_full full;
    struct secret url; /* a string, for it may hold a password */
    char *password_file, *ca_file;
    unsigned timeout_ms, connections_max; /* 0: not said */
    bool fall_back, believe_start;
};

enum attest_rc
attest_replay_setup_new(struct attest_replay_setup **ret, struct attest_error *err)
{
    enum attest_rc rc = crypto_init(err);
    if (rc != ATTEST_OK)
        return rc;
    struct attest_replay_setup *setup = calloc(1, sizeof(*setup));
    if (!setup)
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    setup->entries_max = ATTEST_REPLAY_DEFAULT;
    *ret = setup;
    return ATTEST_OK;
}

void
attest_replay_setup_free(struct attest_replay_setup *setup)
{
    if (!setup)
        return;
    secret_free(&setup->url);
    free(setup->password_file);
    free(setup->ca_file);
    free(setup);
}

enum attest_rc
attest_replay_setup_set_entries_max(struct attest_replay_setup *setup, size_t entries_max,
                                    struct attest_error *err)
{
    if (entries_max < 1 || entries_max > REPLAY_MEMORY_MAX)
        return error_set(err, ATTEST_E_CONFIG, "replay store: 1 to %zu entries", REPLAY_MEMORY_MAX);
    setup->entries_max = entries_max;
    return ATTEST_OK;
}

void
attest_replay_setup_accept_when_full(struct attest_replay_setup *setup)
{
    setup->full = REPLAY_FULL_ACCEPT;
}

void
attest_replay_setup_fall_back_to_memory(struct attest_replay_setup *setup)
{
    setup->fall_back = true;
}

void
attest_replay_setup_believe_start(struct attest_replay_setup *setup)
{
    setup->believe_start = true;
}

static enum attest_rc
set_text(char **to, const char *text, struct attest_error *err)
{
    char *copy = slice_dup(slice_cstr(text));
    if (!copy)
        return error_set(err, ATTEST_E_NOMEM, "replay store: out of memory");
    free(*to);
    *to = copy;
    return ATTEST_OK;
}

enum attest_rc
attest_replay_setup_set_redis(struct attest_replay_setup *setup, const char *url,
                              struct attest_error *err)
{
    AUTO(redis_url) struct redis_url parts = {0};
    enum attest_rc rc = redis_url_read(url, &parts, err);
    if (rc != ATTEST_OK)
        return rc;
    struct secret copy = secret_try_copy(url, strlen(url) + 1);
    if (!copy.p)
        return error_set(err, ATTEST_E_NOMEM, "replay store: no guarded memory");
    secret_free(&setup->url);
    setup->url = copy;
    return ATTEST_OK;
}

enum attest_rc
attest_replay_setup_set_password_file(struct attest_replay_setup *setup, const char *path,
                                      struct attest_error *err)
{
    return set_text(&setup->password_file, path, err);
}

enum attest_rc
attest_replay_setup_set_ca_file(struct attest_replay_setup *setup, const char *path,
                                struct attest_error *err)
{
    return set_text(&setup->ca_file, path, err);
}

enum attest_rc
attest_replay_setup_set_timeout_ms(struct attest_replay_setup *setup, int64_t timeout_ms,
                                   struct attest_error *err)
{
    if (timeout_ms < 1 || timeout_ms > REPLAY_TIMEOUT_MAX_MS)
        return error_set(err, ATTEST_E_CONFIG, "replay store: 1 to %d ms", REPLAY_TIMEOUT_MAX_MS);
    setup->timeout_ms = (unsigned)timeout_ms;
    return ATTEST_OK;
}

enum attest_rc
attest_replay_setup_set_connections_max(struct attest_replay_setup *setup, int64_t connections,
                                        struct attest_error *err)
{
    if (connections < 1 || connections > REPLAY_CONNECTIONS_MAX)
        return error_set(err, ATTEST_E_CONFIG, "replay store: 1 to %d connections",
                         REPLAY_CONNECTIONS_MAX);
    setup->connections_max = (unsigned)connections;
    return ATTEST_OK;
}

enum attest_rc
attest_replay_new(const struct attest_replay_setup *setup, struct attest_replay **ret,
                  struct attest_error *err)
{
    struct replay_store *store = NULL;
    /* Who says how a Redis is to be used means one: not each process by itself, in silence. */
    if (!setup->url.p && (setup->password_file || setup->ca_file || setup->timeout_ms ||
                          setup->connections_max || setup->fall_back || setup->believe_start))
        return error_set(err, ATTEST_E_CONFIG, "replay store: no Redis is named");
    const struct replay_redis redis = {
        .url = (const char *)setup->url.p,
        .password_file = setup->password_file,
        .ca_file = setup->ca_file,
        .timeout_ms = setup->timeout_ms ? setup->timeout_ms : REPLAY_TIMEOUT_DEFAULT_MS,
        .connections_max =
            setup->connections_max ? setup->connections_max : REPLAY_CONNECTIONS_DEFAULT,
        .memory_max = setup->fall_back ? setup->entries_max : 0,
        .full = setup->full,
        .believe_start = setup->believe_start,
    };
    enum attest_rc rc = setup->url.p
                            ? replay_redis_new(&redis, &store, err)
                            : replay_memory_new(setup->entries_max, setup->full, &store, err);
    return rc == ATTEST_OK ? replay_wrap(store, ret, err) : rc;
}
