/* SPDX-License-Identifier: MIT */

/*
 * bound: what the next request of an agent costs whose bound token is known already.
 *
 *     bound [--seconds S]
 *
 * Such a request is judged whole: the token is looked up, its time, keys, audience and policy are
 * asked again, its proof is verified and used up. Beside it stand one bare verification of the
 * proof's signature, which is the floor, and the same request without a cache. They take turns, for
 * an odd number of rounds; each round is compared with itself, and the median of those ratios
 * counts. What is measured is the CPU time of this thread. Proofs are made between the laps.
 */
#include <attest/attest.h>
#include <getopt.h>
#include <sodium.h>
#include <string.h>

#include "base/b64u.h"
#include "base/clock.h"
#include "jwks/keyset.h"
#include "tests/bench/median.h"

#define ROUNDS 11
#define AGENTS 32
#define GATE 0.85
#define SECONDS_MAX 60 /* the default replay memory has room for what is shown in that time */
#define WARM_LAPS 100
#define ISSUER "https://attest.example.com"
#define AUDIENCE "https://mcp.example.com/v1"

struct key {
    struct secret seed;
    struct pubkey public_key;
    char kid[JWK_THUMBPRINT_LEN + 1];
};

struct shown {
    struct buf token, proof;
    size_t signed_len; /* of the proof */
    uint8_t sig[ED25519_SIG_LEN];
    uint8_t digest[SHA256_LEN];
};

struct bench {
    struct key issuer, agents[AGENTS];
    struct shown shown[AGENTS];
    int64_t now_s;
    uint64_t proofs;
    struct attest_keys *keys;
    struct attest_policy *policy;
    struct attest_verifier *verifiers[3];
};

/* ---- what is shown ---- */

static void
key_init(struct key *key)
{
    key->seed = secret_new(ED25519_SEED_LEN);
    random_bytes(key->seed.p, key->seed.len);
    key->public_key = (struct pubkey){.type = PUBKEY_ED25519};
    ed25519_public_from_seed(key->public_key.bytes, &key->seed);
    jwk_thumbprint(key->kid, &key->public_key);
}

/* header.payload.signature into out; the signature into sig too. */
static size_t
sign(struct buf *out, const struct key *key, const char *header, const struct buf *payload,
     uint8_t sig[ED25519_SIG_LEN])
{
    buf_reset(out);
    b64u_append(out, header, strlen(header));
    buf_char(out, '.');
    b64u_append(out, payload->p, payload->len);
    size_t signed_len = out->len;
    ed25519_sign(sig, out->p, out->len, &key->seed);
    buf_char(out, '.');
    b64u_append(out, sig, ED25519_SIG_LEN);
    return signed_len;
}

static void
make_token(struct bench *b, size_t i)
{
    AUTO(buf) struct buf payload;
    char header[160], jti[37];
    uint8_t sig[ED25519_SIG_LEN];
    buf_init(&payload, 8192);
    random_uuid(jti);
    snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
             b->issuer.kid);
    buf_printf(&payload,
               "{\"iss\":\"" ISSUER
               "\",\"sub\":\"spiffe://attest.example.com/model/claude-sonnet-4\","
               "\"aud\":\"" AUDIENCE "\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld,\"jti\":\"%s\","
               "\"agent_identity\":{\"model_family\":\"claude-4\","
               "\"model_version\":\"claude-sonnet-4\",\"provider\":\"anthropic\","
               "\"deployment_id\":\"prod-eu-west-1-blue\"},"
               "\"attestation_metadata\":{\"attestation_version\":\"0.1.0\","
               "\"attestation_type\":\"provider\",\"safety_level\":\"standard\","
               "\"capabilities_declared\":[\"tools\",\"code\",\"browse\"]},\"cnf\":{\"jwk\":",
               (long long)b->now_s - 10, (long long)b->now_s - 10, (long long)b->now_s + 890, jti);
    jwk_write(&b->agents[i].public_key, &payload);
    buf_str(&payload, "}}");
    sign(&b->shown[i].token, &b->issuer, header, &payload, sig);
    sha256(b->shown[i].digest, b->shown[i].token.p, b->shown[i].token.len);
}

