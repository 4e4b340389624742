/* SPDX-License-Identifier: MIT */
/* attestd's small pure parts: audit, routes, problems, metrics, discovery, entity tags, config. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/ed25519.h"
#include "base/json.h"
#include "issuer/audit.h"
#include "issuer/discovery.h"
#include "issuer/document.h"
#include "issuer/issuer_config.h"
#include "issuer/jwks.h"
#include "issuer/metrics.h"
#include "issuer/problem.h"
#include "issuer/routes.h"

/* ---- audit ---- */

/* A head taken apart in place, as the library does it: line ends, colons and spaces become NUL. */
struct head {
    char text[2048];
    struct audit_header headers[AUDIT_HEADERS_MAX + 1];
    struct audit_request request;
};

static char *
cut_line(char *line, char **rest)
{
    char *end = strchr(line, '\n');
    assert_non_null(end);
    *rest = end + 1;
    if (end > line && end[-1] == '\r')
        end[-1] = '\0';
    *end = '\0';
    return line;
}

static void
take_apart(struct head *h, const char *text)
{
    char *rest;
    snprintf(h->text, sizeof(h->text), "%s", text);
    char *line = cut_line(h->text, &rest);
    h->request = (struct audit_request){.headers = h->headers};
    char *target = strchr(line, ' ');
    assert_non_null(target);
    *target++ = '\0';
    target += strspn(target, " ");
    char *version = strrchr(target, ' ');
    assert_non_null(version);
    *version++ = '\0';
    h->request.method = slice_cstr(line);
    h->request.version = slice_cstr(version);
    audit_target(slice_cstr(target), &h->request.target);
    while (*(line = cut_line(rest, &rest))) {
        char *value = strchr(line, ':');
        assert_non_null(value);
        *value++ = '\0';
        value += strspn(value, " \t");
        h->headers[h->request.n_headers++] =
            (struct audit_header){slice_cstr(line), slice_cstr(value)};
    }
    h->request.head_end = rest;
}

static unsigned
audited(const char *text, struct audit_result *ret)
{
    static struct head h;
    take_apart(&h, text);
    audit_request(&h.request, ret);
    return ret->status;
}

static void
test_audit_reads(void **state)
{
    (void)state;
    struct audit_result r;
    assert_int_equal(audited("POST /a?b=c HTTP/1.1\r\nHost: h:1\r\nContent-Length: 12 \r\n"
                             "Content-Type: application/json\r\nIf-None-Match: \"x\"\r\n\r\n",
                             &r),
                     0);
    assert_int_equal(r.content_length, 12);
    assert_true(slice_is(r.host, "h:1"));
    assert_true(slice_is(r.content_type, "application/json"));
    assert_true(slice_is(r.if_none_match, "\"x\""));
    assert_false(r.http10);
    assert_int_equal(audited("GET / HTTP/1.0\r\n\r\n", &r), 0);
    assert_true(r.http10);
    assert_int_equal(r.content_length, -1);
    assert_null(r.host.p);
}

