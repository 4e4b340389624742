/* SPDX-License-Identifier: MIT */

/*
 * verify: what a whole token costs beside its bare signature, and beside what others take.
 *
 *     verify [--seconds S] [--only NAME]
 *
 * All contestants verify the same tokens in turns of a few milliseconds, for an odd number of
 * rounds; each round is compared with itself, and the median of those ratios counts. What is
 * measured is the CPU time of this thread, so that others on the machine matter little.
 */
#include <getopt.h>
#include <string.h>

#include "base/b64u.h"
#include "base/clock.h"
#include "tests/bench/contest.h"

#define ROUNDS 11
#define GATE 0.90
#define AIM 0.95

static const struct contestant *const all[] = {
    &contestant_attest,   &contestant_sodium, &contestant_openssl,
    &contestant_rhonabwy, &contestant_libjwt, &contestant_cjose,
};
#define N_ALL ARRAY_LEN(all)
#define US 0
#define CEILING 1

/* A token with everything in it that an agent of a provider puts there. */
static const char payload_format[] =
    "{\"iss\":\"" CONTEST_ISSUER "\",\"sub\":\"spiffe://attest.example.com/model/claude-sonnet-4\","
    "\"aud\":\"" CONTEST_AUDIENCE "\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld,\"jti\":\"%s\","
    "\"agent_identity\":{\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\","
    "\"provider\":\"anthropic\",\"deployment_id\":\"prod-eu-west-1-blue\"},"
    "\"agent_integrity\":{"
    "\"config_hash\":\"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\","
    "\"system_prompt_hash\":"
    "\"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"},"
    "\"attestation_metadata\":{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
    "\"safety_level\":\"standard\",\"capabilities_declared\":[\"tools\",\"code\",\"browse\"]}}";

static bool
make_token(struct contest *c, size_t i, const struct secret *seed)
{
    AUTO(buf) struct buf token;
    AUTO(buf) struct buf text;
    char jti[37];
    buf_init(&token, 8192);
    buf_init(&text, 8192);
    random_uuid(jti);
    buf_printf(&text, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}", c->kid);
    b64u_append(&token, text.p, text.len);
    buf_reset(&text);
    buf_printf(&text, payload_format, (long long)c->now_s - 10, (long long)c->now_s - 10,
               (long long)c->now_s + 290, jti);
    buf_char(&token, '.');
    b64u_append(&token, text.p, text.len);
    c->signed_len[i] = token.len;
    ed25519_sign(c->sig[i], token.p, token.len, seed);
    buf_char(&token, '.');
    b64u_append(&token, c->sig[i], ED25519_SIG_LEN);
    if (!buf_terminate(&token) || buf_rc(&text) != ATTEST_OK)
        return false;
    c->token_len[i] = token.len;
    c->token[i] = slice_dup(buf_view(&token));
    return c->token[i] != NULL;
}

