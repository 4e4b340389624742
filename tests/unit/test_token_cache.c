/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/bound.h"
#include "token/signed_keyset.h"
#include "verify/keys.h"

static void
test_a_hit_says_the_same(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(new_policy(), keys);
    char *token AUTO(mem) = nesting_token();
    char *text[2];
    struct attest_result *result[2];
    for (int i = 0; i < 2; i++) {
        char *proof AUTO(mem) = fresh_proof(&agent_key, token);
        assert_int_equal(
            attest_verifier_check(v, token, strlen(token), proof, strlen(proof), &result[i]),
            ATTEST_OK);
        assert_true(attest_claims_nested_verified(attest_result_claims(result[i])));
        text[i] = attest_result_to_json(result[i]);
    }
    assert_int_equal(stats(v).hits, 1);
    assert_int_equal(stats(v).misses, 1);
    assert_int_equal(stats(v).entries, 1);
    assert_string_equal(text[0], text[1]);
    /* A verdict outlives what else holds its claims. */
    attest_result_free(result[0]);
    attest_verifier_free(STEAL(v));
    assert_string_equal(attest_result_issuer(result[1]), MINT_ISSUER);
    attest_result_free(result[1]);
    free(text[0]);
    free(text[1]);
}

static void
test_proof_on_a_hit(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(new_policy(), keys);
    char *token AUTO(mem) = bound_token(&key, NULL, NULL);
    char *another AUTO(mem) = bound_token(&key, "exp", "1800000299");
    char *proof AUTO(mem) = fresh_proof(&agent_key, token);
    assert_int_equal(check(v, token, proof), ATTEST_OK);
    assert_int_equal(check(v, token, proof), ATTEST_E_REPLAY);
    char *thief AUTO(mem) = fresh_proof(&key2, token);
    char *elsewhere AUTO(mem) = fresh_proof(&agent_key, another);
    char *audience AUTO(mem) = mint_proof(&agent_key, token, "aud", "\"https://x.example\"");
    char *late AUTO(mem) = mint_proof(&agent_key, token, "exp", "1800000091");
    assert_int_equal(check(v, token, thief), ATTEST_E_PROOF);
    assert_int_equal(check(v, token, elsewhere), ATTEST_E_PROOF);
    assert_int_equal(check(v, token, audience), ATTEST_E_PROOF);
    assert_int_equal(check(v, token, late), ATTEST_E_PROOF);
    assert_int_equal(check(v, token, ""), ATTEST_E_PROOF);
    assert_int_equal(check(v, token, token), ATTEST_E_PROOF);
    assert_int_equal(stats(v).hits, 7);
    assert_int_equal(check(v, token, NULL), ATTEST_E_PROOF_REQUIRED);
    assert_int_equal(use(v, token), ATTEST_OK);
    assert_int_equal(stats(v).misses, 1);
}

/* Only what an agent has shown to be its own, and nothing that is used up by being shown. */
static void
test_what_is_kept(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(new_policy(), keys);
    char *token AUTO(mem) = bound_token(&key, NULL, NULL);
    char *unbound AUTO(mem) = bound_token(&key, "cnf", NULL);
    char *forged AUTO(mem) = bound_token(&key2, NULL, NULL);
    char *thief AUTO(mem) = fresh_proof(&key2, token);
    assert_int_equal(check(v, token, thief), ATTEST_E_PROOF);
    assert_int_equal(check(v, token, NULL), ATTEST_E_PROOF_REQUIRED);
    assert_int_equal(use(v, unbound), ATTEST_E_PROOF);
    assert_int_equal(check(v, unbound, NULL), ATTEST_OK);
    assert_int_equal(check(v, unbound, NULL), ATTEST_E_REPLAY);
    assert_int_equal(use(v, forged), ATTEST_E_KEY_UNKNOWN);
    assert_int_equal(stats(v).entries, 0);
    assert_int_equal(use(v, token), ATTEST_OK);
    assert_int_equal(stats(v).entries, 1);
    /* One byte more, or another signature under the same claims, is another token. */
    char longer[4096];
    snprintf(longer, sizeof(longer), "%sA", token);
    assert_int_equal(use(v, longer), ATTEST_E_SIGNATURE);
    longer[strlen(token)] = '\0';
    longer[strlen(token) - 10] = longer[strlen(token) - 10] == 'A' ? 'B' : 'A';
    assert_int_equal(use(v, longer), ATTEST_E_SIGNATURE);
    assert_int_equal(stats(v).hits, 0);
}

