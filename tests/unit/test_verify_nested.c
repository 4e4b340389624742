/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <attest/attest.h>

#include "jwks/keyset.h"
#include "support/mint.h"
#include "token/signed_keyset.h"
#include "verify/claims.h"
#include "verify/keys.h"
#include "verify/policy.h"
#include "verify/verifier.h"

static struct mint_key key, agent_key, other_key;

static int64_t
test_clock(void *ctx)
{
    (void)ctx;
    return MINT_NOW;
}

static struct attest_policy *
frozen_policy(void)
{
    struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, MINT_ISSUER, ATTEST_TRUST_PROVIDER, NULL),
                     ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    return p;
}

static enum attest_rc
verify_at(const struct attest_policy *policy, const char *token, int64_t now_s,
          struct attest_claims **ret)
{
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    char *jwks AUTO(mem) = mint_jwks(&key);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL), ATTEST_OK);
    return attest_verify(keys, policy, token, strlen(token), now_s, ret, NULL);
}

#define WORKLOAD(deployment, org, workload, env)                                                   \
    "{\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\","                        \
    "\"provider\":\"anthropic\"" deployment ",\"enterprise\":{\"org_id\":\"" org                   \
    "\",\"workload_id\":\"" workload "\",\"deployment_env\":\"" env "\"}}"

static enum attest_rc
verify_nested_workload(const char *identity, const char *workload, const struct mint_key *holder)
{
    static const char metadata_format[] =
        "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"enterprise\","
        "\"safety_level\":\"standard\",\"capabilities_declared\":[]%s%s%s}";
    AUTO(attest_policy) struct attest_policy *p = frozen_policy();
    AUTO(attest_claims) struct attest_claims *c = NULL;
    struct mint_object inner, outer;
    char sub[128], metadata[8192];
    char *cnf AUTO(mem) = mint_cnf(&agent_key), *others_cnf AUTO(mem) = mint_cnf(holder);
    snprintf(sub, sizeof(sub), "\"spiffe://ai.example.com/agent/%s\"", workload);
    snprintf(metadata, sizeof(metadata), metadata_format, "", "", "");
    mint_payload(&inner);
    mint_set(&inner, "aud", "\"" MINT_ISSUER "\"");
    mint_set(&inner, "sub", sub);
    mint_set(&inner, "cnf", others_cnf);
    mint_set(&inner, "agent_identity", identity);
    mint_set(&inner, "attestation_metadata", metadata);
    char *nested AUTO(mem) = mint_token(&key, NULL, &inner);
    snprintf(metadata, sizeof(metadata), metadata_format, ",\"nested_attestation\":\"", nested,
             "\"");
    mint_payload(&outer);
    mint_set(&outer, "sub", "\"spiffe://ai.example.com/agent/w\"");
    mint_set(&outer, "cnf", cnf);
    mint_set(&outer, "agent_identity", WORKLOAD(",\"deployment_id\":\"d\"", "o", "w", "e"));
    mint_set(&outer, "attestation_metadata", metadata);
    char *token AUTO(mem) = mint_token(&key, NULL, &outer);
    return verify_at(p, token, MINT_NOW, &c);
}

