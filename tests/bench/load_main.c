/* SPDX-License-Identifier: MIT */

/*
 * load: HTTP/1.1 keep-alive load against this machine, and one line of JSON about what came back.
 *
 *     load --connections 64 --seconds 10 --post body.json --expect 201 --check-every 1 \
 *          127.0.0.1:8080 /v1/attestations
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/bench/get.h"
#include "tests/bench/load.h"
#include "tests/bench/token_check.h"

#define THREADS_MAX 16
#define CONNECTIONS_MAX 4096
#define REQUEST_MAX 65536
#define SECONDS_MAX 3600

struct share {
    pthread_t thread;
    const struct load_plan *plan;
    unsigned connections;
    struct load_result result;
};

static const char usage[] =
    "usage: load [option…] ADDRESS PATH\n"
    "  ADDRESS               127.x.y.z:PORT, [::1]:PORT or unix:/path; nothing else is accepted\n"
    "  --connections N       kept open and busy (64)\n"
    "  --threads N           event loops (1)\n"
    "  --seconds S           measured for this long (5), or\n"
    "  --count N             until this many requests were sent\n"
    "  --warmup S            before the measured time (0)\n"
    "  --post FILE           POST this JSON instead of GET\n"
    "  --expect STATUS       the status that counts (200)\n"
    "  --check-every N       check the signature of every nth token returned\n"
    "  --jwks PATH           where the keys for that are (/.well-known/jwks.json)\n"
    "load --fetch ADDRESS PATH: one GET, and its body on standard output\n"
    "Exit status: 0 all answers were as expected, 1 some were not, 2 wrong use, 3 not done.\n";

static const struct option options[] = {
    {"connections", required_argument, NULL, 'c'}, {"threads", required_argument, NULL, 't'},
    {"seconds", required_argument, NULL, 's'},     {"count", required_argument, NULL, 'n'},
    {"warmup", required_argument, NULL, 'w'},      {"post", required_argument, NULL, 'p'},
    {"expect", required_argument, NULL, 'e'},      {"check-every", required_argument, NULL, 'k'},
    {"jwks", required_argument, NULL, 'j'},        {NULL, 0, NULL, 0},
};

static int
wrong_use(const char *what, const char *value)
{
    fprintf(stderr, "load: %s: %s; try --help\n", what, value);
    return 2;
}

static bool
read_number(const char *text, double min, double max, double *ret)
{
    char *end;
    errno = 0;
    *ret = strtod(text, &end);
    return errno == 0 && end != text && *end == '\0' && *ret >= min && *ret <= max;
}

static bool
append_file(struct buf *out, const char *path)
{
    AUTO(file) FILE *f = fopen(path, "re");
    char chunk[4096];
    size_t n;
    while (f && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        buf_append(out, chunk, n);
    return f && !ferror(f) && buf_rc(out) == ATTEST_OK;
}

static bool
make_request(struct buf *out, const char *host, const char *path, const char *post)
{
    AUTO(buf) struct buf body;
    buf_init(&body, REQUEST_MAX);
    if (!post) {
        buf_printf(out, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host);
        return buf_rc(out) == ATTEST_OK;
    }
    if (!append_file(&body, post))
        return false;
    buf_printf(out,
               "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
               "Content-Length: %zu\r\n\r\n",
               path, host, body.len);
    buf_slice(out, buf_view(&body));
    return buf_rc(out) == ATTEST_OK;
}

static bool
fetch_keys(const struct target *target, const char *path, struct token_check *keys)
{
    static char in[65536];
    struct response r;
    struct attest_error err;
    if (!http_get(target, path, in, sizeof(in), &r)) {
        fprintf(stderr, "load: %s%s: no key set to be had\n", target->host, path);
        return false;
    }
    if (token_check_keys(keys, in + (r.body.p - in), r.body.len, &err) == ATTEST_OK)
        return true;
    fprintf(stderr, "load: %s%s: %s\n", target->host, path, err.text);
    return false;
}

static enum attest_rc
check_by_keys(void *ctx, char *body, size_t len, struct attest_error *err)
{
    return token_check_answer(ctx, body, len, err);
}

static void *
run_share(void *arg)
{
    struct share *s = arg;
    load_run(s->plan, s->connections, &s->result);
    return NULL;
}

static void
add_result(struct load_result *into, const struct load_result *from)
{
    into->responses += from->responses;
    into->measured += from->measured;
    if (from->measured_us > into->measured_us)
        into->measured_us = from->measured_us;
    into->checked += from->checked;
    into->bad += from->bad;
    into->closed += from->closed;
    into->failed += from->failed;
    into->bytes += from->bytes;
    for (int i = 0; i < LOAD_STATUS_MAX; i++)
        into->status[i] += from->status[i];
    latency_merge(&into->latency, &from->latency);
}

static void
print_result(const struct load_result *r)
{
    struct rusage self;
    getrusage(RUSAGE_SELF, &self);
    double cpu_s = (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec) +
                   (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec) / 1e6;
    double seconds = (double)r->measured_us / 1e6;
    printf("{\"responses\":%llu,\"measured\":%llu,\"seconds\":%.3f,\"per_s\":%.1f",
           (unsigned long long)r->responses, (unsigned long long)r->measured, seconds,
           seconds > 0 ? (double)r->measured / seconds : 0.0);
    for (int i = 0; i < LOAD_STATUS_MAX; i++)
        if (r->status[i])
            printf(",\"status_%d\":%llu", i, (unsigned long long)r->status[i]);
    printf(",\"checked\":%llu,\"bad\":%llu,\"closed\":%llu,\"failed\":%llu,\"bytes\":%llu",
           (unsigned long long)r->checked, (unsigned long long)r->bad,
           (unsigned long long)r->closed, (unsigned long long)r->failed,
           (unsigned long long)r->bytes);
    printf(",\"mean_us\":%llu",
           (unsigned long long)(r->latency.n ? r->latency.sum_us / r->latency.n : 0));
    printf(",\"p50_us\":%u,\"p90_us\":%u,\"p99_us\":%u,\"p999_us\":%u,\"max_us\":%u",
           latency_percentile(&r->latency, 0.5), latency_percentile(&r->latency, 0.9),
           latency_percentile(&r->latency, 0.99), latency_percentile(&r->latency, 0.999),
           r->latency.max_us);
    printf(",\"cpu_s\":%.3f}\n", cpu_s);
}

static int
run(const struct load_plan *plan)
{
    static struct share shares[THREADS_MAX];
    static struct load_result all;
    unsigned left = plan->connections;
    unsigned started = 0;
    for (unsigned i = 0; i < plan->threads; i++, started++) {
        shares[i].plan = plan;
        shares[i].connections = left / (plan->threads - i);
        left -= shares[i].connections;
        if (pthread_create(&shares[i].thread, NULL, run_share, &shares[i]) != 0)
            break;
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(shares[i].thread, NULL);
        add_result(&all, &shares[i].result);
    }
    print_result(&all);
    bool good = started == plan->threads && all.responses > 0 && all.failed == 0 && all.bad == 0 &&
                all.status[plan->expect_status] == all.responses;
    if (all.responses == 0)
        return 3;
    return good ? 0 : 1;
}

static void
apply_number(struct load_plan *plan, int option, double v)
{
    switch (option) {
    case 'c':
        plan->connections = (unsigned)v;
        break;
    case 't':
        plan->threads = (unsigned)v;
        break;
    case 's':
        plan->duration_us = (int64_t)(v * 1e6);
        break;
    case 'n':
        plan->count = (uint64_t)v;
        plan->duration_us = 0;
        break;
    case 'w':
        plan->warmup_us = (int64_t)(v * 1e6);
        break;
    case 'e':
        plan->expect_status = (int)v;
        break;
    default:
        plan->check_every = (unsigned)v;
    }
}

static bool
in_range(const struct load_plan *plan)
{
    return plan->threads >= 1 && plan->threads <= THREADS_MAX &&
           plan->connections >= plan->threads && plan->connections <= CONNECTIONS_MAX &&
           plan->expect_status >= 200 && plan->expect_status < LOAD_STATUS_MAX &&
           plan->duration_us <= SECONDS_MAX * (int64_t)1000000 &&
           plan->warmup_us <= SECONDS_MAX * (int64_t)1000000 &&
           (plan->duration_us > 0 || plan->count > 0);
}

/* 0, or the exit status. */
static int
read_options(int argc, char **argv, struct load_plan *plan, const char **post, const char **jwks)
{
    double v;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'p')
            *post = optarg;
        else if (o == 'j')
            *jwks = optarg;
        else if (o == '?')
            return 2;
        else if (!read_number(optarg, 0, 1e9, &v))
            return wrong_use("not a number within reason", optarg);
        else
            apply_number(plan, o, v);
    }
    if (argc - optind != 2)
        return wrong_use("wrong number of arguments", "want ADDRESS and PATH");
    return in_range(plan) ? 0 : wrong_use("out of range", "a number");
}

