/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "support/http_stub.h"
#include "support/mint.h"
#include "support/need.h"
#include "verify/verifier.h"

#include <attest/attest.h>

/* What a verifier takes for now: when its clock is set back, and when it has waited for keys. */

static struct mint_key key, agent_key;

static int
set_up(void **state)
{
    (void)state;
    if (crypto_init(NULL))
        return -1;
    mint_key_init(&key, 1);
    mint_key_init(&agent_key, 2);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    mint_key_done(&key);
    mint_key_done(&agent_key);
    return 0;
}

static enum attest_rc
check(struct attest_verifier *v, const char *token, const char *proof)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    enum attest_rc rc =
        attest_verifier_check(v, token, strlen(token), proof, proof ? strlen(proof) : 0, &result);
    return result ? attest_result_error_code(result) : rc;
}

/* ---- set back ---- */

static int64_t clock_s, boot_ms;

static int64_t
test_clock(void *ctx)
{
    (void)ctx;
    return clock_s;
}

static int64_t
test_boot_ms(void)
{
    return boot_ms;
}

static struct attest_verifier *
new_verifier(void)
{
    AUTO(attest_policy) struct attest_policy *p = NULL;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    struct attest_verifier *v = NULL;
    char *jwks AUTO(mem) = mint_jwks(&key);
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, MINT_ISSUER, ATTEST_TRUST_PROVIDER, NULL), 0);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new(p, keys, NULL, &v, NULL), ATTEST_OK);
    return v;
}

static char *
token_number(unsigned n)
{
    struct mint_object payload;
    char jti[64];
    snprintf(jti, sizeof(jti), "\"00000000-0000-4000-8000-%012x\"", n);
    mint_payload(&payload);
    mint_set(&payload, "jti", jti);
    return mint_token(&key, NULL, &payload);
}

/* Held at the latest minus the skew it would stand still, while a store elsewhere forgets. */
static void
a_clock_set_back_goes_on(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    char *first AUTO(mem) = token_number(1); /* each until 300 s from now, and the skew */
    char *second AUTO(mem) = token_number(2);
    char *third AUTO(mem) = token_number(3);
    assert_int_equal(attest_verifier_set_clock(v, test_clock, NULL, NULL), ATTEST_OK);
    v->boot_ms = test_boot_ms;
    boot_ms = 7000250;
    clock_s = -1; /* nothing to go on from yet */
    assert_int_equal(check(v, first, NULL), ATTEST_E_ARGUMENT);
    clock_s = MINT_NOW;
    assert_int_equal(check(v, first, NULL), ATTEST_OK);
    clock_s = MINT_NOW - 7200;
    boot_ms += 100 * 1000;
    assert_int_equal(check(v, second, NULL), ATTEST_OK); /* now is in 70 s, not two hours ago */
    boot_ms += 259 * 1000;
    assert_int_equal(check(v, third, NULL), ATTEST_OK); /* in 329 */
    assert_int_equal(check(v, first, NULL), ATTEST_E_REPLAY);
    boot_ms += 1000;
    assert_int_equal(check(v, first, NULL), ATTEST_E_EXPIRED);
    boot_ms += 3600 * 1000;
    assert_int_equal(check(v, first, NULL), ATTEST_E_EXPIRED);
    /* What is no time is no way around it, nor the last word. */
    clock_s = -1;
    assert_int_equal(check(v, first, NULL), ATTEST_E_EXPIRED);
    clock_s = INT64_MAX;
    assert_int_equal(check(v, first, NULL), ATTEST_E_ARGUMENT);
    clock_s = INT64_MIN;
    assert_int_equal(check(v, first, NULL), ATTEST_E_EXPIRED);
}

