/* SPDX-License-Identifier: MIT */

/*
 * seeing: what counting and timing a check costs, beside the check.
 *
 * The same token again and again, so each is verified whole and then found to be a replay; in turns
 * with nothing but what is counted of it. CPU time of this thread, medians of rounds.
 */
#include <string.h>

#include "base/clock.h"
#include "support/mint.h"
#include "verify/verifier.h"

#define ROUNDS 11
#define CHECKS 500
#define SIGHTS 50000
#define GATE 0.01

static int64_t
mint_clock(void *ctx)
{
    (void)ctx;
    return MINT_NOW;
}

static struct attest_verifier *
make_verifier(const struct mint_key *key)
{
    struct attest_policy *p = NULL;
    struct attest_keys *keys = NULL;
    struct attest_verifier *v = NULL;
    char *jwks AUTO(mem) = mint_jwks(key);
    if (attest_policy_new(&p, NULL) || attest_policy_add_audience(p, MINT_AUDIENCE, NULL) ||
        attest_policy_add_issuer(p, MINT_ISSUER, ATTEST_TRUST_PROVIDER, NULL) ||
        attest_policy_freeze(p, NULL) || attest_keys_new(&keys, NULL) ||
        attest_keys_add_jwks(keys, MINT_ISSUER, jwks, strlen(jwks), NULL) ||
        attest_verifier_new(p, keys, NULL, &v, NULL) ||
        attest_verifier_set_clock(v, mint_clock, NULL, NULL))
        return NULL;
    attest_policy_free(p);
    attest_keys_free(keys);
    return v;
}

/* Nanoseconds of one. */
static double
checks(struct attest_verifier *v, const char *token)
{
    int64_t start_ns = clock_thread_cpu_ns();
    for (int i = 0; i < CHECKS; i++) {
        AUTO(attest_result) struct attest_result *result = NULL;
        if (attest_verifier_check(v, token, strlen(token), NULL, 0, &result) != ATTEST_E_REPLAY)
            return 0;
    }
    return (double)(clock_thread_cpu_ns() - start_ns) / CHECKS;
}

static double
sights(struct attest_verifier *v, const struct attest_result *result)
{
    int64_t start_ns = clock_thread_cpu_ns();
    for (int i = 0; i < SIGHTS; i++) {
        struct sight sight;
        seeing_begin(&v->seeing, NULL, &sight);
        seeing_keys(&v->seeing, 1, 0);
        seeing_end(&v->seeing, &sight, ATTEST_E_REPLAY, result, false);
    }
    return (double)(clock_thread_cpu_ns() - start_ns) / SIGHTS;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int
main(void)
{
    struct mint_key key;
    struct mint_object payload;
    double check_ns[ROUNDS], sight_ns[ROUNDS], ratio[ROUNDS];
    if (crypto_init(NULL) != ATTEST_OK)
        return 3;
    mint_key_init(&key, 1);
    mint_payload(&payload);
    char *token AUTO(mem) = mint_token(&key, NULL, &payload);
    AUTO(attest_verifier) struct attest_verifier *v = make_verifier(&key);
    AUTO(attest_result) struct attest_result *first = NULL;
    AUTO(attest_result) struct attest_result *result = NULL;
    if (!v || attest_verifier_check(v, token, strlen(token), NULL, 0, &first) != ATTEST_OK ||
        attest_verifier_check(v, token, strlen(token), NULL, 0, &result) != ATTEST_E_REPLAY)
        return 3;
    for (size_t r = 0; r < ROUNDS; r++) {
        check_ns[r] = checks(v, token);
        sight_ns[r] = sights(v, result);
        if (check_ns[r] <= 0)
            return 3;
        ratio[r] = sight_ns[r] / check_ns[r];
    }
    mint_key_done(&key);
    qsort(check_ns, ROUNDS, sizeof(double), compare);
    qsort(sight_ns, ROUNDS, sizeof(double), compare);
    qsort(ratio, ROUNDS, sizeof(double), compare);
    double m = ratio[ROUNDS / 2];
    printf(
        "row\tverify a token: counted and timed\t%.0f ns\tone check %.1f us\t%.4f\t<= %.2f\t%s\n",
        sight_ns[ROUNDS / 2], check_ns[ROUNDS / 2] / 1000, m, GATE, m <= GATE ? "met" : "MISSED");
    return 0;
}