static void
test_audit_refuses(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *head;
    } cases[] = {
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\n\n"},
        {400, "GET / HTTP/1.1\r\nHost:  a\n\r\n"},
        {400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
        {400, "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1234567890123456\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\nContent-Length: 1\r\n\r\n"},
        {505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"},
        {417, "POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"},
        {400, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a:\r\nX: \x1f\r\n\r\n"},
    };
    struct audit_result r;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (audited(cases[i].head, &r) != cases[i].status)
            fail_msg("case %zu: %u", i, r.status);
        assert_non_null(r.detail);
    }
    struct head h;
    take_apart(&h, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    h.request.saw_nul = true;
    audit_request(&h.request, &r);
    assert_int_equal(r.status, 400);
}

static void
test_target(void **state)
{
    (void)state;
    static const struct {
        const char *whole, *path, *authority;
    } cases[] = {
        {"/a/b", "/a/b", NULL}, {"/a?b/c", "/a", NULL},           {"*", "*", NULL},
        {"http://h", "/", "h"}, {"HTTPS://h:1/x?y", "/x", "h:1"}, {"http://h?x", "/", "h"},
    };
    struct audit_target t;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        audit_target(slice_cstr(cases[i].whole), &t);
        assert_true(t.ok);
        assert_true(slice_is(t.path, cases[i].path));
        assert_true(cases[i].authority ? slice_is(t.authority, cases[i].authority)
                                       : t.authority.p == NULL);
    }
}

/* ---- the rest ---- */

static const struct json_limits limits = {
    .text_max = 16384, .string_max = 1024, .depth_max = 3, .members_max = 32};

static void
assert_string_member(const struct json *doc, const char *name, const char *value)
{
    const struct json_node *node = json_member(doc, json_root(doc), name);
    assert_non_null(node);
    assert_int_equal(node->type, JSON_STRING);
    if (value && !slice_is(node->text, value))
        fail_msg("%s: '%.*s'", name, SLICE_ARG(node->text));
}

static void
test_routes(void **state)
{
    (void)state;
    const struct route *r = NULL;
    const char *allow = NULL;
    for (size_t i = 0; i < n_routes; i++) {
        struct slice path = slice_cstr(routes[i].path);
        bool admin = !(routes[i].where & ROUTE_PUBLIC);
        assert_string_equal(route_names[i], routes[i].path);
        assert_int_equal(route_find(path, routes[i].method, admin, &r, &allow), 0);
        assert_ptr_equal(r, &routes[i]);
        assert_int_equal(route_find(path, "PUT", admin, &r, &allow), 405);
        assert_non_null(strstr(allow, routes[i].method));
    }
    assert_string_equal(route_names[n_routes], "other");
    assert_int_equal(route_find(slice_cstr("/healthz"), "HEAD", false, &r, &allow), 0);
    assert_int_equal(route_find(slice_cstr("/metrics"), "GET", false, &r, &allow), 404);
    assert_int_equal(route_find(slice_cstr("/v1/attestations"), "POST", true, &r, &allow), 404);
    assert_int_equal(route_find(slice_cstr("/healthz/"), "GET", false, &r, &allow), 404);
    assert_int_equal(route_find(slice_cstr(""), "GET", false, &r, &allow), 404);
}

static void
test_problem(void **state)
{
    (void)state;
    char id[REQUEST_ID_SIZE], other[REQUEST_ID_SIZE];
    request_id_next(id);
    request_id_next(other);
    assert_string_not_equal(id, other);
    AUTO(buf) struct buf text;
    buf_init(&text, 4096);
    problem_write(&text, 400, "a \"quoted\"\n detail", "agent_identity.provider", id);
    JSON_NODES(doc, 64);
    assert_int_equal(json_read(&doc, text.p, text.len, &limits, NULL), ATTEST_OK);
    int64_t status;
    assert_true(json_int64(json_member(&doc, json_root(&doc), "status"), &status));
    assert_int_equal(status, 400);
    assert_string_member(&doc, "detail", "a \"quoted\"\n detail");
    assert_string_member(&doc, "member", "agent_identity.provider");
    assert_string_member(&doc, "request_id", id);
    assert_string_member(&doc, "type", "urn:attestd:problem:malformed");
    assert_string_member(&doc, "title", NULL);
}

static void
test_metrics(void **state)
{
    (void)state;
    static const char *const names[] = {"/a", "other"};
    AUTO(metrics) struct metrics *m = metrics_new(names, 2);
    assert_non_null(m);
    metrics_request(m, 0, 200, 99);
    metrics_request(m, 0, 200, 100);
    metrics_request(m, 0, 200, 101);
    metrics_request(m, 1, 418, 11000000);
    metrics_token(m, TOKEN_ISSUED);
    metrics_refused(m, REFUSED_SHED);
    metrics_sign(m, 1500);
    assert_int_equal(metrics_tokens(m, TOKEN_ISSUED), 1);
    assert_int_equal(metrics_refusals(m, REFUSED_SHED), 1);
    struct metrics_key key = {"kid-1", "token", "active", 42};
    struct metrics_gauges g = {.connections = 3,
                               .signer_up = true,
                               .keystore = "ready",
                               .jwks_age_s = 7,
                               .rollover_known = true,
                               .rollover_running = true,
                               .next_action = "publish",
                               .next_at_s = 1800000000,
                               .rotation_due_s = 1800000001,
                               .rotation_overdue_s = 1800000002,
                               .signed_exp_s = 1800000003,
                               .keys = &key,
                               .n_keys = 1};
    AUTO(buf) struct buf text;
    buf_init(&text, 1 << 20);
    metrics_write(m, &g, &text);
    assert_true(buf_terminate(&text));
    static const char *const lines[] = {
        "attestd_http_requests_total{route=\"/a\",status=\"200\"} 3\n",
        "attestd_http_requests_total{route=\"other\",status=\"400\"} 1\n",
        "attestd_http_request_duration_seconds_bucket{route=\"/a\",le=\"0.0001\"} 2\n",
        "attestd_http_request_duration_seconds_bucket{route=\"/a\",le=\"0.00025\"} 3\n",
        "attestd_http_request_duration_seconds_bucket{route=\"/a\",le=\"+Inf\"} 3\n",
        "attestd_http_request_duration_seconds_sum{route=\"/a\"} 0.000300\n",
        "attestd_http_request_duration_seconds_count{route=\"/a\"} 3\n",
        "attestd_http_request_duration_seconds_bucket{route=\"other\",le=\"10\"} 0\n",
        "attestd_http_request_duration_seconds_bucket{route=\"other\",le=\"+Inf\"} 1\n",
        "attestd_sign_duration_seconds_bucket{le=\"0.0025\"} 1\n",
        "attestd_sign_duration_seconds_sum 0.001500\n",
        "attestd_tokens_total{outcome=\"issued\"} 1\n",
        "attestd_refused_total{reason=\"shed\"} 1\n",
        "attestd_connections 3\n",
        "attestd_signer_up 1\n",
        "attestd_keystore_state{state=\"ready\"} 1\n",
        "attestd_keystore_state{state=\"lost\"} 0\n",
        "attestd_jwks_age_seconds 7\n",
        "attestd_rollover_running 1\n",
        "attestd_rollover_next_action_timestamp_seconds{action=\"publish\"} 1800000000\n",
        "attestd_rotation_due_timestamp_seconds 1800000001\n",
        "attestd_rotation_overdue_timestamp_seconds 1800000002\n",
        "attestd_signed_jwks_expiry_timestamp_seconds 1800000003\n",
        "attestd_key_age_seconds{kid=\"kid-1\",purpose=\"token\",state=\"active\"} 42\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (!strstr(text.p, lines[i]))
            fail_msg("missing: %s", lines[i]);
}

static void
test_discovery(void **state)
{
    (void)state;
    AUTO(buf) struct buf text, slashed;
    buf_init(&text, 16384);
    buf_init(&slashed, 16384);
    discovery_write("https://issuer.example/", true, &slashed);
    assert_true(buf_terminate(&slashed));
    assert_non_null(strstr(slashed.p, "\"issuer\":\"https://issuer.example/\""));
    assert_non_null(strstr(slashed.p, "supported\":[\"EdDSA\",\"ES256\"]"));
    assert_non_null(strstr(slashed.p, "\"https://issuer.example/oauth2/token\""));
    discovery_write("https://issuer.example", false, &text);
    JSON_NODES(doc, 64);
    assert_int_equal(json_read(&doc, text.p, text.len, &limits, NULL), ATTEST_OK);
    static const char *const urls[][2] = {
        {"issuer", "https://issuer.example"},
        {"jwks_uri", "https://issuer.example/.well-known/jwks.json"},
        {"signed_jwks_uri", "https://issuer.example/.well-known/jwks.jwt"},
        {"token_endpoint", "https://issuer.example/oauth2/token"},
    };
    for (size_t i = 0; i < ARRAY_LEN(urls); i++)
        assert_string_member(&doc, urls[i][0], urls[i][1]);
    static const char *const arrays[] = {
        "id_token_signing_alg_values_supported",
        "subject_types_supported",
        "response_types_supported",
        "grant_types_supported",
        "token_endpoint_auth_methods_supported",
        "token_endpoint_auth_signing_alg_values_supported",
    };
    for (size_t i = 0; i < ARRAY_LEN(arrays); i++) {
        const struct json_node *array = json_member(&doc, json_root(&doc), arrays[i]);
        assert_non_null(array);
        assert_int_equal(array->type, JSON_ARRAY);
        assert_int_not_equal(array->count, 0);
    }
}

static void
test_etag(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        bool found;
    } cases[] = {
        {"\"a\"", true},
        {"*", true},
        {"W/\"a\"", true},
        {"\"b\", \"a\"", true},
        {"\"b\",W/\"a\"", true},
        {"\"b\"", false},
        {"a", false},
        {"", false},
        {"\"a", false},
        {"\"ab\"", false},
        {"\"b\" x \"a\"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (etag_listed(slice_cstr(cases[i].list), "\"a\"") != cases[i].found)
            fail_msg("%s", cases[i].list);
}

static void
test_config(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"issuer: https://a.example", true},
        {"issuer: https://a.example:8443/tenant", true},
        {"issuer: http://127.0.0.1:8080", true},
        {"issuer: http://localhost:8080", true},
        {"issuer: \"http://[::1]:8080\"", true},
        {"issuer: http://a.example", false},
        {"issuer: http://127.evil.example", false},
        {"issuer: ftp://a.example", false},
        {"issuer: https://", false},
        {"issuer: https://a.example/", true},
        {"issuer: https://a.example/tenant/", true},
        {"issuer: https://a.example//", false},
        {"issuer: https://u@a.example", false},
        {"issuer: https://a.example?x", false},
        {"issuer: \"https://a.example/\\\"\"", false},
        {"issuer: https://a.example\ntls: {certificate: /c.pem}", false},
        {"issuer: https://a.example\ntls: {certificate: /c.pem, key: /k.pem}", true},
        {"issuer: https://a.example\ntls: {certificate: /c.pem, key: \"pkcs11:token=a\"}", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct issuer_config config = {0};
        struct attest_error err;
        if (config_parse(&issuer_config_schema, slice_cstr(cases[i].text), NULL, &config, &err))
            fail_msg("%s: %s", cases[i].text, err.text);
        if ((issuer_config_check(&config, &err) == ATTEST_OK) != cases[i].good)
            fail_msg("%s", cases[i].text);
        assert_int_equal(config.threads, 2);
        assert_int_equal(config.connections_max, 8192);
        config_done(&issuer_config_schema, &config);
    }
}

int
main(void)
{
    if (crypto_init(NULL))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_audit_reads), cmocka_unit_test(test_audit_refuses),
        cmocka_unit_test(test_target),      cmocka_unit_test(test_routes),
        cmocka_unit_test(test_problem),     cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_discovery),   cmocka_unit_test(test_etag),
        cmocka_unit_test(test_config),
    };
    return cmocka_run_group_tests_name("issuer parts", tests, NULL, NULL);
}