static bool
make_contest(struct contest *c)
{
    AUTO(secret) struct secret seed = secret_new(ED25519_SEED_LEN);
    uint8_t thumbprint[SHA256_LEN];
    char x[64] = "", text[256];
    random_bytes(seed.p, seed.len);
    ed25519_public_from_seed(c->public_key, &seed);
    b64u_encode(x, c->public_key, sizeof(c->public_key));
    /* RFC 7638: the required members in lexical order. */
    snprintf(text, sizeof(text), "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);
    sha256(thumbprint, text, strlen(text));
    b64u_encode(c->kid, thumbprint, sizeof(thumbprint));
    snprintf(c->jwk, sizeof(c->jwk),
             "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\",\"x\":\"%s\","
             "\"use\":\"sig\",\"alg\":\"EdDSA\"}",
             c->kid, x);
    snprintf(c->jwks, sizeof(c->jwks), "{\"keys\":[%s]}", c->jwk);
    c->now_s = clock_wall_s();
    for (size_t i = 0; i < CONTEST_TOKENS; i++)
        if (!make_token(c, i, &seed))
            return false;
    return true;
}

/* Opens it and lets it verify each token, and refuse one that was tampered with. */
static void *
open_and_prove(const struct contestant *who, struct contest *c)
{
    void *state = who->absent ? NULL : who->open(c);
    if (!state)
        return NULL;
    bool good = true;
    for (size_t i = 0; i < CONTEST_TOKENS; i++)
        good = good && who->verify(state, c, i);
    char *in_payload = c->token[0] + c->signed_len[0] - 8;
    char *in_sig = c->token[0] + c->token_len[0] - 8;
    char payload_was = *in_payload, sig_was = *in_sig;
    *in_payload = payload_was == 'A' ? 'B' : 'A';
    good = good && !who->verify(state, c, 0);
    *in_payload = payload_was;
    *in_sig = sig_was == 'A' ? 'B' : 'A';
    c->sig[0][60] ^= 1;
    good = good && !who->verify(state, c, 0);
    *in_sig = sig_was;
    c->sig[0][60] ^= 1;
    if (good)
        return state;
    who->close(state);
    return NULL;
}

/*
 * CPU time in nanoseconds of verifying every token once; 0 when one failed. A few before that are
 * not counted: whoever ran last has left the caches to its own liking, and what counts is a server
 * that does this all day.
 */
static int64_t
one_lap(const struct contestant *who, void *state, const struct contest *c)
{
    for (size_t i = 0; i < CONTEST_TOKENS / 4; i++)
        if (!who->verify(state, c, i))
            return 0;
    int64_t start_ns = clock_thread_cpu_ns();
    for (size_t i = 0; i < CONTEST_TOKENS; i++)
        if (!who->verify(state, c, i))
            return 0;
    return clock_thread_cpu_ns() - start_ns;
}

/*
 * Laps of a few milliseconds in turn until the time is over, so that what slows the machine slows
 * all of them. us gets CPU microseconds of one verification. False when a good token was refused.
 */
static bool
one_round(void *const *state, const struct contest *c, int64_t duration_us, double (*us)[ROUNDS],
          size_t round)
{
    int64_t spent_ns[N_ALL] = {0}, all_ns = 0;
    unsigned laps = 0;
    for (; all_ns < duration_us * 1000; laps++) {
        for (size_t k = 0; k < N_ALL; k++) {
            int64_t ns = state[k] ? one_lap(all[k], state[k], c) : 0;
            if (state[k] && ns <= 0)
                return false;
            spent_ns[k] += ns;
            all_ns += ns;
        }
    }
    for (size_t k = 0; k < N_ALL; k++)
        us[k][round] = (double)spent_ns[k] / 1000 / CONTEST_TOKENS / laps;
    return true;
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double
median(const double *values)
{
    double sorted[ROUNDS];
    memcpy(sorted, values, sizeof(sorted));
    qsort(sorted, ROUNDS, sizeof(sorted[0]), compare_doubles);
    return sorted[ROUNDS / 2];
}

/* A row of the table that tests/bench/run.sh prints: figure, beside it, ratio, gate, verdict. */
static void
print_row(const struct contestant *who, const double *us, const double *ceiling_us, bool gated)
{
    double ratio[ROUNDS];
    for (size_t r = 0; r < ROUNDS; r++)
        ratio[r] = ceiling_us[r] / us[r];
    double m = median(ratio);
    printf("row\tverify a token: %s (%s)\t%.1f us\tlibsodium %.1f us\t%.3f\t", who->name, who->does,
           median(us), median(ceiling_us), m);
    if (gated)
        printf(">= %.2f (aim %.2f)\t%s\n", GATE, AIM, m >= GATE ? "met" : "MISSED");
    else
        printf("-\t-\n");
}

static void
print_absent(const struct contestant *who)
{
    printf("row\tverify a token: %s\t%s\t-\t-\t-\t-\n", who->name,
           who->absent ? "absent at build time" : "cannot verify EdDSA");
}

static bool
run(struct contest *c, int64_t duration_us, const char *only)
{
    void *state[N_ALL];
    static double us[N_ALL][ROUNDS];
    for (size_t k = 0; k < N_ALL; k++) {
        bool wanted = !only || k == CEILING || strcmp(only, all[k]->name) == 0;
        state[k] = wanted ? open_and_prove(all[k], c) : NULL;
    }
    bool good = state[US] && state[CEILING];
    for (size_t r = 0; r < ROUNDS && good; r++)
        good = one_round(state, c, duration_us, us, r);
    for (size_t k = 0; k < N_ALL; k++) {
        if (state[k] && k != CEILING && good)
            print_row(all[k], us[k], us[CEILING], k == US);
        else if (!state[k] && !only)
            print_absent(all[k]);
        if (state[k])
            all[k]->close(state[k]);
    }
    return good;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {"only", required_argument, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    double seconds = 5;
    const char *only = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 's')
            seconds = strtod(optarg, NULL);
        else if (o == 'o')
            only = optarg;
        else
            return 2;
    }
    if (seconds <= 0 || seconds > 3600 || optind != argc) {
        fputs("usage: verify [--seconds S] [--only NAME]\n", stderr);
        return 2;
    }
    static struct contest c;
    if (crypto_init(NULL) != ATTEST_OK || !make_contest(&c))
        return 3;
    printf("token of %zu bytes, medians of %d interleaved rounds, CPU time of one thread\n",
           c.token_len[0], ROUNDS);
    bool good = run(&c, (int64_t)(seconds * 1e6) / ROUNDS, only);
    for (size_t i = 0; i < CONTEST_TOKENS; i++)
        free(c.token[i]);
    return good ? 0 : 1;
}