static int
fetch_only(const char *address, const char *path)
{
    static char in[65536];
    struct target target;
    struct attest_error err;
    struct response r;
    if (target_parse(address, &target, &err) != ATTEST_OK)
        return wrong_use("address", err.text);
    if (!http_get(&target, path, in, sizeof(in), &r))
        return 3;
    return fwrite(r.body.p, 1, r.body.len, stdout) == r.body.len ? 0 : 3;
}

int
main(int argc, char **argv)
{
    static struct token_check keys;
    _Atomic uint64_t requested = 0;
    struct load_plan plan = {.connections = 64,
                             .threads = 1,
                             .duration_us = 5000000,
                             .expect_status = 200,
                             .check = check_by_keys,
                             .check_ctx = &keys,
                             .requested = &requested};
    const char *post = NULL, *jwks = "/.well-known/jwks.json";
    struct attest_error err;
    AUTO(buf) struct buf request;
    buf_init(&request, REQUEST_MAX * 2);

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "--fetch") == 0)
        return fetch_only(argv[2], argv[3]);
    int wrong = read_options(argc, argv, &plan, &post, &jwks);
    if (wrong)
        return wrong;
    if (target_parse(argv[optind], &plan.target, &err) != ATTEST_OK)
        return wrong_use("address", err.text);
    if (!make_request(&request, plan.target.host, argv[optind + 1], post))
        return wrong_use("cannot read", post ? post : argv[optind + 1]);
    plan.request = buf_view(&request);
    if (crypto_init(&err) != ATTEST_OK)
        return 3;
    if (plan.check_every && !fetch_keys(&plan.target, jwks, &keys))
        return 3;
    return run(&plan);
}
