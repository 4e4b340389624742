/* SPDX-License-Identifier: MIT */

/*
 * fetching: what becomes of those who verify while keys are fetched.
 *
 *     fetching hang [--seconds S]                known kids during a fetch that hangs, beside a
 *                                                verifier that fetches nothing
 *     fetching flood [--seconds S] [--tokens N]  tokens with random kids: fetches and memory
 */
#include <getopt.h>
#include <malloc.h>
#include <string.h>

#include "base/b64u.h"
#include "base/clock.h"
#include "support/http_stub.h"
#include "tests/bench/contest.h"
#include "tests/bench/median.h"

#include <attest/attest.h>

#define JWKS_PATH "/.well-known/jwks.json"
#define LAP 32
#define LAPS_MAX MEDIAN_MAX
#define LAPS_MIN 11
#define HANG_GATE 0.97
#define PATIENCE_MS 10000
#define COOLDOWN_S 1
#define REMEMBERED 8192
#define KNOWN_EVERY 100
#define HEAP_GATE 1.02

/* An issuer on loopback and a verifier that fetches its keys by a thread. */
struct side {
    struct http_stub stub;
    struct attest_verifier *verifier;
};

static void
pause_ms(int64_t ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static enum attest_rc
check(struct attest_verifier *verifier, const char *token, size_t len)
{
    struct attest_result *result = NULL;
    enum attest_rc rc = attest_verifier_check(verifier, token, len, NULL, 0, &result);
    attest_result_free(result);
    return rc;
}

static char *
token_for(struct contest *c, const struct side *side, size_t *len)
{
    size_t signed_len;
    uint8_t sig[ED25519_SIG_LEN];
    c->now_s = clock_wall_s();
    return contest_token(c, side->stub.origin, c->kid, len, &signed_len, sig);
}

static enum attest_rc
make_policy(const char *issuer, struct attest_policy **ret, struct attest_error *err)
{
    enum attest_rc rc = attest_policy_new(ret, err);
    if (!rc)
        rc = attest_policy_allow_loopback_http(*ret, err);
    if (!rc)
        rc = attest_policy_add_audience(*ret, CONTEST_AUDIENCE, err);
    if (!rc)
        rc = attest_policy_add_issuer(*ret, issuer, ATTEST_TRUST_PROVIDER, err);
    return rc ? rc : attest_policy_freeze(*ret, err);
}

static enum attest_rc
make_verifier(struct side *side, size_t remembered, struct attest_error *err)
{
    struct attest_policy *policy = NULL;
    struct attest_replay *replay = NULL;
    struct attest_fetch *fetch = NULL;
    enum attest_rc rc = make_policy(side->stub.origin, &policy, err);
    if (!rc)
        rc = attest_replay_new_memory(remembered, &replay, err);
    if (!rc)
        rc = attest_fetch_new(&fetch, err);
    if (!rc) /* longer than is measured: nothing gives up meanwhile */
        rc = attest_fetch_set_timeout_ms(fetch, 60000, err);
    if (!rc)
        rc = attest_fetch_set_cooldown_s(fetch, COOLDOWN_S, err);
    if (!rc) /* callers may be made to wait: those with known kids are not */
        rc = attest_fetch_set_wait_ms(fetch, PATIENCE_MS, err);
    if (!rc)
        rc = attest_verifier_new_fetching(policy, NULL, replay, fetch, &side->verifier, err);
    if (!rc)
        rc = attest_verifier_start_thread(side->verifier, err);
    attest_fetch_free(fetch);
    attest_replay_free(replay);
    attest_policy_free(policy);
    return rc;
}

static void
close_side(struct side *side)
{
    attest_verifier_free(side->verifier);
    http_stub_stop(&side->stub);
}

/* With its first key set in hand. */
static bool
open_side(struct side *side, struct contest *c, size_t remembered)
{
    char says[1024];
    struct attest_error err = {.text = "its keys do not come"};
    snprintf(says, sizeof(says),
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n%s",
             strlen(c->jwks), c->jwks);
    if (!http_stub_start(&side->stub))
        return false;
    http_stub_say(&side->stub, JWKS_PATH, says);
    bool good = make_verifier(side, remembered, &err) == ATTEST_OK;
    if (good) {
        size_t len;
        char *token AUTO(mem) = token_for(c, side, &len);
        good = token && check(side->verifier, token, len) == ATTEST_OK;
    }
    if (good)
        return true;
    fprintf(stderr, "fetching: %s\n", err.text);
    close_side(side);
    return false;
}

/* ---- hang ---- */

/* Wall microseconds of one check, over a few; 0: one was refused. */
static double
lap_us(struct side *side, struct contest *c)
{
    char *token[LAP];
    size_t len[LAP];
    bool good = true;
    for (size_t i = 0; i < LAP; i++)
        good &= (token[i] = token_for(c, side, &len[i])) != NULL;
    int64_t start_us = clock_mono_us();
    for (size_t i = 0; i < LAP && good; i++)
        good = check(side->verifier, token[i], len[i]) == ATTEST_OK;
    int64_t took_us = clock_mono_us() - start_us;
    for (size_t i = 0; i < LAP; i++)
        free(token[i]);
    return good ? (double)took_us / LAP : 0;
}

/* The next fetch of this side is begun and hangs. */
static bool
begin_to_hang(struct side *side)
{
    unsigned before = http_stub_asked(&side->stub);
    http_stub_say(&side->stub, JWKS_PATH, NULL);
    if (attest_verifier_invalidate(side->verifier, side->stub.origin, NULL) != ATTEST_OK)
        return false;
    for (int ms = 0; http_stub_asked(&side->stub) == before && ms < PATIENCE_MS; ms += 10)
        pause_ms(10);
    return http_stub_asked(&side->stub) == before + 1;
}

static bool
measure_hang(struct side *quiet, struct side *hangs, struct contest *c, int64_t duration_us)
{
    static double without[LAPS_MAX], during[LAPS_MAX], ratio[LAPS_MAX];
    size_t n = 0;
    if (!begin_to_hang(hangs))
        return false;
    unsigned asked = http_stub_asked(&hangs->stub);
    int64_t start_us = clock_mono_us();
    for (; n < LAPS_MAX && (n < LAPS_MIN || clock_mono_us() - start_us < duration_us); n++) {
        /* Neither is always the first. */
        for (int turn = 0; turn < 2; turn++) {
            bool is_quiet = (n + (size_t)turn) % 2 == 0;
            (is_quiet ? without : during)[n] = lap_us(is_quiet ? quiet : hangs, c);
        }
        if (without[n] <= 0 || during[n] <= 0)
            return false;
        ratio[n] = without[n] / during[n];
    }
    double s = (double)(clock_mono_us() - start_us) / 1e6;
    if (http_stub_asked(&hangs->stub) != asked) {
        fputs("fetching: the fetch did not hang all the time\n", stderr);
        return false;
    }
    double m = median(ratio, n);
    printf("row\tcheck of a known kid while a fetch hangs, %.0f s\t%.1f us\twithout %.1f us\t%.3f\t"
           ">= %.2f\t%s\n",
           s, median(during, n), median(without, n), m, HANG_GATE,
           m >= HANG_GATE ? "met" : "MISSED");
    return true;
}

static bool
hang(struct contest *c, int64_t duration_us, size_t unused)
{
    static struct side quiet, hangs;
    (void)unused;
    if (duration_us > 50 * INT64_C(1000000))
        duration_us = 50 * INT64_C(1000000);
    if (!open_side(&quiet, c, 1 << 20))
        return false;
    bool good = open_side(&hangs, c, 1 << 20);
    if (good) {
        good = measure_hang(&quiet, &hangs, c, duration_us);
        close_side(&hangs);
    }
    close_side(&quiet);
    return good;
}

/* ---- flood ---- */

/* A token as a stranger would make it up: the right form, any kid, any signature. */
static size_t
make_up(char *out, size_t size, const char *good_token)
{
    uint8_t random[32];
    char kid[64] = "", header[160], encoded[256] = "";
    random_bytes(random, sizeof(random));
    b64u_encode(kid, random, sizeof(random));
    int n =
        snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}", kid);
    b64u_encode(encoded, (const uint8_t *)header, (size_t)n);
    n = snprintf(out, size, "%s%s", encoded, strchr(good_token, '.'));
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

struct flood {
    int64_t in_them_ns;      /* CPU time */
    size_t refused, waiting; /* 1010, 1012 */
    size_t heap_first, heap_last;
};

/* One known kid among a hundred others, which has to be accepted all the time. */
static bool
flood_some(struct flood *f, struct side *side, struct contest *c, size_t n)
{
    size_t len;
    char *good_token AUTO(mem) = token_for(c, side, &len);
    char made_up[4096];
    if (!good_token || check(side->verifier, good_token, len) != ATTEST_OK) {
        fputs("fetching: a known kid was refused\n", stderr);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        size_t made_up_len = make_up(made_up, sizeof(made_up), good_token);
        int64_t start_ns = clock_thread_cpu_ns();
        enum attest_rc rc = check(side->verifier, made_up, made_up_len);
        f->in_them_ns += clock_thread_cpu_ns() - start_ns;
        if (rc != ATTEST_E_KEY_UNKNOWN && rc != ATTEST_E_KEY_FETCH) {
            fprintf(stderr, "fetching: a made-up token got %d\n", (int)rc);
            return false;
        }
        f->refused += rc == ATTEST_E_KEY_UNKNOWN;
        f->waiting += rc == ATTEST_E_KEY_FETCH;
    }
    return true;
}

static void
print_flood(const struct flood *f, size_t n, unsigned fetches, unsigned allowed)
{
    double growth = (double)f->heap_last / (double)f->heap_first;
    printf("%zu made-up tokens got 1010, %zu 1012\n", f->refused, f->waiting);
    printf("row\tfetches for %zu tokens with random kids\t%u\tone a cool-down: %u\t-\t<= %u\t%s\n",
           n, fetches, allowed, allowed, fetches <= allowed ? "met" : "MISSED");
    printf("row\theap in use behind them\t%zu KiB\tafter half %zu KiB\t%.3f\t<= %.2f\t%s\n",
           f->heap_last / 1024, f->heap_first / 1024, growth, HEAP_GATE,
           growth <= HEAP_GATE ? "met" : "MISSED");
    printf("row\tcheck of an unknown kid, CPU\t%.1f us\t-\t-\t-\t-\n",
           (double)f->in_them_ns / 1000 / (double)n);
}

/* Spread over the time, so that it holds several cool-downs. */
static bool
flood(struct contest *c, int64_t duration_us, size_t n_tokens)
{
    static struct side side;
    struct flood f = {0};
    bool good = open_side(&side, c, REMEMBERED);
    if (!good)
        return false;
    unsigned before = http_stub_asked(&side.stub);
    int64_t start_ms = clock_mono_ms();
    for (size_t done = 0; done < n_tokens && good; done += KNOWN_EVERY) {
        good = flood_some(&f, &side, c, KNOWN_EVERY);
        int64_t due_ms = start_ms + duration_us / 1000 * (int64_t)done / (int64_t)n_tokens;
        if (due_ms > clock_mono_ms())
            pause_ms(due_ms - clock_mono_ms());
        if (done <= n_tokens / 2) /* behind the first fetches, for which libcurl keeps things */
            f.heap_first = mallinfo2().uordblks;
    }
    f.heap_last = mallinfo2().uordblks;
    unsigned allowed = (unsigned)((clock_mono_ms() - start_ms) / 1000 / COOLDOWN_S) + 1;
    if (good)
        print_flood(&f, n_tokens, http_stub_asked(&side.stub) - before, allowed);
    close_side(&side);
    return good;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {"tokens", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    static struct contest c;
    double seconds = 10;
    size_t tokens = 100000;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 's')
            seconds = strtod(optarg, NULL);
        else if (o == 't')
            tokens = strtoul(optarg, NULL, 10);
        else
            return 2;
    }
    if (optind + 1 != argc || tokens == 0) {
        fputs("usage: fetching hang|flood [--seconds S] [--tokens N]\n", stderr);
        return 2;
    }
    if (crypto_init(NULL) != ATTEST_OK || !contest_init(&c))
        return 3;
    bool good =
        (strcmp(argv[optind], "hang") == 0 ? hang : flood)(&c, (int64_t)(seconds * 1e6), tokens);
    contest_done(&c);
    return good ? 0 : 1;
}
