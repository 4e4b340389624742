/* SPDX-License-Identifier: MIT */

/*
 * verify: what a whole token costs beside its bare signature, and beside what others take.
 *
 *     verify [--seconds S] [--only NAME] [--peer NAME=COMMAND]…
 *
 * All contestants verify the same tokens in turns of a few milliseconds, for an odd number of
 * rounds; each round is compared with itself, and the median of those ratios counts. What is
 * measured is the CPU time of this thread, of a peer that of its whole process, so that others on
 * the machine matter little.
 */
#include <getopt.h>
#include <string.h>

#include "base/clock.h"
#include "tests/bench/contest.h"
#include "tests/bench/median.h"
#include "tests/bench/peer.h"

#define ROUNDS 11
#define PEERS_MAX 8
#define PEER_GATE 0.95
/* Compilers that compile as they run need a while to reach their speed. */
#define PEER_WARM_LAPS 60

static const struct contestant *const built_in[] = {
    &contestant_attest, &contestant_check,    &contestant_sodium, &contestant_openssl,
    &contestant_libjwt, &contestant_rhonabwy, &contestant_cjose,
};
#define N_BUILT_IN ARRAY_LEN(built_in)
#define N_MAX (N_BUILT_IN + PEERS_MAX)
enum { US, CHECK, CEILING, BARE, OTHERS };

static const struct {
    double gate, aim;
} ours[] = {[US] = {0.90, 0.95}, [CHECK] = {0.85, 0.90}};

struct entrant {
    const struct contestant *who;
    void *state; /* NULL: does not take part */
    struct peer *peer;
    double us[ROUNDS]; /* CPU microseconds of one verification */
};

static struct contestant peer_contestants[PEERS_MAX];

static bool
verifies(const struct entrant *e, const struct contest *c, size_t i)
{
    return e->peer ? peer_check(e->peer, c->token[i]) : e->who->verify(e->state, c, i);
}

static void
leave(struct entrant *e)
{
    if (e->peer)
        peer_close(e->peer);
    else if (e->state)
        e->who->close(e->state);
    e->state = e->peer = NULL;
}

static bool
refuses_what_was_tampered_with(const struct entrant *e, struct contest *c)
{
    char *in_payload = c->token[0] + c->signed_len[0] - 8;
    char *in_sig = c->token[0] + c->token_len[0] - 8;
    char payload_was = *in_payload, sig_was = *in_sig;
    *in_payload = payload_was == 'A' ? 'B' : 'A';
    bool good = !verifies(e, c, 0);
    *in_payload = payload_was;
    *in_sig = sig_was == 'A' ? 'B' : 'A';
    c->sig[0][60] ^= 1;
    good = good && !verifies(e, c, 0);
    *in_sig = sig_was;
    c->sig[0][60] ^= 1;
    return good;
}

/* Opens it and lets it verify each token, and refuse one that was tampered with. */
static bool
enter(struct entrant *e, struct contest *c)
{
    if (e->who->absent)
        return false;
    if (e->who->command)
        e->state = e->peer = peer_open(e->who->command, c);
    else
        e->state = e->who->open(c);
    bool good = e->state && refuses_what_was_tampered_with(e, c);
    for (size_t i = 0; i < CONTEST_TOKENS; i++)
        good = good && verifies(e, c, i);
    good = good && (!e->peer || peer_take(e->peer, c));
    for (int i = 0; i < PEER_WARM_LAPS && e->peer; i++)
        good = good && peer_lap_ns(e->peer) > 0;
    if (!good && e->state)
        leave(e);
    return good;
}

/*
 * CPU time in nanoseconds of verifying every token once; 0 when one failed. A few before that are
 * not counted: whoever ran last has left the caches to its own liking, and what counts is a server
 * that does this all day.
 */
static int64_t
one_lap(const struct entrant *e, const struct contest *c)
{
    if (e->peer)
        return peer_lap_ns(e->peer);
    for (size_t i = 0; i < CONTEST_WARM; i++)
        if (!e->who->verify(e->state, c, i))
            return 0;
    int64_t start_ns = clock_thread_cpu_ns();
    for (size_t i = CONTEST_WARM; i < CONTEST_TOKENS; i++)
        if (!e->who->verify(e->state, c, i))
            return 0;
    return clock_thread_cpu_ns() - start_ns;
}

/*
 * Laps of a few milliseconds in turn until the time is over, so that what slows the machine slows
 * all of them, each time with new tokens, since no token is accepted twice. (Peers, which remember
 * nothing, get new ones each round.) False when a good token was refused.
 */
static bool
one_round(struct entrant *e, size_t n, struct contest *c, int64_t duration_us, size_t round)
{
    int64_t spent_ns[N_MAX] = {0}, all_ns = 0;
    unsigned laps = 0;
    for (; all_ns < duration_us * 1000; laps++) {
        if (!contest_renew(c))
            return false;
        for (size_t k = 0; k < n; k++) {
            if (!e[k].state)
                continue;
            if (laps == 0 && e[k].peer && !peer_take(e[k].peer, c))
                return false;
            int64_t ns = one_lap(&e[k], c);
            if (ns <= 0) {
                fprintf(stderr, "verify: %s refused a good token\n", e[k].who->name);
                return false;
            }
            spent_ns[k] += ns;
            all_ns += ns;
        }
    }
    for (size_t k = 0; k < n; k++)
        e[k].us[round] = (double)spent_ns[k] / 1000 / CONTEST_COUNTED / laps;
    return true;
}

