/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "replay/replay.h"

/*
 * What a replay memory costs.
 *
 *   replay memory ENTRIES           bytes an entry when so many are alive, and CPU a check
 *   replay redis URL THREADS SECONDS     entries a second by so many threads
 *
 * One JSON object on one line. Exit status 1: something went wrong.
 */

static int64_t
rss_bytes(void)
{
    char line[128];
    int64_t kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "VmRSS: %" SCNd64, &kib) == 1)
            break;
    }
    if (f)
        fclose(f);
    return kib * 1024;
}

/* With texts as long as those of real tokens. */
static enum attest_rc
consume(struct replay_store *store, uint64_t n, int64_t now_s, int64_t keep_s)
{
    char id[40];
    snprintf(id, sizeof(id), "%08x-4a5f-4d7e-9c33-%012" PRIx64, (unsigned)(n * 2654435761u), n);
    const struct replay_item item = {slice_cstr("https://attest.example.com"), slice_cstr(id),
                                     now_s, now_s + keep_s};
    return replay_consume(store, &item, now_s, NULL);
}

static int
memory(size_t entries)
{
    const int64_t t0 = 1700000000;
    struct replay_store *store = NULL;
    int64_t before = rss_bytes();
    if (replay_memory_new(entries, REPLAY_FULL_REFUSE, &store, NULL) != ATTEST_OK)
        return 1;
    int64_t start_ns = clock_thread_cpu_ns();
    for (size_t i = 0; i < entries; i++) {
        if (consume(store, i, t0 + (int64_t)(i * 1000 / entries), 1200) != ATTEST_OK)
            return 1;
    }
    int64_t filled_ns = clock_thread_cpu_ns();
    int64_t bytes = rss_bytes() - before;
    for (size_t i = 0; i < entries; i++) {
        if (consume(store, (i * 2654435761u) % entries, t0 + 1000, 1200) != ATTEST_E_REPLAY)
            return 1;
    }
    int64_t seen_ns = clock_thread_cpu_ns();
    printf("{\"entries\": %zu, \"bytes_each\": %.1f, \"new_ns\": %.0f, \"seen_ns\": %.0f}\n",
           replay_memory_count(store), (double)bytes / (double)entries,
           (double)(filled_ns - start_ns) / (double)entries,
           (double)(seen_ns - filled_ns) / (double)entries);
    replay_free(store);
    return 0;
}

static struct {
    struct replay_store *store;
    int64_t end_ms;
    uint64_t first;
    _Atomic uint64_t next, failed;
} race;

static void *
run(void *arg)
{
    (void)arg;
    while (clock_mono_ms() < race.end_ms) {
        uint64_t n = atomic_fetch_add(&race.next, 1);
        if (consume(race.store, race.first + n, clock_wall_s(), 600) != ATTEST_OK)
            atomic_fetch_add(&race.failed, 1);
    }
    return NULL;
}

static int
redis(const char *url, unsigned threads, double seconds)
{
    const struct replay_redis options = {
        .url = url, .timeout_ms = 5000, .connections_max = threads};
    struct attest_error err;
    pthread_t ids[REPLAY_CONNECTIONS_MAX];
    if (replay_redis_new(&options, &race.store, &err) != ATTEST_OK) {
        fprintf(stderr, "replay: %s\n", err.text);
        return 1;
    }
    random_bytes(&race.first, sizeof(race.first));
    int64_t start_ms = clock_mono_ms();
    race.end_ms = start_ms + (int64_t)(seconds * 1000);
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&ids[i], NULL, run, NULL) != 0)
            return 1;
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    int64_t took_ms = clock_mono_ms() - start_ms;
    printf("{\"per_s\": %.0f, \"failed\": %" PRIu64 "}\n",
           (double)race.next * 1000 / (double)took_ms, (uint64_t)race.failed);
    replay_free(race.store);
    return race.failed ? 1 : 0;
}

int
main(int argc, char **argv)
{
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    if (argc == 3 && strcmp(argv[1], "memory") == 0)
        return memory(strtoul(argv[2], NULL, 10));
    if (argc == 5 && strcmp(argv[1], "redis") == 0 && atoi(argv[3]) > 0 &&
        atoi(argv[3]) <= REPLAY_CONNECTIONS_MAX)
        return redis(argv[2], (unsigned)atoi(argv[3]), atof(argv[4]));
    fprintf(stderr, "usage: replay memory ENTRIES | replay redis URL THREADS SECONDS\n");
    return 2;
}
