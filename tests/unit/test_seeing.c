/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <sys/wait.h>

#include "support/http_stub.h"
#include "support/mint.h"
#include "verify/verifier.h"

#include <attest/attest.h>

/* What a verifier shows of itself: events, counters, their text, spans. */

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define TRACE_ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define JWKS_PATH "/.well-known/jwks.json"

static struct mint_key key, agent_key;
static struct http_stub stub;

static int64_t
test_clock(void *ctx)
{
    (void)ctx;
    return MINT_NOW;
}

static struct attest_verifier *
new_verifier(const char *issuer, const struct attest_fetch *fetch)
{
    struct attest_policy *p = NULL;
    struct attest_verifier *v = NULL;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    char *jwks AUTO(mem) = mint_jwks(&key);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_allow_loopback_http(p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, issuer, ATTEST_TRUST_PROVIDER, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_set_mode(p, ATTEST_MODE_PREFERRED, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    if (fetch) {
        assert_int_equal(attest_verifier_new_fetching(p, keys, NULL, fetch, &v, NULL), ATTEST_OK);
    } else {
        assert_int_equal(attest_keys_add_jwks(keys, issuer, jwks, strlen(jwks), NULL), ATTEST_OK);
        assert_int_equal(attest_verifier_new(p, keys, NULL, &v, NULL), ATTEST_OK);
    }
    attest_verifier_set_clock(v, test_clock, NULL);
    attest_policy_free(p);
    return v;
}

/* Another one of the same replay memory. */
static struct attest_verifier *
sharing(const struct attest_verifier *v)
{
    struct attest_verifier *w = NULL;
    assert_int_equal(attest_verifier_new(v->policy, v->keys, v->replay, &w, NULL), ATTEST_OK);
    return w;
}

/* One of a kind each time. */
static char *
new_token(const char *name, const char *json)
{
    static _Atomic unsigned serial;
    char jti[64];
    struct mint_object payload;
    snprintf(jti, sizeof(jti), "\"00000000-0000-4000-8000-%012x\"", ++serial);
    mint_payload(&payload);
    mint_set(&payload, "jti", jti);
    if (name)
        mint_set(&payload, name, json);
    return mint_token(&key, NULL, &payload);
}

static enum attest_rc
show(struct attest_verifier *v, const char *token, const char *traceparent)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    enum attest_rc rc = attest_verifier_check_traced(v, token, token ? strlen(token) : 0, NULL, 0,
                                                     traceparent, &result);
    return result ? attest_result_error_code(result) : rc;
}

/* ---- what was told, as one line each ---- */

struct heard {
    char text[4096];
    size_t len;
};

static void
hear(void *ctx, const struct attest_event *event)
{
    struct heard *heard = ctx;
    const char *issuer = attest_event_issuer(event), *state = attest_event_state(event);
    const char *trace = attest_event_trace_id(event);
    int n = snprintf(heard->text + heard->len, sizeof(heard->text) - heard->len,
                     "%s %d %s %s %s%s%s\n", attest_event_name(attest_event_kind(event)),
                     (int)attest_event_code(event), issuer ? issuer : "-", state ? state : "-",
                     attest_event_result(event) ? "result" : "-",
                     attest_event_duration_us(event) < 0 ? "" : " took", trace ? " traced" : "");
    assert_true(n > 0 && heard->len + (size_t)n < sizeof(heard->text));
    heard->len += (size_t)n;
    bool has_text = attest_event_code(event) != ATTEST_OK ||
                    attest_event_kind(event) == ATTEST_EVENT_REPLAY_STORE;
    assert_int_equal(*attest_event_text(event) != '\0', has_text);
}

static void
a_check_is_told_as_it_ends(void **state)
{
    (void)state;
    struct heard heard = {0};
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    char *good AUTO(mem) = new_token(NULL, NULL);
    char *elsewhere AUTO(mem) = new_token("aud", "\"https://x.example\"");
    attest_verifier_on_event(v, hear, &heard);
    assert_int_equal(show(v, good, NULL), ATTEST_OK);
    assert_int_equal(show(v, good, PARENT), ATTEST_E_REPLAY);
    assert_int_equal(show(v, elsewhere, "nonsense"), ATTEST_E_AUDIENCE);
    assert_int_equal(show(v, NULL, NULL), ATTEST_E_REQUIRED);
    assert_string_equal(heard.text, "verified 0 " MINT_ISSUER " - result took\n"
                                    "replay 1006 - - result took traced\n"
                                    "allowed_unverified 1006 - - result took traced\n"
                                    "refused 1005 - - result took\n"
                                    "allowed_unverified 1005 - - result took\n"
                                    "refused 1009 - - result took\n"
                                    "allowed_unverified 1009 - - result took\n");
}

/* A Redis that goes away and comes back is the store's own test; this is what becomes of it. */
static void
a_replay_store_is_told_once_by_each_verifier(void **state)
{
    (void)state;
    struct heard heard = {0}, other = {0};
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    AUTO(attest_verifier) struct attest_verifier *w = sharing(v);
    attest_verifier_on_event(v, hear, &heard);
    attest_verifier_on_event(w, hear, &other);
    replay_set_state(v->replay->store, REPLAY_UNHEALTHY, "no answer from Redis");
    assert_int_equal(show(v, NULL, NULL), ATTEST_E_REQUIRED);
    assert_int_equal(show(v, NULL, NULL), ATTEST_E_REQUIRED);
    replay_set_state(v->replay->store, REPLAY_DEGRADED, "memory stands in");
    replay_set_state(v->replay->store, REPLAY_HEALTHY, "Redis answers");
    assert_int_equal(show(v, NULL, NULL), ATTEST_E_REQUIRED);
    assert_int_equal(show(w, NULL, NULL), ATTEST_E_REQUIRED);
    static const char required[] = "refused 1009 - - result took\n"
                                   "allowed_unverified 1009 - - result took\n";
    char expected[1024];
    snprintf(expected, sizeof(expected),
             "replay_store 1014 - unhealthy -\n%s%sreplay_store 0 - healthy -\n%s", required,
             required, required);
    assert_string_equal(heard.text, expected);
    snprintf(expected, sizeof(expected), "replay_store 0 - healthy -\n%s", required);
    assert_string_equal(other.text, expected);
    struct attest_counters c;
    assert_int_equal(attest_verifier_counters(w, &c, sizeof(c)), ATTEST_OK);
    assert_int_equal(c.replay_changes, 3);
    char *text AUTO(mem) = attest_verifier_metrics(w);
    assert_non_null(strstr(text, "\nattestation_replay_state{state=\"healthy\"} 1\n"));
    assert_non_null(strstr(text, "\nattestation_replay_state{state=\"unhealthy\"} 0\n"));
}

static void
every_kind_has_a_name(void **state)
{
    (void)state;
    for (int kind = ATTEST_EVENT_VERIFIED; kind <= ATTEST_EVENT_REPLAY_STORE; kind++)
        assert_string_not_equal(attest_event_name((enum attest_event_kind)kind), "unknown");
    assert_string_equal(attest_event_name((enum attest_event_kind)0), "unknown");
    assert_string_equal(attest_event_name((enum attest_event_kind)99), "unknown");
}

/* ---- fetching ---- */

static struct attest_fetch *
new_fetch(void)
{
    struct attest_fetch *fetch = NULL;
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    fetch->limits.retry_first_ms = 1;
    fetch->limits.retry_max_ms = 2;
    fetch->limits.open_after = 3;
    fetch->limits.open_ms = 5;
    return fetch;
}

static void
step(struct attest_verifier *v)
{
    struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
    int ms = attest_verifier_timeout_ms(v);
    poll(&fd, 1, ms < 0 || ms > 20 ? 20 : ms);
    assert_int_equal(attest_verifier_step(v), ATTEST_OK);
}

static void
a_fetch_and_its_circuit_are_told(void **state)
{
    (void)state;
    struct heard heard = {0};
    char expected[2048], says[1024];
    struct attest_counters c;
    struct attest_fetch *fetch = new_fetch();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(stub.origin, fetch);
    attest_fetch_free(fetch);
    attest_verifier_on_event(v, hear, &heard);
    http_stub_say(&stub, JWKS_PATH, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    for (int i = 0; i < 500 && !strstr(heard.text, "half-open"); i++)
        step(v);
    char *jwks AUTO(mem) = mint_jwks(&key);
    snprintf(says, sizeof(says),
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(jwks), jwks);
    http_stub_say(&stub, JWKS_PATH, says);
    for (int i = 0; i < 500 && !strstr(heard.text, "keys_fetched"); i++)
        step(v);
    const char *o = stub.origin;
    int n = snprintf(expected, sizeof(expected),
                     "keys_fetch_failed 4 %s - - took\n"
                     "keys_fetch_failed 4 %s - - took\n"
                     "keys_fetch_failed 4 %s - - took\n"
                     "circuit 0 %s open -\n"
                     "circuit 0 %s half-open -\n",
                     o, o, o, o, o);
    assert_int_equal(strncmp(heard.text, expected, (size_t)n), 0);
    /* The try that was on its way may have met the old answer; the last lines are the same. */
    n = snprintf(expected, sizeof(expected), "keys_fetched 0 %s - - took\ncircuit 0 %s closed -\n",
                 o, o);
    assert_string_equal(heard.text + heard.len - n, expected);
    assert_int_equal(attest_verifier_counters(v, &c, sizeof(c)), ATTEST_OK);
    assert_int_equal(c.key_fetches, c.key_fetch_errors + 1);
    assert_true(c.key_fetch_errors >= 3 && c.circuit_opens >= 1);
    assert_int_equal(c.cached_keys, 1);
    char line[160];
    snprintf(line, sizeof(line), "_state{issuer=\"%s\",state=\"closed\"} 1\n", o);
    char *text AUTO(mem) = attest_verifier_metrics(v);
    assert_non_null(strstr(text, line));
}

/* No lock is held: the verifier may be asked, and stepped, from within. */
static void
use_it(void *ctx, const struct attest_event *event)
{
    struct attest_verifier *v = ctx;
    struct attest_counters c;
    char *token AUTO(mem) = new_token(NULL, NULL);
    if (attest_event_kind(event) != ATTEST_EVENT_KEYS_FETCHED)
        return;
    assert_int_equal(attest_verifier_counters(v, &c, sizeof(c)), ATTEST_OK);
    assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    assert_int_equal(attest_verifier_invalidate(v, stub.origin, NULL), ATTEST_OK);
    assert_int_equal(show(v, token, NULL), ATTEST_E_ISSUER);
    attest_verifier_on_event(v, NULL, NULL); /* so it was here */
}

static void
whoever_is_told_may_use_the_verifier(void **state)
{
    (void)state;
    struct attest_counters c = {0};
    struct attest_fetch *fetch = new_fetch();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(stub.origin, fetch);
    attest_fetch_free(fetch);
    attest_verifier_on_event(v, use_it, v);
    for (int i = 0; i < 500 && c.key_fetches < 2; i++) {
        step(v);
        assert_int_equal(attest_verifier_counters(v, &c, sizeof(c)), ATTEST_OK);
    }
    assert_int_equal(c.key_fetches, 2);
    assert_int_equal(c.refused_by_code[ATTEST_E_ISSUER - 1001], 1);
}

/* ---- counters ---- */

static void
counters_count(void **state)
{
    (void)state;
    struct attest_counters c;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    char *good AUTO(mem) = new_token(NULL, NULL);
    char *elsewhere AUTO(mem) = new_token("aud", "\"https://x.example\"");
    assert_int_equal(show(v, good, NULL), ATTEST_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(show(v, good, NULL), ATTEST_E_REPLAY);
    assert_int_equal(show(v, elsewhere, NULL), ATTEST_E_AUDIENCE);
    assert_int_equal(show(v, NULL, NULL), ATTEST_E_REQUIRED);
    assert_int_equal(attest_verifier_counters(v, &c, sizeof(c)), ATTEST_OK);
    assert_int_equal(c.verifications, 6);
    assert_int_equal(c.verified, 1);
    assert_int_equal(c.refused, 5);
    assert_int_equal(c.refused_by_code[1006 - 1001], 3);
    assert_int_equal(c.refused_by_code[1005 - 1001], 1);
    assert_int_equal(c.refused_by_code[1009 - 1001], 1);
    assert_int_equal(c.allowed_unverified, 5);
    assert_int_equal(c.active_verifications, 0);
    assert_int_equal(c.key_hits, 5);
    assert_int_equal(c.key_misses, 0);
    assert_int_equal(c.cached_keys, 1);
    assert_true(c.verification_us > 0);
    assert_int_equal(c.replay_entries, 1);
}

static enum attest_rc
prove(struct attest_verifier *v, const char *token, const char *jti)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    char *proof AUTO(mem) = mint_proof(&agent_key, token, "jti", jti);
    return attest_verifier_check(v, token, strlen(token), proof, strlen(proof), &result);
}

static void
a_bound_token_counts_as_known(void **state)
{
    (void)state;
    struct attest_counters c;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    char *token AUTO(mem) = new_token("cnf", cnf);
    assert_int_equal(prove(v, token, "\"p1\""), ATTEST_OK);
    assert_int_equal(prove(v, token, "\"p2\""), ATTEST_OK);
    assert_int_equal(attest_verifier_counters(v, &c, sizeof(c)), ATTEST_OK);
    assert_int_equal(c.verified, 2);
    assert_int_equal(c.key_hits, 1);
    assert_int_equal(c.token_cache_hits, 1);
    assert_int_equal(c.token_cache_misses, 1);
    assert_int_equal(c.token_cache_entries, 1);
    assert_int_equal(attest_verifier_set_token_cache(v, 0, NULL), ATTEST_OK);
    assert_int_equal(prove(v, token, "\"p3\""), ATTEST_OK);
    assert_int_equal(attest_verifier_counters(v, &c, sizeof(c)), ATTEST_OK);
    assert_int_equal(c.token_cache_hits + c.token_cache_entries, 0);
}

/* A program of another version: it knows fewer members, or more. */
static void
their_struct_may_grow(void **state)
{
    (void)state;
    struct {
        struct attest_counters known;
        uint64_t later[2];
    } newer;
    struct {
        uint64_t verifications, verified, behind;
    } older = {.behind = 77};
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    char *good AUTO(mem) = new_token(NULL, NULL);
    assert_int_equal(show(v, good, NULL), ATTEST_OK);
    memset(&newer, 0xff, sizeof(newer));
    assert_int_equal(attest_verifier_counters(v, &newer.known, sizeof(newer)), ATTEST_OK);
    assert_int_equal(newer.known.verified, 1);
    assert_int_equal(newer.later[0] | newer.later[1], 0);
    assert_int_equal(
        attest_verifier_counters(v, (struct attest_counters *)(void *)&older, 2 * sizeof(uint64_t)),
        ATTEST_OK);
    assert_int_equal(older.verified, 1);
    assert_int_equal(older.behind, 77);
}

static void
they_are_prometheus_text(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "# TYPE attestation_verification_total counter\nattestation_verification_total 3\n",
        "\nattestation_verification_success_total 1\n",
        "\nattestation_verification_failure_total{code=\"1006\"} 2\n",
        "\nattestation_verification_failure_total{code=\"1016\"} 0\n",
        "\nattestation_replay_detected_total 2\n",
        "\nattestation_cache_hits_total 3\n",
        "\nattestation_cache_misses_total 0\n",
        "\nattestation_jwks_fetch_total 0\n",
        "\nattestation_jwks_fetch_errors_total 0\n",
        "\nattestation_circuit_breaker_opens_total 0\n",
        "# TYPE attestation_active_verifications gauge\nattestation_active_verifications 0\n",
        "\nattestation_cached_keys 1\n",
        "# TYPE attestation_verification_duration_seconds histogram\n",
        "\nattestation_verification_duration_seconds_bucket{le=\"+Inf\"} 3\n",
        "\nattestation_verification_duration_seconds_count 3\n",
        "\nattestation_jwks_fetch_duration_seconds_count 0\n",
    };
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    char *good AUTO(mem) = new_token(NULL, NULL);
    for (int i = 0; i < 3; i++)
        show(v, good, NULL);
    char *text AUTO(mem) = attest_verifier_metrics(v);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (!strstr(text, lines[i]))
            fail_msg("no %s in\n%s", lines[i], text);
    /* Every line is a comment or a sample, and each name has its head once. */
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, "# TYPE ", 7) == 0) {
            char name[128];
            snprintf(name, sizeof(name), "%.*s", (int)strcspn(line + 7, " ") + 8, line);
            assert_null(strstr(line + 1, name));
        }
        assert_true(*line == '#' || strncmp(line, "attestation_", 12) == 0);
    }
}