static void
make_proof(struct bench *b, size_t i)
{
    AUTO(buf) struct buf payload;
    struct shown *s = &b->shown[i];
    char hash[64] = "";
    buf_init(&payload, 2048);
    b64u_encode(hash, s->digest, SHA256_LEN);
    buf_printf(&payload,
               "{\"aud\":\"" AUDIENCE "\",\"exp\":%lld,\"jti\":\"%016llx\",\"wth\":\"%s\"}",
               (long long)clock_wall_s() + 30, (unsigned long long)b->proofs++, hash);
    s->signed_len =
        sign(&s->proof, &b->agents[i], "{\"alg\":\"EdDSA\",\"typ\":\"wpt+jwt\"}", &payload, s->sig);
}

/* ---- who verifies ---- */

static bool
verify_bare(struct bench *b, size_t way, size_t i)
{
    (void)way;
    const struct shown *s = &b->shown[i];
    return crypto_sign_verify_detached(s->sig, (const uint8_t *)s->proof.p, s->signed_len,
                                       b->agents[i].public_key.bytes) == 0;
}

static bool
verify_request(struct bench *b, size_t way, size_t i)
{
    const struct shown *s = &b->shown[i];
    struct attest_result *result = NULL;
    enum attest_rc rc = attest_verifier_check(b->verifiers[way], s->token.p, s->token.len,
                                              s->proof.p, s->proof.len, &result);
    bool good = rc == ATTEST_OK && result && attest_result_verified(result);
    attest_result_free(result);
    return good;
}

enum { BARE, CACHED, WITHOUT, N_WAYS };
static const struct {
    const char *name;
    bool (*verify)(struct bench *b, size_t way, size_t i);
    size_t cache;
} ways[N_WAYS] = {
    [BARE] = {"libsodium", verify_bare, 0},
    [CACHED] = {"its token cached", verify_request, 1024},
    [WITHOUT] = {"no cache", verify_request, 0},
};

static enum attest_rc
make_server(struct bench *b, struct attest_error *err)
{
    AUTO(buf) struct buf jwks;
    const struct keyset_entry entry = {
        .public_key = b->issuer.public_key, .alg = JWK_ALG_EDDSA, .state = KEY_ACTIVE};
    buf_init(&jwks, 4096);
    keyset_write(&entry, 1, &jwks);
    enum attest_rc rc = attest_keys_new(&b->keys, err);
    if (!rc)
        rc = attest_keys_add_jwks(b->keys, ISSUER, jwks.p, jwks.len, err);
    if (!rc)
        rc = attest_policy_new(&b->policy, err);
    if (!rc)
        rc = attest_policy_add_audience(b->policy, AUDIENCE, err);
    if (!rc)
        rc = attest_policy_add_issuer(b->policy, ISSUER, ATTEST_TRUST_PROVIDER, err);
    return rc ? rc : attest_policy_freeze(b->policy, err);
}

static enum attest_rc
make_verifier(struct bench *b, size_t cache, struct attest_verifier **ret, struct attest_error *err)
{
    enum attest_rc rc = attest_verifier_new(b->policy, b->keys, NULL, ret, err);
    return rc ? rc : attest_verifier_set_token_cache(*ret, cache, err);
}

/* ---- measuring ---- */

/* CPU nanoseconds of one request of each agent; 0 when one was refused. */
static int64_t
one_lap(struct bench *b, size_t way)
{
    for (size_t i = 0; i < AGENTS; i++)
        make_proof(b, i);
    int64_t start_ns = clock_thread_cpu_ns();
    for (size_t i = 0; i < AGENTS; i++)
        if (!ways[way].verify(b, way, i))
            return 0;
    return clock_thread_cpu_ns() - start_ns;
}

