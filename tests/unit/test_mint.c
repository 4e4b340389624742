/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/b64u.h"
#include "signer/key_list.h"
#include "signer/mint.h"

#define ISSUER "https://issuer.example.com"
#define HOUR INT64_C(3600)

static const int64_t now_s = 1700000000;

static struct mint_limits limits;
static struct key_record key;
static struct mint_job *job;
static char member[128];
static struct attest_error err;
static struct json_node nodes[512];

static int
set_up(void **state)
{
    (void)state;
    static const struct subject_name names[] = {{{"a/b", 3}, {"a-b", 3}}};
    static const struct rollover_policy policy = {
        .lifetime_max_s = 600, .retire_lag_s = 630, .skew_s = 30};
    limits = (struct mint_limits){
        .policy = &policy,
        .issuer = slice_cstr(ISSUER),
        .trust_domain = slice_cstr("issuer.example.com"),
        .names = {names, 1},
        .typ = "JWT",
        .lifetime_default_s = 300,
        .lifetime_max_s = 600,
        .timeout_max_ms = 5000,
    };
    key = (struct key_record){.alg = JWK_ALG_EDDSA,
                              .times = {.created_s = 1, .published_s = 1, .active_s = 1}};
    memset(key.ref.public_key.bytes, 7, ED25519_PUBLIC_LEN);
    jwk_thumbprint(key.kid, &key.ref.public_key);
    job = mint_job_new();
    return job ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    mint_job_free(job);
    return 0;
}

/* members: of the request, besides id and op. */
static enum attest_rc
begin(const char *members)
{
    static char text[32768];
    static struct json j;
    struct frame_request request;
    int n = snprintf(text, sizeof(text), "{\"id\":9,\"op\":\"sign\",%s}", members);
    assert_true(n > 0 && (size_t)n < sizeof(text));
    j = (struct json){nodes, ARRAY_LEN(nodes), 0};
    assert_int_equal(frame_read_request(&j, text, (size_t)n, &request, &err), ATTEST_OK);
    mint_job_reset(job);
    member[0] = '\0';
    err = (struct attest_error){0};
    return mint_begin(&limits, &request, &key, now_s, 1000, job, member, sizeof(member), &err);
}

#define REQUEST(claims)                                                                            \
    "\"iss\":\"" ISSUER                                                                            \
    "\",\"caller\":\"uid:1000\",\"claims\":{\"audience\":\"https://a.example\","                   \
    "\"agent_identity\":{\"model_family\":\"f\",\"model_version\":\"v1\",\"provider\":"            \
    "\"p\"}" claims "}"

/* The payload that is to be signed, as text. */
static const char *
payload(void)
{
    static char out[8192];
    const char *dot = memchr(job->token.p, '.', job->token.len);
    size_t len;
    assert_non_null(dot);
    struct slice part = {dot + 1, job->token.len - (size_t)(dot + 1 - job->token.p)};
    const char *second = memchr(part.p, '.', part.len);
    if (second)
        part.len = (size_t)(second - part.p);
    assert_true(b64u_decode(out, sizeof(out) - 1, &len, part));
    out[len] = '\0';
    return out;
}

static void
stamps_what_is_the_signers_own(void **state)
{
    (void)state;
    assert_int_equal(begin(REQUEST("")), ATTEST_OK);
    assert_true(job->id == 9);
    assert_true(job->iat == now_s && job->exp == now_s + 300);
    assert_true(job->deadline_ms == 6000);
    const char *p = payload();
    assert_non_null(strstr(p, "{\"iss\":\"" ISSUER "\","));
    assert_non_null(strstr(p, "\"sub\":\"spiffe://issuer.example.com/model/v1\""));
    assert_non_null(strstr(p, "\"aud\":\"https://a.example\""));
    assert_non_null(strstr(p, "\"iat\":1700000000,\"nbf\":1700000000,\"exp\":1700000300"));
    assert_non_null(strstr(p, "\"attestation_type\":\"provider\""));
    assert_non_null(strstr(p, job->jti));
    char first[37];
    memcpy(first, job->jti, sizeof(first));
    assert_int_equal(begin(REQUEST("")), ATTEST_OK);
    assert_string_not_equal(first, job->jti);
}

static void
keeps_its_own_lifetime_limits(void **state)
{
    (void)state;
    assert_int_equal(begin(REQUEST(",\"lifetime_s\":600")), ATTEST_OK);
    assert_true(job->exp == now_s + 600);
    assert_int_equal(begin(REQUEST(",\"lifetime_s\":601")), ATTEST_E_CLAIMS);
    assert_string_equal(member, "lifetime_s");
    assert_int_equal(begin(REQUEST(",\"lifetime_s\":0")), ATTEST_E_CLAIMS);
    assert_int_equal(begin(REQUEST(",\"lifetime_s\":-5")), ATTEST_E_CLAIMS);
}