/* What is vouched for is the very same workload with the very same key, in every part of it. */
static void
test_nested_workload(void **state)
{
    (void)state;
    static const struct {
        const char *identity, *workload;
        enum attest_rc rc;
    } cases[] = {
        {WORKLOAD(",\"deployment_id\":\"d\"", "o", "w", "e"), "w", ATTEST_OK},
        {WORKLOAD(",\"deployment_id\":\"D\"", "o", "w", "e"), "w", ATTEST_E_CLAIMS},
        {WORKLOAD("", "o", "w", "e"), "w", ATTEST_E_CLAIMS},
        {WORKLOAD(",\"deployment_id\":\"d\"", "O", "w", "e"), "w", ATTEST_E_CLAIMS},
        {WORKLOAD(",\"deployment_id\":\"d\"", "o", "W", "e"), "W", ATTEST_E_CLAIMS},
        {WORKLOAD(",\"deployment_id\":\"d\"", "o", "w", "E"), "w", ATTEST_E_CLAIMS},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(verify_nested_workload(cases[i].identity, cases[i].workload, &agent_key),
                         cases[i].rc);
    assert_int_equal(verify_nested_workload(cases[0].identity, "w", &other_key), ATTEST_E_CLAIMS);
}

/* ---- what it is not ---- */

#define OTHER "https://other.example.com"
#define AUD "\"" MINT_ISSUER "\""

/* One of OTHER's about the same model, meant for who issues the outer ones; both are bound alike.
 */
static char *
inner_token(const char *safety, const char *aud, const char *cnf)
{
    struct mint_object payload;
    char metadata[256];
    snprintf(metadata, sizeof(metadata),
             "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
             "\"safety_level\":\"%s\",\"capabilities_declared\":[]}",
             safety);
    mint_payload(&payload);
    mint_set(&payload, "iss", "\"" OTHER "\"");
    mint_set(&payload, "aud", aud);
    mint_set(&payload, "cnf", cnf);
    mint_set(&payload, "attestation_metadata", metadata);
    return mint_token(&other_key, NULL, &payload);
}

/* Each of another jti. */
static char *
around(const char *inner, const char *cnf)
{
    static unsigned serial;
    struct mint_object payload;
    char metadata[4096], jti[64];
    snprintf(jti, sizeof(jti), "\"00000000-0000-4000-8000-%012x\"", ++serial);
    snprintf(metadata, sizeof(metadata),
             "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
             "\"safety_level\":\"standard\",\"capabilities_declared\":[],"
             "\"nested_attestation\":\"%s\"}",
             inner);
    mint_payload(&payload);
    mint_set(&payload, "jti", jti);
    mint_set(&payload, "cnf", cnf);
    mint_set(&payload, "attestation_metadata", metadata);
    return mint_token(&key, NULL, &payload);
}

/* The outer and the inner issuer are trusted so far; the server goes by either's audience. */
static struct attest_policy *
policy_that_trusts(enum attest_trust outer, enum attest_trust inner)
{
    static const char *const issuers[] = {MINT_ISSUER, OTHER};
    const enum attest_trust trust[] = {outer, inner};
    struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_ISSUER, NULL), ATTEST_OK);
    for (size_t i = 0; i < ARRAY_LEN(issuers); i++) {
        assert_int_equal(attest_policy_add_issuer(p, issuers[i], trust[i], NULL), ATTEST_OK);
        assert_int_equal(attest_policy_issuer_trust_domain(p, issuers[i], "ai.example.com", NULL),
                         ATTEST_OK);
        assert_int_equal(attest_policy_issuer_provider(p, issuers[i], "anthropic", NULL),
                         ATTEST_OK);
    }
    return p;
}

/* The outer issuer's; and the inner's, or a root of it, whose set is still to come. */
static struct attest_keys *
keys_of_both(const struct mint_key *inner_root)
{
    struct attest_keys *keys = NULL;
    char *outer AUTO(mem) = mint_jwks(&key), *inner AUTO(mem) = mint_jwks(&other_key);
    char *root AUTO(mem) = inner_root ? mint_jwk(inner_root) : NULL;
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(keys, MINT_ISSUER, outer, strlen(outer), NULL),
                     ATTEST_OK);
    assert_int_equal(root ? attest_keys_pin_root(keys, OTHER, root, strlen(root), NULL)
                          : attest_keys_add_jwks(keys, OTHER, inner, strlen(inner), NULL),
                     ATTEST_OK);
    return keys;
}

static struct attest_verifier *
new_verifier(struct attest_policy *p, struct attest_keys *keys)
{
    struct attest_verifier *v = NULL;
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new(p, keys, NULL, &v, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_set_clock(v, test_clock, NULL, NULL), ATTEST_OK);
    return v;
}

static struct attest_verifier *
verifier_that_trusts(enum attest_trust outer, enum attest_trust inner)
{
    AUTO(attest_policy) struct attest_policy *p = policy_that_trusts(outer, inner);
    AUTO(attest_keys) struct attest_keys *keys = keys_of_both(NULL);
    return new_verifier(p, keys);
}

static enum attest_rc
show(struct attest_verifier *v, const char *token)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    return attest_verifier_check(v, token, strlen(token), NULL, 0, &result);
}

static enum attest_rc
show_around(struct attest_verifier *v, const char *inner)
{
    char *token AUTO(mem) = around(inner, NULL);
    enum attest_rc rc = show(v, token);
    assert_int_equal(show(v, token), rc == ATTEST_OK ? ATTEST_E_REPLAY : rc);
    return rc;
}

/* It may be in any number of tokens: none of them uses it up, nor does it use up them. */
static void
test_nested_is_not_consumed(void **state)
{
    (void)state;
    AUTO(attest_verifier)
    struct attest_verifier *v = verifier_that_trusts(ATTEST_TRUST_PROVIDER, ATTEST_TRUST_PROVIDER);
    char *inner AUTO(mem) = inner_token("standard", AUD, NULL);
    assert_int_equal(show_around(v, inner), ATTEST_OK);
    assert_int_equal(show_around(v, inner), ATTEST_OK);
    assert_int_equal(show(v, inner), ATTEST_OK);
    assert_int_equal(show(v, inner), ATTEST_E_REPLAY);
    assert_int_equal(show_around(v, inner), ATTEST_OK);
}

