/* SPDX-License-Identifier: MIT */
/*
 * Every bit flip and every truncation of tokens that are valid, of signed key sets, and of a proof:
 * none is accepted.
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
#include "verify/verifier.h"

#define TOKENS_MIN 20

struct totals {
    size_t cases, tried, accepted;
};

struct suspect {
    const struct vector_case *c;
    const char *folder;
    enum attest_rc (*judge)(const struct vector_case *c, const char *text, size_t len);
};

static enum attest_rc
judge_token(const struct vector_case *c, const char *text, size_t len)
{
    struct attest_claims *claims = NULL;
    enum attest_rc rc = attest_verify(c->keys, c->policy, text, len, c->now_s, &claims, NULL);
    assert_int_equal(claims != NULL, rc == ATTEST_OK);
    attest_claims_free(claims);
    return rc;
}

static enum attest_rc
judge_keyset(const struct vector_case *c, const char *text, size_t len)
{
    return attest_keys_add_signed(c->keys, c->issuer, text, len, c->now_s, NULL);
}

static void
count(struct totals *totals, const struct suspect *s, enum attest_rc rc, const char *how, size_t at)
{
    totals->tried++;
    if (rc != ATTEST_OK)
        return;
    print_error("%s: accepted with %s at %zu\n", s->folder, how, at);
    totals->accepted++;
}

/* A copy of just its size each time a truncation is tried: a sanitizer sees what reads behind it.
 */
static void
mutate(struct totals *totals, const struct suspect *s, char *text, size_t len)
{
    for (size_t bit = 0; bit < 8 * len; bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        count(totals, s, s->judge(s->c, text, len), "a bit flipped", bit);
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t n = 0; n < len; n++) {
        AUTO(mem) char *head = malloc(n ? n : 1);
        AUTO(mem) char *tail = malloc(n ? n : 1);
        memcpy(head, text, n);
        memcpy(tail, text + len - n, n);
        count(totals, s, s->judge(s->c, head, n), "its end cut off", n);
        count(totals, s, s->judge(s->c, tail, n), "its start cut off", n);
    }
    totals->cases++;
}

static bool
is_kind(const char *folder, const char *wanted)
{
    AUTO(mem) char *kind = vector_case_file("valid", folder, "kind", NULL, NULL);
    return kind ? wanted && strcmp(kind, wanted) == 0 : !wanted;
}

static void
flip_token(void *ctx, const char *folder)
{
    size_t len;
    AUTO(vector_case) struct vector_case c = {0};
    const struct suspect s = {&c, folder, judge_token};
    if (!is_kind(folder, NULL))
        return;
    AUTO(mem) char *text = vector_case_file("valid", folder, "input", NULL, &len);
    vector_case_token(&c, "valid", folder);
    assert_int_equal(judge_token(&c, text, len), ATTEST_OK);
    mutate(ctx, &s, text, len);
    assert_int_equal(judge_token(&c, text, len), ATTEST_OK);
}

static void
no_token_is_accepted(void **state)
{
    (void)state;
    struct totals totals = {0};
    vector_each("valid", flip_token, &totals);
    print_message("%zu tokens, %zu tries\n", totals.cases, totals.tried);
    assert_true(totals.cases >= TOKENS_MIN);
    assert_int_equal(totals.accepted, 0);
}

static void
flip_keyset(void *ctx, const char *folder)
{
    size_t len;
    AUTO(vector_case) struct vector_case c = {0};
    const struct suspect s = {&c, folder, judge_keyset};
    if (!is_kind(folder, "signed_keyset"))
        return;
    AUTO(mem) char *text = vector_case_file("valid", folder, "input", NULL, &len);
    vector_case_signed_keyset(&c, "valid", folder);
    mutate(ctx, &s, text, len);
    assert_int_equal(attest_keys_expires_at_s(c.keys, c.issuer), 0);
    assert_int_equal(judge_keyset(&c, text, len), ATTEST_OK);
}

static void
no_signed_key_set_is_taken(void **state)
{
    (void)state;
    struct totals totals = {0};
    vector_each("valid", flip_keyset, &totals);
    print_message("%zu signed key sets, %zu tries\n", totals.cases, totals.tried);
    assert_true(totals.cases > 0);
    assert_int_equal(totals.accepted, 0);
}

/* ---- a proof beside its token ---- */

static struct attest_verifier *verifier;
static char *bound;

static int64_t
mint_clock(void *ctx)
{
    (void)ctx;
    return MINT_NOW;
}

static enum attest_rc
judge_proof(const struct vector_case *c, const char *text, size_t len)
{
    (void)c;
    AUTO(attest_result) struct attest_result *result = NULL;
    return attest_verifier_check(verifier, bound, strlen(bound), text, len, &result);
}

static void
no_proof_is_accepted(void **state)
{
    (void)state;
    struct mint_key issuer, agent;
    struct mint_object payload;
    struct totals totals = {0};
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    AUTO(attest_policy) struct attest_policy *policy = NULL;
    const struct suspect s = {NULL, "proof", judge_proof};
    mint_key_init(&issuer, 1);
    mint_key_init(&agent, 2);
    AUTO(mem) char *jwks = mint_jwks(&issuer);
    AUTO(mem) char *cnf = mint_cnf(&agent);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL), ATTEST_OK);
    assert_int_equal(attest_policy_new(&policy, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(policy, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(policy, MINT_ISSUER, ATTEST_TRUST_PROVIDER, NULL),
                     ATTEST_OK);
    assert_int_equal(attest_policy_freeze(policy, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new(policy, keys, NULL, &verifier, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_set_clock(verifier, mint_clock, NULL, NULL), ATTEST_OK);
    mint_payload(&payload);
    mint_set(&payload, "cnf", cnf);
    bound = mint_token(&issuer, NULL, &payload);
    AUTO(mem) char *proof = mint_proof(&agent, bound, NULL, NULL);
    mutate(&totals, &s, proof, strlen(proof));
    assert_int_equal(totals.accepted, 0);
    assert_int_equal(judge_proof(NULL, proof, strlen(proof)), ATTEST_OK);
    free(bound);
    attest_verifier_free(verifier);
    mint_key_done(&issuer);
    mint_key_done(&agent);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_token_is_accepted),
        cmocka_unit_test(no_signed_key_set_is_taken),
        cmocka_unit_test(no_proof_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