/* By the system's clocks, ahead of which it never is. */
static void
the_system_clocks_are_held_to_it(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    char *token AUTO(mem) = token_number(1);
    assert_ptr_equal(v->boot_ms, clock_boot_ms);
    assert_int_equal(v->ahead_ms, INT64_MIN);
    (void)check(v, token, NULL);
    assert_true(v->ahead_ms > 0);
    assert_true(v->ahead_ms <= clock_wall_ms() - clock_boot_ms() + 1);
}

/* A memory of one's own keeps a proof as long as one would accept it, and not for another's skew.
 */
static void
its_own_store_keeps_no_longer(void **state)
{
    (void)state;
    AUTO(attest_verifier) struct attest_verifier *v = new_verifier();
    struct mint_object payload;
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    mint_payload(&payload);
    mint_set(&payload, "cnf", cnf);
    char *token AUTO(mem) = mint_token(&key, NULL, &payload);
    char *first AUTO(mem) = mint_proof(&agent_key, token, "exp", "1800000030");
    char *later AUTO(mem) = mint_proof(&agent_key, token, "exp", "1800000100");
    assert_int_equal(attest_verifier_set_clock(v, test_clock, NULL, NULL), ATTEST_OK);
    clock_s = MINT_NOW;
    assert_int_equal(check(v, token, first), ATTEST_OK);
    clock_s = MINT_NOW + 30 + 29;
    assert_int_equal(check(v, token, first), ATTEST_E_REPLAY);
    clock_s = MINT_NOW + 30 + 60;
    assert_int_equal(check(v, token, later), ATTEST_E_REPLAY); /* the same jti, still there */
    clock_s = MINT_NOW + 30 + 61;
    assert_int_equal(check(v, token, later), ATTEST_OK);
}

/* ---- behind a wait ---- */

static int64_t first_s = MINT_NOW, later_s; /* what the clock says at first, and then */
static unsigned readings;

static int64_t
clock_that_waits(void *ctx)
{
    (void)ctx;
    return readings++ ? later_s : first_s;
}

static void
serve(struct http_stub *stub)
{
    static char says[4096];
    char *jwks AUTO(mem) = mint_jwks(&key);
    assert_true(http_stub_start(stub));
    snprintf(says, sizeof(says),
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n%s",
             strlen(jwks), jwks);
    http_stub_say(stub, "/.well-known/jwks.json", says);
}

/* Trusts each of these, fetches their keys and waits for the first set. */
static struct attest_verifier *
waiting_verifier(const struct http_stub *stub, size_t n)
{
    AUTO(attest_policy) struct attest_policy *p = NULL;
    struct attest_fetch *fetch = NULL;
    struct attest_verifier *v = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_allow_loopback_http(p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    for (size_t i = 0; i < n; i++) {
        const char *issuer = stub[i].origin;
        assert_int_equal(attest_policy_add_issuer(p, issuer, ATTEST_TRUST_PROVIDER, NULL), 0);
        assert_int_equal(attest_policy_issuer_trust_domain(p, issuer, "ai.example.com", NULL), 0);
        assert_int_equal(attest_policy_issuer_provider(p, issuer, "anthropic", NULL), 0);
    }
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_new(&fetch, NULL), ATTEST_OK);
    assert_int_equal(attest_fetch_set_wait_ms(fetch, 60000, NULL), ATTEST_OK);
    assert_int_equal(attest_verifier_new_fetching(p, NULL, NULL, fetch, &v, NULL), ATTEST_OK);
    attest_fetch_free(fetch);
    assert_int_equal(attest_verifier_set_clock(v, clock_that_waits, NULL, NULL), ATTEST_OK);
    return v;
}

