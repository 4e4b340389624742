/* SPDX-License-Identifier: MIT */
#include "replay/redis_server.h"

#include <inttypes.h>
#include <string.h>

#include "base/ed25519.h"
#include "replay/replay.h"

#define ID_LEN 40
#define NONCE_LEN 16
#define EPOCH "1"
#define EPOCH_UNTOUCHED "1s"

/* Cuts the first line, without its end, off text. */
static struct slice
next_line(struct slice *text)
{
    const char *end = memchr(text->p, '\n', text->len);
    size_t len = end ? (size_t)(end - text->p) : text->len;
    struct slice line = {text->p, len};
    text->p += end ? len + 1 : len;
    text->len -= end ? len + 1 : len;
    if (line.len && line.p[line.len - 1] == '\r')
        line.len--;
    return line;
}

static bool
find_field(struct slice info, const char *name, struct slice *ret)
{
    size_t name_len = strlen(name);
    while (info.len) {
        struct slice line = next_line(&info);
        if (line.len > name_len && line.p[name_len] == ':' && memcmp(line.p, name, name_len) == 0) {
            *ret = (struct slice){line.p + name_len + 1, line.len - name_len - 1};
            return true;
        }
    }
    return false;
}

static bool
id_ok(struct slice id)
{
    if (id.len != ID_LEN)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        if (!strchr("0123456789abcdef", id.p[i]) || !id.p[i])
            return false;
    }
    return true;
}

static bool
field_is(struct slice info, const char *name, const char *value)
{
    struct slice found;
    return find_field(info, name, &found) && slice_is(found, value);
}

static bool
read_number(struct slice text, size_t len_max, int64_t *ret)
{
    int64_t n = 0;
    if (text.len == 0 || text.len > len_max)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        n = n * 10 + (text.p[i] - '0');
    }
    *ret = n;
    return true;
}

/*
 * Each write counts as a change until it is saved, and emptying what holds something is one; some
 * ways to empty it save it at once. A start counts as saved.
 */
static void
read_start(struct slice info, struct redis_server *server)
{
    struct slice uptime, saved;
    int64_t up_s, saved_s;
    if (!find_field(info, "uptime_in_seconds", &uptime) || !read_number(uptime, 12, &up_s) ||
        !find_field(info, "rdb_last_save_time", &saved) || !read_number(saved, 12, &saved_s))
        return;
    server->start_s = server->now_ms / 1000 - up_s;
    server->untouched = server->fresh && field_is(info, "rdb_changes_since_last_save", "0") &&
                        field_is(info, "rdb_saves", "0") && saved_s <= server->start_s + 1 &&
                        server->start_s > 0;
}

enum attest_rc
redis_server_read(struct slice info, struct redis_server *ret, struct attest_error *err)
{
    struct slice run, role, policy, replication, clock;
    int64_t now_us;
    if (!find_field(info, "run_id", &run) || !id_ok(run))
        return error_set(err, ATTEST_E_UNSUPPORTED, "replay store: INFO without run_id");
    if (!find_field(info, "role", &role))
        return error_set(err, ATTEST_E_UNSUPPORTED, "replay store: INFO without role");
    if (!find_field(info, "maxmemory_policy", &policy) || policy.len >= sizeof(ret->policy))
        return error_set(err, ATTEST_E_UNSUPPORTED, "replay store: INFO without maxmemory_policy");
    if (!find_field(info, "server_time_usec", &clock) || !read_number(clock, 18, &now_us))
        return error_set(err, ATTEST_E_UNSUPPORTED, "replay store: INFO without server_time_usec");
    if (!find_field(info, "master_replid", &replication) || !id_ok(replication))
        replication = slice_cstr("-");
    snprintf(ret->identity, sizeof(ret->identity), "%.*s.%.*s", SLICE_ARG(run),
             SLICE_ARG(replication));
    snprintf(ret->policy, sizeof(ret->policy), "%.*s", SLICE_ARG(policy));
    ret->replica = !slice_is(role, "master");
    /* How much it loaded from an append-only file, and how old that was, nothing says. */
    ret->fresh = field_is(info, "rdb_last_load_keys_loaded", "0") &&
                 field_is(info, "aof_enabled", "0") &&
                 field_is(info, "master_replid2", "0000000000000000000000000000000000000000");
    ret->now_ms = now_us / 1000;
    ret->untouched = false;
    read_start(info, ret);
    return ATTEST_OK;
}

