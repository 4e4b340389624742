/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/mint.h"
#include "support/samejson.h"
#include "verify/claims.h"
#include "verify/keys.h"
#include "verify/policy.h"

#include <attest/attest.h>

#define OTHER "https://other.example.com"
#define UNTRUSTED "https://nobody.example.com"
#define ENTERPRISE_IDENTITY                                                                        \
    "{\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\",\"provider\":"           \
    "\"anthropic\",\"enterprise\":{\"org_id\":\"acme\",\"workload_id\":\"bot-7\","                 \
    "\"deployment_env\":\"prod\"}}"
#define ENTERPRISE_METADATA(safety)                                                                \
    "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"enterprise\",\"safety_level\":"     \
    "\"" safety "\",\"capabilities_declared\":[]}"
#define PROVIDER_METADATA(safety)                                                                  \
    "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\",\"safety_level\":"       \
    "\"" safety "\",\"capabilities_declared\":[]}"

static struct mint_key key, other_key, agent_key;
static struct attest_keys *keys;

static struct attest_policy *
open_policy(void)
{
    struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, "https://mcp.example.com/2", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, MINT_ISSUER, ATTEST_TRUST_PROVIDER, NULL),
                     ATTEST_OK);
    return p;
}

static struct attest_policy *
frozen_policy(void)
{
    struct attest_policy *p = open_policy();
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    return p;
}

static enum attest_rc
verify_at(const struct attest_policy *policy, const char *token, int64_t now_s,
          struct attest_claims **claims)
{
    struct attest_error err = {.text = "untouched"};
    struct attest_claims *got = NULL;
    enum attest_rc rc = attest_verify(keys, policy, token, strlen(token), now_s, &got, &err);
    assert_int_equal(rc == ATTEST_OK, got != NULL);
    if (rc == ATTEST_OK)
        assert_string_equal(err.text, "untouched");
    else
        assert_int_equal(err.rc, rc);
    if (claims)
        *claims = got;
    else
        attest_claims_free(got);
    return rc;
}

static enum attest_rc
verify_payload(const struct attest_policy *policy, const struct mint_object *payload)
{
    char *token AUTO(mem) = mint_token(&key, NULL, payload);
    return verify_at(policy, token, MINT_NOW, NULL);
}

/* One member of a right payload replaced (NULL: taken out). */
static enum attest_rc
verify_with(const struct attest_policy *policy, const char *name, const char *json)
{
    struct mint_object payload;
    mint_payload(&payload);
    if (name)
        mint_set(&payload, name, json);
    return verify_payload(policy, &payload);
}

static void
test_accessors(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *policy = frozen_policy();
    AUTO(attest_claims) struct attest_claims *c = NULL;
    struct mint_object payload;
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    mint_payload(&payload);
    mint_set(&payload, "cnf", cnf);
    mint_set(&payload, "aud", "[\"https://x.example\",\"" MINT_AUDIENCE "\"]");
    mint_set(&payload, "unknown", "{\"a\":[1,2]}");
    char *token AUTO(mem) = mint_token(&key, NULL, &payload);
    AUTO(attest_claims) struct attest_claims *unbound = NULL;
    mint_payload(&payload);
    char *without AUTO(mem) = mint_token(&key, NULL, &payload);
    assert_int_equal(verify_at(policy, without, MINT_NOW, &unbound), ATTEST_OK);
    assert_null(attest_claims_key(unbound));
    assert_int_equal(verify_at(policy, token, MINT_NOW, &c), ATTEST_OK);
    assert_string_equal(attest_claims_issuer(c), MINT_ISSUER);
    assert_string_equal(attest_claims_subject(c), "spiffe://ai.example.com/model/claude-sonnet-4");
    assert_string_equal(attest_claims_id(c), "0b0e7b1c-4a5f-4d7e-9c33-0a1b2c3d4e5f");
    assert_string_equal(attest_claims_kid(c), key.kid);
    assert_int_equal(attest_claims_audience_count(c), 2);
    assert_string_equal(attest_claims_audience(c, 0), "https://x.example");
    assert_null(attest_claims_audience(c, 2));
    assert_string_equal(attest_claims_audience_matched(c), MINT_AUDIENCE);
    assert_int_equal(attest_claims_issued_at_s(c), MINT_NOW);
    assert_int_equal(attest_claims_not_before_s(c), MINT_NOW);
    assert_int_equal(attest_claims_expires_at_s(c), MINT_NOW + 300);
    assert_string_equal(attest_claims_model_family(c), "claude-4");
    assert_string_equal(attest_claims_model_version(c), "claude-sonnet-4");
    assert_string_equal(attest_claims_provider(c), "anthropic");
    assert_null(attest_claims_deployment_id(c));
    assert_null(attest_claims_org_id(c));
    assert_null(attest_claims_config_hash(c));
    assert_string_equal(attest_claims_attestation_type(c), "provider");
    assert_int_equal(attest_claims_safety(c), ATTEST_SAFETY_STANDARD);
    assert_int_equal(attest_claims_capability_count(c), 2);
    assert_string_equal(attest_claims_capability(c, 1), "c\xc3\xa9");
    assert_null(attest_claims_capability(c, 2));
    assert_memory_equal(attest_claims_key(c), agent_key.public_key.bytes, ATTEST_KEY_LEN);
    assert_int_equal(attest_claims_trust(c), ATTEST_TRUST_PROVIDER);
    assert_false(attest_claims_nested_verified(c));
}

