/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "verify/policy_data.h"
#include "verify/policy_file.h"

#include <attest/attest.h>

#define PAGE TESTS_DIR "/../docs/man/attest-policy.yaml.5"
#define ONE "issuers: [{issuer: https://a.example, trust: provider}]\n"

static struct attest_error err;

static enum attest_rc
load(const char *text, struct attest_policy **ret)
{
    err = (struct attest_error){0};
    return attest_policy_load_yaml(text, strlen(text), ret, &err);
}

static const char whole[] = "mode: preferred\n"
                            "audiences: [https://me.example, https://me.example/2]\n"
                            "issuers:\n"
                            "  - issuer: http://127.0.0.1:8080\n"
                            "    trust: provider\n"
                            "    trust_domains: [a.example, b.example]\n"
                            "    providers: [anthropic]\n"
                            "    algs: [ES256]\n"
                            "    subject_names: {\"big/model\": big-model}\n"
                            "  - {issuer: https://b.example, trust: enterprise,\n"
                            "     trust_domains: [c.example], providers: [b, c]}\n"
                            "trust_min: enterprise\n"
                            "safety_min: enhanced\n"
                            "providers: [anthropic, b]\n"
                            "model_families: [claude-4]\n"
                            "model_versions: [claude-sonnet-4, claude-opus-4]\n"
                            "require: [cnf, agent_integrity.config_hash, iss]\n"
                            "lifetime_max_s: 600\n"
                            "age_max_s: 120\n"
                            "skew_s: 0\n"
                            "enterprise: false\n"
                            "nested_depth: 2\n"
                            "loopback_http: true\n";

static void
test_every_key(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = NULL;
    if (load(whole, &p))
        fail_msg("%s", err.text);
    assert_int_equal(attest_policy_freeze(p, &err), ATTEST_OK);
    assert_int_equal(p->mode, ATTEST_MODE_PREFERRED);
    assert_int_equal(p->audiences.n, 2);
    assert_true(slice_is(p->audiences.items[1], "https://me.example/2"));
    assert_int_equal(p->n_issuers, 2);
    const struct issuer_policy *a = &p->issuers[0], *b = &p->issuers[1];
    assert_true(slice_is(a->issuer, "http://127.0.0.1:8080"));
    assert_int_equal(a->greatest, ATTEST_TRUST_PROVIDER);
    assert_int_equal(a->trust_domains.n, 2);
    assert_true(slice_is(a->trust_domains.items[1], "b.example"));
    assert_int_equal(a->providers.n, 1);
    assert_int_equal(a->algs, 1U << JWK_ALG_ES256);
    assert_int_equal(a->names.n, 1);
    assert_true(slice_is(a->names.list[0].name, "big/model"));
    assert_true(slice_is(a->names.list[0].segment, "big-model"));
    assert_true(slice_is(b->issuer, "https://b.example"));
    assert_int_equal(b->greatest, ATTEST_TRUST_ENTERPRISE);
    assert_int_equal(b->providers.n, 2);
    assert_int_equal(b->algs, 0);
    assert_int_equal(p->trust_min, ATTEST_TRUST_ENTERPRISE);
    assert_int_equal(p->safety_min, ATTEST_SAFETY_ENHANCED);
    assert_int_equal(p->providers.n, 2);
    assert_int_equal(p->model_families.n, 1);
    assert_int_equal(p->model_versions.n, 2);
    assert_int_equal(p->required, 1U << REQUIRE_CNF | 1U << REQUIRE_CONFIG_HASH);
    assert_int_equal(p->lifetime_max_s, 600);
    assert_int_equal(p->age_max_s, 120);
    assert_int_equal(p->skew_s, 0);
    assert_true(p->no_enterprise);
    assert_int_equal(p->nested_depth, 2);
    assert_true(p->loopback_http);
    /* A key that was added to the table and not to this test is not covered by it. */
    for (size_t i = 0; i < policy_file_schema.n_keys; i++)
        assert_non_null(strstr(whole, policy_file_schema.keys[i].name));
}

