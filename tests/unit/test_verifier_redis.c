/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <attest/attest.h>

#include "support/child.h"
#include "support/mint.h"
#include "support/need.h"
#include "support/relay.h"
#include "support/replay_store.h"
#include "verify/policy.h"
#include "verify/replay_api.h"
#include "verify/verifier.h"

/* A verifier over a real Redis: what a loss of its memory means for tokens and proofs. */

static struct mint_key key;
static _Atomic int64_t ahead_s; /* of the verifiers' clock */

static int
set_up(void **state)
{
    (void)state;
    mint_key_init(&key, 1);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    mint_key_done(&key);
    return 0;
}

static int64_t
own_clock(void *ctx)
{
    (void)ctx;
    return clock_wall_s() + atomic_load(&ahead_s);
}

/* One server that verifies. */
struct side {
    struct attest_replay *replay;
    struct attest_verifier *v;
};

DEFINE_AUTO(attest_replay_setup, struct attest_replay_setup *, attest_replay_setup_free);

static void
open_side(struct side *side, const char *url)
{
    AUTO(attest_replay_setup) struct attest_replay_setup *setup = NULL;
    AUTO(attest_policy) struct attest_policy *policy = NULL;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    char *jwks AUTO(mem) = mint_jwks(&key);
    assert_int_equal(attest_replay_setup_new(&setup, NULL), ATTEST_OK);
    assert_int_equal(attest_replay_setup_set_redis(setup, url, NULL), ATTEST_OK);
    assert_int_equal(attest_replay_setup_set_timeout_ms(setup, 40000, NULL), ATTEST_OK);
    assert_int_equal(attest_replay_setup_set_connections_max(setup, 1, NULL), ATTEST_OK);
    assert_int_equal(attest_replay_new(setup, &side->replay, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_new(&policy, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(policy, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(policy, MINT_ISSUER, ATTEST_TRUST_PROVIDER, NULL), 0);
    assert_int_equal(attest_policy_freeze(policy, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new(policy, keys, side->replay, &side->v, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_set_clock(side->v, own_clock, NULL, NULL), ATTEST_OK);
}

static void
close_side(struct side *side)
{
    attest_verifier_free(side->v);
    attest_replay_free(side->replay);
}

/* What an agent shows. */
struct shown {
    char token[2048], proof[1024]; /* proof "": none */
};

static void
keep(char *at, size_t size, char *text)
{
    assert_true(strlen(text) < size);
    memcpy(at, text, strlen(text) + 1);
    free(text);
}

/* Each token is another one, each proof of another agent. */
static void
mint(struct shown *shown, int64_t iat, int64_t nbf, int64_t proof_exp)
{
    static uint8_t n = 1;
    struct mint_object payload;
    struct mint_key agent;
    char number[4][32], jti[48];
    mint_key_init(&agent, ++n);
    char *cnf AUTO(mem) = mint_cnf(&agent);
    snprintf(number[0], sizeof(number[0]), "%lld", (long long)iat);
    snprintf(number[1], sizeof(number[1]), "%lld", (long long)nbf);
    snprintf(number[2], sizeof(number[2]), "%lld", (long long)iat + 300);
    snprintf(number[3], sizeof(number[3]), "%lld", (long long)proof_exp);
    snprintf(jti, sizeof(jti), "\"%08d-4a5f-4d7e-9c33-0a1b2c3d4e5f\"", n);
    mint_payload(&payload);
    mint_set(&payload, "iat", number[0]);
    mint_set(&payload, "nbf", number[1]);
    mint_set(&payload, "exp", number[2]);
    mint_set(&payload, "jti", jti);
    if (proof_exp)
        mint_set(&payload, "cnf", cnf);
    keep(shown->token, sizeof(shown->token), mint_token(&key, NULL, &payload));
    shown->proof[0] = '\0';
    if (proof_exp)
        keep(shown->proof, sizeof(shown->proof),
             mint_proof(&agent, shown->token, "exp", number[3]));
    mint_key_done(&agent);
}

static void
mint_now(struct shown *shown)
{
    int64_t now = own_clock(NULL);
    mint(shown, now, now, 0);
}

static enum attest_rc
check(const struct side *side, const struct shown *shown)
{
    struct attest_result *result = NULL;
    size_t proof_len = strlen(shown->proof);
    enum attest_rc rc = attest_verifier_check(side->v, shown->token, strlen(shown->token),
                                              proof_len ? shown->proof : NULL, proof_len, &result);
    attest_result_free(result);
    return rc;
}

/* ---- a child ---- */

struct asking {
    const struct side *side;
    struct shown shown;
    enum attest_rc rc;
    pthread_t thread;
};

static void *
ask(void *arg)
{
    struct asking *asking = arg;
    asking->rc = check(asking->side, &asking->shown);
    return NULL;
}

static bool
child_can_free(struct side *side)
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(15);
        close_side(side);
        child_exit(true);
    }
    return pid > 0 && child_was_good(pid);
}

/* A child that frees what it inherited waits for no thread of its parent, and ends no connection
 * of it. */
static void
test_child_frees(void **state)
{
    (void)state;
    struct redis_server_run server;
    struct side side;
    struct asking asking[2];
    begin(&server, NULL, true);
    open_side(&side, server.url);
    assert_true(child_can_free(&side));
    kill(server.pid, SIGSTOP);
    for (int i = 0; i < 2; i++) { /* one has the connection, the other waits for it */
        asking[i].side = &side;
        mint_now(&asking[i].shown);
        assert_int_equal(pthread_create(&asking[i].thread, NULL, ask, &asking[i]), 0);
    }
    usleep(200000);
    bool freed = child_can_free(&side);
    kill(server.pid, SIGCONT);
    for (int i = 0; i < 2; i++) {
        pthread_join(asking[i].thread, NULL);
        assert_int_equal(asking[i].rc, ATTEST_OK);
    }
    assert_true(freed);
    assert_int_equal(check(&side, &asking[0].shown), ATTEST_E_REPLAY);
    assert_int_equal(attest_replay_count(side.replay, ATTEST_REPLAY_CONNECTS), 1);
    close_side(&side);
    redis_done(&server);
}

/* ---- what was lost ---- */

enum { SKEW_S = 30, MARGIN_S = SKEW_S + REPLAY_CLOCKS_APART_MAX_S, BEFORE = 4 };

/* A master and, where it has a port, one that replicates it; `current` names who is asked. */
struct pair {
    struct redis_server_run master, replica;
    char port[8], current[96], url[112];
};

static void
point_to(struct pair *pair, const struct redis_server_run *server)
{
    unlink(pair->current);
    assert_int_equal(symlink(server->path, pair->current), 0);
}

static bool
has_entries(const struct redis_server_run *server, int n)
{
    return redis_command(server, "EVAL return(redis.call('DBSIZE')==%d)and'OK'or{err='other'} 0",
                         n);
}

static void
wait_for_entries(const struct redis_server_run *server, int n)
{
    for (int i = 0; i < 400 && !has_entries(server, n); i++)
        usleep(25000);
    assert_true(has_entries(server, n));
}

static void
begin_pair(struct pair *pair)
{
    const char *const more[] = {
        "--port", pair->port, "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0", NULL};
    random_port(pair->port);
    begin(&pair->replica, NULL, false);
    begin(&pair->master, more, true);
    assert_true(redis_command(&pair->replica, "REPLICAOF 127.0.0.1 %s", pair->port));
    wait_for_entries(&pair->replica, 1);
    snprintf(pair->current, sizeof(pair->current), "%s/current", pair->master.dir);
    snprintf(pair->url, sizeof(pair->url), "unix://%s", pair->current);
    point_to(pair, &pair->master);
    atomic_store(&ahead_s, 0);
}

static void
end_pair(struct pair *pair)
{
    unlink(pair->current);
    redis_done(&pair->master);
    redis_done(&pair->replica);
}

static void
nothing(struct pair *pair)
{
    (void)pair;
}

static void
flush_it(struct pair *pair)
{
    assert_true(redis_command(&pair->master, "FLUSHALL"));
}

/* Refused while the child that fed the replica has not been waited for. */
static void
save_it(struct pair *pair)
{
    bool saved = false;
    for (int i = 0; i < 400 && !saved; i++) {
        saved = redis_command(&pair->master, "SAVE");
        usleep(saved ? 0 : 25000);
    }
    assert_true(saved);
}

static void
kill_and_start(struct pair *pair)
{
    redis_stop(&pair->master);
    assert_true(redis_start(&pair->master, NULL));
    assert_true(has_entries(&pair->master, 1 + BEFORE / 2));
}

/* From here on what the master says OK to does not reach the replica. */
static void
cut_off(struct pair *pair)
{
    wait_for_entries(&pair->replica, 1 + BEFORE / 2);
    assert_true(redis_command(&pair->replica, "REPLICAOF 127.0.0.1 1"));
}

static void
fail_over(struct pair *pair)
{
    assert_true(has_entries(&pair->master, 1 + BEFORE));
    redis_stop(&pair->master);
    assert_true(redis_command(&pair->replica, "REPLICAOF NO ONE"));
    assert_true(has_entries(&pair->replica, 1 + BEFORE / 2));
    point_to(pair, &pair->replica);
}

/* To where what was issued behind a loss is accepted, with a clock that is as far ahead as may be.
 */
static void
go_behind(int64_t lost_s)
{
    atomic_store(&ahead_s, REPLAY_CLOCKS_APART_MAX_S - 10);
    while (own_clock(NULL) + SKEW_S <= lost_s + MARGIN_S)
        usleep(50000);
}

static void
mint_behind(struct shown *shown, int64_t lost_s)
{
    go_behind(lost_s);
    mint(shown, lost_s + MARGIN_S + 1, lost_s + MARGIN_S + 1, 0);
}

/* The first second that could not have been before the loss, for tokens by the later of iat and
 * nbf, for proofs by the longest life. */
static void
check_edges(struct side *a, struct side *b, int64_t lost_s)
{
    static const struct {
        int iat, nbf, proof_exp;
        enum attest_rc rc;
    } cases[] = {
        {MARGIN_S, MARGIN_S, 0, ATTEST_E_REPLAY_STORE}, {MARGIN_S + 1, MARGIN_S + 1, 0, ATTEST_OK},
        {MARGIN_S + 1, MARGIN_S, 0, ATTEST_OK},         {MARGIN_S, MARGIN_S + 1, 0, ATTEST_OK},
        {0, 0, MARGIN_S + 60, ATTEST_E_REPLAY_STORE},   {0, 0, MARGIN_S + 61, ATTEST_OK},
    };
    go_behind(lost_s);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct shown shown;
        mint(&shown, lost_s + cases[i].iat, lost_s + cases[i].nbf,
             cases[i].proof_exp ? lost_s + cases[i].proof_exp : 0);
        enum attest_rc rc = check(a, &shown);
        if (rc != cases[i].rc)
            fail_msg("case %zu: %d", i, rc);
        enum attest_rc again = rc == ATTEST_OK ? ATTEST_E_REPLAY : rc;
        assert_int_equal(check(a, &shown), again);
        assert_int_equal(check(b, &shown), again);
    }
}

static void
check_loss(void (*prepare)(struct pair *pair), void (*strike)(struct pair *pair))
{
    struct pair pair;
    struct side a, b;
    struct shown before[BEFORE];
    begin_pair(&pair);
    open_side(&a, pair.url);
    for (int i = 0; i < BEFORE; i++) {
        int64_t now = own_clock(NULL);
        mint(&before[i], now, now, i % 2 ? now + 30 : 0);
        if (i == BEFORE / 2)
            prepare(&pair);
        assert_int_equal(check(&a, &before[i]), ATTEST_OK);
        assert_int_equal(check(&a, &before[i]), ATTEST_E_REPLAY);
    }
    strike(&pair);
    for (int i = 0; i < 400 && attest_replay_count(a.replay, ATTEST_REPLAY_LOSSES) == 0; i++) {
        assert_int_equal(check(&a, &before[i % BEFORE]), ATTEST_E_REPLAY_STORE);
        usleep(10000);
    }
    assert_int_equal(attest_replay_count(a.replay, ATTEST_REPLAY_LOSSES), 1);
    open_side(&b, pair.url); /* one that was not there */
    for (int i = 0; i < BEFORE; i++) {
        assert_int_equal(check(&a, &before[i]), ATTEST_E_REPLAY_STORE);
        assert_int_equal(check(&b, &before[i]), ATTEST_E_REPLAY_STORE);
    }
    int64_t lost_s = attest_replay_lost_at_s(a.replay);
    assert_int_equal(attest_replay_lost_at_s(b.replay), lost_s);
    check_edges(&a, &b, lost_s);
    close_side(&a);
    close_side(&b);
    end_pair(&pair);
}

static void
test_flushed(void **state)
{
    (void)state;
    check_loss(nothing, flush_it);
}

/* It comes back with the epoch, and without what came after the file. */
static void
test_killed_and_started(void **state)
{
    (void)state;
    check_loss(save_it, kill_and_start);
}

/* The replica has the epoch, and lacks what the master had accepted last. */
static void
test_failed_over_to_one_that_lags(void **state)
{
    (void)state;
    check_loss(cut_off, fail_over);
}

/* ---- limits, as they are documented ---- */

/* Two masters are two memories: once in each, for what is issued well behind the promotion. One
 * that must have a replica takes no writes. */
static void
test_the_old_master_serves_on(void **state)
{
    (void)state;
    struct pair pair;
    struct side old, promoted;
    struct shown before, behind, last;
    begin_pair(&pair);
    open_side(&old, pair.master.url);
    mint_now(&before);
    assert_int_equal(check(&old, &before), ATTEST_OK);
    assert_true(redis_command(&pair.replica, "REPLICAOF NO ONE"));
    open_side(&promoted, pair.replica.url);
    assert_int_equal(check(&promoted, &before), ATTEST_E_REPLAY_STORE);
    assert_int_equal(check(&old, &before), ATTEST_E_REPLAY);
    mint_behind(&behind, attest_replay_lost_at_s(promoted.replay));
    assert_int_equal(check(&old, &behind), ATTEST_OK);
    assert_int_equal(check(&promoted, &behind), ATTEST_OK);
    assert_int_equal(check(&old, &behind), ATTEST_E_REPLAY);
    assert_int_equal(check(&promoted, &behind), ATTEST_E_REPLAY);
    assert_true(redis_command(&pair.master, "CONFIG SET min-replicas-to-write 1"));
    mint_behind(&last, attest_replay_lost_at_s(promoted.replay));
    assert_int_equal(check(&old, &last), ATTEST_E_REPLAY_STORE);
    assert_int_equal(check(&promoted, &last), ATTEST_OK);
    close_side(&old);
    close_side(&promoted);
    end_pair(&pair);
}

/*
 * A failover that shows in nothing until the next look, because whoever stands between keeps the
 * connections: what had reached the replica is known, and what had not may pass, once.
 */
static void
test_a_failover_that_is_not_seen(void **state)
{
    (void)state;
    enum { WITHIN = BEFORE / 2 };
    struct pair pair;
    struct side a, late;
    struct shown before[BEFORE];
    char path[96], url[112];
    unsigned again = 0;
    begin_pair(&pair);
    snprintf(path, sizeof(path), "%s/relay", pair.master.dir);
    snprintf(url, sizeof(url), "unix://%s", path);
    struct relay relay = {.path = path, .backs = {pair.master.path, pair.replica.path}};
    assert_true(relay_start(&relay));
    open_side(&a, url);
    for (int i = 0; i < BEFORE; i++) {
        if (i == WITHIN) {
            cut_off(&pair);
            usleep(1100000); /* so that the next look is now, and the one behind it in a second */
        }
        mint_now(&before[i]);
        assert_int_equal(check(&a, &before[i]), ATTEST_OK);
    }
    assert_true(redis_command(&pair.replica, "REPLICAOF NO ONE"));
    atomic_store(&relay.to, 1);
    for (int n = 0; n < 400 && attest_replay_count(a.replay, ATTEST_REPLAY_LOSSES) == 0; n++) {
        for (int i = 0; i < BEFORE; i++) {
            enum attest_rc rc = check(&a, &before[i]);
            again += rc == ATTEST_OK;
            assert_true(rc == ATTEST_E_REPLAY || rc == ATTEST_E_REPLAY_STORE ||
                        (rc == ATTEST_OK && i >= WITHIN));
        }
        usleep(10000);
    }
    assert_in_range(again, 0, BEFORE - WITHIN);
    assert_int_equal(attest_replay_count(a.replay, ATTEST_REPLAY_LOSSES), 1);
    assert_int_equal(attest_replay_count(a.replay, ATTEST_REPLAY_CONNECTS), 1);
    open_side(&late, pair.replica.url);
    for (int i = 0; i < BEFORE; i++) {
        assert_int_equal(check(&a, &before[i]), ATTEST_E_REPLAY_STORE);
        assert_int_equal(check(&late, &before[i]), ATTEST_E_REPLAY_STORE);
    }
    print_message("%u of %d that had not reached the replica passed again\n", again,
                  BEFORE - WITHIN);
    close_side(&a);
    close_side(&late);
    relay_stop(&relay);
    end_pair(&pair);
}

/* Databases exchanged, and exchanged back: who was there notices both, who was not takes the first
 * memory for whole. */
static void
test_databases_exchanged(void **state)
{
    (void)state;
    struct redis_server_run server;
    struct side there, late;
    struct shown before, between;
    atomic_store(&ahead_s, 0);
    begin(&server, NULL, true);
    open_side(&there, server.url);
    mint_now(&before);
    assert_int_equal(check(&there, &before), ATTEST_OK);
    assert_true(redis_command(&server, "SWAPDB 0 1"));
    assert_int_equal(check(&there, &before), ATTEST_E_REPLAY_STORE);
    mint_behind(&between, attest_replay_lost_at_s(there.replay));
    assert_int_equal(check(&there, &between), ATTEST_OK);
    assert_true(redis_command(&server, "SWAPDB 0 1"));
    open_side(&late, server.url);
    assert_int_equal(check(&late, &before), ATTEST_E_REPLAY);
    assert_int_equal(check(&late, &between), ATTEST_OK);
    assert_int_equal(check(&there, &between), ATTEST_E_REPLAY_STORE);
    assert_int_equal(attest_replay_count(there.replay, ATTEST_REPLAY_LOSSES), 2);
    close_side(&there);
    close_side(&late);
    redis_done(&server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_frees),
        cmocka_unit_test(test_flushed),
        cmocka_unit_test(test_killed_and_started),
        cmocka_unit_test(test_failed_over_to_one_that_lags),
        cmocka_unit_test(test_the_old_master_serves_on),
        cmocka_unit_test(test_a_failover_that_is_not_seen),
        cmocka_unit_test(test_databases_exchanged),
    };
    need_redis();
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
