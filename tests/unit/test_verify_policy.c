/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/mint.h"
#include "verify/claims.h"

#include <attest/attest.h>

/* What a policy may demand of a token beyond its signature, and how deep it looks. */

static struct mint_key key, impostor, stranger;
static struct attest_keys *keys;
static struct attest_error err;

static struct attest_policy *
open_policy(void)
{
    struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, MINT_ISSUER, ATTEST_TRUST_PROVIDER, NULL), 0);
    return p;
}

static enum attest_rc
verify(struct attest_policy *p, const char *token, bool *nested)
{
    AUTO(attest_claims) struct attest_claims *claims = NULL;
    err = (struct attest_error){0};
    enum attest_rc rc = attest_verify(keys, p, token, strlen(token), MINT_NOW, &claims, &err);
    if (nested)
        *nested = claims && attest_claims_nested_verified(claims);
    return rc;
}

/* One list of a policy, and what a token with this identity gets. */
static void
test_allow_lists(void **state)
{
    (void)state;
    typedef enum attest_rc add(struct attest_policy *, const char *, struct attest_error *);
    static const struct {
        add *to;
        const char *allowed[2];
        enum attest_rc rc;
        const char *says;
    } cases[] = {
        {attest_policy_add_provider, {"anthropic", NULL}, ATTEST_OK, ""},
        {attest_policy_add_provider, {"somebody", "anthropic"}, ATTEST_OK, ""},
        {attest_policy_add_provider, {"Anthropic", NULL}, ATTEST_E_POLICY, "provider anthropic"},
        {attest_policy_add_model_family, {"claude-4", NULL}, ATTEST_OK, ""},
        {attest_policy_add_model_family, {"claude-sonnet-4", NULL}, ATTEST_E_POLICY, "family"},
        {attest_policy_add_model_version, {"claude-sonnet-4", NULL}, ATTEST_OK, ""},
        {attest_policy_add_model_version,
         {"claude-sonnet", "claude-4"},
         ATTEST_E_POLICY,
         "version"},
    };
    struct mint_object payload;
    mint_payload(&payload);
    char *token AUTO(mem) = mint_token(&key, NULL, &payload);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(attest_policy) struct attest_policy *p = open_policy();
        for (size_t k = 0; k < 2 && cases[i].allowed[k]; k++)
            assert_int_equal(cases[i].to(p, cases[i].allowed[k], NULL), ATTEST_OK);
        assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
        assert_int_equal(cases[i].to(p, "late", NULL), ATTEST_E_ARGUMENT);
        assert_int_equal(verify(p, token, NULL), cases[i].rc);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

static void
test_enterprise(void **state)
{
    (void)state;
    struct mint_object payload;
    mint_payload(&payload);
    char *provider AUTO(mem) = mint_token(&key, NULL, &payload);
    mint_set(&payload, "sub", "\"spiffe://ai.example.com/agent/bot-7\"");
    mint_set(&payload, "agent_identity",
             "{\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\",\"provider\":"
             "\"anthropic\",\"enterprise\":{\"org_id\":\"acme\",\"workload_id\":\"bot-7\","
             "\"deployment_env\":\"prod\"}}");
    mint_set(&payload, "attestation_metadata",
             "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"enterprise\","
             "\"safety_level\":\"standard\",\"capabilities_declared\":[]}");
    char *enterprise AUTO(mem) = mint_token(&key, NULL, &payload);
    for (int accepted = 0; accepted < 2; accepted++) {
        AUTO(attest_policy) struct attest_policy *p = open_policy();
        assert_int_equal(attest_policy_set_enterprise(p, accepted, NULL), ATTEST_OK);
        assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
        assert_int_equal(verify(p, provider, NULL), ATTEST_OK);
        assert_int_equal(verify(p, enterprise, NULL), accepted ? ATTEST_OK : ATTEST_E_POLICY);
        assert_int_equal(attest_policy_set_enterprise(p, true, NULL), ATTEST_E_ARGUMENT);
    }
}

/* A token with so many nested one in the other; that of one level (1: the outermost nested) is
 * signed by someone else, 0 for none. */
static char *
chain(unsigned levels, unsigned wrong)
{
    char *nested = NULL;
    for (unsigned level = levels + 1; level-- > 0;) {
        struct mint_object payload;
        char metadata[8192], jti[64];
        mint_payload(&payload);
        snprintf(metadata, sizeof(metadata),
                 "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
                 "\"safety_level\":\"standard\",\"capabilities_declared\":[]%s%s%s}",
                 nested ? ",\"nested_attestation\":\"" : "", nested ? nested : "",
                 nested ? "\"" : "");
        snprintf(jti, sizeof(jti), "\"%08u-4a5f-4d7e-9c33-0a1b2c3d4e5f\"", level);
        mint_set(&payload, "attestation_metadata", metadata);
        mint_set(&payload, "jti", jti);
        if (level > 0)
            mint_set(&payload, "aud", "\"" MINT_ISSUER "\"");
        free(nested);
        nested = mint_token(wrong && level == wrong ? &impostor : &key, NULL, &payload);
    }
    return nested;
}

static void
test_nested_depth(void **state)
{
    (void)state;
    for (unsigned depth = 0; depth <= ATTEST_NESTED_DEPTH_MAX; depth++) {
        AUTO(attest_policy) struct attest_policy *p = open_policy();
        assert_int_equal(attest_policy_set_nested_depth(p, depth, NULL), ATTEST_OK);
        assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
        for (unsigned wrong = 0; wrong <= 3; wrong++) {
            char *token AUTO(mem) = chain(3, wrong);
            bool nested, refused = wrong && wrong <= depth;
            assert_int_equal(verify(p, token, &nested), refused ? ATTEST_E_CLAIMS : ATTEST_OK);
            assert_int_equal(nested, depth > 0 && !refused);
        }
    }
    AUTO(attest_policy) struct attest_policy *usual = open_policy();
    char *deep AUTO(mem) = chain(2, 2), *shallow AUTO(mem) = chain(1, 1);
    assert_int_equal(attest_policy_set_nested_depth(usual, ATTEST_NESTED_DEPTH_MAX + 1, NULL),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_freeze(usual, NULL), ATTEST_OK);
    assert_int_equal(verify(usual, deep, NULL), ATTEST_OK);
    assert_int_equal(verify(usual, shallow, NULL), ATTEST_E_CLAIMS);
}

#define OTHER "https://other.example"

static struct attest_policy *
two_issuers(void)
{
    static const char *const both[] = {MINT_ISSUER, OTHER};
    struct attest_policy *p = open_policy();
    assert_int_equal(attest_policy_add_issuer(p, OTHER, ATTEST_TRUST_PROVIDER, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        assert_int_equal(attest_policy_issuer_provider(p, both[i], "anthropic", NULL), 0);
        assert_int_equal(attest_policy_issuer_trust_domain(p, both[i], "ai.example.com", NULL), 0);
    }
    return p;
}

/* A token of the other issuer is refused, before its key is looked for; its word in one is not. */
static void
test_only_issuer(void **state)
{
    (void)state;
    struct mint_object payload;
    mint_payload(&payload);
    mint_set(&payload, "iss", "\"" OTHER "\"");
    char *others AUTO(mem) = mint_token(&stranger, NULL, &payload);
    mint_set(&payload, "aud", "\"" MINT_ISSUER "\"");
    char *inner AUTO(mem) = mint_token(&stranger, NULL, &payload);
    char metadata[8192];
    snprintf(metadata, sizeof(metadata),
             "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
             "\"safety_level\":\"standard\",\"capabilities_declared\":[],"
             "\"nested_attestation\":\"%s\"}",
             inner);
    mint_payload(&payload);
    mint_set(&payload, "attestation_metadata", metadata);
    char *outer AUTO(mem) = mint_token(&key, NULL, &payload);
    for (int only = 0; only < 2; only++) {
        bool nested;
        AUTO(attest_policy) struct attest_policy *p = two_issuers();
        if (only)
            assert_int_equal(attest_policy_only_issuer(p, MINT_ISSUER, NULL), ATTEST_OK);
        assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
        assert_int_equal(verify(p, outer, &nested), ATTEST_OK);
        assert_true(nested);
        assert_int_equal(verify(p, others, NULL), only ? ATTEST_E_ISSUER : ATTEST_OK);
        if (only)
            assert_string_equal(err.text, "the token is of " OTHER ", not of " MINT_ISSUER);
    }
}

static void
test_demands_at_odds(void **state)
{
    (void)state;
    static const char enterprise[] = "agent_identity.enterprise",
                      nested[] = "attestation_metadata.nested_attestation";
    static const struct {
        const char *claim, *says;
        bool two_issuers, no_enterprise, of_provider, no_nesting;
    } cases[] = {
        {enterprise, NULL, false, false, false, false},
        {enterprise, "and refused", false, true, false, false},
        {enterprise, "trust provider, which no such token has", false, false, true, false},
        {nested, NULL, true, false, false, false},
        {nested, "none is followed", true, false, false, true},
        {nested, "no other is trusted", false, false, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(attest_policy)
        struct attest_policy *p = cases[i].two_issuers ? two_issuers() : open_policy();
        assert_int_equal(attest_policy_require_claim(p, cases[i].claim, NULL), 0);
        assert_int_equal(attest_policy_set_enterprise(p, !cases[i].no_enterprise, NULL), 0);
        if (cases[i].of_provider)
            assert_int_equal(attest_policy_set_trust_min(p, ATTEST_TRUST_PROVIDER, NULL), 0);
        if (cases[i].no_nesting)
            assert_int_equal(attest_policy_set_nested_depth(p, 0, NULL), 0);
        err = (struct attest_error){0};
        assert_int_equal(attest_policy_freeze(p, &err),
                         cases[i].says ? ATTEST_E_CONFIG : ATTEST_OK);
        assert_non_null(strstr(err.text, cases[i].says ? cases[i].says : ""));
    }
}

static int
setup(void **state)
{
    (void)state;
    if (crypto_init(NULL) != ATTEST_OK)
        return -1;
    mint_key_init(&key, 1);
    mint_key_init(&impostor, 2);
    memcpy(impostor.kid, key.kid, sizeof(impostor.kid));
    mint_key_init(&stranger, 3);
    char *jwks AUTO(mem) = mint_jwks(&key), *others AUTO(mem) = mint_jwks(&stranger);
    return attest_keys_new(&keys, NULL) != ATTEST_OK ||
           attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL) != ATTEST_OK ||
           attest_keys_add_jwks(keys, OTHER, others, strlen(others), NULL) != ATTEST_OK;
}

static int
teardown(void **state)
{
    (void)state;
    attest_keys_free(keys);
    mint_key_done(&key);
    mint_key_done(&impostor);
    mint_key_done(&stranger);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allow_lists),     cmocka_unit_test(test_enterprise),
        cmocka_unit_test(test_nested_depth),    cmocka_unit_test(test_only_issuer),
        cmocka_unit_test(test_demands_at_odds),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
