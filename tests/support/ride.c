/* SPDX-License-Identifier: MIT */
/*
 * Rides through rotations: asks an issuer on this machine for tokens over many connections, and
 * shows each of them to three verifiers with libattest, who keep a key set for as long as it says
 * that they may, and as much longer as the issuer's policy allows for, and ask for none in between.
 * A sample of the tokens is kept, and shown again until just before it expires.
 *
 *     ride --issuer URL --audience A --post FILE --rotations N [--connections C] [--cache-max S]
 *          ADDRESS
 *
 * Ends when tokens of N more keys than the first were seen, or when no new key came for two
 * minutes. Prints one line of JSON. Exit status: 0 every token verified everywhere and each answer
 * was 201, 1 not, 2 wrong use, 3 could not be done.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <time.h>

#include <attest/attest.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/bench/get.h"
#include "tests/bench/load.h"

enum { VERIFIERS = 3, OLD_MAX = 1024, TOKEN_SIZE = 4096, KIDS_MAX = 64, SAMPLE_EVERY = 8 };
enum { STALL_US = 120000000, LATE_US = 150000, REFUSALS_SHOWN = 10 };

struct verifier {
    struct attest_keys *keys;
    int64_t fetched_us, stale_us;
};

struct old_token {
    char text[TOKEN_SIZE];
    size_t len;
    int64_t exp_us;
};

struct ride {
    struct target target;
    const char *issuer;
    struct attest_policy *policy;
    int64_t cache_max_us;
    struct verifier verifiers[VERIFIERS];

    char kids[KIDS_MAX][64]; /* the last ones, to tell a new one */
    unsigned long n_kids, kids_wanted;
    int64_t new_kid_us;

    struct old_token old[OLD_MAX]; /* a ring; what expires first is at first */
    unsigned first_old, n_old;

    unsigned long tokens, verifications, refused, over, late, fetches, no_fetch;
    atomic_bool stop;
};

static int64_t
wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* ---- verifiers ---- */

static bool
max_age(struct slice head, int64_t *ret)
{
    static const char name[] = "max-age=";
    const char *at = memmem(head.p, head.len, name, sizeof(name) - 1);
    *ret = 0;
    if (!at)
        return false;
    for (at += sizeof(name) - 1; at < head.p + head.len && *at >= '0' && *at <= '9'; at++)
        *ret = 10 * *ret + (*at - '0');
    return true;
}

/* Its age counts from before it was asked for. */
static bool
fetch(struct ride *ride, struct verifier *v, struct attest_error *err)
{
    static char in[131072];
    struct response r;
    int64_t now_us = wall_us(), age_s;
    if (!http_get(&ride->target, "/.well-known/jwks.json", in, sizeof(in), &r))
        return error_set(err, ATTEST_E_IO, "no key set to be had"), false;
    if (!max_age((struct slice){in, (size_t)(r.body.p - in)}, &age_s))
        return error_set(err, ATTEST_E_IO, "a key set without max-age"), false;
    if (attest_keys_add_jwks(v->keys, ride->issuer, r.body.p, r.body.len, err))
        return false;
    v->fetched_us = now_us;
    v->stale_us = now_us + age_s * 1000000 + ride->cache_max_us;
    ride->fetches++;
    return true;
}

static void
show(struct ride *ride, const char *token, size_t len, int64_t exp_us, const char *which)
{
    for (int i = 0; i < VERIFIERS; i++) {
        struct verifier *v = &ride->verifiers[i];
        struct attest_error err = {0};
        struct attest_claims *claims = NULL;
        int64_t now_us = wall_us();
        if (now_us >= v->stale_us && !fetch(ride, v, &err)) {
            fprintf(stderr, "ride: verifier %d: %s\n", i, err.text);
            ride->no_fetch++;
        }
        now_us = wall_us();
        if (now_us >= exp_us) { /* on a busy machine it comes too late: nobody has to accept it */
            ride->over++;
            continue;
        }
        enum attest_rc rc =
            attest_verify(v->keys, ride->policy, token, len, now_us / 1000000, &claims, &err);
        attest_claims_free(claims);
        ride->verifications++;
        if (!rc)
            continue;
        if (ride->refused++ < REFUSALS_SHOWN)
            fprintf(stderr,
                    "ride: %lld.%03lld: verifier %d, its key set %lld ms old, refuses %s: %s\n",
                    (long long)(now_us / 1000000), (long long)(now_us / 1000 % 1000), i,
                    (long long)((now_us - v->fetched_us) / 1000), which, err.text);
    }
}

