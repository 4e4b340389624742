/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/wait.h>

#include "support/need.h"
#include "support/watched.h"

/* What a verifier counts, as a struct and as text. */

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
    AUTO(attest_verifier) struct attest_verifier *without = new_verifier(MINT_ISSUER, NULL);
    assert_int_equal(attest_verifier_set_token_cache(without, 0, NULL), ATTEST_OK);
    assert_int_equal(prove(without, token, "\"p3\""), ATTEST_OK);
    assert_int_equal(attest_verifier_counters(without, &c, sizeof(c)), ATTEST_OK);
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
    serve_keys();
    assert_int_equal(attest_verifier_on_event(v, tell, NULL, NULL), ATTEST_OK);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_count),
        cmocka_unit_test(a_bound_token_counts_as_known),
        cmocka_unit_test(their_struct_may_grow),
        cmocka_unit_test(they_are_prometheus_text),
        cmocka_unit_test(the_page_names_every_metric),
        cmocka_unit_test(nothing_is_lost_between_threads),
        cmocka_unit_test(events_come_from_all_threads),
        cmocka_unit_test(a_child_has_none),
    };
    need_curl();
    return cmocka_run_group_tests(tests, setup, teardown);
}
