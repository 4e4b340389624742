/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "token/claims.h"
#include "token/mint_request.h"

#define IDENTITY                                                                                   \
    "\"agent_identity\":{\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\","     \
    "\"provider\":\"anthropic\"}"
#define ENTERPRISE                                                                                 \
    "\"agent_identity\":{\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\","     \
    "\"provider\":\"anthropic\",\"enterprise\":{\"org_id\":\"acme\",\"workload_id\":\"w-1\","      \
    "\"deployment_env\":\"prod\"}}"
#define AUDIENCE "\"audience\":\"https://mcp.example.com\""
#define JWK                                                                                        \
    "{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"                         \
    "7TyWQHOg7hcvPapiMlrwIaaPc"                                                                    \
    "HURo\"}}"
#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Room for one request: the slices borrow from it. */
struct fixture {
    char text[16384];
    struct json_node nodes[1024];
    struct json json;
    struct mint_request request;
    char member[96];
    struct attest_error err;
};

static enum attest_rc
read_text(struct fixture *f, const char *text)
{
    *f = (struct fixture){.json = {f->nodes, ARRAY_LEN(f->nodes), 0}};
    strcpy(f->text, text);
    assert_int_equal(json_read(&f->json, f->text, strlen(text), &mint_request_limits, &f->err),
                     ATTEST_OK);
    return mint_request_read(&f->json, json_root(&f->json), &f->request, f->member,
                             sizeof(f->member), &f->err);
}

static const char full[] = "{\"audience\":[\"https://a.example\",\"https://b.example\"]," ENTERPRISE
                           ",\"agent_integrity\":{\"config_hash\":\"sha256:" HEX64
                           "\",\"system_prompt_hash\":\"sha256:" HEX64
                           "\"},\"attestation_metadata\":{\"safety_level\":\"minimal\","
                           "\"capabilities_declared\":[\"tools\",\"r\\u00e9sum\\u00e9 \\\"q\\\"\"],"
                           "\"nested_attestation\":\"aa.bb.cc\"},\"cnf\":" JWK
                           ",\"cnf_proof\":\"dd.ee.ff\",\"lifetime_s\":900}";

static void
test_reads_everything(void **state)
{
    (void)state;
    static struct fixture f;
    assert_int_equal(read_text(&f, full), ATTEST_OK);
    const struct mint_request *r = &f.request;
    assert_int_equal(r->n_audiences, 2);
    assert_true(r->audience_is_array);
    assert_true(slice_is(r->audience[1], "https://b.example"));
    assert_true(slice_is(r->model_family, "claude-4"));
    assert_true(slice_is(r->model_version, "claude-sonnet-4"));
    assert_true(slice_is(r->provider, "anthropic"));
    assert_null(r->deployment_id.p);
    assert_true(r->enterprise);
    assert_true(slice_is(r->org_id, "acme"));
    assert_true(slice_is(r->workload_id, "w-1"));
    assert_true(slice_is(r->deployment_env, "prod"));
    assert_true(slice_is(r->config_hash, "sha256:" HEX64));
    assert_true(slice_is(r->system_prompt_hash, "sha256:" HEX64));
    assert_true(slice_is(r->safety_level, "minimal"));
    assert_int_equal(r->n_capabilities, 2);
    assert_true(slice_is(r->capabilities[1], "r\xc3\xa9sum\xc3\xa9 \"q\""));
    assert_true(slice_is(r->nested_attestation, "aa.bb.cc"));
    assert_int_equal(r->cnf, MINT_CNF_KEY);
    assert_int_equal(r->cnf_key[0], 0xd7);
    assert_true(slice_is(r->cnf_proof, "dd.ee.ff"));
    assert_int_equal(r->lifetime_s, 900);
}

static void
test_minimum(void **state)
{
    (void)state;
    static struct fixture f;
    assert_int_equal(read_text(&f, "{" AUDIENCE "," IDENTITY "}"), ATTEST_OK);
    const struct mint_request *r = &f.request;
    assert_int_equal(r->n_audiences, 1);
    assert_false(r->audience_is_array);
    assert_false(r->enterprise);
    assert_null(r->safety_level.p);
    assert_int_equal(r->cnf, MINT_CNF_ABSENT);
    assert_int_equal(r->lifetime_s, 0);
}