/* Neither trust nor safety are the better for it, or the worse: they are the outer token's. */
static void
test_nested_lends_nothing(void **state)
{
    (void)state;
    static const enum attest_trust trust[] = {ATTEST_TRUST_ENTERPRISE, ATTEST_TRUST_PROVIDER};
    char *inner AUTO(mem) = inner_token("enhanced", AUD, NULL);
    for (size_t i = 0; i < ARRAY_LEN(trust); i++) {
        AUTO(attest_result) struct attest_result *result = NULL;
        AUTO(attest_verifier)
        struct attest_verifier *v = verifier_that_trusts(trust[i], trust[1 - i]);
        char *token AUTO(mem) = around(inner, NULL);
        assert_int_equal(attest_verifier_check(v, token, strlen(token), NULL, 0, &result),
                         ATTEST_OK);
        const struct attest_claims *claims = attest_result_claims(result);
        assert_true(attest_claims_nested_verified(claims));
        assert_int_equal(attest_claims_trust(claims), trust[i]);
        assert_int_equal(attest_claims_safety(claims), ATTEST_SAFETY_STANDARD);
    }
}

/* ---- what is said of it ---- */

/* For the outer issuer, and for nobody else besides: not a token that is on its way to others, too.
 */
static void
test_nested_is_meant_for_one(void **state)
{
    (void)state;
    static const char *const aud[] = {"[" AUD "]", "[" AUD ",\"https://x.example\"]"};
    AUTO(attest_policy)
    struct attest_policy *p = policy_that_trusts(ATTEST_TRUST_PROVIDER, ATTEST_TRUST_PROVIDER);
    AUTO(attest_keys) struct attest_keys *keys = keys_of_both(NULL);
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    for (size_t i = 0; i < ARRAY_LEN(aud); i++) {
        struct attest_error err = {0};
        AUTO(attest_claims) struct attest_claims *claims = NULL;
        char *inner AUTO(mem) = inner_token("standard", aud[i], cnf);
        char *token AUTO(mem) = around(inner, cnf);
        assert_int_equal(attest_verify(keys, p, token, strlen(token), MINT_NOW, &claims, &err),
                         i ? ATTEST_E_CLAIMS : ATTEST_OK);
        if (i)
            assert_string_equal(err.text, "nested_attestation: aud is not the outer iss");
    }
}

/* Where one of another issuer is demanded, it is not to blame for what else is. */
static void
test_what_is_missing_is_named(void **state)
{
    (void)state;
    struct attest_error err = {0};
    AUTO(attest_claims) struct attest_claims *claims = NULL;
    AUTO(attest_policy)
    struct attest_policy *p = policy_that_trusts(ATTEST_TRUST_PROVIDER, ATTEST_TRUST_PROVIDER);
    AUTO(attest_keys) struct attest_keys *keys = keys_of_both(NULL);
    static const char *const demanded[] = {"attestation_metadata.nested_attestation", "cnf"};
    for (size_t i = 0; i < ARRAY_LEN(demanded); i++)
        assert_int_equal(attest_policy_require_claim(p, demanded[i], NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    char *inner AUTO(mem) = inner_token("standard", AUD, NULL);
    char *token AUTO(mem) = around(inner, NULL);
    assert_int_equal(attest_verify(keys, p, token, strlen(token), MINT_NOW, &claims, &err),
                     ATTEST_E_CLAIMS);
    assert_string_equal(err.text, "cnf: demanded here and not there");
}

/* Keys of its issuer that are not to be had say nothing of the token, and do not use it up. */
static void
test_nested_keys_to_come(void **state)
{
    (void)state;
    AUTO(attest_policy)
    struct attest_policy *p = policy_that_trusts(ATTEST_TRUST_PROVIDER, ATTEST_TRUST_PROVIDER);
    AUTO(attest_keys) struct attest_keys *keys = keys_of_both(&agent_key);
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(p, keys);
    const struct keyset_entry entry = {.public_key = other_key.public_key, .state = KEY_ACTIVE};
    const struct signed_keyset_source source = {.issuer = slice_cstr(OTHER),
                                                .iat = MINT_NOW,
                                                .exp = MINT_NOW + 3000,
                                                .keys = &entry,
                                                .n_keys = 1};
    char *inner AUTO(mem) = inner_token("standard", AUD, NULL);
    char *token AUTO(mem) = around(inner, NULL);
    char *set AUTO(mem) = mint_signed_keyset(&agent_key, source);
    assert_int_equal(show(v, token), ATTEST_E_KEY_FETCH);
    assert_int_equal(attest_keys_add_signed(keys, OTHER, set, strlen(set), MINT_NOW, NULL),
                     ATTEST_OK);
    assert_int_equal(show(v, token), ATTEST_OK);
    assert_int_equal(show(v, token), ATTEST_E_REPLAY);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nested_workload),
        cmocka_unit_test(test_nested_is_not_consumed),
        cmocka_unit_test(test_nested_lends_nothing),
        cmocka_unit_test(test_nested_is_meant_for_one),
        cmocka_unit_test(test_what_is_missing_is_named),
        cmocka_unit_test(test_nested_keys_to_come),
    };
    if (crypto_init(NULL))
        return 1;
    mint_key_init(&key, 1);
    mint_key_init(&agent_key, 2);
    mint_key_init(&other_key, 3);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mint_key_done(&key);
    mint_key_done(&agent_key);
    mint_key_done(&other_key);
    return failed;
}