enum attest_rc
redis_server_fit(const struct redis_server *server, int64_t now_s, struct attest_error *err)
{
    int64_t ahead_s = server->now_ms / 1000 - now_s;
    if (server->replica)
        return error_set(err, ATTEST_E_CONFIG, "replay store: this Redis is a replica");
    if (strcmp(server->policy, "noeviction") != 0)
        return error_set(err, ATTEST_E_CONFIG,
                         "replay store: maxmemory-policy %s would forget tokens; set noeviction",
                         server->policy);
    if (ahead_s > REPLAY_CLOCKS_APART_MAX_S || ahead_s < -REPLAY_CLOCKS_APART_MAX_S)
        return error_set(err, ATTEST_E_CONFIG,
                         "replay store: the clock of Redis is %" PRId64 " s %s ours",
                         ahead_s < 0 ? -ahead_s : ahead_s, ahead_s < 0 ? "behind" : "ahead of");
    return ATTEST_OK;
}

int
redis_clock_step(const struct redis_clock *before, const struct redis_clock *after)
{
    int64_t passed_ms = after->boot_ms - before->boot_ms;
    int64_t step_ms = after->server_ms - before->server_ms - passed_ms;
    int64_t slack_ms = REDIS_CLOCK_SLACK_MS + passed_ms / 1000;
    return step_ms > slack_ms ? 1 : step_ms < -slack_ms ? -1 : 0;
}

static bool
cut_word(struct slice *text, struct slice *ret)
{
    const char *end = memchr(text->p, ' ', text->len);
    if (!end)
        return false;
    *ret = (struct slice){text->p, (size_t)(end - text->p)};
    text->p = end + 1;
    text->len -= ret->len + 1;
    return ret->len > 0;
}

bool
redis_epoch_read(struct slice text, struct redis_epoch *ret)
{
    struct slice version, since, start, identity;
    if (text.len > REDIS_EPOCH_MAX || !cut_word(&text, &version) || !cut_word(&text, &since) ||
        !read_number(since, 12, &ret->since_s))
        return false;
    ret->start_s = 0;
    if (slice_is(version, EPOCH_UNTOUCHED)
            ? !cut_word(&text, &start) || !read_number(start, 12, &ret->start_s)
            : !slice_is(version, EPOCH))
        return false;
    if (!cut_word(&text, &identity) || identity.len > REDIS_IDENTITY_MAX ||
        text.len != 2 * NONCE_LEN)
        return false;
    memcpy(ret->identity, identity.p, identity.len);
    ret->identity[identity.len] = '\0';
    return true;
}

void
redis_epoch_write(char out[REDIS_EPOCH_MAX + 1], const struct redis_epoch *epoch)
{
    uint8_t nonce[NONCE_LEN];
    char hex[2 * NONCE_LEN + 1];
    random_bytes(nonce, sizeof(nonce));
    hex_encode(hex, nonce, sizeof(nonce));
    int n = snprintf(out, REDIS_EPOCH_MAX + 1, "%s %" PRId64 " ",
                     epoch->start_s ? EPOCH_UNTOUCHED : EPOCH, epoch->since_s);
    if (epoch->start_s)
        n += snprintf(out + n, REDIS_EPOCH_MAX + 1 - (size_t)n, "%" PRId64 " ", epoch->start_s);
    snprintf(out + n, REDIS_EPOCH_MAX + 1 - (size_t)n, "%s %s", epoch->identity, hex);
}
