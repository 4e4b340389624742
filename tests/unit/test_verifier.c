/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "support/child.h"
#include "support/mint.h"
#include "support/samejson.h"
#include "verify/keys.h"
#include "verify/policy.h"
#include "verify/verifier.h"

#include <attest/attest.h>

static struct mint_key key, agent_key;
static int64_t clock_s;

static int64_t
test_clock(void *ctx)
{
    (void)ctx;
    return clock_s;
}

static struct attest_keys *
new_keys(void)
{
    struct attest_keys *keys = NULL;
    char *jwks AUTO(mem) = mint_jwks(&key);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL), ATTEST_OK);
    return keys;
}

static struct attest_policy *
new_policy(enum attest_mode mode)
{
    struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, MINT_ISSUER, ATTEST_TRUST_PROVIDER, NULL), 0);
    assert_int_equal(attest_policy_set_mode(p, mode, NULL), ATTEST_OK);
    return p;
}

static struct attest_verifier *
make_verifier(struct attest_policy *policy, struct attest_replay *replay)
{
    AUTO(attest_policy) struct attest_policy *p = policy;
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    struct attest_verifier *v = NULL;
    if (!policy_frozen(p))
        assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new(p, keys, replay, &v, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_set_clock(v, test_clock, NULL, NULL), ATTEST_OK);
    return v;
}

static struct attest_verifier *
new_verifier(enum attest_mode mode)
{
    clock_s = MINT_NOW;
    return make_verifier(new_policy(mode), NULL);
}

static char *
token_with(const char *name, const char *json)
{
    struct mint_object payload;
    mint_payload(&payload);
    if (name)
        mint_set(&payload, name, json);
    return mint_token(&key, NULL, &payload);
}

static enum attest_rc
check(struct attest_verifier *v, const char *token, const char *proof)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    enum attest_rc rc = attest_verifier_check(v, token, token ? strlen(token) : 0, proof,
                                              proof ? strlen(proof) : 0, &result);
    if (!result)
        return rc;
    assert_int_equal(attest_result_allowed(result), rc == ATTEST_OK);
    return attest_result_error_code(result);
}