/* Written and read again, and written again, it is the same bytes. */
static void
test_round_trip(void **state)
{
    (void)state;
    static const char *const cases[] = {
        full,
        "{" AUDIENCE "," IDENTITY "}",
        "{\"audience\":[\"https://a.example\"]," IDENTITY ",\"cnf\":null}",
        "{" AUDIENCE "," IDENTITY ",\"attestation_metadata\":{\"nested_attestation\":\"a.b.c\"}}",
        "{" AUDIENCE "," IDENTITY ",\"attestation_metadata\":{\"safety_level\":\"enhanced\"}}",
        "{" AUDIENCE "," IDENTITY
        ",\"attestation_metadata\":{\"capabilities_declared\":[\"tools\"]}}",
        "{" AUDIENCE "," IDENTITY ",\"agent_integrity\":{\"system_prompt_hash\":\"sha256:" HEX64
        "\"},\"lifetime_s\":1}",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static struct fixture f, g;
        AUTO(buf) struct buf first, second;
        buf_init(&first, 16384);
        buf_init(&second, 16384);
        assert_int_equal(read_text(&f, cases[i]), ATTEST_OK);
        mint_request_write(&f.request, &first);
        assert_true(buf_terminate(&first));
        assert_int_equal(read_text(&g, first.p), ATTEST_OK);
        mint_request_write(&g.request, &second);
        assert_true(buf_terminate(&second));
        assert_string_equal(first.p, second.p);
        if (!strchr(cases[i], '\\'))
            assert_string_equal(first.p, cases[i]);
    }
}

static void
test_refuses_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *member;
    } cases[] = {
        {"[]", "request"},
        {"{}", "audience"},
        {"{" AUDIENCE "}", "agent_identity"},
        {"{" AUDIENCE "," IDENTITY ",\"iss\":\"https://x\"}", "iss"},
        {"{" AUDIENCE "," IDENTITY ",\"b\\u0007\xc3\xa9\":1}", "b???"},
        {"{\"audience\":1," IDENTITY "}", "audience"},
        {"{\"audience\":\"\"," IDENTITY "}", "audience"},
        {"{\"audience\":\"mcp\"," IDENTITY "}", "audience"},
        {"{\"audience\":\"https://a b\"," IDENTITY "}", "audience"},
        {"{\"audience\":[]," IDENTITY "}", "audience"},
        {"{\"audience\":[\"https://a\",1]," IDENTITY "}", "audience"},
        {"{\"audience\":[\"u:1\",\"u:2\",\"u:3\",\"u:4\",\"u:5\",\"u:6\",\"u:7\",\"u:8\",\"u:9\"]"
         "," IDENTITY "}",
         "audience"},
        {"{\"audience\":[\"u:1\",\"u:2\"]," IDENTITY ",\"cnf\":null}", "audience"},
        {"{" AUDIENCE ",\"agent_identity\":[]}", "agent_identity"},
        {"{" AUDIENCE ",\"agent_identity\":{}}", "agent_identity.model_family"},
        {"{" AUDIENCE ",\"agent_identity\":{\"model_family\":\"\"}}",
         "agent_identity.model_family"},
        {"{" AUDIENCE ",\"agent_identity\":{\"model_family\":null}}",
         "agent_identity.model_family"},
        {"{" AUDIENCE ",\"agent_identity\":{\"model_family\":\"a\\nb\"}}",
         "agent_identity.model_family"},
        {"{" AUDIENCE ",\"agent_identity\":{\"extra\":1}}", "agent_identity.extra"},
        {"{" AUDIENCE ",\"agent_identity\":{\"model_family\":\"a\",\"model_version\":\"b\","
         "\"provider\":\"c\",\"enterprise\":{\"org_id\":\"o\"}}}",
         "agent_identity.enterprise.workload_id"},
        {"{" AUDIENCE "," IDENTITY ",\"agent_integrity\":{\"config_hash\":\"sha256:ABC\"}}",
         "agent_integrity.config_hash"},
        {"{" AUDIENCE "," IDENTITY ",\"agent_integrity\":null}", "agent_integrity"},
        {"{" AUDIENCE "," IDENTITY ",\"agent_integrity\":{\"config_hash\":1}}",
         "agent_integrity.config_hash"},
        {"{" AUDIENCE "," IDENTITY ",\"attestation_metadata\":{\"safety_level\":1}}",
         "attestation_metadata.safety_level"},
        {"{" AUDIENCE "," IDENTITY ",\"attestation_metadata\":{\"nested_attestation\":1}}",
         "attestation_metadata.nested_attestation"},
        {"{" AUDIENCE "," IDENTITY ",\"attestation_metadata\":{\"capabilities_declared\":\"a\"}}",
         "attestation_metadata.capabilities_declared"},
        {"{" AUDIENCE "," IDENTITY ",\"attestation_metadata\":{\"capabilities_declared\":[\"\"]}}",
         "attestation_metadata.capabilities_declared"},
        {"{" AUDIENCE "," IDENTITY ",\"cnf\":1}", "cnf"},
        {"{" AUDIENCE "," IDENTITY ",\"cnf\":{\"jwk\":1}}", "cnf.jwk"},
        {"{" AUDIENCE "," IDENTITY ",\"\\u007f\":1}", "?"},
        {"{" AUDIENCE "," IDENTITY ",\"attestation_metadata\":{\"safety_level\":\"none\"}}",
         "attestation_metadata.safety_level"},
        {"{" AUDIENCE "," IDENTITY ",\"attestation_metadata\":{\"safety_level\":\"minimal\"}}",
         "attestation_metadata.safety_level"},
        {"{" AUDIENCE "," IDENTITY ",\"attestation_metadata\":{\"attestation_type\":\"provider\"}}",
         "attestation_metadata.attestation_type"},
        {"{" AUDIENCE "," IDENTITY
         ",\"attestation_metadata\":{\"capabilities_declared\":[\"a\",2]}}",
         "attestation_metadata.capabilities_declared"},
        {"{" AUDIENCE "," IDENTITY ",\"attestation_metadata\":{\"nested_attestation\":\"a.b\"}}",
         "attestation_metadata.nested_attestation"},
        {"{" AUDIENCE "," IDENTITY ",\"cnf\":{}}", "cnf.jwk"},
        {"{" AUDIENCE "," IDENTITY ",\"cnf\":{\"jwk\":{}}}", "cnf.jwk.kty"},
        {"{" AUDIENCE "," IDENTITY ",\"cnf\":{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
         "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}}",
         "cnf.jwk.x"},
        {"{" AUDIENCE "," IDENTITY ",\"cnf\":{\"jwk\":{\"kty\":\"OKP\",\"d\":\"\"}}}", "cnf.jwk.d"},
        {"{" AUDIENCE "," IDENTITY ",\"cnf_proof\":\"a.b.c\"}", "cnf_proof"},
        {"{" AUDIENCE "," IDENTITY ",\"lifetime_s\":0}", "lifetime_s"},
        {"{" AUDIENCE "," IDENTITY ",\"lifetime_s\":901}", "lifetime_s"},
        {"{" AUDIENCE "," IDENTITY ",\"lifetime_s\":1.0}", "lifetime_s"},
        {"{" AUDIENCE "," IDENTITY ",\"lifetime_s\":\"300\"}", "lifetime_s"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static struct fixture f;
        assert_int_equal(read_text(&f, cases[i].text), ATTEST_E_CLAIMS);
        assert_string_equal(f.member, cases[i].member);
        assert_int_equal(strncmp(f.err.text, f.member, strlen(f.member)), 0);
        assert_int_equal(f.request.n_audiences, 0);
    }
}