/* What a metric means is in libattest(3), under its very name. */
static void
the_page_names_every_metric(void **state)
{
    (void)state;
    static char page[65536];
    FILE *file = fopen(TESTS_DIR "/../docs/man/libattest.3", "re");
    assert_non_null(file);
    size_t n = fread(page, 1, sizeof(page) - 1, file);
    fclose(file);
    assert_true(n > 0 && n < sizeof(page) - 1);
    struct attest_fetch *fetch = new_fetch();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(stub.origin, fetch);
    attest_fetch_free(fetch);
    char *text AUTO(mem) = attest_verifier_metrics(v);
    unsigned metrics = 0;
    for (const char *at = text; (at = strstr(at, "# TYPE ")); metrics++) {
        char name[128];
        at += strlen("# TYPE ");
        snprintf(name, sizeof(name), " %.*s ", (int)strcspn(at, " "), at);
        if (!strstr(page, name)) {
            name[strlen(name) - 1] = '\n'; /* the last one of an item */
            if (!strstr(page, name))
                fail_msg("libattest.3 does not tell of%s", name);
        }
    }
    assert_true(metrics > 20);
}

enum { THREADS = 8, CHECKS = 100 };

static void *
show_many(void *ctx)
{
    for (int i = 0; i < CHECKS; i++) {
        char *token AUTO(mem) = new_token(NULL, NULL);
        show(ctx, token, NULL);
        show(ctx, token, NULL);
    }
    return NULL;
}