static char *
token_of(const struct http_stub *stub, const char *aud, const char *exp, const char *nested,
         const char *cnf)
{
    struct mint_object payload;
    char issuer[64], audience[64], metadata[4096];
    snprintf(issuer, sizeof(issuer), "\"%s\"", stub->origin);
    snprintf(audience, sizeof(audience), "\"%s\"", aud);
    snprintf(metadata, sizeof(metadata),
             "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
             "\"safety_level\":\"standard\",\"capabilities_declared\":[]%s%s%s}",
             nested ? ",\"nested_attestation\":\"" : "", nested ? nested : "", nested ? "\"" : "");
    mint_payload(&payload);
    mint_set(&payload, "iss", issuer);
    mint_set(&payload, "aud", audience);
    mint_set(&payload, "exp", exp);
    mint_set(&payload, "attestation_metadata", metadata);
    if (cnf)
        mint_set(&payload, "cnf", cnf);
    return mint_token(&key, NULL, &payload);
}

static enum attest_rc
check_behind_wait(int64_t wait_s, const char *exp, bool bound)
{
    struct http_stub stub;
    serve(&stub);
    AUTO(attest_verifier) struct attest_verifier *v = waiting_verifier(&stub, 1);
    char *cnf AUTO(mem) = mint_cnf(&agent_key);
    char *token AUTO(mem) = token_of(&stub, MINT_AUDIENCE, exp, NULL, bound ? cnf : NULL);
    char *proof AUTO(mem) = bound ? mint_proof(&agent_key, token, NULL, NULL) : NULL;
    readings = 0;
    later_s = MINT_NOW + wait_s;
    enum attest_rc rc = check(v, token, proof);
    http_stub_stop(&stub);
    return rc;
}

static void
the_time_behind_a_wait_counts(void **state)
{
    (void)state;
    assert_int_equal(check_behind_wait(29, "1800000300", false), ATTEST_OK);
    assert_int_equal(check_behind_wait(329, "1800000300", false), ATTEST_OK);
    assert_int_equal(check_behind_wait(330, "1800000300", false), ATTEST_E_EXPIRED);
    assert_int_equal(check_behind_wait(29, "1800000800", true), ATTEST_OK);
    assert_int_equal(check_behind_wait(400, "1800000800", true), ATTEST_E_PROOF);
    first_s = MINT_NOW - 31; /* not valid yet, but for the wait */
    assert_int_equal(check_behind_wait(0, "1800000300", false), ATTEST_OK);
    assert_int_equal(check_behind_wait(-31, "1800000300", false), ATTEST_E_NOT_YET_VALID);
    first_s = MINT_NOW;
}

/* The outer token was looked at before the wait for the keys of the nested one. */
static void
it_counts_for_what_was_looked_at_before(void **state)
{
    (void)state;
    for (int64_t wait_s = 300; wait_s <= 400; wait_s += 100) {
        struct http_stub stub[2];
        serve(&stub[0]);
        serve(&stub[1]);
        AUTO(attest_verifier) struct attest_verifier *v = waiting_verifier(stub, 2);
        char *nested AUTO(mem) = token_of(&stub[1], stub[0].origin, "1800000800", NULL, NULL);
        char *outer AUTO(mem) = token_of(&stub[0], MINT_AUDIENCE, "1800000300", nested, NULL);
        char *plain AUTO(mem) = token_of(&stub[0], "https://x.example", "1800000300", NULL, NULL);
        later_s = MINT_NOW;
        pthread_mutex_lock(&stub[1].lock); /* whose keys come later */
        assert_int_equal(check(v, plain, NULL), ATTEST_E_AUDIENCE);
        pthread_mutex_unlock(&stub[1].lock);
        assert_int_equal(http_stub_asked(&stub[0]), 1);
        readings = 0;
        later_s = MINT_NOW + wait_s;
        assert_int_equal(check(v, outer, NULL), wait_s < 330 ? ATTEST_OK : ATTEST_E_EXPIRED);
        http_stub_stop(&stub[0]);
        http_stub_stop(&stub[1]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_set_back_goes_on),
        cmocka_unit_test(its_own_store_keeps_no_longer),
        cmocka_unit_test(the_system_clocks_are_held_to_it),
        cmocka_unit_test(the_time_behind_a_wait_counts),
        cmocka_unit_test(it_counts_for_what_was_looked_at_before),
    };
    need_curl();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