static void
test_refuses_too_many_capabilities(void **state)
{
    (void)state;
    static struct fixture f;
    AUTO(buf) struct buf text;
    buf_init(&text, sizeof(f.text));
    buf_str(&text,
            "{" AUDIENCE "," IDENTITY ",\"attestation_metadata\":{\"capabilities_declared\":[");
    for (int i = 0; i <= MINT_CAPABILITIES_MAX; i++)
        buf_printf(&text, "%s\"c\"", i ? "," : "");
    buf_str(&text, "]}}");
    assert_true(buf_terminate(&text));
    assert_int_equal(read_text(&f, text.p), ATTEST_E_CLAIMS);
    assert_string_equal(f.member, "attestation_metadata.capabilities_declared");
}

/* A name longer than what it is to be told in is cut. */
static void
test_long_name(void **state)
{
    (void)state;
    static struct fixture f;
    char text[1024], name[512] = {0};
    memset(name, 'n', 300);
    snprintf(text, sizeof(text), "{" AUDIENCE "," IDENTITY ",\"%s\":1}", name);
    assert_int_equal(read_text(&f, text), ATTEST_E_CLAIMS);
    assert_in_range(strlen(f.member), 1, sizeof(f.member) - 1);
    assert_int_equal(strncmp(f.member, name, strlen(f.member)), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_everything),
        cmocka_unit_test(test_minimum),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refuses_by_name),
        cmocka_unit_test(test_refuses_too_many_capabilities),
        cmocka_unit_test(test_long_name),
    };
    if (crypto_init(NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