static void
nothing_is_lost_between_threads(void **state)
{
    (void)state;
    struct attest_counters c;
    pthread_t thread[THREADS];
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, show_many, v), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(attest_verifier_counters(v, &c, sizeof(c)), ATTEST_OK);
    assert_int_equal(c.verified, THREADS * CHECKS);
    assert_int_equal(c.refused_by_code[1006 - 1001], THREADS * CHECKS);
    assert_int_equal(c.verifications, 2 * THREADS * CHECKS);
    assert_int_equal(c.active_verifications, 0);
}

/* Every event of every thread, the one that fetches among them. */
static _Atomic unsigned told[ATTEST_EVENT_REPLAY_STORE + 1];

static void
tell(void *ctx, const struct attest_event *event)
{
    (void)ctx;
    told[attest_event_kind(event)]++;
}

static void
events_come_from_all_threads(void **state)
{
    (void)state;
    struct attest_counters c;
    pthread_t thread[THREADS];
    struct attest_fetch *fetch = new_fetch();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(stub.origin, fetch);
    attest_fetch_free(fetch);
    attest_verifier_on_event(v, tell, NULL);
    assert_int_equal(attest_verifier_start_thread(v, NULL), ATTEST_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, show_many, v), 0);
    for (int i = 0; i < 2000 && told[ATTEST_EVENT_KEYS_FETCHED] < 3; i++) {
        assert_int_equal(attest_verifier_invalidate(v, stub.origin, NULL), ATTEST_OK);
        char *text AUTO(mem) = attest_verifier_metrics(v);
        assert_non_null(text);
        poll(NULL, 0, 5);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(attest_verifier_counters(v, &c, sizeof(c)), ATTEST_OK);
    assert_true(told[ATTEST_EVENT_KEYS_FETCHED] >= 3);
    assert_int_equal(c.refused_by_code[ATTEST_E_ISSUER - 1001], 2 * THREADS * CHECKS);
    assert_int_equal(told[ATTEST_EVENT_REFUSED], 2 * THREADS * CHECKS);
    assert_int_equal(told[ATTEST_EVENT_ALLOWED_UNVERIFIED], 2 * THREADS * CHECKS);
}