/* What is not said is as it is without the call. */
static void
test_defaults(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = NULL, *q = NULL;
    assert_int_equal(load(ONE, &p), ATTEST_OK);
    assert_int_equal(attest_policy_new(&q, NULL), ATTEST_OK);
    assert_int_equal(p->mode, q->mode);
    assert_int_equal(p->skew_s, q->skew_s);
    assert_int_equal(p->lifetime_max_s, q->lifetime_max_s);
    assert_int_equal(p->age_max_s, q->age_max_s);
    assert_int_equal(p->safety_min, q->safety_min);
    assert_int_equal(p->trust_min, q->trust_min);
    assert_int_equal(p->required, q->required);
    assert_int_equal(p->nested_depth, q->nested_depth);
    assert_int_equal(p->no_enterprise, q->no_enterprise);
    assert_int_equal(p->loopback_http, q->loopback_http);
    /* It is open: the server's name may come from the program. */
    assert_int_equal(attest_policy_freeze(p, &err), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_add_audience(p, "https://me.example", NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, &err), ATTEST_OK);
}

static void
test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says[2];
    } cases[] = {
        {"", {"issuers is required"}},
        {ONE "isuers: []\n", {"line 2: unknown key 'isuers'", "did you mean 'issuers'"}},
        {"issuers:\n- issuer: https://a.example\n  trusted: provider\n",
         {"line 3: unknown key 'trusted'"}},
        {"issuers:\n- issuer: https://a.example\n", {"line 2: issuers: trust is required"}},
        {"issuers:\n- {issuer: https://a.example, trust: provider}\n- {trust: provider}\n",
         {"line 3: issuers: issuer is required"}},
        {"issuers:\n- issuer: https://a.example\n  trust: none\n", {"line 3", "trust"}},
        {"issuers:\n- issuer: https://a.example\n  issuer: https://b.example\n  trust: provider\n",
         {"line 3: key 'issuer' is there twice"}},
        {"issuers: https://a.example\n", {"line 1: issuers must be a list of mappings"}},
        {"issuers: [https://a.example]\n", {"line 1: issuers holds mappings only"}},
        {"issuers: [[{issuer: a}]]\n", {"line 1: issuers holds mappings only"}},
        {"issuers: {issuer: https://a.example}\n", {"line 1: issuers must be a list"}},
        {ONE ONE, {"line 2: key 'issuers' is there twice"}},
        {ONE "mode: strict\n", {"line 2: mode must be one of required"}},
        {ONE "skew_s: 301\n", {"line 2: skew_s is 301"}},
        {ONE "age_max_s: 0\n", {"line 2: age_max_s is 0"}},
        {ONE "lifetime_max_s: 901\n", {"line 2: lifetime_max_s"}},
        {ONE "nested_depth: 4\n", {"line 2: nested_depth"}},
        {ONE "enterprise: yes\n", {"line 2: enterprise must be true or false"}},
        {ONE "mode: [required]\n", {"line 2: mode must be one of required, preferred, optional"}},
        {ONE "require: [cnf,\n  safety]\n", {"line 3:", "no token has a claim 'safety'"}},
        {ONE "require: [cnf, iss, cnf]\n", {"line 2: require has 'cnf' twice"}},
        {ONE "audiences:\n- https://me.example\n- me\n", {"line 4:", "audience 'me': no URL"}},
        {ONE "audiences: [&a https://me.example]\n", {"line 2: anchors"}},
        {ONE "---\n" ONE, {"line 2: a second document"}},
        {"issuers: [{issuer: http://a.example, trust: provider}]\n", {"line 1:", "use https"}},
        {"issuers:\n- {issuer: http://127.0.0.1, trust: provider}\n", {"line 2:", "loopback_http"}},
        {"issuers: [{issuer: https://a.example, trust: provider,\n  algs: [ES256,\n  HS256]}]\n",
         {"line 3:", "alg 'HS256': not one of EdDSA"}},
        {"issuers: [{issuer: https://a.example, trust: provider,\n  trust_domains: [A]}]\n",
         {"line 2:", "trust domain 'A'"}},
        {"issuers: [{issuer: https://a.example, trust: provider,\n subject_names: {a: ..}}]\n",
         {"line 2:", "segment '..'"}},
        {"issuers:\n- {issuer: https://a.example, trust: provider}\n"
         "- {issuer: https://a.example, trust: enterprise}\n",
         {"line 3:", "issuer https://a.example is there twice"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct attest_policy *p = NULL;
        if (load(cases[i].text, &p) != ATTEST_E_CONFIG || p)
            fail_msg("accepted: %s", cases[i].text);
        for (size_t k = 0; k < 2 && cases[i].says[k]; k++)
            if (!strstr(err.text, cases[i].says[k]))
                fail_msg("%s\nsays: %s\nnot: %s", cases[i].text, err.text, cases[i].says[k]);
        assert_int_equal(attest_policy_load_yaml(cases[i].text, strlen(cases[i].text), &p, NULL),
                         ATTEST_E_CONFIG);
    }
}

/* No bytes at all are no policy, and no reason to end the process. */
static void
test_no_text(void **state)
{
    (void)state;
    struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_load_yaml(NULL, 0, &p, &err), ATTEST_E_CONFIG);
    assert_string_equal(err.text, "issuers is required");
    assert_int_equal(attest_policy_load_yaml(NULL, 1, &p, &err), ATTEST_E_ARGUMENT);
    assert_null(p);
}