static void
no_token_outlives_its_key_in_the_key_set(void **state)
{
    (void)state;
    key.times.retired_s = now_s - 500; /* it leaves in 130 s */
    assert_int_equal(begin(REQUEST("")), ATTEST_OK);
    assert_true(job->exp == now_s + 100);
    key.times.retired_s = now_s - 600;
    assert_int_equal(begin(REQUEST("")), ATTEST_E_KEY_OUT_OF_REACH);
    key.times.retired_s = now_s + HOUR;
    assert_int_equal(begin(REQUEST("")), ATTEST_OK);
    assert_true(job->exp == now_s + 300);
}

static void
a_shorter_deadline_is_taken_a_longer_one_is_not(void **state)
{
    (void)state;
    assert_int_equal(begin(REQUEST("") ",\"timeout_ms\":20"), ATTEST_OK);
    assert_true(job->deadline_ms == 1020);
    assert_int_equal(begin(REQUEST("") ",\"timeout_ms\":999999"), ATTEST_OK);
    assert_true(job->deadline_ms == 6000);
}

static void
refuses_what_is_not_its_to_sign(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        enum attest_rc rc;
        const char *member;
    } cases[] = {
        {"\"iss\":\"https://issuer.example.com/\",\"caller\":\"c\",\"claims\":{}", ATTEST_E_ISSUER,
         "iss"},
        {"\"iss\":7,\"caller\":\"c\",\"claims\":{}", ATTEST_E_ISSUER, "iss"},
        {"\"caller\":\"c\",\"claims\":{}", ATTEST_E_ARGUMENT, "iss"},
        {"\"iss\":\"" ISSUER "\",\"claims\":{}", ATTEST_E_ARGUMENT, "caller"},
        {"\"iss\":\"" ISSUER "\",\"caller\":\"\",\"claims\":{}", ATTEST_E_ARGUMENT, "caller"},
        {"\"iss\":\"" ISSUER "\",\"caller\":\"\\u00e9\",\"claims\":{}", ATTEST_E_ARGUMENT,
         "caller"},
        {"\"iss\":\"" ISSUER "\",\"caller\":[],\"claims\":{}", ATTEST_E_ARGUMENT, "caller"},
        {"\"iss\":\"" ISSUER "\",\"caller\":\"c\"", ATTEST_E_ARGUMENT, "claims"},
        {"\"iss\":\"" ISSUER "\",\"caller\":\"c\",\"claims\":{},\"kid\":\"mine\"",
         ATTEST_E_ARGUMENT, "sign"},
        {"\"iss\":\"" ISSUER "\",\"caller\":\"c\",\"claims\":{},\"timeout_ms\":1.5",
         ATTEST_E_ARGUMENT, "timeout_ms"},
        {"\"iss\":\"" ISSUER "\",\"caller\":\"c\",\"claims\":[]", ATTEST_E_CLAIMS, NULL},
        {REQUEST(",\"sub\":\"spiffe://other/model/v1\""), ATTEST_E_CLAIMS, "sub"},
        {REQUEST(",\"iat\":1"), ATTEST_E_CLAIMS, "iat"},
        {REQUEST(",\"attestation_metadata\":{\"attestation_type\":\"enterprise\"}"),
         ATTEST_E_CLAIMS, "attestation_metadata.attestation_type"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum attest_rc rc = begin(cases[i].members);
        if (rc != cases[i].rc)
            print_message("case %zu: %s\n", i, err.text);
        assert_int_equal(rc, cases[i].rc);
        if (cases[i].member)
            assert_string_equal(member, cases[i].member);
    }
}

static void
subjects_are_refused_not_escaped(void **state)
{
    (void)state;
#define MODEL(name)                                                                                \
    "\"iss\":\"" ISSUER "\",\"caller\":\"c\",\"claims\":{\"audience\":\"https://a.example\","      \
    "\"agent_identity\":{\"model_family\":\"f\",\"model_version\":\"" name                         \
    "\",\"provider\":\"p\"}}"
    assert_int_equal(begin(MODEL("a/c")), ATTEST_E_CLAIMS);
    assert_string_equal(member, "agent_identity.model_version");
    assert_int_equal(begin(MODEL("..")), ATTEST_E_CLAIMS);
    assert_int_equal(begin(MODEL("a/b")), ATTEST_OK);
    assert_non_null(strstr(payload(), "\"sub\":\"spiffe://issuer.example.com/model/a-b\""));
    assert_non_null(strstr(payload(), "\"model_version\":\"a/b\""));
}