static void
a_child_has_none(void **state)
{
    (void)state;
    struct attest_counters c;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(attest_verifier_counters(v, &c, sizeof(c)) == ATTEST_E_FORKED &&
                      !attest_verifier_metrics(v)
                  ? 0
                  : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- traces ---- */

static void
a_traceparent_is_read_to_the_letter(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good, sampled;
    } cases[] = {
        {PARENT, true, true},
        {"00-" TRACE_ID "-00f067aa0ba902b7-00", true, false},
        {"00-" TRACE_ID "-00f067aa0ba902b7-03", true, true},
        {"00-" TRACE_ID "-00f067aa0ba902b7-fe", true, false},
        {"01-" TRACE_ID "-00f067aa0ba902b7-01", true, true},
        {"cc-" TRACE_ID "-00f067aa0ba902b7-01-what the future will be like", true, true},
        {"01-" TRACE_ID "-00f067aa0ba902b7-01-", true, true},
        {"", false, false},
        {"00", false, false},
        {PARENT "-", false, false},
        {PARENT " ", false, false},
        {" " PARENT, false, false},
        {PARENT "-00", false, false},
        {"cc-" TRACE_ID "-00f067aa0ba902b7-01.what", false, false},
        {"cc-" TRACE_ID "-00f067aa0ba902b7-011", false, false},
        {"ff-" TRACE_ID "-00f067aa0ba902b7-01", false, false},
        {"0-" TRACE_ID "-00f067aa0ba902b7-011", false, false},
        {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false, false},
        {"00-" TRACE_ID "-0000000000000000-01", false, false},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false, false},
        {"00-" TRACE_ID "-00F067AA0BA902B7-01", false, false},
        {"00-" TRACE_ID "-00f067aa0ba902b7-0X", false, false},
        {"00-" TRACE_ID "-00f067aa0ba902b7-0", false, false},
        {"00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-001", false, false},
        {"00_" TRACE_ID "-00f067aa0ba902b7-01", false, false},
        {"00-" TRACE_ID "_00f067aa0ba902b7-01", false, false},
        {"00-" TRACE_ID "-00f067aa0ba902b7_01", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct trace trace = {0};
        if (traceparent_read(slice_cstr(cases[i].text), &trace) != cases[i].good)
            fail_msg("%s", cases[i].text);
        assert_string_equal(trace.trace_id, cases[i].good ? TRACE_ID : "");
        assert_string_equal(trace.parent_id, cases[i].good ? "00f067aa0ba902b7" : "");
        assert_int_equal(trace.sampled, cases[i].sampled);
    }
}

struct span {
    char name[32], trace_id[40], id[24], parent_id[24], issuer[64];
    bool sampled;
    int64_t start_us, duration_us;
    enum attest_rc code;
    unsigned n;
};

static void
keep_span(void *ctx, const struct attest_span *s)
{
    struct span *to = ctx;
    const char *parent_id = attest_span_parent_id(s), *issuer = attest_span_issuer(s);
    to->n++;
    snprintf(to->name, sizeof(to->name), "%s", attest_span_name(s));
    snprintf(to->trace_id, sizeof(to->trace_id), "%s", attest_span_trace_id(s));
    snprintf(to->id, sizeof(to->id), "%s", attest_span_id(s));
    snprintf(to->parent_id, sizeof(to->parent_id), "%s", parent_id ? parent_id : "-");
    snprintf(to->issuer, sizeof(to->issuer), "%s", issuer ? issuer : "-");
    to->sampled = attest_span_sampled(s);
    to->start_us = attest_span_start_us(s);
    to->duration_us = attest_span_duration_us(s);
    to->code = attest_span_code(s);
}

static void
a_check_is_a_span_of_the_request(void **state)
{
    (void)state;
    struct span first = {0}, span = {0};
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(MINT_ISSUER, NULL);
    char *good AUTO(mem) = new_token(NULL, NULL);
    attest_verifier_on_span(v, keep_span, &first);
    assert_int_equal(show(v, good, PARENT), ATTEST_OK);
    assert_string_equal(first.name, "attestation.verify");
    assert_string_equal(first.trace_id, TRACE_ID);
    assert_string_equal(first.parent_id, "00f067aa0ba902b7");
    assert_string_equal(first.issuer, MINT_ISSUER);
    assert_int_equal(strspn(first.id, "0123456789abcdef"), 16);
    assert_int_equal(strlen(first.id), 16);
    assert_true(first.sampled && first.code == ATTEST_OK && first.n == 1);
    assert_true(first.start_us > INT64_C(1700000000) * 1000000 && first.duration_us >= 0);
    attest_verifier_on_span(v, keep_span, &span);
    assert_int_equal(show(v, good, "00-" TRACE_ID "-00f067aa0ba902b7-00"), ATTEST_E_REPLAY);
    assert_string_equal(span.trace_id, TRACE_ID);
    assert_string_not_equal(span.id, first.id);
    assert_string_equal(span.issuer, "-"); /* nobody's word is taken for it */
    assert_true(!span.sampled && span.code == ATTEST_E_REPLAY);
    /* A parent that is none: a trace of its own. */
    assert_int_equal(show(v, good, "00-x"), ATTEST_E_REPLAY);
    assert_string_not_equal(span.trace_id, TRACE_ID);
    assert_int_equal(strspn(span.trace_id, "0123456789abcdef"), 32);
    assert_string_equal(span.parent_id, "-");
    assert_true(span.sampled);
}

static void
a_fetch_is_a_span_of_its_own(void **state)
{
    (void)state;
    struct span span = {0};
    struct attest_fetch *fetch = new_fetch();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(stub.origin, fetch);
    attest_fetch_free(fetch);
    attest_verifier_on_span(v, keep_span, &span);
    for (int i = 0; i < 500 && !span.n; i++)
        step(v);
    assert_string_equal(span.name, "attestation.jwks_fetch");
    assert_string_equal(span.issuer, stub.origin);
    assert_string_equal(span.parent_id, "-");
    assert_int_equal(strspn(span.trace_id, "0123456789abcdef"), 32);
    assert_int_equal(span.code, ATTEST_OK);
}

static int
setup(void **state)
{
    (void)state;
    if (crypto_init(NULL) != ATTEST_OK || !http_stub_start(&stub))
        return -1;
    mint_key_init(&key, 1);
    mint_key_init(&agent_key, 3);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    mint_key_done(&key);
    mint_key_done(&agent_key);
    http_stub_stop(&stub);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_check_is_told_as_it_ends),
        cmocka_unit_test(a_replay_store_is_told_once_by_each_verifier),
        cmocka_unit_test(every_kind_has_a_name),
        cmocka_unit_test(a_fetch_and_its_circuit_are_told),
        cmocka_unit_test(whoever_is_told_may_use_the_verifier),
        cmocka_unit_test(counters_count),
        cmocka_unit_test(a_bound_token_counts_as_known),
        cmocka_unit_test(their_struct_may_grow),
        cmocka_unit_test(they_are_prometheus_text),
        cmocka_unit_test(the_page_names_every_metric),
        cmocka_unit_test(nothing_is_lost_between_threads),
        cmocka_unit_test(events_come_from_all_threads),
        cmocka_unit_test(a_child_has_none),
        cmocka_unit_test(a_traceparent_is_read_to_the_letter),
        cmocka_unit_test(a_check_is_a_span_of_the_request),
        cmocka_unit_test(a_fetch_is_a_span_of_its_own),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
