/* SPDX-License-Identifier: MIT */
/*
 * The verify path without memory: each allocation in turn fails, alone and with all behind it. No
 * crash, no leak, nothing accepted that would not be, and with memory again the same verifier
 * accepts what it should. Where an allocation of ours failed that is also what is said; OpenSSL and
 * jansson may blame the signature or the text for one of theirs. Other calls than for memory, and
 * what is done with libattest before a token comes, are test_nth_failure.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>

#include "base/clock.h"
#include "support/alloc_fault.h"
#include "support/http_stub.h"
#include "support/mint.h"
#include "support/need.h"
#include "support/vector.h"
#include "support/vector_case.h"
#include "verify/verifier.h"

#define RECOVERIES 50         /* one in so many is waited for: it takes half a second */
#define ALLOCATIONS_MAX 20000 /* a path that asks for more has a loop in it */

static struct {
    size_t n;
    bool on;
} fault;
static size_t n_faults;

/* To be put around what is to do without memory. */
static void
begin(void)
{
    alloc_fault_arm(fault.n, fault.on);
}

static bool
end(void)
{
    bool was = alloc_fault_disarm();
    n_faults += was;
    return was;
}

/* Whether this may come where `due` would have come with memory. */
static void
may_come(enum attest_rc rc, enum attest_rc due, bool was)
{
    bool excused = was && (rc == ATTEST_E_NOMEM || alloc_fault_was_library());
    if (rc != due && (rc == ATTEST_OK || !excused))
        fail_msg("%d came, not %d, when allocation %zu failed", (int)rc, (int)due, fault.n);
}

/*
 * A scenario returns whether its fault was reached; it asserts for itself what came of it and gives
 * back all that it took; library_leaks: but for what libcurl or OpenSSL loses when it has no
 * memory. Without a fault it is run twice first: what libraries keep for ever, they have then.
 */
typedef bool scenario_fn(void *ctx);

static void
each_allocation(const char *name, bool library_leaks, scenario_fn *run, void *ctx)
{
    fault.n = 0;
    run(ctx);
    run(ctx);
    for (int on = 0; on < 2; on++) {
        bool was_reached = true;
        fault.on = on;
        for (fault.n = 1; was_reached; fault.n++) {
            assert_true(fault.n < ALLOCATIONS_MAX);
            long before = alloc_fault_live();
            was_reached = run(ctx);
            bool excused = library_leaks && alloc_fault_was_library();
            if (alloc_fault_counts() && !excused && alloc_fault_live() != before)
                fail_msg("%s: %ld allocations left behind after number %zu failed%s", name,
                         alloc_fault_live() - before, fault.n, on ? ", and all behind it" : "");
        }
    }
}

/* ---- attest_verify(), every kind of token ---- */

struct given {
    const struct vector_case *c;
    const char *folder, *text;
    size_t len;
    enum attest_rc due;
};

static enum attest_rc
verify_once(const struct given *g)
{
    struct attest_claims *claims = NULL;
    enum attest_rc rc =
        attest_verify(g->c->keys, g->c->policy, g->text, g->len, g->c->now_s, &claims, NULL);
    if (claims)
        free(attest_claims_to_json(claims));
    assert_int_equal(claims != NULL, rc == ATTEST_OK);
    attest_claims_free(claims);
    return rc;
}

static bool
verify(void *ctx)
{
    const struct given *g = ctx;
    begin();
    enum attest_rc rc = verify_once(g);
    bool was = end();
    may_come(rc, g->due, was);
    assert_int_equal(verify_once(g), g->due);
    return was;
}