/* One agent with its key and all the time it wants: others are let in all the same. */
static void
test_one_agent_fills_no_store(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(new_policy(), keys);
    char *token AUTO(mem) = bound_token(&key, NULL, NULL);
    char *unbound AUTO(mem) = bound_token(&key, "cnf", NULL);
    attest_replay_free(v->replay);
    assert_int_equal(attest_replay_new_memory(64, &v->replay, NULL), ATTEST_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(use(v, token), i < 32 ? ATTEST_OK : ATTEST_E_REPLAY_STORE);
    assert_int_equal(check(v, unbound, NULL), ATTEST_OK);
}

static void
test_time(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    struct attest_policy *p = new_policy();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(p, keys);
    char *token AUTO(mem) = bound_token(&key, NULL, NULL);
    clock_s = MINT_NOW - 30;
    assert_int_equal(use(v, token), ATTEST_OK);
    clock_s = MINT_NOW - 31;
    assert_int_equal(use(v, token), ATTEST_E_NOT_YET_VALID);
    clock_s = MINT_NOW;
    assert_int_equal(use(v, token), ATTEST_OK);
    clock_s = MINT_NOW + 329;
    assert_int_equal(use(v, token), ATTEST_OK);
    clock_s = MINT_NOW + 330;
    assert_int_equal(use(v, token), ATTEST_E_EXPIRED);
    assert_int_equal(stats(v).entries, 0);
}

static void
test_age(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    struct attest_policy *p = new_policy();
    assert_int_equal(attest_policy_set_age_max_s(p, 60, NULL), ATTEST_OK);
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(p, keys);
    char *token AUTO(mem) = bound_token(&key, NULL, NULL);
    assert_int_equal(use(v, token), ATTEST_OK);
    clock_s = MINT_NOW + 90;
    assert_int_equal(use(v, token), ATTEST_OK);
    assert_int_equal(stats(v).hits, 1);
    clock_s = MINT_NOW + 91;
    assert_int_equal(use(v, token), ATTEST_E_POLICY);
}

static void
test_key_set_replaced(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(new_policy(), keys);
    char *token AUTO(mem) = bound_token(&key, NULL, NULL);
    assert_int_equal(use(v, token), ATTEST_OK);
    /* The same key in a new set is as good as before. */
    assert_int_equal(add_jwks(keys, MINT_ISSUER, &key), ATTEST_OK);
    assert_int_equal(use(v, token), ATTEST_OK);
    assert_int_equal(stats(v).hits, 1);
    assert_int_equal(add_jwks(keys, MINT_ISSUER, &key2), ATTEST_OK);
    assert_int_equal(use(v, token), ATTEST_E_KEY_UNKNOWN);
    assert_int_equal(stats(v).entries, 0);
    assert_int_equal(add_jwks(keys, MINT_ISSUER, &key), ATTEST_OK);
    assert_int_equal(use(v, token), ATTEST_OK);
    /* Another key under the old one's name. */
    char jwks[512], x[64] = "";
    b64u_encode(x, key2.public_key.bytes, ED25519_PUBLIC_LEN);
    snprintf(jwks, sizeof(jwks),
             "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\",\"kid\":\"%s\","
             "\"x\":\"%s\"}]}",
             key.kid, x);
    assert_int_equal(attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL), ATTEST_OK);
    assert_int_equal(use(v, token), ATTEST_E_SIGNATURE);
}

static void
test_key_set_no_longer_fresh(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(new_policy(), keys);
    char *token AUTO(mem) = bound_token(&key, NULL, NULL);
    assert_int_equal(use(v, token), ATTEST_OK);
    keys_set_usable_until(keys, MINT_ISSUER, INT64_MIN);
    assert_int_equal(use(v, token), ATTEST_E_KEY_FETCH);
    assert_int_equal(add_jwks(keys, MINT_ISSUER, &key), ATTEST_OK);
    assert_int_equal(use(v, token), ATTEST_OK);
}

static void
take_signed(struct attest_keys *keys, int64_t iat, int64_t exp, const struct mint_key *revoked)
{
    const struct keyset_entry entries[] = {
        {.public_key = key.public_key, .alg = JWK_ALG_EDDSA, .state = KEY_ACTIVE}};
    const struct signed_keyset_revoked gone = {slice_cstr(key.kid), MINT_NOW, slice_cstr("lost")};
    char *jwt AUTO(mem) =
        mint_signed_keyset(&root, (struct signed_keyset_source){.iat = iat,
                                                                .exp = exp,
                                                                .keys = entries,
                                                                .n_keys = revoked ? 0 : 1,
                                                                .revoked = &gone,
                                                                .n_revoked = revoked ? 1 : 0});
    assert_int_equal(attest_keys_add_signed(keys, MINT_ISSUER, jwt, strlen(jwt), clock_s, NULL),
                     ATTEST_OK);
}