static void
test_verdict(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(ATTEST_MODE_REQUIRED);
    AUTO(attest_result) struct attest_result *r = NULL;
    char *token AUTO(mem) = token_with(NULL, NULL);
    assert_int_equal(attest_verifier_check(v, token, strlen(token), NULL, 0, &r), ATTEST_OK);
    assert_true(attest_result_verified(r));
    assert_true(attest_result_allowed(r));
    assert_int_equal(attest_result_trust(r), ATTEST_TRUST_PROVIDER);
    assert_string_equal(attest_result_issuer(r), MINT_ISSUER);
    assert_string_equal(attest_result_subject(r), "spiffe://ai.example.com/model/claude-sonnet-4");
    assert_string_equal(attest_claims_provider(attest_result_claims(r)), "anthropic");
    static const char *const names[] = {
        "iss", "sub", "aud", "iat", "nbf", "exp", "jti", "agent_identity", "attestation_metadata"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(attest_result_verified_claim(r, i), names[i]);
    assert_null(attest_result_verified_claim(r, ARRAY_LEN(names)));
    assert_int_equal(attest_result_error_code(r), ATTEST_OK);
    assert_string_equal(attest_result_error(r), "");
    assert_int_equal(attest_result_rpc_code(r), 0);
    assert_false(attest_result_retry(r));
}

static void
test_verdict_json(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(ATTEST_MODE_REQUIRED);
    AUTO(attest_result) struct attest_result *good = NULL;
    AUTO(attest_result) struct attest_result *bad = NULL;
    struct mint_object payload;
    char expected[2048];
    mint_payload(&payload);
    char *claims AUTO(mem) = mint_json(&payload);
    char *token AUTO(mem) = mint_token(&key, NULL, &payload);
    assert_int_equal(attest_verifier_check(v, token, strlen(token), NULL, 0, &good), ATTEST_OK);
    char *text AUTO(mem) = attest_result_to_json(good);
    snprintf(expected, sizeof(expected),
             "{\"verified\":true,\"allowed\":true,\"trust_level\":\"provider\",\"issuer\":\"%s\","
             "\"subject\":\"spiffe://ai.example.com/model/claude-sonnet-4\",\"claims\":%s,"
             "\"verified_claims\":[\"iss\",\"sub\",\"aud\",\"iat\",\"nbf\",\"exp\",\"jti\","
             "\"agent_identity\",\"attestation_metadata\"],\"error\":null,\"error_code\":null,"
             "\"rpc_code\":null}",
             MINT_ISSUER, claims);
    assert_true(same_json(text, expected));
    assert_int_equal(attest_verifier_check(v, token, strlen(token), NULL, 0, &bad),
                     ATTEST_E_REPLAY);
    char *refused AUTO(mem) = attest_result_to_json(bad);
    snprintf(expected, sizeof(expected),
             "{\"verified\":false,\"allowed\":false,\"trust_level\":\"none\",\"issuer\":null,"
             "\"subject\":null,\"claims\":null,\"verified_claims\":[],\"error\":\"%s\","
             "\"error_code\":1006,\"rpc_code\":-32004}",
             attest_result_error(bad));
    assert_true(same_json(refused, expected));
}

struct events {
    unsigned n, refused;
    enum attest_rc last;
};

static void
count_event(void *ctx, const struct attest_event *event)
{
    struct events *events = ctx;
    const struct attest_result *result = attest_event_result(event);
    events->refused += attest_event_kind(event) == ATTEST_EVENT_REFUSED;
    if (attest_event_kind(event) != ATTEST_EVENT_ALLOWED_UNVERIFIED)
        return;
    assert_false(attest_result_verified(result));
    assert_true(attest_result_allowed(result));
    events->n++;
    events->last = attest_result_error_code(result);
}

/* Mode decides what is allowed, never what is verified or why not. */
static void
test_modes(void **state)
{
    (void)state;
    static const struct {
        enum attest_mode mode;
        bool allowed;
        unsigned events;
    } cases[] = {
        {ATTEST_MODE_REQUIRED, false, 0},
        {ATTEST_MODE_PREFERRED, true, 2},
        {ATTEST_MODE_OPTIONAL, true, 0},
    };
    char *token AUTO(mem) = token_with(NULL, NULL);
    char *bad AUTO(mem) = token_with("aud", "\"https://x.example\"");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(attest_verifier) struct attest_verifier *v = new_verifier(cases[i].mode);
        struct events events = {0};
        assert_int_equal(attest_verifier_on_event(v, count_event, &events, NULL), ATTEST_OK);
        assert_int_equal(check(v, token, NULL), ATTEST_OK);
        AUTO(attest_result) struct attest_result *none = NULL;
        AUTO(attest_result) struct attest_result *wrong = NULL;
        assert_int_equal(attest_verifier_check(v, NULL, 0, NULL, 0, &none),
                         cases[i].allowed ? ATTEST_OK : ATTEST_E_REQUIRED);
        assert_int_equal(attest_verifier_check(v, bad, strlen(bad), NULL, 0, &wrong),
                         cases[i].allowed ? ATTEST_OK : ATTEST_E_AUDIENCE);
        assert_int_equal(attest_result_error_code(none), ATTEST_E_REQUIRED);
        assert_int_equal(attest_result_rpc_code(none), -32001);
        assert_int_equal(attest_result_error_code(wrong), ATTEST_E_AUDIENCE);
        assert_false(attest_result_verified(wrong));
        assert_int_equal(attest_result_trust(wrong), ATTEST_TRUST_NONE);
        assert_null(attest_result_claims(wrong));
        assert_int_equal(events.n, cases[i].events);
        assert_int_equal(events.refused, 2);
        if (events.n)
            assert_int_equal(events.last, ATTEST_E_AUDIENCE);
    }
}

