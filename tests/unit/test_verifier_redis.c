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
    attest_verifier_set_clock(side->v, own_clock, NULL);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_frees),
    };
    need_redis();
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