static void
test_revoked(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(new_policy(), keys);
    char *token AUTO(mem) = bound_token(&key, NULL, NULL);
    char *jwk AUTO(mem) = mint_jwk(&root);
    assert_int_equal(use(v, token), ATTEST_OK);
    /* Whoever pins no longer believes what he believed before. */
    assert_int_equal(attest_keys_pin_root(keys, MINT_ISSUER, jwk, strlen(jwk), NULL), ATTEST_OK);
    assert_int_equal(use(v, token), ATTEST_E_KEY_FETCH);
    take_signed(keys, MINT_NOW, MINT_NOW + 60, NULL);
    assert_int_equal(use(v, token), ATTEST_OK);
    assert_int_equal(use(v, token), ATTEST_OK);
    assert_int_equal(stats(v).hits, 2);
    clock_s = MINT_NOW + 90; /* the set's end and the skew */
    assert_int_equal(use(v, token), ATTEST_E_KEY_FETCH);
    take_signed(keys, MINT_NOW + 90, MINT_NOW + 3600, NULL);
    assert_int_equal(use(v, token), ATTEST_OK);
    assert_int_equal(use(v, token), ATTEST_OK);
    take_signed(keys, MINT_NOW + 91, MINT_NOW + 3600, &key);
    assert_int_equal(use(v, token), ATTEST_E_KEY_REVOKED);
    assert_int_equal(stats(v).entries, 0);
}

/* The keys of those who are nested in it, too. */
static void
test_nested_key_gone(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(new_policy(), keys);
    char *token AUTO(mem) = nesting_token();
    assert_int_equal(use(v, token), ATTEST_OK);
    assert_int_equal(use(v, token), ATTEST_OK);
    assert_int_equal(stats(v).hits, 1);
    assert_int_equal(add_jwks(keys, OTHER, &key2), ATTEST_OK);
    assert_int_equal(use(v, token), ATTEST_E_CLAIMS);
    assert_int_equal(stats(v).entries, 0);
}

static void
test_bounded(void **state)
{
    (void)state;
    enum { TOKENS = 60 };
    static const size_t sizes[] = {1, 7, 16, 50};
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        AUTO(attest_verifier) struct attest_verifier *v = new_verifier(new_policy(), keys);
        assert_int_equal(attest_verifier_set_token_cache(v, ((size_t)1 << 24) + 1, NULL),
                         ATTEST_E_ARGUMENT);
        assert_int_equal(attest_verifier_set_token_cache(v, sizes[s], NULL), ATTEST_OK);
        for (int i = 0; i < TOKENS; i++) {
            char exp[32];
            snprintf(exp, sizeof(exp), "%lld", (long long)MINT_NOW + 100 + i);
            char *token AUTO(mem) = bound_token(&key, "exp", exp);
            assert_int_equal(use(v, token), ATTEST_OK);
            assert_int_equal(use(v, token), ATTEST_OK); /* the newest is never the one to go */
            assert_int_equal(stats(v).hits, i + 1);
            assert_true(stats(v).entries <= sizes[s]);
        }
        assert_true(stats(v).entries > 0);
    }
    /* Switched off, it is all as before. */
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(new_policy(), keys);
    assert_int_equal(attest_verifier_set_token_cache(v, 0, NULL), ATTEST_OK);
    assert_null(v->tokens);
    char *token AUTO(mem) = bound_token(&key, NULL, NULL);
    assert_int_equal(use(v, token), ATTEST_OK);
    assert_int_equal(use(v, token), ATTEST_OK);
}

