/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_BOUND_H
#define TESTS_SUPPORT_BOUND_H

#include <stdatomic.h>

#include "base/b64u.h"
#include "support/mint.h"
#include "verify/verifier.h"

#include <attest/attest.h>

/* Bound tokens, proofs for them, and verifiers that take both; behind <cmocka.h>. */

#define OTHER "https://other.example.com"

static struct mint_key root, key, key2, other_key, agent_key;
static int64_t clock_s;

static inline int64_t
test_clock(void *ctx)
{
    (void)ctx;
    return clock_s;
}

/* ---- what is shown ---- */

static inline char *
bound_token(const struct mint_key *by, const char *name, const char *json)
{
    struct mint_object payload;
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    mint_payload(&payload);
    mint_set(&payload, "cnf", cnf);
    if (name)
        mint_set(&payload, name, json);
    return mint_token(by, NULL, &payload);
}

/* An outer token by `key` around one of OTHER, by other_key. */
static inline char *
nesting_token(void)
{
    char metadata[4096];
    struct mint_object inner;
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    mint_payload(&inner);
    mint_set(&inner, "iss", "\"" OTHER "\"");
    mint_set(&inner, "aud", "\"" MINT_ISSUER "\"");
    mint_set(&inner, "cnf", cnf);
    char *nested AUTO(mem) = mint_token(&other_key, NULL, &inner);
    snprintf(metadata, sizeof(metadata),
             "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
             "\"safety_level\":\"standard\",\"capabilities_declared\":[],"
             "\"nested_attestation\":\"%s\"}",
             nested);
    return bound_token(&key, "attestation_metadata", metadata);
}

/* A proof good for the clock's now, each of another jti. */
static inline char *
fresh_proof(const struct mint_key *by, const char *token)
{
    static atomic_uint count;
    struct mint_object payload = {0};
    uint8_t digest[SHA256_LEN];
    char hash[64] = "\"", exp[32], jti[32];
    sha256(digest, token, strlen(token));
    char *end = hash + 1 + b64u_encoded_len(sizeof(digest));
    b64u_encode(hash + 1, digest, sizeof(digest));
    memcpy(end, "\"", 2);
    snprintf(exp, sizeof(exp), "%lld", (long long)clock_s + 30);
    snprintf(jti, sizeof(jti), "\"fresh-%u\"", atomic_fetch_add(&count, 1));
    mint_set(&payload, "aud", "\"" MINT_AUDIENCE "\"");
    mint_set(&payload, "exp", exp);
    mint_set(&payload, "jti", jti);
    mint_set(&payload, "wth", hash);
    return mint_token(by, "{\"alg\":\"EdDSA\",\"typ\":\"wpt+jwt\"}", &payload);
}

/* ---- who judges ---- */

static inline enum attest_rc
add_jwks(struct attest_keys *keys, const char *issuer, const struct mint_key *of)
{
    char *jwks AUTO(mem) = mint_jwks(of);
    return attest_keys_add_jwks(keys, issuer, jwks, strlen(jwks), NULL);
}

static inline struct attest_keys *
new_keys(void)
{
    struct attest_keys *keys = NULL;
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(add_jwks(keys, MINT_ISSUER, &key), ATTEST_OK);
    assert_int_equal(add_jwks(keys, OTHER, &other_key), ATTEST_OK);
    return keys;
}

static inline struct attest_policy *
new_policy(void)
{
    static const char *const issuers[] = {MINT_ISSUER, OTHER};
    struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    for (size_t i = 0; i < 2; i++) {
        const char *issuer = issuers[i];
        assert_int_equal(attest_policy_add_issuer(p, issuer, ATTEST_TRUST_PROVIDER, NULL), 0);
        assert_int_equal(attest_policy_issuer_trust_domain(p, issuer, "ai.example.com", NULL), 0);
        assert_int_equal(attest_policy_issuer_provider(p, issuer, "anthropic", NULL), 0);
    }
    return p;
}

/* Takes the policy; keys stay the caller's. */
static inline struct attest_verifier *
new_verifier(struct attest_policy *policy, struct attest_keys *keys)
{
    AUTO(attest_policy) struct attest_policy *p = policy;
    struct attest_verifier *v = NULL;
    clock_s = MINT_NOW;
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new(p, keys, NULL, &v, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_set_clock(v, test_clock, NULL, NULL), ATTEST_OK);
    return v;
}

static inline enum attest_rc
check(struct attest_verifier *v, const char *token, const char *proof)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    return attest_verifier_check(v, token, strlen(token), proof, proof ? strlen(proof) : 0,
                                 &result);
}

static inline enum attest_rc
use(struct attest_verifier *v, const char *token)
{
    char *proof AUTO(mem) = fresh_proof(&agent_key, token);
    return check(v, token, proof);
}

static inline struct token_cache_stats
stats(struct attest_verifier *v)
{
    struct token_cache_stats s;
    token_cache_stats(v->tokens, &s);
    return s;
}

static inline int
bound_setup(void **state)
{
    struct mint_key *const keys[] = {&root, &key, &key2, &other_key, &agent_key};
    (void)state;
    if (crypto_init(NULL) != ATTEST_OK)
        return -1;
    for (uint8_t i = 0; i < ARRAY_LEN(keys); i++)
        mint_key_init(keys[i], (uint8_t)(i + 1));
    return 0;
}

static inline int
bound_teardown(void **state)
{
    struct mint_key *const keys[] = {&root, &key, &key2, &other_key, &agent_key};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        mint_key_done(keys[i]);
    return 0;
}

#endif