static void
the_record_is_of_this_token(void **state)
{
    (void)state;
    uint8_t sig[ED25519_SIG_LEN] = {1, 2, 3}, hash[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1], want[1024];
    assert_int_equal(begin(REQUEST("")), ATTEST_OK);
    assert_int_equal(mint_finish(job, sig), ATTEST_OK);
    sha256(hash, job->token.p, job->token.len);
    hex_encode(hex, hash, SHA256_LEN);
    snprintf(want, sizeof(want),
             "\"op\":\"sign\",\"kid\":\"%s\",\"jti\":\"%s\",\"iss\":\"" ISSUER
             "\",\"sub\":\"spiffe://issuer.example.com/model/v1\",\"aud\":\"https://a.example\","
             "\"exp\":1700000300,\"caller\":\"uid:1000\",\"token_sha256\":\"%s\"",
             key.kid, job->jti, hex);
    assert_int_equal(job->entry.body.len, strlen(want));
    assert_memory_equal(job->entry.body.p, want, strlen(want));

    AUTO(buf) struct buf answer;
    buf_init(&answer, 16384);
    mint_answer(job, &answer);
    struct json j = {nodes, ARRAY_LEN(nodes), 0};
    struct frame_answer a;
    struct slice token;
    assert_int_equal(frame_read_answer(&j, answer.p, answer.len, &a, NULL), ATTEST_OK);
    assert_true(frame_string(a.json, a.root, "token", &token));
    assert_true(slice_eq(token, buf_view(&job->token)));
}

static void
too_long_a_token_is_refused_before_it_is_signed(void **state)
{
    (void)state;
    AUTO(buf) struct buf b;
    buf_init(&b, 32768);
    buf_str(
        &b,
        "\"iss\":\"" ISSUER "\",\"caller\":\"c\",\"claims\":{\"audience\":\"https://a.example\","
        "\"agent_identity\":{\"model_family\":\"f\",\"model_version\":\"v\",\"provider\":\"p\"},"
        "\"attestation_metadata\":{\"capabilities_declared\":[\"c\"");
    for (int i = 0; i < 60; i++) {
        buf_str(&b, ",\"");
        for (int k = 0; k < 200; k++)
            buf_char(&b, 'x');
        buf_char(&b, '"');
    }
    buf_str(&b, "]}}");
    assert_true(buf_terminate(&b));
    assert_int_equal(begin(b.p), ATTEST_E_CLAIMS);
}

static void
the_first_key_signs_at_once_a_later_one_waits(void **state)
{
    (void)state;
    struct key_list list = {0};
    struct key_record token = key, log_key = key;
    token.times = key_list_new_times(&list, KEY_PURPOSE_TOKEN, now_s);
    assert_int_equal(key_state(&token.times, now_s), KEY_ACTIVE);
    assert_int_equal(key_list_add(&list, &token), ATTEST_OK);
    struct key_times second = key_list_new_times(&list, KEY_PURPOSE_TOKEN, now_s + 1);
    assert_int_equal(key_state(&second, now_s + 1), KEY_CREATED);
    assert_null(key_list_active(&list, KEY_PURPOSE_LOG, now_s));
    log_key.purpose = KEY_PURPOSE_LOG;
    log_key.times = key_list_new_times(&list, KEY_PURPOSE_LOG, now_s);
    assert_int_equal(key_state(&log_key.times, now_s), KEY_ACTIVE);
    /* Of two active ones the later signs; before its time it does not. */
    token.times.active_s = now_s + 10;
    token.kid[0] = '#';
    assert_int_equal(key_list_add(&list, &token), ATTEST_OK);
    assert_ptr_equal(key_list_active(&list, KEY_PURPOSE_TOKEN, now_s + 9), &list.keys[0]);
    assert_ptr_equal(key_list_active(&list, KEY_PURPOSE_TOKEN, now_s + 10), &list.keys[1]);
    key_list_done(&list);
}

int
main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(stamps_what_is_the_signers_own),
        ONE(keeps_its_own_lifetime_limits),
        ONE(no_token_outlives_its_key_in_the_key_set),
        ONE(a_shorter_deadline_is_taken_a_longer_one_is_not),
        ONE(refuses_what_is_not_its_to_sign),
        ONE(subjects_are_refused_not_escaped),
        ONE(the_record_is_of_this_token),
        ONE(too_long_a_token_is_refused_before_it_is_signed),
        ONE(the_first_key_signs_at_once_a_later_one_waits),
    };
    return crypto_init(NULL) ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
