/* SPDX-License-Identifier: MIT */
/*
 * The verify path without memory: each allocation in turn fails, alone and with all behind it. No
 * crash, no leak, nothing accepted that would not be, and with memory again the same verifier
 * accepts what it should. Where an allocation of ours failed that is also what is said; OpenSSL and
 * jansson may blame the signature or the text for one of theirs. Fetched keys are
 * test_alloc_fetch.c's; other calls than for memory, and what is done before a token comes,
 * test_nth_failure.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/mint.h"
#include "support/vector.h"
#include "support/vector_case.h"
#include "support/without_memory.h"
#include "verify/verifier.h"

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
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
