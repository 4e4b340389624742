/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/bound.h"

/* Verified tokens that are kept, while many use them and the keys change. */

enum { THREADS = 4, AGENTS = 12, PROOFS = 8 };
static struct attest_verifier *shared;
static struct attest_keys *shared_keys;
static char *tokens[AGENTS], *proofs[AGENTS][PROOFS];
static atomic_uint accepted[AGENTS][PROOFS], wrong, running;
static atomic_bool closed; /* the key is gone for good */

static void *
use_all(void *arg)
{
    unsigned start = *(unsigned *)arg;
    for (unsigned n = 0; n < AGENTS * PROOFS; n++) {
        unsigned which = (n * 5 + start * 7) % (AGENTS * PROOFS), agent = which % AGENTS;
        unsigned number = which / AGENTS;
        bool after = atomic_load(&closed);
        enum attest_rc rc = check(shared, tokens[agent], proofs[agent][number]);
        if (rc == ATTEST_OK && !after)
            atomic_fetch_add(&accepted[agent][number], 1);
        else if ((rc != ATTEST_E_REPLAY && rc != ATTEST_E_KEY_UNKNOWN) || rc == ATTEST_OK)
            atomic_fetch_add(&wrong, 1);
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

/* Key sets come and go meanwhile, and tokens are more than places. */
static void
test_threads(void **state)
{
    (void)state;
    shared_keys = new_keys();
    shared = new_verifier(new_policy(), shared_keys);
    assert_int_equal(attest_verifier_set_token_cache(shared, 8, NULL), ATTEST_OK);
    for (unsigned i = 0; i < AGENTS; i++) {
        char exp[32];
        snprintf(exp, sizeof(exp), "%lld", (long long)MINT_NOW + 100 + i);
        tokens[i] = bound_token(&key, "exp", exp);
        for (unsigned k = 0; k < PROOFS; k++)
            proofs[i][k] = fresh_proof(&agent_key, tokens[i]);
    }
    pthread_t threads[THREADS];
    unsigned starts[THREADS];
    atomic_store(&running, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        starts[i] = i / 2;
        assert_int_equal(pthread_create(&threads[i], NULL, use_all, &starts[i]), 0);
    }
    for (unsigned i = 0; atomic_load(&running) > 0 && i < 2000; i++) {
        assert_int_equal(add_jwks(shared_keys, MINT_ISSUER, i % 4 == 3 ? &key2 : &key), ATTEST_OK);
        usleep(200);
    }
    assert_int_equal(add_jwks(shared_keys, MINT_ISSUER, &key2), ATTEST_OK);
    atomic_store(&closed, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    unsigned total = 0;
    for (unsigned i = 0; i < AGENTS; i++) {
        assert_int_equal(use(shared, tokens[i]), ATTEST_E_KEY_UNKNOWN);
        for (unsigned k = 0; k < PROOFS; k++) {
            assert_true(accepted[i][k] <= 1);
            total += accepted[i][k];
            free(proofs[i][k]);
        }
        free(tokens[i]);
    }
    assert_int_equal(wrong, 0);
    assert_true(total > 0 && stats(shared).hits > 0);
    attest_verifier_free(shared);
    attest_keys_free(shared_keys);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, bound_setup, bound_teardown);
}