/* ---- tokens ---- */

static void
keep(struct ride *ride, struct slice token, int64_t exp_us)
{
    if (ride->n_old == OLD_MAX || token.len > TOKEN_SIZE)
        return;
    struct old_token *old = &ride->old[(ride->first_old + ride->n_old++) % OLD_MAX];
    memcpy(old->text, token.p, token.len);
    old->len = token.len;
    old->exp_us = exp_us;
}

/* One of those kept, wherever it is in its life, and all that are at the end of theirs. */
static void
show_old(struct ride *ride)
{
    if (ride->n_old) {
        struct old_token *any =
            &ride->old[(ride->first_old + ride->tokens / SAMPLE_EVERY % ride->n_old) % OLD_MAX];
        if (wall_us() < any->exp_us - LATE_US)
            show(ride, any->text, any->len, any->exp_us, "an older token");
    }
    while (ride->n_old) {
        struct old_token *old = &ride->old[ride->first_old];
        int64_t now_us = wall_us();
        if (now_us < old->exp_us - LATE_US)
            return;
        if (now_us < old->exp_us - 20000) { /* three verifications before it is over */
            show(ride, old->text, old->len, old->exp_us, "a token about to expire");
            ride->late++;
        }
        ride->first_old = (ride->first_old + 1) % OLD_MAX;
        ride->n_old--;
    }
}

static void
note_kid(struct ride *ride, struct slice kid)
{
    unsigned long known = ride->n_kids < KIDS_MAX ? ride->n_kids : KIDS_MAX;
    for (unsigned long i = 0; i < known; i++) {
        if (slice_is(kid, ride->kids[i]))
            return;
    }
    char *at = ride->kids[ride->n_kids++ % KIDS_MAX];
    snprintf(at, sizeof(ride->kids[0]), "%.*s", SLICE_ARG(kid));
    ride->new_kid_us = wall_us();
    if (ride->n_kids > ride->kids_wanted)
        atomic_store(&ride->stop, true);
}

static enum attest_rc
take_answer(void *ctx, char *body, size_t len, struct attest_error *err)
{
    struct ride *ride = ctx;
    static const struct json_limits limits = {65536, 16384, 2, 16};
    JSON_NODES(j, 64);
    int64_t exp_s;
    enum attest_rc rc = json_read(&j, body, len, &limits, err);
    const struct json_node *root = rc ? NULL : json_root(&j);
    const struct json_node *token = json_member(&j, root, "token");
    const struct json_node *kid = json_member(&j, root, "kid");
    if (!token || !kid || !json_int64(json_member(&j, root, "expires_at"), &exp_s))
        return error_set(err, ATTEST_E_MALFORMED, "an answer without token, kid or expires_at");
    show(ride, token->text.p, token->text.len, exp_s * 1000000, "a new token");
    if (ride->tokens++ % SAMPLE_EVERY == 0)
        keep(ride, token->text, exp_s * 1000000);
    note_kid(ride, kid->text);
    show_old(ride);
    return ATTEST_OK;
}

static bool
go_on(void *ctx)
{
    const struct ride *ride = ctx;
    return wall_us() <= ride->new_kid_us + STALL_US;
}

/* ---- set-up ---- */

static enum attest_rc
make_policy(struct ride *ride, const char *audience, struct attest_error *err)
{
    enum attest_rc rc = attest_policy_new(&ride->policy, err);
    if (rc || (rc = attest_policy_add_audience(ride->policy, audience, err)) ||
        (rc = attest_policy_allow_loopback_http(ride->policy, err)) ||
        (rc = attest_policy_add_issuer(ride->policy, ride->issuer, ATTEST_TRUST_PROVIDER, err)) ||
        (rc = attest_policy_set_skew_s(ride->policy, 0, err)))
        return rc;
    return attest_policy_freeze(ride->policy, err);
}

/* They start apart, so that one is always near the end of what it keeps. */
static enum attest_rc
make_verifiers(struct ride *ride, struct attest_error *err)
{
    for (int i = 0; i < VERIFIERS; i++) {
        struct verifier *v = &ride->verifiers[i];
        enum attest_rc rc = attest_keys_new(&v->keys, err);
        if (rc || !fetch(ride, v, err))
            return rc ? rc : ATTEST_E_IO;
        v->stale_us -= (v->stale_us - v->fetched_us) * i / VERIFIERS;
    }
    return ATTEST_OK;
}

