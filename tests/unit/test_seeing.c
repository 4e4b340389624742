/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/need.h"
#include "support/watched.h"

/* What a verifier tells: events, and spans with their traces. */

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
    assert_int_equal(attest_verifier_on_event(v, hear, &heard, NULL), ATTEST_OK);
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
    assert_int_equal(attest_verifier_on_event(v, hear, &heard, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_on_event(w, hear, &other, NULL), ATTEST_OK);
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

static void
a_fetch_and_its_circuit_are_told(void **state)
{
    (void)state;
    struct heard heard = {0};
    char expected[2048];
    struct attest_counters c;
    struct attest_fetch *fetch = new_fetch();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(stub.origin, fetch);
    attest_fetch_free(fetch);
    assert_int_equal(attest_verifier_on_event(v, hear, &heard, NULL), ATTEST_OK);
    http_stub_say(&stub, JWKS_PATH, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    for (int i = 0; i < 500 && !strstr(heard.text, "half-open"); i++)
        step(v);
    serve_keys();
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
    assert_int_equal(attest_verifier_clear(v, o, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_counters(v, &c, sizeof(c)), ATTEST_OK);
    assert_int_equal(c.cached_keys, 0); /* none that may be used */
    char line[160];
    snprintf(line, sizeof(line), "_state{issuer=\"%s\",state=\"closed\"} 1\n", o);
    char *text AUTO(mem) = attest_verifier_metrics(v);
    assert_non_null(strstr(text, line));
}

/* No lock is held: the verifier may be asked, and stepped, from within. */
static void
use_it(void *ctx, const struct attest_event *event)
{
    static bool done;
    struct attest_verifier *v = ctx;
    struct attest_counters c;
    char *token AUTO(mem) = new_token(NULL, NULL);
    if (attest_event_kind(event) != ATTEST_EVENT_KEYS_FETCHED || done)
        return;
    done = true;
    assert_int_equal(attest_verifier_counters(v, &c, sizeof(c)), ATTEST_OK);
    assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    assert_int_equal(attest_verifier_invalidate(v, stub.origin, NULL), ATTEST_OK);
    assert_int_equal(show(v, token, NULL), ATTEST_E_ISSUER);
    /* But for what is set before it is used. */
    struct attest_error err = {0};
    assert_int_equal(attest_verifier_on_event(v, NULL, NULL, &err), ATTEST_E_ARGUMENT);
    assert_string_equal(err.text, "verifier: to be set before its first check, step or thread");
    assert_int_equal(attest_verifier_on_span(v, NULL, NULL, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_verifier_set_clock(v, test_clock, NULL, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(attest_verifier_set_token_cache(v, 0, NULL), ATTEST_E_ARGUMENT);
}

static void
whoever_is_told_may_use_the_verifier(void **state)
{
    (void)state;
    struct attest_counters c = {0};
    struct attest_fetch *fetch = new_fetch();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(stub.origin, fetch);
    attest_fetch_free(fetch);
    serve_keys();
    assert_int_equal(attest_verifier_on_event(v, use_it, v, NULL), ATTEST_OK);
    for (int i = 0; i < 500 && c.key_fetches < 2; i++) {
        step(v);
        assert_int_equal(attest_verifier_counters(v, &c, sizeof(c)), ATTEST_OK);
    }
    assert_int_equal(c.key_fetches, 2);
    assert_int_equal(c.refused_by_code[ATTEST_E_ISSUER - 1001], 1);
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
    AUTO(attest_verifier) struct attest_verifier *deaf = new_verifier(MINT_ISSUER, NULL);
    assert_int_equal(show(deaf, good, PARENT), ATTEST_OK); /* nobody wants to know */
    assert_int_equal(attest_verifier_on_span(v, keep_span, &span, NULL), ATTEST_OK);
    assert_int_equal(show(v, good, PARENT), ATTEST_OK);
    first = span;
    assert_string_equal(first.name, "attestation.verify");
    assert_string_equal(first.trace_id, TRACE_ID);
    assert_string_equal(first.parent_id, "00f067aa0ba902b7");
    assert_string_equal(first.issuer, MINT_ISSUER);
    assert_int_equal(strspn(first.id, "0123456789abcdef"), 16);
    assert_int_equal(strlen(first.id), 16);
    assert_true(first.sampled && first.code == ATTEST_OK && first.n == 1);
    assert_true(first.start_us > INT64_C(1700000000) * 1000000 && first.duration_us >= 0);
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
    serve_keys();
    struct attest_fetch *fetch = new_fetch();
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier(stub.origin, fetch);
    attest_fetch_free(fetch);
    assert_int_equal(attest_verifier_on_span(v, keep_span, &span, NULL), ATTEST_OK);
    for (int i = 0; i < 500 && !span.n; i++)
        step(v);
    assert_string_equal(span.name, "attestation.jwks_fetch");
    assert_string_equal(span.issuer, stub.origin);
    assert_string_equal(span.parent_id, "-");
    assert_int_equal(strspn(span.trace_id, "0123456789abcdef"), 32);
    assert_int_equal(span.code, ATTEST_OK);
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
        cmocka_unit_test(a_traceparent_is_read_to_the_letter),
        cmocka_unit_test(a_check_is_a_span_of_the_request),
        cmocka_unit_test(a_fetch_is_a_span_of_its_own),
    };
    need_curl();
    return cmocka_run_group_tests(tests, setup, teardown);
}