static void
test_replay(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(ATTEST_MODE_REQUIRED);
    char *token AUTO(mem) = token_with(NULL, NULL);
    char *another AUTO(mem) = token_with("jti", "\"22222222-4a5f-4d7e-9c33-0a1b2c3d4e5f\"");
    assert_int_equal(check(v, token, NULL), ATTEST_OK);
    assert_int_equal(check(v, token, NULL), ATTEST_E_REPLAY);
    assert_int_equal(check(v, another, NULL), ATTEST_OK);
    clock_s = MINT_NOW + 329;
    assert_int_equal(check(v, token, NULL), ATTEST_E_REPLAY);
    clock_s = MINT_NOW + 330;
    assert_int_equal(check(v, token, NULL), ATTEST_E_EXPIRED);
    /* A clock set back brings nothing back to life. */
    clock_s = MINT_NOW + 400;
    assert_int_equal(check(v, token, NULL), ATTEST_E_EXPIRED);
    clock_s = MINT_NOW;
    assert_int_equal(check(v, token, NULL), ATTEST_E_EXPIRED);
}

/* At the edge: expired by the clock, then the clock goes back by just the skew. */
static void
test_clock_back_by_the_skew(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(ATTEST_MODE_REQUIRED);
    char *token AUTO(mem) = token_with(NULL, NULL);
    assert_int_equal(check(v, token, NULL), ATTEST_OK);
    for (int64_t ahead = 300; ahead < 500; ahead++) {
        clock_s = MINT_NOW + ahead;
        assert_int_not_equal(check(v, token, NULL), ATTEST_OK);
        clock_s = MINT_NOW;
        assert_int_not_equal(check(v, token, NULL), ATTEST_OK);
    }
}

/* What is refused for another reason is not consumed. */
static void
test_refused_is_not_consumed(void **state)
{
    (void)state;
    AUTO(attest_replay) struct attest_replay *replay = NULL;
    assert_int_equal(attest_replay_new_memory(100, &replay, NULL), ATTEST_OK);
    struct attest_policy *strict = new_policy(ATTEST_MODE_REQUIRED);
    assert_int_equal(attest_policy_set_safety_min(strict, ATTEST_SAFETY_ENHANCED, NULL), 0);
    clock_s = MINT_NOW;
    AUTO(attest_verifier) struct attest_verifier *a = make_verifier(strict, replay);
    AUTO(attest_verifier)
    struct attest_verifier *b = make_verifier(new_policy(ATTEST_MODE_REQUIRED), replay);
    char *token AUTO(mem) = token_with(NULL, NULL);
    assert_int_equal(check(a, token, NULL), ATTEST_E_POLICY);
    assert_int_equal(check(b, token, NULL), ATTEST_OK);
    assert_int_equal(check(b, token, NULL), ATTEST_E_REPLAY);
    assert_int_equal(check(a, token, NULL), ATTEST_E_POLICY);
}

