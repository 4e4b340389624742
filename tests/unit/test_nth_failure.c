/* SPDX-License-Identifier: MIT */
/*
 * Everything that a program does with libattest, once for each call of it that asks for memory, a
 * thread or a descriptor, with that call failing: an error, never a crash, a leak (the address
 * sanitizer looks) or a verdict that was not deserved. Here are descriptors, threads and locks, and
 * calls that only our own code makes; memory that nobody has, the libraries either, and what a
 * verifier does with it again, is test_alloc_faults.c. jansson without memory may blame the text.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include <attest/attest.h>

#include "base/clock.h"
#include "base/json.h"
#include "support/http_stub.h"
#include "support/mint.h"
#include "support/need.h"
#include "support/tempdir.h"
#include "token/claims.h"
#include "token/mint_request.h"
#include "token/signed_keyset.h"
#include "verify/fetch_options.h"
#include "verify/verifier.h"

/* ---- calls that fail ---- */

static atomic_int calls;
static atomic_int failing; /* 0: none does */
static atomic_bool has_failed;

static bool
fails(void)
{
    if (atomic_load(&failing) == 0 || atomic_fetch_add(&calls, 1) + 1 != atomic_load(&failing))
        return false;
    atomic_store(&has_failed, true);
    return true;
}

#define CALLS(X)                                                                                   \
    X(void *, malloc, (size_t n), (n), NULL)                                                       \
    X(void *, calloc, (size_t n, size_t size), (n, size), NULL)                                    \
    X(void *, realloc, (void *p, size_t n), (p, n), NULL)                                          \
    X(char *, strdup, (const char *s), (s), NULL)                                                  \
    X(char *, strndup, (const char *s, size_t n), (s, n), NULL)                                    \
    X(int, eventfd, (unsigned n, int flags), (n, flags), (errno = EMFILE, -1))                     \
    X(int, epoll_create1, (int flags), (flags), (errno = EMFILE, -1))                              \
    X(int, epoll_ctl, (int fd, int op, int to, struct epoll_event *e), (fd, op, to, e),            \
      (errno = ENOSPC, -1))                                                                        \
    X(int, pthread_mutex_init, (pthread_mutex_t * m, const pthread_mutexattr_t *a), (m, a),        \
      ENOMEM)                                                                                      \
    X(int, pthread_rwlock_init, (pthread_rwlock_t * l, const pthread_rwlockattr_t *a), (l, a),     \
      ENOMEM)                                                                                      \
    X(int, pthread_create,                                                                         \
      (pthread_t * t, const pthread_attr_t *a, void *(*f)(void *), void *ctx), (t, a, f, ctx),     \
      EAGAIN)

#define WRAP(type, name, parameters, arguments, failure)                                           \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails() ? (failure) : __real_##name arguments;                                      \
    }
CALLS(WRAP)

/* ---- what is done ---- */

static struct mint_key key[3];
static struct http_stub stub;
static char *jwks, *root, *signed_set, *unbound, *bound, *proof;
static char folder[TEMPDIR_SIZE], jwks_file[TEMPDIR_SIZE + 16];

static int64_t
test_clock(void *ctx)
{
    (void)ctx;
    return MINT_NOW;
}

static enum attest_rc
make_policy(const char *issuer, struct attest_policy **ret)
{
    enum attest_rc rc = attest_policy_new(ret, NULL);
    if (!rc)
        rc = attest_policy_allow_loopback_http(*ret, NULL);
    for (int i = 0; i < 9 && !rc; i++) {
        char name[64];
        snprintf(name, sizeof(name), "https://other%d.example.com", i);
        rc = attest_policy_add_audience(*ret, i ? name : MINT_AUDIENCE, NULL);
        if (!rc)
            rc = attest_policy_add_model_family(*ret, i ? name : "claude-4", NULL);
    }
    if (!rc)
        rc = attest_policy_add_issuer(*ret, issuer, ATTEST_TRUST_PROVIDER, NULL);
    if (!rc)
        rc = attest_policy_issuer_trust_domain(*ret, issuer, "ai.example.com", NULL);
    if (!rc)
        rc = attest_policy_issuer_provider(*ret, issuer, "anthropic", NULL);
    if (!rc)
        rc = attest_policy_issuer_subject_name(*ret, issuer, "a b", "a-b", NULL);
    if (!rc)
        rc = attest_policy_issuer_subject_name(*ret, issuer, "a c", "a-c", NULL);
    return rc ? rc : attest_policy_freeze(*ret, NULL);
}