static void
verify_folder(void *ctx, const char *folder)
{
    size_t len;
    AUTO(vector_case) struct vector_case c = {0};
    AUTO(mem) char *kind = vector_case_file("valid", folder, "kind", NULL, NULL);
    if (kind)
        return;
    AUTO(mem) char *text = vector_case_file("valid", folder, "input", NULL, &len);
    vector_case_token(&c, "valid", folder);
    struct given good = {&c, folder, text, len, ATTEST_OK};
    each_allocation(folder, strncmp(folder, "es256", 5) == 0, verify, &good);
    AUTO(mem) char *forged = strdup(text);
    char *signature = strrchr(forged, '.') + 5;
    *signature = *signature == 'A' ? 'B' : 'A';
    struct given bad = {&c, folder, forged, len, ATTEST_E_SIGNATURE};
    each_allocation(folder, strncmp(folder, "es256", 5) == 0, verify, &bad);
    *(size_t *)ctx += 1;
}

static void
tokens(void **state)
{
    (void)state;
    size_t n = 0;
    vector_each("valid", verify_folder, &n);
    assert_true(n >= 20);
}

/* ---- signed key sets ---- */

struct set_given {
    const char *folder, *text;
    size_t len;
};

static bool
take_set(void *ctx)
{
    const struct set_given *g = ctx;
    AUTO(vector_case) struct vector_case c = {0};
    vector_case_signed_keyset(&c, "valid", g->folder);
    begin();
    enum attest_rc rc = attest_keys_add_signed(c.keys, c.issuer, g->text, g->len, c.now_s, NULL);
    bool was = end();
    may_come(rc, ATTEST_OK, was);
    assert_int_equal(attest_keys_expires_at_s(c.keys, c.issuer) != 0, rc == ATTEST_OK);
    if (rc != ATTEST_OK)
        assert_int_equal(attest_keys_add_signed(c.keys, c.issuer, g->text, g->len, c.now_s, NULL),
                         ATTEST_OK);
    return was;
}

static void
take_folder(void *ctx, const char *folder)
{
    struct set_given g = {.folder = folder};
    AUTO(mem) char *kind = vector_case_file("valid", folder, "kind", NULL, NULL);
    if (!kind || strcmp(kind, "signed_keyset") != 0)
        return;
    AUTO(mem) char *text = vector_case_file("valid", folder, "input", NULL, &g.len);
    g.text = text;
    each_allocation(folder, strncmp(folder, "es256", 5) == 0, take_set, &g);
    *(size_t *)ctx += 1;
}

static void
signed_key_sets(void **state)
{
    (void)state;
    size_t n = 0;
    vector_each("valid", take_folder, &n);
    assert_true(n > 0);
}

/* ---- a verifier, from its policy to its verdict ---- */

static struct mint_key issuer, agent;
static char *jwks, *unbound, *bound, *proof, *another_proof, *forged, *forged_proof;

static int64_t
mint_clock(void *ctx)
{
    (void)ctx;
    return MINT_NOW;
}