/* How many times as fast as the other, in the middle of the rounds. */
static double
faster_than(const struct entrant *e, const struct entrant *other)
{
    double ratio[ROUNDS];
    for (size_t r = 0; r < ROUNDS; r++)
        ratio[r] = other->us[r] / e->us[r];
    return median(ratio, ROUNDS);
}

/* Rows of the table that tests/bench/run.sh prints: figure, beside it, ratio, gate, verdict. */
static void
print_beside_ceiling(const struct entrant *all, size_t k)
{
    const struct entrant *e = &all[k];
    double m = faster_than(e, &all[CEILING]);
    printf("row\tverify a token: %s (%s)\t%.1f us\tlibsodium %.1f us\t%.3f\t", e->who->name,
           e->who->does, median(e->us, ROUNDS), median(all[CEILING].us, ROUNDS), m);
    if (k < ARRAY_LEN(ours))
        printf(">= %.2f (aim %.2f)\t%s\n", ours[k].gate, ours[k].aim,
               m >= ours[k].gate ? "met" : "MISSED");
    else
        printf("-\t-\n");
}

static void
print_beside_us(const struct entrant *all, const struct entrant *e)
{
    double m = faster_than(&all[US], e);
    char version[80] = "";
    if (e->peer)
        snprintf(version, sizeof(version), " %s", peer_version(e->peer));
    printf("row\tverify a token: attest_verify() beside %s%s (%s)\t%.1f us\t%.1f us\t%.3f\t>= "
           "%.2f\t%s\n",
           e->who->name, version, e->who->does, median(all[US].us, ROUNDS), median(e->us, ROUNDS),
           m, PEER_GATE, m >= PEER_GATE ? "met" : "MISSED");
}

static void
print_absent(const struct contestant *who)
{
    bool cannot = who->may_lack && !who->absent;
    printf("row\tverify a token: beside %s\t%s\t-\t-\t-\t%s\n", who->name,
           who->absent ? "absent at build time"
           : cannot    ? "cannot verify EdDSA"
                       : "does not run here",
           cannot ? "cannot" : "not measured");
}

static bool
run(struct contest *c, size_t n_peers, int64_t duration_us, const char *only)
{
    static struct entrant all[N_MAX];
    size_t n = N_BUILT_IN + n_peers;
    for (size_t k = 0; k < n; k++) {
        all[k].who = k < N_BUILT_IN ? built_in[k] : &peer_contestants[k - N_BUILT_IN];
        bool wanted = !only || k == US || k == CEILING || strcmp(only, all[k].who->name) == 0;
        /* What it accepted while it was tried it would refuse from now on. */
        if (wanted && (!enter(&all[k], c) || !contest_renew(c)) && k < OTHERS)
            return false;
    }
    bool good = true;
    for (size_t r = 0; r < ROUNDS && good; r++)
        good = one_round(all, n, c, duration_us, r);
    for (size_t k = 0; k < n; k++) {
        if (!all[k].state && !only)
            print_absent(all[k].who);
        else if (all[k].state && k != CEILING && good && k < OTHERS)
            print_beside_ceiling(all, k);
        else if (all[k].state && k != CEILING && good)
            print_beside_us(all, &all[k]);
        leave(&all[k]);
    }
    return good;
}

/* "NAME=COMMAND" */
static bool
add_peer(struct contestant *peer, char *text)
{
    char *command = strchr(text, '=');
    if (!command)
        return false;
    *command++ = '\0';
    *peer =
        (struct contestant){.name = text, .does = "signature, iss, aud, times", .command = command};
    return true;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"peer", required_argument, NULL, 'p'},
                                            {NULL, 0, NULL, 0}};
    double seconds = 5;
    const char *only = NULL;
    size_t n_peers = 0;
    bool usable = true;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 's')
            seconds = strtod(optarg, NULL);
        else if (o == 'o')
            only = optarg;
        else if (o == 'p' && n_peers < PEERS_MAX)
            usable = usable && add_peer(&peer_contestants[n_peers++], optarg);
        else
            usable = false;
    }
    if (!usable || seconds <= 0 || seconds > 600 || optind != argc) {
        fputs("usage: verify [--seconds S] [--only NAME] [--peer NAME=COMMAND]...\n", stderr);
        return 2;
    }
    static struct contest c;
    if (crypto_init(NULL) != ATTEST_OK || !contest_init(&c))
        return 3;
    printf("token of %zu bytes, medians of %d interleaved rounds, CPU time of one thread\n",
           c.token_len[0], ROUNDS);
    bool good = run(&c, n_peers, (int64_t)(seconds * 1e6) / ROUNDS, only);
    contest_done(&c);
    return good ? 0 : 1;
}