/* As Windows writes them. */
static void
test_byte_order_mark(void **state)
{
    (void)state;
    AUTO(attest_policy) struct attest_policy *p = NULL;
    if (load("\xef\xbb\xbf" ONE "mode: optional\n", &p))
        fail_msg("%s", err.text);
    assert_int_equal(p->mode, ATTEST_MODE_OPTIONAL);
}

/* What reads as "none" must not be taken for "any": each key of each table, in each way. */
static void
test_nothing_is_not_anything(void **state)
{
    (void)state;
    static const char *const nothing[] = {"~", "null", "", "[]", "{}"};
    const struct config_schema *schemas[] = {&policy_file_schema, &policy_file_issuer_schema};
    for (size_t s = 0; s < ARRAY_LEN(schemas); s++) {
        for (size_t i = 0; i < schemas[s]->n_keys * ARRAY_LEN(nothing); i++) {
            const struct config_key *key = &schemas[s]->keys[i / ARRAY_LEN(nothing)];
            const char *value = nothing[i % ARRAY_LEN(nothing)];
            const char *issuer = s == 1 && strcmp(key->name, "issuer") == 0 ? "" : "https://a";
            char text[256], in_row[64] = "";
            struct attest_policy *p = NULL;
            if (s == 1)
                snprintf(in_row, sizeof(in_row), "  %s: %s\n", key->name, value);
            if (s == 0 && strcmp(key->name, "issuers") == 0)
                snprintf(text, sizeof(text), "issuers: %s\n", value);
            else if (s == 0)
                snprintf(text, sizeof(text), ONE "%s: %s\n", key->name, value);
            else
                snprintf(text, sizeof(text), "issuers:\n-\n%s%s%s%s%s", *issuer ? "  issuer: " : "",
                         issuer, *issuer ? "\n" : "",
                         strcmp(key->name, "trust") == 0 ? "" : "  trust: provider\n", in_row);
            if (load(text, &p) != ATTEST_E_CONFIG || p)
                fail_msg("accepted: %s", text);
            if (!strstr(err.text, "line ") || !strstr(err.text, key->name))
                fail_msg("%s\nsays: %s", text, err.text);
        }
    }
}

/* Cut anywhere, it is a policy or it is not, and never half of one that has no issuer. */
static void
test_cut(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        AUTO(attest_policy) struct attest_policy *p = NULL;
        enum attest_rc rc = attest_policy_load_yaml(whole, len, &p, &err);
        assert_int_equal(rc == ATTEST_OK, p != NULL);
        if (p)
            assert_true(p->n_issuers > 0);
        else
            assert_true(rc == ATTEST_E_CONFIG && *err.text);
    }
}

static void
test_too_many(void **state)
{
    (void)state;
    AUTO(buf) struct buf text;
    struct attest_policy *p = NULL;
    buf_init(&text, 1 << 20);
    buf_str(&text, "issuers:\n");
    for (int i = 0; i < 65; i++)
        buf_printf(&text, "- {issuer: 'https://%d.example', trust: provider}\n", i);
    assert_int_equal(attest_policy_load_yaml(text.p, text.len, &p, &err), ATTEST_E_LIMIT);
    assert_non_null(strstr(err.text, "line 66:"));
    for (int i = 65; i < 300; i++)
        buf_printf(&text, "- {issuer: 'https://%d.example', trust: provider}\n", i);
    assert_int_equal(attest_policy_load_yaml(text.p, text.len, &p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "line 258: issuers has too many items"));
    assert_null(p);
}