/* us gets CPU microseconds of one request. */
static bool
one_round(struct bench *b, int64_t duration_us, double (*us)[ROUNDS], size_t round)
{
    int64_t spent_ns[N_WAYS] = {0}, all_ns = 0;
    unsigned laps = 0;
    for (; all_ns < duration_us * 1000; laps++) {
        for (size_t k = 0; k < N_WAYS; k++) {
            int64_t ns = one_lap(b, k);
            if (ns <= 0)
                return false;
            spent_ns[k] += ns;
            all_ns += ns;
        }
    }
    for (size_t k = 0; k < N_WAYS; k++)
        us[k][round] = (double)spent_ns[k] / 1000 / AGENTS / laps;
    return true;
}

/* A row of the table that tests/bench/run.sh prints: figure, beside it, ratio, gate, verdict. */
static void
print_row(size_t way, const double (*us)[ROUNDS])
{
    double ratio[ROUNDS];
    for (size_t r = 0; r < ROUNDS; r++)
        ratio[r] = us[BARE][r] / us[way][r];
    double m = median(ratio, ROUNDS);
    printf(
        "row\ta request with a bound token: %s\t%.1f us\tlibsodium, one signature %.1f us\t%.3f\t",
        ways[way].name, median(us[way], ROUNDS), median(us[BARE], ROUNDS), m);
    if (way == CACHED)
        printf(">= %.2f\t%s\n", GATE, m >= GATE ? "met" : "MISSED");
    else
        printf("-\t-\n");
}

static bool
run(struct bench *b, int64_t duration_us)
{
    static double us[N_WAYS][ROUNDS];
    struct attest_error err = {0};
    b->now_s = clock_wall_s();
    key_init(&b->issuer);
    for (size_t i = 0; i < AGENTS; i++) {
        key_init(&b->agents[i]);
        buf_init(&b->shown[i].token, 8192);
        buf_init(&b->shown[i].proof, 8192);
        make_token(b, i);
    }
    bool good = make_server(b, &err) == ATTEST_OK;
    for (size_t k = CACHED; k < N_WAYS && good; k++)
        good = make_verifier(b, ways[k].cache, &b->verifiers[k], &err) == ATTEST_OK;
    /* What a server's memory is like after its first minute. */
    for (size_t k = 0; k < WARM_LAPS * N_WAYS && good; k++)
        good = one_lap(b, k % N_WAYS) > 0;
    for (size_t r = 0; r < ROUNDS && good; r++)
        good = one_round(b, duration_us, us, r);
    if (!good)
        fprintf(stderr, "bound: a good request was refused %s\n", err.text);
    else
        printf(
            "token of %zu bytes, proof of %zu, medians of %d interleaved rounds, CPU time of one "
            "thread\n",
            b->shown[0].token.len, b->shown[0].proof.len, ROUNDS);
    for (size_t k = CACHED; k < N_WAYS && good; k++)
        print_row(k, (const double(*)[ROUNDS])us);
    return good;
}

static void
done(struct bench *b)
{
    for (size_t k = 0; k < N_WAYS; k++)
        attest_verifier_free(b->verifiers[k]);
    attest_policy_free(b->policy);
    attest_keys_free(b->keys);
    secret_free(&b->issuer.seed);
    for (size_t i = 0; i < AGENTS; i++) {
        secret_free(&b->agents[i].seed);
        buf_done(&b->shown[i].token);
        buf_done(&b->shown[i].proof);
    }
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    static struct bench b;
    double seconds = 5;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o != 's')
            return 2;
        seconds = strtod(optarg, NULL);
    }
    if (seconds <= 0 || seconds > SECONDS_MAX || optind != argc) {
        fputs("usage: bound [--seconds S]\n", stderr);
        return 2;
    }
    if (crypto_init(NULL) != ATTEST_OK)
        return 3;
    bool good = run(&b, (int64_t)(seconds * 1e6) / ROUNDS);
    done(&b);
    return good ? 0 : 1;
}