static enum attest_rc
reads_key_sets(void)
{
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    enum attest_rc rc = attest_keys_new(&keys, NULL);
    if (!rc)
        rc = attest_keys_add_jwks(keys, "https://b.example.com", jwks, strlen(jwks), NULL);
    if (!rc)
        rc = attest_keys_add_file(keys, "https://c.example.com", jwks_file, NULL);
    if (!rc)
        rc = attest_keys_pin_root(keys, MINT_ISSUER, root, strlen(root), NULL);
    if (!rc)
        rc = attest_keys_add_signed(keys, MINT_ISSUER, signed_set, strlen(signed_set), MINT_NOW,
                                    NULL);
    if (!rc) /* and once more, in the place of the first */
        rc = attest_keys_add_signed(keys, MINT_ISSUER, signed_set, strlen(signed_set), MINT_NOW,
                                    NULL);
    if (rc)
        return rc;
    char *next AUTO(mem) = attest_keys_next_root(keys, MINT_ISSUER);
    int64_t iat_s, exp_s;
    rc = next ? ATTEST_OK : ATTEST_E_NOMEM;
    return rc ? rc : signed_keyset_peek(signed_set, strlen(signed_set), &iat_s, &exp_s, NULL);
}

static enum attest_rc
loads_a_policy(void)
{
    static const char yaml[] =
        "mode: preferred\naudiences: [https://me.example, https://me.example/2]\nissuers:\n"
        "  - {issuer: https://a.example, trust: provider, trust_domains: [a.example],\n"
        "     providers: [anthropic], algs: [ES256], subject_names: {\"big/model\": big-model}}\n"
        "  - {issuer: https://b.example, trust: enterprise, trust_domains: [c.example],\n"
        "     providers: [b, c]}\n"
        "providers: [anthropic, b]\nmodel_families: [claude-4]\nrequire: [cnf, iss]\n";
    AUTO(attest_policy) struct attest_policy *policy = NULL;
    return attest_policy_load_yaml(yaml, sizeof(yaml) - 1, &policy, NULL);
}

static enum attest_rc
check_one(struct attest_verifier *v, const char *token, const char *its_proof)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    enum attest_rc rc = attest_verifier_check(v, token, strlen(token), its_proof,
                                              its_proof ? strlen(its_proof) : 0, &result);
    if (rc)
        return rc;
    assert_true(attest_result_verified(result));
    char *json AUTO(mem) = attest_result_to_json(result);
    return json ? ATTEST_OK : ATTEST_E_NOMEM;
}

static enum attest_rc
verifies(void)
{
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    AUTO(attest_policy) struct attest_policy *policy = NULL;
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    enum attest_rc rc = make_policy(MINT_ISSUER, &policy);
    if (!rc)
        rc = attest_keys_new(&keys, NULL);
    if (!rc)
        rc = attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL);
    if (!rc)
        rc = attest_verifier_new(policy, keys, NULL, &v, NULL);
    if (rc)
        return rc;
    rc = attest_verifier_set_clock(v, test_clock, NULL, NULL);
    if (!rc)
        rc = check_one(v, unbound, NULL);
    if (!rc && check_one(v, unbound, NULL) == ATTEST_OK)
        fail_msg("a replay was accepted");
    if (!rc)
        rc = check_one(v, bound, proof);
    if (!rc && check_one(v, bound, proof) == ATTEST_OK)
        fail_msg("a proof was accepted twice");
    char *text AUTO(mem) = rc ? NULL : attest_verifier_metrics(v);
    return rc || text ? rc : ATTEST_E_NOMEM;
}

static enum attest_rc
fetches(void)
{
    AUTO(attest_fetch) struct attest_fetch *fetch = NULL;
    AUTO(attest_policy) struct attest_policy *policy = NULL;
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    char url[96];
    snprintf(url, sizeof(url), "%s/.well-known/jwks.json", stub.origin);
    enum attest_rc rc = make_policy(stub.origin, &policy);
    if (!rc)
        rc = attest_fetch_new(&fetch, NULL);
    if (!rc)
        rc = attest_fetch_set_ca_file(fetch, "/nowhere", NULL);
    if (!rc)
        rc = attest_fetch_set_url(fetch, stub.origin, url, NULL);
    if (!rc)
        rc = attest_fetch_set_wait_ms(fetch, 5000, NULL);
    if (!rc)
        rc = attest_verifier_new_fetching(policy, NULL, NULL, fetch, &v, NULL);
    if (!rc)
        rc = attest_verifier_start_thread(v, NULL);
    if (!rc)
        rc = attest_verifier_invalidate(v, stub.origin, NULL);
    return rc;
}

/* In steps of its own, through the discovery document. */
static enum attest_rc
discovers(void)
{
    AUTO(attest_policy) struct attest_policy *policy = NULL;
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    enum attest_rc rc = make_policy(stub.origin, &policy);
    if (!rc)
        rc = attest_verifier_new_fetching(policy, NULL, NULL, NULL, &v, NULL);
    for (int i = 0; i < 6000 && !rc && attest_keys_count(v->keys, stub.origin) == 0; i++) {
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        poll(&fd, 1, 5);
        rc = attest_verifier_step(v);
        if (atomic_load(&has_failed) && i > 20)
            return ATTEST_E_KEY_FETCH; /* it will be tried again in half a second */
    }
    return rc || attest_keys_count(v->keys, stub.origin) ? rc : ATTEST_E_KEY_FETCH;
}

