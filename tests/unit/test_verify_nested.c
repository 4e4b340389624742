/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <attest/attest.h>

#include "support/mint.h"
#include "verify/claims.h"
#include "verify/keys.h"
#include "verify/policy.h"

static struct mint_key key, agent_key, other_key;

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nested_workload),
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