static void
test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/attest-policy-XXXXXX";
    struct attest_policy *p = NULL;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(write(fd, ONE "nonsense: 1\n", sizeof(ONE) + 11) > 0);
    assert_int_equal(attest_policy_load_file(path, &p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "line 2"));
    assert_int_equal(ftruncate(fd, sizeof(ONE) - 1), 0);
    assert_int_equal(attest_policy_load_file(path, &p, &err), ATTEST_OK);
    attest_policy_free(p);
    p = NULL;
    assert_true(write(fd, "require: [x]\n", 13) > 0); /* behind what was cut: NUL bytes */
    assert_int_equal(attest_policy_load_file(path, &p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(ftruncate(fd, 0), 0); /* a disk that was full */
    assert_int_equal(attest_policy_load_file(path, &p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, path));
    close(fd);
    unlink(path);
    assert_int_equal(attest_policy_load_file(path, &p, &err), ATTEST_E_NOT_FOUND);
    assert_null(p);
}

/* A library reads no standard input, and waits for nobody's. */
static void
test_no_regular_file(void **state)
{
    (void)state;
    char dir[] = "/tmp/attest-policy-XXXXXX", fifo[64];
    struct attest_policy *p = NULL;
    int ends[2], kept = dup(STDIN_FILENO);
    assert_non_null(mkdtemp(dir));
    snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(pipe(ends), 0);
    assert_true(write(ends[1], ONE, sizeof(ONE) - 1) > 0);
    close(ends[1]);
    assert_true(dup2(ends[0], STDIN_FILENO) >= 0);
    alarm(60);
    assert_int_equal(attest_policy_load_file("-", &p, &err), ATTEST_E_NOT_FOUND);
    assert_int_equal(attest_policy_load_file("/dev/stdin", &p, &err), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_load_file(fifo, &p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "fifo: not a regular file"));
    assert_int_equal(attest_policy_load_file(dir, &p, &err), ATTEST_E_CONFIG);
    assert_int_equal(attest_policy_load_file("/dev/null", &p, &err), ATTEST_E_CONFIG);
    assert_null(p);
    alarm(0);
    dup2(kept, STDIN_FILENO);
    close(kept);
    close(ends[0]);
    unlink(fifo);
    rmdir(dir);
}

/* ---- the page ---- */

static void
tells(const char *page, const struct config_schema *schema)
{
    for (size_t i = 0; i < schema->n_keys; i++) {
        const struct config_key *key = &schema->keys[i];
        char head[128];
        snprintf(head, sizeof(head), "\n.It Ic %s :", key->name);
        const char *at = strstr(page, head), *end = at ? strstr(at + 1, "\n.It ") : NULL;
        if (!at)
            fail_msg("no word of %s", key->name);
        size_t len = end ? (size_t)(end - at) : strlen(at);
        char *item AUTO(mem) = strndup(at, len);
        if (key->fallback && !strstr(item, key->fallback))
            fail_msg("%s is %s by default", key->name, key->fallback);
        for (size_t c = 0; key->choices && key->choices[c]; c++)
            if (!strstr(item, key->choices[c]))
                fail_msg("%s may be %s", key->name, key->choices[c]);
    }
}

static void
test_page(void **state)
{
    (void)state;
    AUTO(buf) struct buf text;
    buf_init(&text, 1 << 20);
    assert_int_equal(file_read(PAGE, 1 << 20, &text, &err), ATTEST_OK);
    assert_true(buf_terminate(&text));
    char *second = strstr(text.p, "\n.Ss An item of issuers\n");
    assert_non_null(second);
    tells(second, &policy_file_issuer_schema);
    size_t n = 0;
    for (const char *at = text.p; (at = strstr(at, "\n.It Ic ")); at++)
        n++;
    assert_int_equal(n, policy_file_schema.n_keys + policy_file_issuer_schema.n_keys);
    /* And its example is one. */
    char *example = strstr(second, "\n.Bd -literal -offset indent\n");
    char *end = example ? strstr(example, "\n.Ed") : NULL;
    assert_non_null(end);
    example = strchr(example + 1, '\n') + 1;
    AUTO(attest_policy) struct attest_policy *p = NULL;
    if (attest_policy_load_yaml(example, (size_t)(end + 1 - example), &p, &err) ||
        attest_policy_freeze(p, &err))
        fail_msg("%s", err.text);
    *second = '\0';
    tells(text.p, &policy_file_schema);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_text),
        cmocka_unit_test(test_byte_order_mark),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_nothing_is_not_anything),
        cmocka_unit_test(test_no_regular_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