/* Ended ones make room before those that live. */
static void
test_room_of_the_ended(void **state)
{
    (void)state;
    struct token_cache *cache = NULL;
    struct attest_claims *claims[9];
    assert_int_equal(token_cache_new(8, &cache, NULL), ATTEST_OK);
    for (uint8_t i = 0; i < 9; i++) {
        uint8_t digest[SHA256_LEN] = {i};
        claims[i] = calloc(1, sizeof(*claims[i]));
        atomic_init(&claims[i]->holders, 1);
        claims[i]->times.until_s = i == 5 ? 10 : 1000;
        token_cache_put(cache, digest, claims[i], 100);
        attest_claims_free(claims[i]);
    }
    for (uint8_t i = 0; i < 9; i++) {
        uint8_t digest[SHA256_LEN] = {i};
        struct attest_claims *found = token_cache_get(cache, digest);
        assert_int_equal(found != NULL, i != 5);
        attest_claims_free(found);
    }
    /* Then the one that was used least lately: 0 was, but for this. */
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t digest[SHA256_LEN] = {(uint8_t)(i ? 9 : 0)};
        struct attest_claims *found = i ? calloc(1, sizeof(*found)) : NULL;
        if (i) {
            atomic_init(&found->holders, 1);
            found->times.until_s = 1000;
            token_cache_put(cache, digest, found, 100);
        } else {
            found = token_cache_get(cache, digest);
        }
        attest_claims_free(found);
    }
    assert_null(token_cache_get(cache, (const uint8_t[SHA256_LEN]){1}));
    token_cache_free(cache);
}

/*
 * The one law: with and without, whatever happens in whatever order, the verdict is the same. Two
 * verifiers are shown the same, over the same keys.
 */
static void
test_verdicts_do_not_differ(void **state)
{
    (void)state;
    enum { STEPS = 1500 };
    AUTO(attest_keys) struct attest_keys *keys = new_keys();
    struct attest_policy *p[2] = {new_policy(), new_policy()};
    struct attest_verifier *v[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(attest_policy_set_age_max_s(p[i], 200, NULL), ATTEST_OK);
        v[i] = new_verifier(p[i], keys);
    }
    assert_int_equal(attest_verifier_set_token_cache(v[0], 4, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_set_token_cache(v[1], 0, NULL), ATTEST_OK);
    char *tokens[] = {bound_token(&key, NULL, NULL),
                      bound_token(&key2, NULL, NULL),
                      bound_token(&key, "cnf", NULL),
                      bound_token(&key, "exp", "1800000120"),
                      nesting_token(),
                      bound_token(&key, "nbf", "1800000100"),
                      bound_token(&key, "aud", "\"https://x.example\"")};
    char *last AUTO(mem) = fresh_proof(&agent_key, tokens[0]);
    unsigned seed = 7, accepted = 0, refused = 0;
    for (int i = 0; i < STEPS; i++) {
        seed = seed * 1103515245 + 12345;
        unsigned what = seed >> 16;
        const char *token = tokens[what % ARRAY_LEN(tokens)];
        if (what % 23 == 0)
            assert_int_equal(add_jwks(keys, MINT_ISSUER, what & 256 ? &key : &key2), ATTEST_OK);
        if (what % 29 == 0)
            assert_int_equal(add_jwks(keys, OTHER, what & 256 ? &key2 : &other_key), ATTEST_OK);
        if (what % 37 == 0)
            keys_set_usable_until(keys, MINT_ISSUER, what & 256 ? INT64_MIN : INT64_MAX);
        clock_s = MINT_NOW - 40 + i * 300 / STEPS - (int64_t)(what % 3) * 15;
        char *proof AUTO(mem) = what % 11 == 0   ? NULL
                                : what % 11 == 1 ? fresh_proof(&key2, token)
                                : what % 11 == 2 ? STEAL(last)
                                                 : fresh_proof(&agent_key, token);
        enum attest_rc with = check(v[0], token, proof), without = check(v[1], token, proof);
        if (with != without)
            fail_msg("step %d, token %zu: %d with, %d without", i, what % ARRAY_LEN(tokens), with,
                     without);
        accepted += with == ATTEST_OK;
        refused += with != ATTEST_OK;
        free(last);
        last = STEAL(proof);
        if (!last)
            last = fresh_proof(&agent_key, tokens[0]);
    }
    /* It is a test only if both were met often, and the cache was of use. */
    assert_true(accepted > STEPS / 10 && refused > STEPS / 10);
    assert_true(stats(v[0]).hits > STEPS / 20);
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
        free(tokens[i]);
    attest_verifier_free(v[0]);
    attest_verifier_free(v[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hit_says_the_same),
        cmocka_unit_test(test_proof_on_a_hit),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_one_agent_fills_no_store),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_key_set_replaced),
        cmocka_unit_test(test_key_set_no_longer_fresh),
        cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_nested_key_gone),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_room_of_the_ended),
        cmocka_unit_test(test_verdicts_do_not_differ),
    };
    return cmocka_run_group_tests(tests, bound_setup, bound_teardown);
}
