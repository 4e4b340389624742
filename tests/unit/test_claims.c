/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "token/claims.h"

/* What every hostile claim set must give stands under tests/vectors/invalid; here is the rest. */

static struct jws jws;
static struct claims claims;
static struct attest_error err;

/* Reads a payload as it would come out of a token. */
static void
read_payload(const char *text)
{
    static const uint8_t signature[ED25519_SIG_LEN];
    AUTO(buf) struct buf token;
    buf_init(&token, JWS_TOKEN_MAX);
    jws_write_signing_input(&token, JWK_ALG_EDDSA, "JWT", slice_cstr("k"), slice_cstr(text));
    jws_write_signature(&token, signature);
    const struct profile *p = profile_get(PROFILE_ATTESTATION);
    if (jws_read(&jws, p, token.p, token.len, &err))
        fail_msg("%s: %s", text, err.text);
    if (claims_read_issuer(&claims, p, &jws.payload, &err))
        fail_msg("%s: %s", text, err.text);
}

static enum attest_rc
read_all(const char *text, const struct subject_names *names)
{
    read_payload(text);
    enum attest_rc rc = claims_read_times(&claims, &err);
    if (!rc)
        rc = claims_read_audience(&claims, &err);
    if (!rc)
        rc = claims_read_rest(&claims, names, &err);
    return rc;
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NESTED "eyJhIjoxfQ.eyJiIjoyfQ.AAAA"

static const struct mint_request provider = {
    .audience = {{"https://mcp.example", 19}},
    .n_audiences = 1,
    .model_family = {"claude-4", 8},
    .model_version = {"claude-sonnet-4", 15},
    .provider = {"anthropic", 9},
};

static const struct claims_stamp stamp = {
    .iss = {"https://ai.example", 18},
    .sub = {"spiffe://ai.example/model/claude-sonnet-4", 41},
    .jti = {"f47ac10b-58cc-4372-a567-0e02b2c3d479", 36},
    .iat = 1000,
    .nbf = 1000,
    .exp = 1300,
};

static void
write_text(const struct mint_request *request, const struct claims_stamp *s, struct buf *out)
{
    buf_init(out, JWS_TOKEN_MAX);
    if (claims_write(request, s, out, &err))
        fail_msg("%s", err.text);
    assert_true(buf_terminate(out));
}

/* The bytes are the format: whoever changes them changes what others may have come to expect. */
static void
test_write_form(void **state)
{
    (void)state;
    AUTO(buf) struct buf out;
    write_text(&provider, &stamp, &out);
    assert_string_equal(
        out.p,
        "{\"iss\":\"https://ai.example\",\"sub\":\"spiffe://ai.example/model/claude-sonnet-4\","
        "\"aud\":\"https://mcp.example\",\"iat\":1000,\"nbf\":1000,\"exp\":1300,"
        "\"jti\":\"f47ac10b-58cc-4372-a567-0e02b2c3d479\",\"agent_identity\":{\"model_family\":"
        "\"claude-4\",\"model_version\":\"claude-sonnet-4\",\"provider\":\"anthropic\"},"
        "\"attestation_metadata\":{\"attestation_version\":\"0.1.0\",\"attestation_type\":"
        "\"provider\",\"safety_level\":\"standard\",\"capabilities_declared\":[]}}");
}

static void
test_provider_round_trip(void **state)
{
    (void)state;
    AUTO(buf) struct buf out;
    write_text(&provider, &stamp, &out);
    assert_int_equal(read_all(out.p, NULL), ATTEST_OK);
    assert_true(slice_eq(claims.iss, stamp.iss));
    assert_true(slice_eq(claims.sub, stamp.sub));
    assert_true(slice_is(claims.subject.trust_domain, "ai.example"));
    assert_int_equal(claims.n_aud, 1);
    assert_true(slice_eq(claims.aud[0], provider.audience[0]));
    assert_int_equal(claims.iat, 1000);
    assert_int_equal(claims.nbf, 1000);
    assert_int_equal(claims.exp, 1300);
    assert_true(slice_eq(claims.jti, stamp.jti));
    assert_true(slice_eq(claims.model_family, provider.model_family));
    assert_true(slice_eq(claims.model_version, provider.model_version));
    assert_true(slice_eq(claims.provider, provider.provider));
    assert_null(claims.deployment_id.p);
    assert_false(claims.enterprise);
    assert_null(claims.org_id.p);
    assert_null(claims.config_hash.p);
    assert_int_equal(claims.type, ATTESTATION_PROVIDER);
    assert_int_equal(claims.safety, SAFETY_STANDARD);
    assert_int_equal(claims.capabilities->count, 0);
    assert_null(claims.nested_attestation.p);
    assert_false(claims.bound);
}

static void
test_enterprise_round_trip(void **state)
{
    (void)state;
    uint8_t seed_bytes[ED25519_SEED_LEN] = {7};
    AUTO(secret) struct secret seed = secret_copy(seed_bytes, sizeof(seed_bytes));
    struct mint_request request = {
        .audience = {{"https://a.example", 17}, {"https://b.example", 17}},
        .n_audiences = 2,
        .audience_is_array = true,
        .model_family = {"f", 1},
        .model_version = {"any model/at all", 16},
        .provider = {"p", 1},
        .deployment_id = {"d\"\\\xf0\x9f\xa4\x96", 7},
        .enterprise = true,
        .org_id = {"org", 3},
        .workload_id = {"w 1", 3},
        .deployment_env = {"prod", 4},
        .config_hash = {"sha256:" HEX64, 71},
        .system_prompt_hash = {"sha256:" HEX64, 71},
        .safety_level = {"minimal", 7},
        .capabilities = {{"tools", 5}, {"a b", 3}},
        .n_capabilities = 2,
        .nested_attestation = {NESTED, sizeof(NESTED) - 1},
        .cnf = MINT_CNF_KEY,
    };
    ed25519_public_from_seed(request.cnf_key, &seed);
    struct claims_stamp s = stamp;
    s.sub = slice_cstr("spiffe://ai.example/agent/w-1");
    static const struct subject_name list[] = {{{"w 1", 3}, {"w-1", 3}}};
    static const struct subject_names names = {list, 1};
    AUTO(buf) struct buf out;
    write_text(&request, &s, &out);
    assert_int_equal(read_all(out.p, NULL), ATTEST_E_CLAIMS);
    assert_int_equal(read_all(out.p, &names), ATTEST_OK);
    assert_int_equal(claims.n_aud, 2);
    assert_true(slice_is(claims.aud[1], "https://b.example"));
    assert_true(claims.subject.enterprise);
    assert_true(slice_eq(claims.deployment_id, request.deployment_id));
    assert_true(claims.enterprise);
    assert_true(slice_is(claims.org_id, "org"));
    assert_true(slice_is(claims.workload_id, "w 1"));
    assert_true(slice_is(claims.deployment_env, "prod"));
    assert_true(slice_eq(claims.config_hash, request.config_hash));
    assert_true(slice_eq(claims.system_prompt_hash, request.system_prompt_hash));
    assert_int_equal(claims.type, ATTESTATION_ENTERPRISE);
    assert_int_equal(claims.safety, SAFETY_MINIMAL);
    assert_int_equal(claims.capabilities->count, 2);
    assert_true(slice_is(claims.nested_attestation, NESTED));
    assert_true(claims.bound);
    assert_memory_equal(claims.cnf_key, request.cnf_key, ED25519_PUBLIC_LEN);
}

/* One audience in an array stays an array; both forms are read. */
static void
test_single_audience_in_array(void **state)
{
    (void)state;
    struct mint_request request = provider;
    request.audience_is_array = true;
    AUTO(buf) struct buf out;
    write_text(&request, &stamp, &out);
    assert_non_null(strstr(out.p, "\"aud\":[\"https://mcp.example\"]"));
    assert_int_equal(read_all(out.p, NULL), ATTEST_OK);
    assert_int_equal(claims.n_aud, 1);
}

static void
test_write_refuses(void **state)
{
    (void)state;
    struct mint_request several = provider, minimal = provider, none = provider, odd = provider;
    struct claims_stamp ends = stamp, late = stamp, early = stamp, far = stamp;
    odd.safety_level = slice_cstr("medium");
    early.iat = -1;
    far.exp = CLAIMS_TIME_MAX + 1;
    several.audience[1] = several.audience[0];
    several.n_audiences = 2;
    minimal.safety_level = slice_cstr("minimal");
    none.n_audiences = 0;
    ends.exp = ends.iat;
    late.nbf = late.exp;
    const struct {
        const struct mint_request *request;
        const struct claims_stamp *stamp;
    } cases[] = {
        {&several, &stamp}, {&minimal, &stamp},  {&none, &stamp},   {&provider, &ends},
        {&provider, &late}, {&provider, &early}, {&provider, &far}, {&odd, &stamp},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buf) struct buf out;
        buf_init(&out, JWS_TOKEN_MAX);
        assert_int_equal(claims_write(cases[i].request, cases[i].stamp, &out, &err),
                         ATTEST_E_CLAIMS);
        assert_int_equal(out.len, 0);
    }
    AUTO(buf) struct buf full;
    buf_init(&full, 100);
    assert_int_equal(claims_write(&provider, &stamp, &full, &err), ATTEST_E_LIMIT);
}

