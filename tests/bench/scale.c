/* SPDX-License-Identifier: MIT */

/*
 * scale: what a second core adds to verification, beside what it adds to libsodium alone.
 *
 *     scale [--seconds S]
 *
 * One thread and two, of the bare signature, of attest_verify() with shared keys and policy, and of
 * attest_verifier_check() on one verifier with one memory of what was seen, in turns of some
 * milliseconds, as many as there is time for. Wall time, since whoever waits for a lock uses no
 * CPU; others on the machine spoil it.
 */
#include <getopt.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "tests/bench/contest.h"
#include "tests/bench/median.h"

#define TOKENS 120 /* of each thread and turn */
#define THREADS 2
#define ROUNDS_MIN 11
#define ROUNDS_MAX MEDIAN_MAX
#define GATE 0.97

static const struct kind {
    const struct contestant *who;
    bool once; /* it takes each token once */
} kinds[] = {{&contestant_sodium}, {&contestant_attest}, {&contestant_check, .once = true}};
#define KINDS ARRAY_LEN(kinds)

struct worker {
    const struct contestant *who;
    void *state;
    struct contest *lots; /* its tokens, a lot of CONTEST_TOKENS after the other */
    pthread_barrier_t *start;
    int64_t took_us;
    bool good;
};

static struct contest lots[THREADS][TOKENS / CONTEST_TOKENS];
#define LOTS ARRAY_LEN(lots[0])

static void *
work(void *ctx)
{
    struct worker *w = ctx;
    w->good = true;
    pthread_barrier_wait(w->start);
    int64_t start_us = clock_mono_us();
    for (size_t l = 0; l < LOTS; l++)
        for (size_t i = 0; i < CONTEST_TOKENS; i++)
            w->good &= w->who->verify(w->state, &w->lots[l], i);
    w->took_us = clock_mono_us() - start_us;
    return NULL;
}

/* Tokens per second of all threads together; 0: one was refused. */
static double
turn(const struct contestant *who, void *state, int n_threads)
{
    pthread_t thread[THREADS];
    pthread_barrier_t start;
    struct worker worker[THREADS];
    double rate = 0;
    bool good = true;
    pthread_barrier_init(&start, NULL, (unsigned)n_threads);
    for (int t = 0; t < n_threads; t++) {
        worker[t] = (struct worker){.who = who, .state = state, .lots = lots[t], .start = &start};
        if (pthread_create(&thread[t], NULL, work, &worker[t]) != 0)
            exit(3);
    }
    for (int t = 0; t < n_threads; t++) {
        pthread_join(thread[t], NULL);
        good = good && worker[t].good;
        rate += LOTS * CONTEST_TOKENS * 1e6 / (double)worker[t].took_us;
    }
    pthread_barrier_destroy(&start);
    return good ? rate : 0;
}

static bool
renew(int n_threads)
{
    for (int t = 0; t < n_threads; t++)
        for (size_t l = 0; l < LOTS; l++)
            if (!contest_renew(&lots[t][l]))
                return false;
    return true;
}

/* The same key for all of them. */
static bool
make_tokens(struct contest *c)
{
    if (!contest_init(c))
        return false;
    for (size_t t = 0; t < THREADS; t++) {
        for (size_t l = 0; l < LOTS; l++) {
            lots[t][l] = *c;
            lots[t][l].public_key = c->public_key;
            memset(lots[t][l].token, 0, sizeof(c->token));
        }
    }
    return true;
}

/* What two threads did in a round by what one did. */
static bool
one_round(void *const *state, double *gain)
{
    for (size_t k = 0; k < KINDS; k++) {
        double rate[THREADS + 1];
        for (int n = 1; n <= THREADS; n++) {
            if (kinds[k].once && !renew(n))
                return false;
            rate[n] = turn(kinds[k].who, state[k], n);
            if (rate[n] <= 0) {
                fprintf(stderr, "scale: %s refused a good token\n", kinds[k].who->name);
                return false;
            }
        }
        gain[k] = rate[THREADS] / rate[1];
    }
    return true;
}

static bool
run(void *const *state, int64_t duration_us)
{
    static double gain[KINDS][ROUNDS_MAX], beside[KINDS][ROUNDS_MAX];
    int64_t start_us = clock_mono_us();
    size_t n = 0;
    while (n < ROUNDS_MAX && (n < ROUNDS_MIN || clock_mono_us() - start_us < duration_us)) {
        double now[KINDS];
        if (!one_round(state, now))
            return false;
        for (size_t k = 0; k < KINDS; k++) {
            gain[k][n] = now[k];
            beside[k][n] = now[k] / now[0];
        }
        n++;
    }
    double ceiling = median(gain[0], n);
    for (size_t k = 1; k < KINDS; k++) {
        double m = median(beside[k], n);
        printf("row\tverify a token: %s by two threads beside one\t%.2f times\tlibsodium %.2f "
               "times\t%.3f\t>= %.2f\t%s\n",
               kinds[k].who->name, median(gain[k], n), ceiling, m, GATE,
               m >= GATE ? "met" : "MISSED");
    }
    return true;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    static struct contest c;
    void *state[KINDS];
    double seconds = 5;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o != 's')
            return 2;
        seconds = strtod(optarg, NULL);
    }
    if (crypto_init(NULL) != ATTEST_OK || !make_tokens(&c) || !renew(THREADS))
        return 3;
    bool good = true;
    for (size_t k = 0; k < KINDS; k++) {
        state[k] = kinds[k].who->open(&c);
        good = good && state[k];
    }
    good = good && run(state, (int64_t)(seconds * 1e6));
    for (size_t k = 0; k < KINDS; k++)
        if (state[k])
            kinds[k].who->close(state[k]);
    for (size_t t = 0; t < THREADS; t++)
        for (size_t l = 0; l < LOTS; l++)
            contest_done(&lots[t][l]);
    contest_done(&c);
    return good ? 0 : 1;
}