static enum attest_rc
make_request(struct buf *out, const char *host, const char *post, struct attest_error *err)
{
    AUTO(buf) struct buf body;
    buf_init(&body, 65536);
    enum attest_rc rc = file_read(post, 65536, &body, err);
    buf_printf(out,
               "POST /v1/attestations HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
               "Content-Length: %zu\r\n\r\n",
               host, body.len);
    buf_slice(out, buf_view(&body));
    return rc ? rc : buf_rc(out);
}

static int
finish(const struct ride *ride, const struct load_result *r)
{
    double s = (double)r->measured_us / 1e6;
    unsigned long rotations = ride->n_kids ? ride->n_kids - 1 : 0;
    uint64_t others = r->responses - r->status[201];
    printf(
        "{\"rotations\":%lu,\"tokens\":%lu,\"verifications\":%lu,\"refused\":%lu,\"over\":%lu,"
        "\"late\":%lu,"
        "\"fetches\":%lu,\"not_fetched\":%lu,\"other_answers\":%llu,\"bad\":%llu,\"failed\":%llu,"
        "\"seconds\":%.1f,\"per_s\":%.0f}\n",
        rotations, ride->tokens, ride->verifications, ride->refused, ride->over, ride->late,
        ride->fetches, ride->no_fetch, (unsigned long long)others, (unsigned long long)r->bad,
        (unsigned long long)r->failed, s, s > 0 ? (double)ride->tokens / s : 0.0);
    bool good = ride->n_kids > ride->kids_wanted && ride->refused == 0 &&
                ride->over < ride->verifications && ride->no_fetch == 0 && others == 0 &&
                r->bad == 0 && r->failed == 0;
    return good ? 0 : 1;
}

static int
run(struct ride *ride, const char *audience, const char *post, unsigned connections)
{
    static struct load_result result;
    _Atomic uint64_t requested = 0;
    struct attest_error err = {0};
    AUTO(buf) struct buf request;
    buf_init(&request, 131072);
    if (make_policy(ride, audience, &err) || make_verifiers(ride, &err) ||
        make_request(&request, ride->target.host, post, &err)) {
        fprintf(stderr, "ride: %s\n", err.text);
        return 3;
    }
    struct load_plan plan = {.target = ride->target,
                             .request = buf_view(&request),
                             .connections = connections,
                             .threads = 1,
                             .count = UINT64_MAX,
                             .expect_status = 201,
                             .check_every = 1,
                             .check = take_answer,
                             .check_ctx = ride,
                             .go_on = go_on,
                             .requested = &requested,
                             .stop = &ride->stop};
    ride->new_kid_us = wall_us();
    load_run(&plan, connections, &result);
    for (int i = 0; i < VERIFIERS; i++)
        attest_keys_free(ride->verifiers[i].keys);
    attest_policy_free(ride->policy);
    return finish(ride, &result);
}

static int
wrong_use(void)
{
    fputs("usage: ride --issuer URL --audience A --post FILE --rotations N [--connections C] "
          "[--cache-max S] ADDRESS\n",
          stderr);
    return 2;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"issuer", required_argument, NULL, 'i'},
        {"audience", required_argument, NULL, 'a'},
        {"post", required_argument, NULL, 'p'},
        {"rotations", required_argument, NULL, 'r'},
        {"connections", required_argument, NULL, 'c'},
        {"cache-max", required_argument, NULL, 'm'},
        {0},
    };
    static struct ride ride;
    const char *audience = NULL, *post = NULL;
    unsigned long connections = 16;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'i')
            ride.issuer = optarg;
        else if (c == 'a')
            audience = optarg;
        else if (c == 'p')
            post = optarg;
        else if (c == 'r')
            ride.kids_wanted = strtoul(optarg, NULL, 10);
        else if (c == 'c')
            connections = strtoul(optarg, NULL, 10);
        else if (c == 'm')
            ride.cache_max_us = strtol(optarg, NULL, 10) * 1000000;
        else
            return wrong_use();
    }
    struct attest_error err;
    if (argc - optind != 1 || !ride.issuer || !audience || !post || ride.kids_wanted < 1 ||
        connections < 1 || connections > 1024 || target_parse(argv[optind], &ride.target, &err))
        return wrong_use();
    return run(&ride, audience, post, (unsigned)connections);
}