/* Each step speaks of its own claims only: what a verifier owes first must not wait for the rest.
 */
static void
test_steps_are_separate(void **state)
{
    (void)state;
    read_payload("{\"iss\":\"x\",\"iat\":1,\"nbf\":2,\"exp\":3}");
    assert_int_equal(claims_read_times(&claims, &err), ATTEST_OK);
    assert_int_equal(claims.exp, 3);
    assert_int_equal(claims_read_audience(&claims, &err), ATTEST_E_CLAIMS);
    assert_string_equal(err.text, "aud: missing");

    read_payload("{\"iss\":\"x\",\"aud\":\"u:1\",\"sub\":7}");
    assert_int_equal(claims_read_audience(&claims, &err), ATTEST_OK);
    assert_int_equal(claims_read_times(&claims, &err), ATTEST_E_CLAIMS);
    assert_int_equal(claims_read_rest(&claims, NULL, &err), ATTEST_E_CLAIMS);
    assert_int_equal(strncmp(err.text, "sub: ", 5), 0);
}

static void
test_issuer_must_be_a_string(void **state)
{
    (void)state;
    static const char *const cases[] = {"{}", "{\"iss\":1}", "{\"iss\":null}", "{\"iss\":[\"x\"]}",
                                        "{\"iss\":\"\"}"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        JSON_NODES(j, 16);
        static const struct json_limits limits = {64, 64, 8, 8};
        char text[64];
        strcpy(text, cases[i]);
        assert_int_equal(json_read(&j, text, strlen(text), &limits, &err), ATTEST_OK);
        assert_int_equal(claims_read_issuer(&claims, profile_get(PROFILE_ATTESTATION), &j, &err),
                         ATTEST_E_MALFORMED);
    }
}