/* What the library says of the claims is what the token held, without what nobody checked. */
static void
test_json(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *policy = frozen_policy();
    AUTO(attest_claims) struct attest_claims *c = NULL;
    struct mint_object payload;
    mint_payload(&payload);
    mint_set(&payload, "sub", "\"spiffe://ai.example.com/agent/bot-7\"");
    mint_set(&payload, "agent_identity", ENTERPRISE_IDENTITY);
    mint_set(&payload, "attestation_metadata", ENTERPRISE_METADATA("minimal"));
    mint_set(&payload, "agent_integrity",
             "{\"config_hash\":\"sha256:"
             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}");
    char *expected AUTO(mem) = mint_json(&payload);
    mint_set(&payload, "admin", "true");
    char *token AUTO(mem) = mint_token(&key, NULL, &payload);
    assert_int_equal(verify_at(policy, token, MINT_NOW, &c), ATTEST_OK);
    char *text AUTO(mem) = attest_claims_to_json(c);
    assert_true(same_json(text, expected));
}

static void
test_times(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *policy = frozen_policy();
    struct mint_object payload;
    mint_payload(&payload);
    char *token AUTO(mem) = mint_token(&key, NULL, &payload);
    assert_int_equal(verify_at(policy, token, MINT_NOW + 329, NULL), ATTEST_OK);
    assert_int_equal(verify_at(policy, token, MINT_NOW + 330, NULL), ATTEST_E_EXPIRED);
    assert_int_equal(verify_at(policy, token, MINT_NOW - 30, NULL), ATTEST_OK);
    assert_int_equal(verify_at(policy, token, MINT_NOW - 31, NULL), ATTEST_E_NOT_YET_VALID);
    assert_int_equal(verify_at(policy, token, 0, NULL), ATTEST_E_NOT_YET_VALID);
    assert_int_equal(verify_at(policy, token, -1, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(verify_at(policy, token, INT64_MAX, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(verify_with(policy, "nbf", "1800000031"), ATTEST_E_NOT_YET_VALID);
    assert_int_equal(verify_with(policy, "exp", "1799999970"), ATTEST_E_EXPIRED);
    assert_int_equal(verify_with(policy, "exp", "1800000300.0"), ATTEST_E_CLAIMS);
    assert_int_equal(verify_with(policy, "exp", "\"1800000300\""), ATTEST_E_CLAIMS);
    assert_int_equal(verify_with(policy, "exp", NULL), ATTEST_E_CLAIMS);
    assert_int_equal(verify_with(policy, "iat", "1800000031"), ATTEST_E_NOT_YET_VALID);
    assert_int_equal(verify_with(policy, "exp", "1800000900"), ATTEST_OK);
    assert_int_equal(verify_with(policy, "exp", "1800000901"), ATTEST_E_POLICY);
}

static void
test_each_check(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *policy = frozen_policy();
    static const struct {
        const char *name, *json;
        enum attest_rc rc;
    } cases[] = {
        {NULL, NULL, ATTEST_OK},
        {"iss", "\"" UNTRUSTED "\"", ATTEST_E_ISSUER},
        {"iss", "\"" MINT_ISSUER "/\"", ATTEST_E_ISSUER},
        {"iss", "7", ATTEST_E_MALFORMED},
        {"iss", NULL, ATTEST_E_MALFORMED},
        {"aud", "\"https://mcp.example.com/2\"", ATTEST_OK},
        {"aud", "\"https://mcp.example.com/\"", ATTEST_E_AUDIENCE},
        {"aud", "\"HTTPS://mcp.example.com\"", ATTEST_E_AUDIENCE},
        {"aud", "[]", ATTEST_E_CLAIMS},
        {"aud", NULL, ATTEST_E_CLAIMS},
        {"aud", "[\"" MINT_AUDIENCE "\",\"https://x.example\"]", ATTEST_E_CLAIMS},
        {"jti", NULL, ATTEST_E_CLAIMS},
        {"jti", "\"abc\"", ATTEST_E_CLAIMS},
        {"sub", "\"spiffe://ai.example.com/model/another\"", ATTEST_E_CLAIMS},
        {"sub", "\"spiffe://elsewhere.example/model/claude-sonnet-4\"", ATTEST_OK},
        {"agent_identity", "{}", ATTEST_E_CLAIMS},
        {"agent_identity", ENTERPRISE_IDENTITY, ATTEST_E_CLAIMS},
        {"attestation_metadata", PROVIDER_METADATA("minimal"), ATTEST_E_CLAIMS},
        {"attestation_metadata", ENTERPRISE_METADATA("standard"), ATTEST_E_CLAIMS},
        {"attestation_metadata", PROVIDER_METADATA("enhanced"), ATTEST_OK},
        {"cnf", "{}", ATTEST_E_CLAIMS},
        {"whatever", "[null,true]", ATTEST_OK},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum attest_rc rc = verify_with(policy, cases[i].name, cases[i].json);
        if (rc != cases[i].rc)
            fail_msg("%s=%s: %d, not %d", cases[i].name, cases[i].json, rc, cases[i].rc);
    }
}

/* Of two faults the earlier in the order is what is said. */
static void
test_order(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *policy = open_policy();
    assert_int_equal(attest_policy_set_safety_min(policy, ATTEST_SAFETY_ENHANCED, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(policy, NULL), ATTEST_OK);
    struct mint_object payload;
    mint_payload(&payload);
    assert_int_equal(verify_payload(policy, &payload), ATTEST_E_POLICY);
    mint_set(&payload, "jti", NULL);
    assert_int_equal(verify_payload(policy, &payload), ATTEST_E_CLAIMS);
    mint_set(&payload, "aud", "\"https://x.example\"");
    assert_int_equal(verify_payload(policy, &payload), ATTEST_E_AUDIENCE);
    mint_set(&payload, "exp", "1700000000");
    assert_int_equal(verify_payload(policy, &payload), ATTEST_E_EXPIRED);
    struct mint_key impostor = other_key;
    memcpy(impostor.kid, key.kid, sizeof(impostor.kid));
    char *forged AUTO(mem) = mint_token(&impostor, NULL, &payload);
    assert_int_equal(verify_at(policy, forged, MINT_NOW, NULL), ATTEST_E_SIGNATURE);
    char *unknown AUTO(mem) = mint_token(&other_key, NULL, &payload);
    assert_int_equal(verify_at(policy, unknown, MINT_NOW, NULL), ATTEST_E_KEY_UNKNOWN);
    mint_set(&payload, "iss", "\"" UNTRUSTED "\"");
    char *untrusted AUTO(mem) = mint_token(&other_key, NULL, &payload);
    assert_int_equal(verify_at(policy, untrusted, MINT_NOW, NULL), ATTEST_E_ISSUER);
    char *header AUTO(mem) = mint_token(&other_key, "{\"alg\":\"none\"}", &payload);
    assert_int_equal(verify_at(policy, header, MINT_NOW, NULL), ATTEST_E_MALFORMED);
}

/* No byte of a token can be changed without being noticed. */
static void
test_tampering(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *policy = frozen_policy();
    struct mint_object payload;
    mint_payload(&payload);
    char *token AUTO(mem) = mint_token(&key, NULL, &payload);
    size_t len = strlen(token);
    for (size_t i = 0; i < len; i++) {
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        if (verify_at(policy, token, MINT_NOW, NULL) == ATTEST_OK)
            fail_msg("byte %zu changed and accepted", i);
        token[i] = was;
        struct attest_claims *none = NULL;
        assert_int_not_equal(attest_verify(keys, policy, token, i, MINT_NOW, &none, NULL),
                             ATTEST_OK);
    }
    assert_int_equal(verify_at(policy, token, MINT_NOW, NULL), ATTEST_OK);
}

static void
test_algorithms(void **state)
{
    (void)state;
    char header[160];
    struct mint_object payload;
    mint_payload(&payload);
    AUTO(attest_policy) struct attest_policy *any = frozen_policy();
    AUTO(attest_policy) struct attest_policy *one = open_policy();
    assert_int_equal(attest_policy_issuer_alg(one, MINT_ISSUER, "Ed25519", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(one, NULL), ATTEST_OK);
    char *eddsa AUTO(mem) = mint_token(&key, NULL, &payload);
    assert_int_equal(verify_at(one, eddsa, MINT_NOW, NULL), ATTEST_E_MALFORMED);
    /* The key set says EdDSA of this key. */
    snprintf(header, sizeof(header), "{\"alg\":\"Ed25519\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
             key.kid);
    char *ed25519 AUTO(mem) = mint_token(&key, header, &payload);
    assert_int_equal(verify_at(any, ed25519, MINT_NOW, NULL), ATTEST_E_MALFORMED);
    snprintf(header, sizeof(header),
             "{\"alg\":\"EdDSA\",\"typ\":\"agent-attestation+jwt\",\"kid\":\"%s\"}", key.kid);
    char *typ AUTO(mem) = mint_token(&key, header, &payload);
    assert_int_equal(verify_at(any, typ, MINT_NOW, NULL), ATTEST_OK);
}

static void
test_policy_decides(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = open_policy();
    assert_int_equal(verify_with(p, NULL, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_policy_issuer_trust_domain(p, MINT_ISSUER, "ai.example.com", NULL), 0);
    assert_int_equal(attest_policy_issuer_provider(p, MINT_ISSUER, "anthropic", NULL), 0);
    assert_int_equal(
        attest_policy_issuer_subject_name(p, MINT_ISSUER, "big/model", "big-model", NULL), 0);
    assert_int_equal(attest_policy_add_model_family(p, "claude-4", NULL), 0);
    assert_int_equal(attest_policy_set_age_max_s(p, 60, NULL), 0);
    assert_int_equal(attest_policy_set_lifetime_max_s(p, 300, NULL), 0);
    assert_int_equal(attest_policy_freeze(p, NULL), 0);
    assert_int_equal(verify_with(p, NULL, NULL), ATTEST_OK);
    assert_int_equal(verify_with(p, "exp", "1800000301"), ATTEST_E_POLICY);
    assert_int_equal(verify_with(p, "sub", "\"spiffe://elsewhere.example/model/claude-sonnet-4\""),
                     ATTEST_E_POLICY);
    assert_int_equal(verify_with(p, "agent_identity",
                                 "{\"model_family\":\"claude-4\",\"model_version\":"
                                 "\"claude-sonnet-4\",\"provider\":\"somebody\"}"),
                     ATTEST_E_POLICY);
    assert_int_equal(verify_with(p, "agent_identity",
                                 "{\"model_family\":\"claude-5\",\"model_version\":"
                                 "\"claude-sonnet-4\",\"provider\":\"anthropic\"}"),
                     ATTEST_E_POLICY);
    struct mint_object payload;
    mint_payload(&payload);
    char *token AUTO(mem) = mint_token(&key, NULL, &payload);
    assert_int_equal(verify_at(p, token, MINT_NOW + 90, NULL), ATTEST_OK);
    assert_int_equal(verify_at(p, token, MINT_NOW + 91, NULL), ATTEST_E_POLICY);
    mint_set(&payload, "sub", "\"spiffe://ai.example.com/model/big-model\"");
    mint_set(&payload, "agent_identity",
             "{\"model_family\":\"claude-4\",\"model_version\":\"big/model\","
             "\"provider\":\"anthropic\"}");
    assert_int_equal(verify_payload(p, &payload), ATTEST_OK);
}

static void
test_required_claims(void **state)
{
    (void)state;
    static const char *const names[] = {
        "cnf",
        "agent_integrity",
        "agent_integrity.config_hash",
        "agent_integrity.system_prompt_hash",
        "agent_identity.deployment_id",
        "agent_identity.enterprise",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO(attest_policy) struct attest_policy *p = open_policy();
        assert_int_equal(attest_policy_require_claim(p, names[i], NULL), ATTEST_OK);
        assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
        assert_int_equal(verify_with(p, NULL, NULL), ATTEST_E_CLAIMS);
    }
    AUTO(attest_policy) struct attest_policy *p = open_policy();
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    assert_int_equal(attest_policy_require_claim(p, "cnf", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_require_claim(p, "jti", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(verify_with(p, "cnf", cnf), ATTEST_OK);
}

static void
test_trust_is_the_lesser(void **state)
{
    (void)state;
    static const struct {
        enum attest_trust greatest;
        bool enterprise;
        enum attest_trust expected;
    } cases[] = {
        {ATTEST_TRUST_PROVIDER, false, ATTEST_TRUST_PROVIDER},
        {ATTEST_TRUST_PROVIDER, true, ATTEST_TRUST_ENTERPRISE},
        {ATTEST_TRUST_ENTERPRISE, false, ATTEST_TRUST_ENTERPRISE},
        {ATTEST_TRUST_ENTERPRISE, true, ATTEST_TRUST_ENTERPRISE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int demanded = ATTEST_TRUST_NONE; demanded <= ATTEST_TRUST_PROVIDER; demanded++) {
            AUTO(attest_policy) struct attest_policy *p = NULL;
            AUTO(attest_claims) struct attest_claims *c = NULL;
            assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
            assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
            assert_int_equal(attest_policy_add_issuer(p, MINT_ISSUER, cases[i].greatest, NULL), 0);
            assert_int_equal(attest_policy_set_trust_min(p, (enum attest_trust)demanded, NULL), 0);
            if (demanded > (int)cases[i].greatest) {
                assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_E_CONFIG);
                continue;
            }
            assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
            struct mint_object payload;
            mint_payload(&payload);
            if (cases[i].enterprise) {
                mint_set(&payload, "sub", "\"spiffe://ai.example.com/agent/bot-7\"");
                mint_set(&payload, "agent_identity", ENTERPRISE_IDENTITY);
                mint_set(&payload, "attestation_metadata", ENTERPRISE_METADATA("standard"));
            }
            char *token AUTO(mem) = mint_token(&key, NULL, &payload);
            enum attest_rc rc = verify_at(p, token, MINT_NOW, &c);
            assert_int_equal(rc, demanded <= (int)cases[i].expected ? ATTEST_OK : ATTEST_E_POLICY);
            if (rc == ATTEST_OK)
                assert_int_equal(attest_claims_trust(c), cases[i].expected);
        }
    }
}

/* A key belongs to the issuer under whose name it was added. */
static void
test_keys_of_another_issuer(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = open_policy();
    assert_int_equal(attest_policy_add_issuer(p, OTHER, ATTEST_TRUST_PROVIDER, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_issuer_trust_domain(p, OTHER, "ai.example.com", NULL), 0);
    assert_int_equal(attest_policy_issuer_provider(p, OTHER, "anthropic", NULL), 0);
    assert_int_equal(attest_policy_issuer_trust_domain(p, MINT_ISSUER, "ai.example.com", NULL), 0);
    assert_int_equal(attest_policy_issuer_provider(p, MINT_ISSUER, "anthropic", NULL), 0);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    struct mint_object payload;
    mint_payload(&payload);
    char *own AUTO(mem) = mint_token(&key, NULL, &payload);
    char *foreign AUTO(mem) = mint_token(&other_key, NULL, &payload);
    assert_int_equal(verify_at(p, own, MINT_NOW, NULL), ATTEST_OK);
    assert_int_equal(verify_at(p, foreign, MINT_NOW, NULL), ATTEST_E_KEY_UNKNOWN);
    mint_set(&payload, "iss", "\"" OTHER "\"");
    char *others AUTO(mem) = mint_token(&other_key, NULL, &payload);
    assert_int_equal(verify_at(p, others, MINT_NOW, NULL), ATTEST_OK);
    char *posing AUTO(mem) = mint_token(&key, NULL, &payload);
    assert_int_equal(verify_at(p, posing, MINT_NOW, NULL), ATTEST_E_KEY_UNKNOWN);
}

static char *
metadata_with(const char *nested)
{
    size_t size = strlen(nested) + 256;
    char *text = malloc(size);
    assert_non_null(text);
    snprintf(text, size,
             "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
             "\"safety_level\":\"standard\",\"capabilities_declared\":[],"
             "\"nested_attestation\":\"%s\"}",
             nested);
    return text;
}

/* A right outer token around an inner one with one member replaced, signed by this key. */
static enum attest_rc
verify_nested(const struct mint_key *by, const char *name, const char *json, bool *nested_verified)
{
    AUTO(attest_policy) struct attest_policy *p = frozen_policy();
    AUTO(attest_claims) struct attest_claims *c = NULL;
    struct mint_object inner, outer;
    mint_payload(&inner);
    mint_set(&inner, "aud", "\"" MINT_ISSUER "\"");
    mint_set(&inner, "jti", "\"11111111-4a5f-4d7e-9c33-0a1b2c3d4e5f\"");
    if (name)
        mint_set(&inner, name, json);
    char *nested AUTO(mem) = mint_token(by, NULL, &inner);
    char *metadata AUTO(mem) = metadata_with(nested);
    mint_payload(&outer);
    mint_set(&outer, "attestation_metadata", metadata);
    char *token AUTO(mem) = mint_token(&key, NULL, &outer);
    enum attest_rc rc = verify_at(p, token, MINT_NOW, &c);
    *nested_verified = c && attest_claims_nested_verified(c);
    return rc;
}

static void
test_nested(void **state)
{
    (void)state;
    bool verified;
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    assert_int_equal(verify_nested(&key, NULL, NULL, &verified), ATTEST_OK);
    assert_true(verified);
    assert_int_equal(verify_nested(&key, "exp", "1800000301", &verified), ATTEST_OK);
    assert_true(verified);
    assert_int_equal(verify_nested(&key, "iss", "\"" UNTRUSTED "\"", &verified), ATTEST_OK);
    assert_false(verified);
    struct mint_key impostor = other_key;
    memcpy(impostor.kid, key.kid, sizeof(impostor.kid));
    assert_int_equal(verify_nested(&impostor, NULL, NULL, &verified), ATTEST_E_CLAIMS);
    assert_int_equal(verify_nested(&other_key, NULL, NULL, &verified), ATTEST_E_CLAIMS);
    static const struct {
        const char *name, *json;
    } wrong[] = {
        {"aud", "\"" MINT_AUDIENCE "\""},
        {"exp", "1800000299"},
        {"exp", "1800001000"},
        {"jti", NULL},
        {"agent_identity", "{\"model_family\":\"claude-5\",\"model_version\":\"claude-sonnet-4\","
                           "\"provider\":\"anthropic\"}"},
        {"agent_identity", "{\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\","
                           "\"provider\":\"anthropic\",\"deployment_id\":\"d\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (verify_nested(&key, wrong[i].name, wrong[i].json, &verified) != ATTEST_E_CLAIMS)
            fail_msg("nested with %s %s", wrong[i].name, wrong[i].json);
        assert_false(verified);
    }
    assert_int_equal(verify_nested(&key, "cnf", cnf, &verified), ATTEST_E_CLAIMS);
}

/* One who demands a second word does not take the same one's twice. */
static void
test_nested_demanded(void **state)
{
    (void)state;
    static const char *const issuers[] = {MINT_ISSUER, OTHER};
    static const char *const domains[] = {"ai.example.com", "other.example.com"};
    for (size_t i = 0; i < 2; i++) {
        AUTO(attest_policy) struct attest_policy *p = open_policy();
        struct mint_object inner, outer;
        assert_int_equal(attest_policy_add_issuer(p, OTHER, ATTEST_TRUST_PROVIDER, NULL),
                         ATTEST_OK);
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(attest_policy_issuer_trust_domain(p, issuers[k], domains[k], NULL),
                             ATTEST_OK);
            assert_int_equal(attest_policy_issuer_provider(p, issuers[k], "anthropic", NULL),
                             ATTEST_OK);
        }
        assert_int_equal(
            attest_policy_require_claim(p, "attestation_metadata.nested_attestation", NULL),
            ATTEST_OK);
        assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
        assert_int_equal(verify_with(p, NULL, NULL), ATTEST_E_CLAIMS);
        mint_payload(&inner);
        mint_set(&inner, "aud", "\"" MINT_ISSUER "\"");
        mint_set(&inner, "jti", "\"11111111-4a5f-4d7e-9c33-0a1b2c3d4e5f\"");
        if (i == 1) {
            mint_set(&inner, "iss", "\"" OTHER "\"");
            mint_set(&inner, "sub", "\"spiffe://other.example.com/model/claude-sonnet-4\"");
        }
        char *nested AUTO(mem) = mint_token(i ? &other_key : &key, NULL, &inner);
        char *metadata AUTO(mem) = metadata_with(nested);
        mint_payload(&outer);
        mint_set(&outer, "attestation_metadata", metadata);
        assert_int_equal(verify_payload(p, &outer), i ? ATTEST_OK : ATTEST_E_CLAIMS);
    }
}

static void
test_version(void **state)
{
    (void)state;
    assert_string_equal(attest_version(), PACKAGE_VERSION);
    char text[32];
    snprintf(text, sizeof(text), "%d.%d.%d", ATTEST_VERSION_NUMBER / 10000,
             ATTEST_VERSION_NUMBER / 100 % 100, ATTEST_VERSION_NUMBER % 100);
    assert_string_equal(text, ATTEST_VERSION);
    assert_string_equal(ATTEST_VERSION, PACKAGE_VERSION);
}

static int
setup(void **state)
{
    (void)state;
    if (attest_keys_new(&keys, NULL) != ATTEST_OK)
        return -1;
    mint_key_init(&key, 1);
    mint_key_init(&other_key, 2);
    mint_key_init(&agent_key, 3);
    char *jwks AUTO(mem) = mint_jwks(&key);
    char *others AUTO(mem) = mint_jwks(&other_key);
    if (attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL) != ATTEST_OK ||
        attest_keys_add_jwks(keys, OTHER, others, strlen(others), NULL) != ATTEST_OK)
        return -1;
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    attest_keys_free(keys);
    mint_key_done(&key);
    mint_key_done(&other_key);
    mint_key_done(&agent_key);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accessors),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_each_check),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_tampering),
        cmocka_unit_test(test_algorithms),
        cmocka_unit_test(test_policy_decides),
        cmocka_unit_test(test_required_claims),
        cmocka_unit_test(test_trust_is_the_lesser),
        cmocka_unit_test(test_keys_of_another_issuer),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_nested_demanded),
        cmocka_unit_test(test_version),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
