/* SPDX-License-Identifier: MIT */
/*
 * Asks attest-signer for tokens over signer.sock, as attestd does: through wire/client.h, many at a
 * time over one connection.
 *
 *     signer_load SOCKET ISSUER --count N [--in-flight M] [--jtis FILE] [--patient] [--ping]
 *
 * Each token that was received is a line "jti sha256 kid" in FILE, written before the next is asked
 * for. --patient goes on asking after refusals and lost connections until N tokens are there;
 * otherwise the first refusal ends it. With --ping it asks for nothing but an answer: what the way
 * alone costs. SIGTERM ends it, and so do two minutes without any answer. Prints one line of JSON.
 * Exit status: 0 all N, 1 fewer, 3 could not be done.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "wire/client.h"

#define SILENCE_MAX_MS 120000

struct load {
    struct wire_client *client;
    struct buf request;
    unsigned long count;
    unsigned in_flight_max;
    bool patient, ping;
    int jtis_fd;
    atomic_ulong asked, received, refused;
    atomic_uint in_flight;
    atomic_int last_rc;
    _Atomic int64_t heard_ms; /* when an answer last came */
};

static volatile sig_atomic_t told_to_stop;

static void
on_signal(int signo)
{
    (void)signo;
    told_to_stop = 1;
}

static void
note(struct load *l, const struct frame_answer *a)
{
    struct slice token = {0}, jti = {0}, kid = {0};
    uint8_t hash[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1], line[256];
    if (!frame_string(a->json, a->root, "token", &token) ||
        !frame_string(a->json, a->root, "jti", &jti) ||
        !frame_string(a->json, a->root, "kid", &kid))
        abort();
    atomic_fetch_add(&l->received, 1);
    if (l->jtis_fd < 0)
        return;
    sha256(hash, token.p, token.len);
    hex_encode(hex, hash, SHA256_LEN);
    int n = snprintf(line, sizeof(line), "%.*s %s %.*s\n", SLICE_ARG(jti), hex, SLICE_ARG(kid));
    if (write(l->jtis_fd, line, (size_t)n) != n)
        abort();
}

static void
answered(void *ctx, const struct frame_answer *a)
{
    struct load *l = ctx;
    atomic_store(&l->heard_ms, clock_mono_ms());
    if (a->rc == ATTEST_OK && l->ping) {
        atomic_fetch_add(&l->received, 1);
    } else if (a->rc == ATTEST_OK) {
        note(l, a);
    } else {
        atomic_fetch_add(&l->refused, 1);
        atomic_store(&l->last_rc, (int)a->rc);
    }
    atomic_fetch_sub(&l->in_flight, 1);
}

static void
pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static bool
wanted(struct load *l)
{
    if (told_to_stop || atomic_load(&l->received) >= l->count ||
        clock_mono_ms() - atomic_load(&l->heard_ms) > SILENCE_MAX_MS)
        return false;
    return l->patient || (atomic_load(&l->refused) == 0 && atomic_load(&l->asked) < l->count);
}

static void
run(struct load *l)
{
    while (wanted(l)) {
        if (atomic_load(&l->in_flight) >= l->in_flight_max ||
            atomic_load(&l->received) + atomic_load(&l->in_flight) >= l->count) {
            struct timespec t = {.tv_nsec = 200000};
            nanosleep(&t, NULL);
            continue;
        }
        atomic_fetch_add(&l->in_flight, 1);
        enum attest_rc rc =
            wire_client_send(l->client, l->ping ? "ping" : "sign",
                             l->ping ? (struct slice){"", 0} : buf_view(&l->request),
                             clock_mono_ms() + 20000, answered, l);
        if (rc == ATTEST_OK) {
            atomic_fetch_add(&l->asked, 1);
            continue;
        }
        atomic_fetch_sub(&l->in_flight, 1);
        if (rc == ATTEST_E_IO && !l->patient && atomic_load(&l->received)) { /* no more a signer */
            atomic_fetch_add(&l->refused, 1);
            atomic_store(&l->last_rc, (int)rc);
        }
        pause_ms(5);
    }
    for (int i = 0; i < 4000 && atomic_load(&l->in_flight) && !told_to_stop; i++)
        pause_ms(5);
}

static void
make_request(struct load *l, const char *issuer)
{
    buf_init(&l->request, 8192);
    buf_str(&l->request, "\"iss\":");
    json_put_string(&l->request, slice_cstr(issuer));
    buf_str(&l->request,
            ",\"caller\":\"uid:4711\",\"timeout_ms\":15000,\"claims\":{\"audience\":"
            "\"https://mcp.example.com\",\"agent_identity\":{\"model_family\":\"claude-4\","
            "\"model_version\":\"claude-sonnet-4\",\"provider\":\"anthropic\",\"deployment_id\":"
            "\"prod-eu-1\"},\"agent_integrity\":{\"config_hash\":\"sha256:"
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"},"
            "\"attestation_metadata\":{\"safety_level\":\"standard\",\"capabilities_declared\":"
            "[\"tools\",\"resources\"]}}");
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'n'}, {"in-flight", required_argument, NULL, 'm'},
        {"jtis", required_argument, NULL, 'j'},  {"patient", no_argument, NULL, 'p'},
        {"ping", no_argument, NULL, 'g'},        {0},
    };
    struct load l = {.count = 1, .in_flight_max = 1, .jtis_fd = -1};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'n')
            l.count = strtoul(optarg, NULL, 10);
        else if (c == 'm')
            l.in_flight_max = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'j')
            l.jtis_fd = open(optarg, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        else if (c == 'p')
            l.patient = true;
        else if (c == 'g')
            l.ping = true;
        else
            return 2;
    }
    if (argc - optind != 2 || crypto_init(NULL))
        return 2;
    make_request(&l, argv[optind + 1]);
    atomic_store(&l.heard_ms, clock_mono_ms());
    signal(SIGTERM, on_signal);
    struct wire_client_config config = {.socket_path = argv[optind],
                                        .in_flight_max = l.in_flight_max};
    struct attest_error err = {0};
    if (wire_client_new(&config, &l.client, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 3;
    }
    int64_t start_us = clock_mono_us();
    run(&l);
    double s = (double)(clock_mono_us() - start_us) / 1e6;
    wire_client_free(l.client);
    buf_done(&l.request);
    unsigned long received = atomic_load(&l.received);
    printf("{\"received\":%lu,\"refused\":%lu,\"last_rc\":%d,\"per_s\":%.0f,\"cpu_us\":%.3f}\n",
           received, atomic_load(&l.refused), atomic_load(&l.last_rc), (double)received / s,
           (double)clock() / CLOCKS_PER_SEC * 1e6 / (double)(received ? received : 1));
    return received >= l.count ? 0 : 1;
}