static void
test_times_at_their_bounds(void **state)
{
    (void)state;
    read_payload("{\"iss\":\"x\",\"iat\":0,\"nbf\":0,\"exp\":253402300799}");
    assert_int_equal(claims_read_times(&claims, &err), ATTEST_OK);
    assert_int_equal(claims.exp, CLAIMS_TIME_MAX);
    read_payload("{\"iss\":\"x\",\"iat\":0,\"nbf\":0,\"exp\":253402300800}");
    assert_int_equal(claims_read_times(&claims, &err), ATTEST_E_CLAIMS);
}

static void
test_profile_table(void **state)
{
    (void)state;
    const struct profile *p = profile_get(PROFILE_ATTESTATION);
    assert_true(profile_has_typ(p, slice_cstr("JWT")));
    assert_true(profile_has_typ(p, slice_cstr("agent-attestation+jwt")));
    assert_false(profile_has_typ(p, slice_cstr("jwt")));
    assert_false(profile_has_typ(p, slice_cstr("")));
    assert_true(p->kid);
    assert_int_equal(p->lifetime_default_s, 300);
    assert_int_equal(p->lifetime_max_s, 900);
    for (int id = 0; id < PROFILE_COUNT; id++) {
        const struct profile *row = profile_get((enum profile_id)id);
        assert_non_null(row->name);
        assert_non_null(row->typ[0]);
        assert_int_equal(row->required & row->allowed, 0);
        assert_true(row->lifetime_default_s <= row->lifetime_max_s);
    }
    for (int c = 0; c < CLAIM_COUNT; c++)
        assert_non_null(claim_name((enum claim)c));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_form),
        cmocka_unit_test(test_provider_round_trip),
        cmocka_unit_test(test_enterprise_round_trip),
        cmocka_unit_test(test_single_audience_in_array),
        cmocka_unit_test(test_write_refuses),
        cmocka_unit_test(test_steps_are_separate),
        cmocka_unit_test(test_issuer_must_be_a_string),
        cmocka_unit_test(test_times_at_their_bounds),
        cmocka_unit_test(test_profile_table),
    };
    if (crypto_init(NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