static enum attest_rc
make_policy(const char *name, struct attest_policy **ret)
{
    AUTO(attest_policy) struct attest_policy *p = NULL;
    enum attest_rc rc = attest_policy_new(&p, NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_allow_loopback_http(p, NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_audience(p, MINT_AUDIENCE, NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_issuer(p, name, ATTEST_TRUST_PROVIDER, NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_issuer_provider(p, name, "anthropic", NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_model_family(p, "claude-4", NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_freeze(p, NULL);
    if (rc == ATTEST_OK)
        *ret = STEAL(p);
    return rc;
}

static enum attest_rc
make_verifier(struct attest_verifier **ret)
{
    AUTO(attest_policy) struct attest_policy *policy = NULL;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    AUTO(attest_replay) struct attest_replay *replay = NULL;
    enum attest_rc rc = make_policy(MINT_ISSUER, &policy);
    if (rc == ATTEST_OK)
        rc = attest_keys_new(&keys, NULL);
    if (rc == ATTEST_OK)
        rc = attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL);
    if (rc == ATTEST_OK)
        rc = attest_replay_new_memory(16, &replay, NULL);
    if (rc == ATTEST_OK)
        rc = attest_verifier_new(policy, keys, replay, ret, NULL);
    if (rc == ATTEST_OK)
        rc = attest_verifier_set_clock(*ret, mint_clock, NULL, NULL);
    return rc;
}

static enum attest_rc
show(struct attest_verifier *v, const char *token, const char *with)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    enum attest_rc rc =
        attest_verifier_check(v, token, strlen(token), with, with ? strlen(with) : 0, &result);
    if (result)
        free(attest_result_to_json(result));
    return rc;
}

struct shown {
    const char *token, *proof;
    enum attest_rc due;
    const char *first; /* a proof that was shown before, so that the token is known */
};

/* Made without a fault. A check that fails for want of memory has not used the token up. */
static bool
check(void *ctx)
{
    const struct shown *s = ctx;
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    assert_int_equal(make_verifier(&v), ATTEST_OK);
    if (s->first)
        assert_int_equal(show(v, s->token, s->first), ATTEST_OK);
    begin();
    enum attest_rc rc = show(v, s->token, s->proof);
    bool was = end();
    may_come(rc, s->due, was);
    assert_int_equal(show(v, s->token, s->proof), rc == ATTEST_OK ? ATTEST_E_REPLAY : s->due);
    return was;
}

static void
checks(void **state)
{
    (void)state;
    struct shown rows[] = {
        {unbound, NULL, ATTEST_OK, NULL},
        {bound, proof, ATTEST_OK, NULL},
        {bound, NULL, ATTEST_E_PROOF_REQUIRED, NULL},
        {bound, forged_proof, ATTEST_E_PROOF, NULL},
        {unbound, proof, ATTEST_E_PROOF, NULL},
        {forged, NULL, ATTEST_E_SIGNATURE, NULL},
        {"nonsense", NULL, ATTEST_E_MALFORMED, NULL},
        {bound, another_proof, ATTEST_OK, proof},
        {bound, NULL, ATTEST_E_PROOF_REQUIRED, proof},
        {bound, forged_proof, ATTEST_E_PROOF, proof},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        each_allocation("check", false, check, &rows[i]);
}

static bool
set_up_and_check(void *ctx)
{
    (void)ctx;
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    begin();
    enum attest_rc rc = make_verifier(&v);
    enum attest_rc bad = rc == ATTEST_OK ? show(v, forged, NULL) : rc;
    enum attest_rc good = rc == ATTEST_OK ? show(v, unbound, NULL) : rc;
    bool was = end();
    assert_int_equal(v != NULL, rc == ATTEST_OK);
    assert_int_not_equal(bad, ATTEST_OK);
    may_come(bad, ATTEST_E_SIGNATURE, was);
    may_come(good, ATTEST_OK, was);
    return was;
}

static void
whole_verifiers(void **state)
{
    (void)state;
    each_allocation("verifier", false, set_up_and_check, NULL);
}

/* ---- and one that fetches ---- */

static struct http_stub stub;

struct fetched {
    const char *token, *forged;
};

#define WAIT_MS 100       /* for a fetch that may never end */
#define WAIT_LONG_MS 5000 /* for one that does */
#define STEPS_MAX 1000    /* of up to 20 ms */

static enum attest_rc
make_fetching(struct attest_verifier **ret)
{
    AUTO(attest_policy) struct attest_policy *policy = NULL;
    AUTO(attest_replay) struct attest_replay *replay = NULL;
    struct attest_fetch *fetch = NULL;
    enum attest_rc rc = make_policy(stub.origin, &policy);
    if (rc == ATTEST_OK)
        rc = attest_replay_new_memory(16, &replay, NULL);
    if (rc == ATTEST_OK)
        rc = attest_fetch_new(&fetch, NULL);
    if (rc == ATTEST_OK)
        rc = attest_fetch_set_wait_ms(fetch, fault.n ? WAIT_MS : WAIT_LONG_MS, NULL);
    if (rc == ATTEST_OK)
        rc = attest_fetch_set_timeout_ms(fetch, 1000, NULL);
    if (rc == ATTEST_OK)
        rc = attest_verifier_new_fetching(policy, NULL, replay, fetch, ret, NULL);
    attest_fetch_free(fetch);
    if (rc == ATTEST_OK)
        rc = attest_verifier_set_clock(*ret, mint_clock, NULL, NULL);
    return rc;
}

/* With memory again it fetches again, by itself. */
static void
recovers(struct attest_verifier *v, const char *token)
{
    enum attest_rc rc = ATTEST_E_KEY_FETCH;
    for (int i = 0; i < STEPS_MAX && (rc = show(v, token, NULL)) == ATTEST_E_KEY_FETCH; i++) {
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        int ms = attest_verifier_timeout_ms(v);
        poll(&fd, 1, ms < 0 || ms > 20 ? 20 : ms);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
    if (rc != ATTEST_OK)
        fail_msg("%d comes for ever, since allocation %zu failed", (int)rc, fault.n);
}

static bool
fetch_and_check(void *ctx)
{
    const struct fetched *f = ctx;
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    alloc_fault_arm_ours(fault.n, fault.on); /* libcurl 7.88 without memory may divide by nought */
    enum attest_rc rc = make_fetching(&v);
    int64_t start_ms = clock_mono_ms();
    enum attest_rc bad = rc == ATTEST_OK ? show(v, f->forged, NULL) : rc;
    enum attest_rc good = rc == ATTEST_OK ? show(v, f->token, NULL) : rc;
    bool was = end(), hung = clock_mono_ms() - start_ms >= WAIT_MS;
    assert_int_equal(v != NULL, rc == ATTEST_OK);
    assert_int_not_equal(bad, ATTEST_OK);
    /* A fetch that failed for want of memory has failed like any other; or was slow. */
    if (good != ATTEST_E_KEY_FETCH)
        may_come(good, ATTEST_OK, was);
    else
        assert_true(was || hung);
    if (v && good != ATTEST_OK && (hung || fault.n % RECOVERIES == 0))
        recovers(v, f->token);
    return was;
}

static void
fetching_verifiers(void **state)
{
    (void)state;
    char iss[64], answer[2048];
    struct mint_object payload;
    if (!http_stub_start(&stub))
        fail_msg("no server");
    snprintf(iss, sizeof(iss), "\"%s\"", stub.origin);
    snprintf(answer, sizeof(answer),
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n%s",
             strlen(jwks), jwks);
    http_stub_say(&stub, "/.well-known/jwks.json", answer);
    mint_payload(&payload);
    mint_set(&payload, "iss", iss);
    AUTO(mem)
    char *header = strdup("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"                           "
                          "                \"}");
    memcpy(strchr(header, ' '), issuer.kid, strlen(issuer.kid));
    AUTO(mem) char *good = mint_token(&issuer, NULL, &payload);
    AUTO(mem) char *bad = mint_token(&agent, header, &payload);
    struct fetched f = {good, bad};
    each_allocation("fetch", false, fetch_and_check, &f);
    http_stub_stop(&stub);
}

static int
set_up(void **state)
{
    (void)state;
    struct mint_object payload;
    if (crypto_init(NULL) != ATTEST_OK)
        return -1;
    mint_key_init(&issuer, 1);
    mint_key_init(&agent, 2);
    jwks = mint_jwks(&issuer);
    mint_payload(&payload);
    unbound = mint_token(&issuer, NULL, &payload);
    forged = strdup(unbound);
    char *signature = strrchr(forged, '.') + 5;
    *signature = *signature == 'A' ? 'B' : 'A';
    AUTO(mem) char *cnf = mint_cnf(&agent);
    mint_set(&payload, "cnf", cnf);
    bound = mint_token(&issuer, NULL, &payload);
    proof = mint_proof(&agent, bound, NULL, NULL);
    another_proof = mint_proof(&agent, bound, "jti", "\"another\"");
    forged_proof = mint_proof(&issuer, bound, NULL, NULL);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    char *texts[] = {jwks, unbound, bound, proof, another_proof, forged, forged_proof};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    mint_key_done(&issuer);
    mint_key_done(&agent);
    print_message("%zu allocations failed\n", n_faults);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens),
        cmocka_unit_test(signed_key_sets),
        cmocka_unit_test(checks),
        cmocka_unit_test(whole_verifiers),
        cmocka_unit_test(fetching_verifiers),
    };
    need_curl();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