static void
test_full_store_fails_closed(void **state)
{
    (void)state;
    AUTO(attest_replay) struct attest_replay *replay = NULL;
    assert_int_equal(attest_replay_new_memory(1, &replay, NULL), ATTEST_OK);
    clock_s = MINT_NOW;
    AUTO(attest_verifier)
    struct attest_verifier *v = make_verifier(new_policy(ATTEST_MODE_REQUIRED), replay);
    char *token AUTO(mem) = token_with(NULL, NULL);
    char *another AUTO(mem) = token_with("jti", "\"22222222-4a5f-4d7e-9c33-0a1b2c3d4e5f\"");
    AUTO(attest_result) struct attest_result *r = NULL;
    assert_int_equal(check(v, token, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_check(v, another, strlen(another), NULL, 0, &r),
                     ATTEST_E_REPLAY_STORE);
    assert_true(attest_result_retry(r));
    assert_int_equal(attest_result_rpc_code(r), -32002);
}

static void
test_bound(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(ATTEST_MODE_REQUIRED);
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    char *token AUTO(mem) = token_with("cnf", cnf);
    char *unbound AUTO(mem) = token_with(NULL, NULL);
    assert_int_equal(check(v, token, NULL), ATTEST_E_PROOF_REQUIRED);
    char *proof AUTO(mem) = mint_proof(&agent_key, token, NULL, NULL);
    char *again AUTO(mem) = mint_proof(&agent_key, token, "jti", "\"proof-2\"");
    assert_int_equal(check(v, token, proof), ATTEST_OK);
    assert_int_equal(check(v, token, proof), ATTEST_E_REPLAY);
    assert_int_equal(check(v, token, again), ATTEST_OK);
    char *extra AUTO(mem) = mint_proof(&agent_key, token, "mcp", "{\"method\":\"initialize\"}");
    assert_int_equal(check(v, token, extra), ATTEST_E_REPLAY);
    char *stolen AUTO(mem) = mint_proof(&key, token, "jti", "\"proof-3\"");
    assert_int_equal(check(v, token, stolen), ATTEST_E_PROOF);
    char *elsewhere AUTO(mem) = mint_proof(&agent_key, unbound, "jti", "\"proof-4\"");
    assert_int_equal(check(v, token, elsewhere), ATTEST_E_PROOF);
    assert_int_equal(check(v, unbound, elsewhere), ATTEST_E_PROOF);
    assert_int_equal(check(v, token, token), ATTEST_E_PROOF);
    /* A field that is there and empty is bad, not absent. */
    assert_int_equal(check(v, token, ""), ATTEST_E_PROOF);
    assert_int_equal(check(v, unbound, ""), ATTEST_E_PROOF);
    assert_int_equal(check(v, "", NULL), ATTEST_E_MALFORMED);
    assert_int_equal(check(v, unbound, NULL), ATTEST_OK);
    char longer[ATTEST_TOKEN_MAX + 2];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(check(v, longer, proof), ATTEST_E_MALFORMED);
}

/* What the policy refuses costs no proof, and says nothing of one. */
static void
test_policy_before_proof(void **state)
{
    (void)state;
    struct attest_policy *policy = new_policy(ATTEST_MODE_REQUIRED);
    assert_int_equal(attest_policy_set_safety_min(policy, ATTEST_SAFETY_ENHANCED, NULL), ATTEST_OK);
    clock_s = MINT_NOW;
    AUTO(attest_verifier) struct attest_verifier *v = make_verifier(policy, NULL);
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    char *token AUTO(mem) = token_with("cnf", cnf);
    char *stolen AUTO(mem) = mint_proof(&key, token, NULL, NULL);
    assert_int_equal(check(v, token, NULL), ATTEST_E_POLICY);
    assert_int_equal(check(v, token, stolen), ATTEST_E_POLICY);
}

static void
test_wrong_proofs(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(ATTEST_MODE_REQUIRED);
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    char *token AUTO(mem) = token_with("cnf", cnf);
    char long_jti[300];
    memset(long_jti, 'a', sizeof(long_jti));
    long_jti[0] = long_jti[258] = '"';
    long_jti[259] = '\0';
    const struct {
        const char *name, *json;
    } wrong[] = {
        {"aud", "\"https://x.example\""},
        {"aud", "[\"" MINT_AUDIENCE "\"]"},
        {"aud", NULL},
        {"exp", "1799999970"},
        {"exp", "1800000091"},
        {"exp", "\"1800000030\""},
        {"exp", "-1"},
        {"exp", "999999999999999"},
        {"exp", NULL},
        {"jti", "7"},
        {"jti", "\"\""},
        {"jti", NULL},
        {"wth", "\"AAAA\""},
        {"wth", NULL},
        {"jti", long_jti},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char *proof AUTO(mem) = mint_proof(&agent_key, token, wrong[i].name, wrong[i].json);
        if (check(v, token, proof) != ATTEST_E_PROOF)
            fail_msg("%s %s", wrong[i].name, wrong[i].json);
    }
    char *edge AUTO(mem) = mint_proof(&agent_key, token, "exp", "1800000090");
    assert_int_equal(check(v, token, edge), ATTEST_OK);
}

static void
test_fork(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(ATTEST_MODE_OPTIONAL);
    char *token AUTO(mem) = token_with(NULL, NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct attest_result *r = NULL;
        enum attest_rc rc = attest_verifier_check(v, token, strlen(token), NULL, 0, &r);
        child_exit(rc == ATTEST_E_FORKED && !r);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(check(v, token, NULL), ATTEST_OK);
}

/* What one child saw the other would not: such a store protects nobody. */
static void
test_store_from_before_fork(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = new_policy(ATTEST_MODE_REQUIRED);
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    struct attest_replay *replay = NULL;
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(attest_replay_new_memory(1000, &replay, NULL), ATTEST_OK);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct attest_verifier *v = NULL;
        enum attest_rc rc = attest_verifier_new(p, keys, replay, &v, NULL);
        child_exit(rc == ATTEST_E_FORKED && !v);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    assert_int_equal(attest_verifier_new(p, keys, replay, &v, NULL), ATTEST_OK);
    attest_replay_free(replay);
}

/* What one verifier would not take any more, another one with the same store may. */
static void
test_shared_store_of_two_skews(void **state)
{
    (void)state;
    struct attest_replay *replay = NULL;
    struct attest_policy *patient = new_policy(ATTEST_MODE_REQUIRED);
    assert_int_equal(attest_policy_set_skew_s(patient, ATTEST_SKEW_MAX_S, NULL), ATTEST_OK);
    assert_int_equal(attest_replay_new_memory(64, &replay, NULL), ATTEST_OK);
    AUTO(attest_verifier)
    struct attest_verifier *a = make_verifier(new_policy(ATTEST_MODE_REQUIRED), replay);
    AUTO(attest_verifier) struct attest_verifier *b = make_verifier(patient, replay);
    attest_replay_free(replay);
    char *token AUTO(mem) = token_with(NULL, NULL);
    char *later AUTO(mem) = token_with("exp", "1800000700");
    clock_s = MINT_NOW;
    assert_int_equal(check(a, token, NULL), ATTEST_OK);
    clock_s = MINT_NOW + 300 + 299;
    assert_int_equal(check(a, later, NULL), ATTEST_E_REPLAY); /* the same jti, still there */
    assert_int_equal(check(b, token, NULL), ATTEST_E_REPLAY);
    clock_s = MINT_NOW + 300 + 300;
    assert_int_equal(check(b, token, NULL), ATTEST_E_EXPIRED);
}

/* A policy that was read again is a new verifier: only with the old one's store is it no amnesty.
 */
static void
test_another_takes_its_place(void **state)
{
    (void)state;
    struct attest_replay *replay = NULL;
    clock_s = MINT_NOW;
    assert_int_equal(attest_replay_new_memory(64, &replay, NULL), ATTEST_OK);
    struct attest_verifier *first = make_verifier(new_policy(ATTEST_MODE_REQUIRED), replay);
    char *token AUTO(mem) = token_with(NULL, NULL);
    assert_int_equal(check(first, token, NULL), ATTEST_OK);
    AUTO(attest_verifier)
    struct attest_verifier *second = make_verifier(new_policy(ATTEST_MODE_REQUIRED), replay);
    attest_replay_free(replay);
    attest_verifier_free(first);
    assert_int_equal(check(second, token, NULL), ATTEST_E_REPLAY);
}

static void
test_building(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = new_policy(ATTEST_MODE_REQUIRED);
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    AUTO(attest_keys) struct attest_keys *none = NULL;
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    char *jwks AUTO(mem) = mint_jwks(&key);
    assert_int_equal(attest_verifier_new(p, keys, NULL, &v, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_new(&none, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new(p, none, NULL, &v, NULL), ATTEST_E_CONFIG);
    assert_null(v);
    assert_int_equal(attest_verifier_new(p, keys, NULL, &v, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL), ATTEST_OK);
    struct attest_replay *replay = NULL;
    assert_int_equal(attest_replay_new_memory(((size_t)1 << 28) + 1, &replay, NULL),
                     ATTEST_E_CONFIG);
    assert_null(replay);
}

static void
test_every_verdict_has_a_row(void **state)
{
    (void)state;
    for (int code = 1001; code <= 1016; code++) {
        assert_true(verdict_is((enum attest_rc)code));
        assert_true(verdict_rpc_code((enum attest_rc)code) <= -32001);
        assert_true(verdict_rpc_code((enum attest_rc)code) >= -32006);
        assert_int_equal(verdict_retry((enum attest_rc)code), code == 1012 || code == 1014);
    }
    assert_false(verdict_is(ATTEST_OK));
    assert_false(verdict_is(ATTEST_E_NOMEM));
    assert_false(verdict_is((enum attest_rc)1017));
    assert_int_equal(verdict_rpc_code(ATTEST_E_EXPIRED), -32003);
    assert_int_equal(verdict_rpc_code(ATTEST_E_ISSUER), -32005);
    assert_int_equal(verdict_rpc_code(ATTEST_E_CLAIMS), -32006);
    assert_int_equal(verdict_rpc_code(ATTEST_E_POLICY), -32006);
}

enum { THREADS = 8, TOKENS = 40 };
static struct attest_verifier *shared;
static char *tokens[TOKENS];
static _Atomic unsigned accepted[TOKENS], wrong_verdicts;

static void *
show_all(void *arg)
{
    unsigned start = *(unsigned *)arg;
    for (unsigned i = 0; i < TOKENS; i++) {
        unsigned which = (i + start) % TOKENS;
        struct attest_result *r = NULL;
        enum attest_rc rc =
            attest_verifier_check(shared, tokens[which], strlen(tokens[which]), NULL, 0, &r);
        if (rc == ATTEST_OK)
            atomic_fetch_add(&accepted[which], 1);
        else if (rc != ATTEST_E_REPLAY)
            atomic_fetch_add(&wrong_verdicts, 1);
        attest_result_free(r);
    }
    return NULL;
}

static void
test_threads_accept_once(void **state)
{
    (void)state;
    shared = new_verifier(ATTEST_MODE_REQUIRED);
    for (unsigned i = 0; i < TOKENS; i++) {
        char jti[64];
        snprintf(jti, sizeof(jti), "\"%08u-4a5f-4d7e-9c33-0a1b2c3d4e5f\"", i);
        tokens[i] = token_with("jti", jti);
    }
    pthread_t threads[THREADS];
    unsigned starts[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        starts[i] = i / 4;
        assert_int_equal(pthread_create(&threads[i], NULL, show_all, &starts[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < TOKENS; i++) {
        assert_int_equal(accepted[i], 1);
        free(tokens[i]);
    }
    assert_int_equal(wrong_verdicts, 0);
    attest_verifier_free(shared);
}

static int
setup(void **state)
{
    (void)state;
    if (crypto_init(NULL) != ATTEST_OK)
        return -1;
    mint_key_init(&key, 1);
    mint_key_init(&agent_key, 3);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    mint_key_done(&key);
    mint_key_done(&agent_key);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_verdict_json),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_clock_back_by_the_skew),
        cmocka_unit_test(test_refused_is_not_consumed),
        cmocka_unit_test(test_full_store_fails_closed),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_policy_before_proof),
        cmocka_unit_test(test_wrong_proofs),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_store_from_before_fork),
        cmocka_unit_test(test_shared_store_of_two_skews),
        cmocka_unit_test(test_another_takes_its_place),
        cmocka_unit_test(test_building),
        cmocka_unit_test(test_every_verdict_has_a_row),
        cmocka_unit_test(test_threads_accept_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