static enum attest_rc
writes_claims(void)
{
    static const char text[] =
        "{\"audience\":\"https://mcp.example.com\",\"agent_identity\":{\"model_family\":\"f\","
        "\"model_version\":\"m\",\"provider\":\"p\"}}";
    char copy[sizeof(text)];
    JSON_NODES(j, 64);
    struct mint_request request;
    AUTO(buf) struct buf out;
    memcpy(copy, text, sizeof(text));
    buf_init(&out, 8192);
    enum attest_rc rc = json_read(&j, copy, sizeof(text) - 1, &mint_request_limits, NULL);
    if (!rc)
        rc = mint_request_read(&j, json_root(&j), &request, NULL, 0, NULL);
    const struct claims_stamp stamp = {
        .iss = slice_cstr(MINT_ISSUER),
        .sub = slice_cstr("spiffe://ai.example.com/model/m"),
        .jti = slice_cstr("f47ac10b-58cc-4372-a567-0e02b2c3d479"),
        .iat = 1,
        .nbf = 1,
        .exp = 2,
    };
    return rc ? rc : claims_write(&request, &stamp, &out, NULL);
}

/* ---- once for each call ---- */

static void each_failing(enum attest_rc (*what)(void))
{
    int n = 0;
    do {
        atomic_store(&calls, 0);
        atomic_store(&has_failed, false);
        atomic_store(&failing, ++n);
        enum attest_rc rc = what();
        atomic_store(&failing, 0);
        if (rc && !atomic_load(&has_failed))
            fail_msg("%d although nothing failed", (int)rc);
        /* Who does not get something says so; no call may take it for a fault of the token. */
        if (rc && rc != ATTEST_E_NOMEM && rc != ATTEST_E_KEY_FETCH && rc != ATTEST_E_LIMIT)
            fail_msg("the %dth call fails: %d, %s", n, (int)rc, attest_strerror(rc));
    } while (atomic_load(&has_failed) && n < 2000);
    assert_in_range(n, 2, 1999);
}

#define SCENARIO(name)                                                                             \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        each_failing(name);                                                                        \
    }
SCENARIO(reads_key_sets)
SCENARIO(loads_a_policy)
SCENARIO(verifies)
SCENARIO(fetches)
SCENARIO(discovers)
SCENARIO(writes_claims)

static void
make_tokens(void)
{
    struct mint_object payload;
    mint_payload(&payload);
    unbound = mint_token(&key[0], NULL, &payload);
    char *cnf AUTO(mem) = mint_cnf(&key[1]);
    mint_set(&payload, "cnf", cnf);
    mint_set(&payload, "aud", "[\"" MINT_AUDIENCE "\",\"https://a.example.com\"]");
    bound = mint_token(&key[0], NULL, &payload);
    proof = mint_proof(&key[1], bound, NULL, NULL);
}

static void
serve(const char *path, const char *body)
{
    char says[4096];
    snprintf(says, sizeof(says),
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n%s",
             strlen(body), body);
    http_stub_say(&stub, path, says);
}

static int
set_up(void **state)
{
    (void)state;
    char text[512];
    crypto_init(NULL);
    for (uint8_t i = 0; i < 3; i++)
        mint_key_init(&key[i], (uint8_t)(i + 1));
    jwks = mint_jwks(&key[0]);
    root = mint_jwk(&key[2]);
    const struct keyset_entry entry = {.public_key = key[0].public_key, .state = KEY_ACTIVE};
    const struct signed_keyset_revoked revoked = {slice_cstr("old"), 1, slice_cstr("lost")};
    const struct signed_keyset_source source = {.iat = MINT_NOW,
                                                .exp = MINT_NOW + 3000,
                                                .keys = &entry,
                                                .n_keys = 1,
                                                .log_keys = &entry,
                                                .n_log_keys = 1,
                                                .revoked = &revoked,
                                                .n_revoked = 1,
                                                .next_root = &key[1].public_key};
    signed_set = mint_signed_keyset(&key[2], source);
    make_tokens();
    if (tempdir_make(folder) != 0 || !http_stub_start(&stub))
        return -1;
    snprintf(jwks_file, sizeof(jwks_file), "%s/jwks.json", folder);
    FILE *file = fopen(jwks_file, "w");
    if (!file || fputs(jwks, file) < 0 || fclose(file) != 0)
        return -1;
    snprintf(text, sizeof(text), "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\"}", stub.origin,
             stub.origin);
    serve("/.well-known/openid-configuration", text);
    serve("/keys", jwks);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    http_stub_stop(&stub);
    tempdir_remove(folder);
    free(jwks), free(root), free(signed_set), free(unbound), free(bound), free(proof);
    for (int i = 0; i < 3; i++)
        mint_key_done(&key[i]);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_key_sets), cmocka_unit_test(test_loads_a_policy),
        cmocka_unit_test(test_verifies),       cmocka_unit_test(test_fetches),
        cmocka_unit_test(test_discovers),      cmocka_unit_test(test_writes_claims),
    };
    need_curl();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
