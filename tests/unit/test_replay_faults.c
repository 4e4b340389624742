/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "replay/replay.h"
#include "support/need.h"
#include "support/redis.h"

/*
 * Four processes of 64 threads show the same tokens to one Redis, and old ones again, while that is
 * paused, flushed, killed and started anew, and replaced by its replica. No token may be accepted
 * twice. REPLAY_TOKENS says how many.
 */

enum { PROCESSES = 4, THREADS = 64, TRIES = 4, TOKENS_DEFAULT = 16000 };

struct token {
    _Atomic uint32_t issued_s; /* after base_s, plus one; 0: not yet */
    _Atomic uint8_t accepted;
};

static struct all {
    _Atomic uint64_t next, checks, accepted, replayed, unavailable, twice;
    int64_t base_s;
    size_t n;
    char url[96];
    struct token tokens[];
} * all;

static const char *current; /* a link to the socket of whoever is master */

/* ---- those who verify ---- */

static enum attest_rc
show(struct replay_store *store, size_t i)
{
    struct token *token = &all->tokens[i];
    int64_t now = clock_wall_s();
    uint32_t none = 0, issued = (uint32_t)(now - all->base_s) + 1;
    if (!atomic_compare_exchange_strong(&token->issued_s, &none, issued))
        issued = none;
    int64_t since_s = all->base_s + issued - 1;
    struct slice id = {(const char *)&i, sizeof(i)};
    const struct replay_item item = {slice_cstr("https://ai.example.com"), id, since_s,
                                     since_s + 900 > now ? since_s + 900 : now};
    enum attest_rc rc = replay_consume(store, &item, now, NULL);
    atomic_fetch_add(&all->checks, 1);
    if (rc == ATTEST_OK) {
        atomic_fetch_add(&all->accepted, 1);
        if (atomic_fetch_add(&token->accepted, 1) != 0)
            atomic_fetch_add(&all->twice, 1);
    }
    if (rc == ATTEST_E_REPLAY)
        atomic_fetch_add(&all->replayed, 1);
    if (rc == ATTEST_E_REPLAY_STORE)
        atomic_fetch_add(&all->unavailable, 1);
    return rc;
}

static void *
verify(void *arg)
{
    struct replay_store *store = arg;
    uint32_t random = (uint32_t)(uintptr_t)&random ^ (uint32_t)clock_mono_us();
    for (;;) {
        uint64_t turn = atomic_fetch_add(&all->next, 1);
        size_t i = turn / TRIES;
        if (i >= all->n)
            return NULL;
        if (show(store, i) == ATTEST_E_REPLAY_STORE)
            usleep(250000); /* or the tokens would be used up by those who are refused */
        random = random * 1664525 + 1013904223;
        if (i > 0 && random >> 30 == 0)
            show(store, (size_t)((uint64_t)(random << 2) * i >> 32));
    }
}

static struct replay_store *
open_store(void)
{
    const struct replay_redis options = {
        .url = all->url, .timeout_ms = 500, .connections_max = REPLAY_CONNECTIONS_DEFAULT};
    struct replay_store *store = NULL;
    for (int i = 0; i < 200 && !store; i++) {
        if (replay_redis_new(&options, &store, NULL) == ATTEST_E_UNSUPPORTED)
            break;
        if (!store)
            usleep(50000);
    }
    return store;
}

static int
process(void)
{
    pthread_t threads[THREADS];
    struct replay_store *store = open_store();
    if (!store)
        return 1;
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, verify, store) != 0)
            return 1;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    replay_free(store);
    return 0;
}

/* ---- what happens to Redis ---- */

static bool
name_current(const struct redis_server_run *server)
{
    char next[128];
    snprintf(next, sizeof(next), "%s.next", current);
    return symlink(server->path, next) == 0 && rename(next, current) == 0;
}

static bool
pause_it(struct redis_server_run *servers)
{
    kill(servers[0].pid, SIGSTOP);
    usleep(1200000);
    return kill(servers[0].pid, SIGCONT) == 0;
}

static bool
flush_it(struct redis_server_run *servers)
{
    return redis_command(&servers[0], "FLUSHALL");
}

/* With a file that is a moment old. It is refused while the child that fed the replica has not been
 * waited for. */
static bool
kill_it(struct redis_server_run *servers)
{
    bool saved = false;
    for (int i = 0; i < 400 && !saved; i++) {
        saved = redis_command(&servers[0], "SAVE");
        usleep(saved ? 0 : 25000);
    }
    usleep(200000);
    redis_stop(&servers[0]);
    usleep(300000);
    return saved && redis_start(&servers[0], NULL);
}

/* The master dies with whatever had not reached the replica, which is told to be the master. */
static bool
fail_over(struct redis_server_run *servers)
{
    redis_stop(&servers[0]);
    return redis_command(&servers[1], "REPLICAOF NO ONE") && name_current(&servers[1]);
}

static const struct fault {
    const char *name;
    bool (*strike)(struct redis_server_run *servers);
    unsigned percent; /* of the tokens, when it strikes */
    bool loses;
} faults[] = {
    {"paused", pause_it, 10, false},
    {"flushed", flush_it, 30, true},
    {"killed and started from a file", kill_it, 50, true},
    {"failed over", fail_over, 70, true},
};

static bool
wait_until(unsigned percent)
{
    uint64_t turn = all->n * TRIES / 100 * percent, seen = 0;
    int64_t moved_ms = clock_mono_ms();
    for (;;) {
        uint64_t next = atomic_load(&all->next);
        if (next >= turn)
            return true;
        if (next != seen)
            moved_ms = clock_mono_ms();
        seen = next;
        if (clock_mono_ms() - moved_ms > 60000)
            return false;
        usleep(2000);
    }
}

/* All that was accepted before now gets 1014 by one who comes later, and stays so. */
static bool
old_ones_are_refused(size_t until)
{
    struct replay_store *late = open_store();
    unsigned shown = 0, wrong = 0;
    for (size_t i = 0; late && i < until && shown < 200; i += 1 + until / 400) {
        if (!atomic_load(&all->tokens[i].accepted))
            continue;
        shown++;
        wrong += show(late, i) != ATTEST_E_REPLAY_STORE;
    }
    replay_free(late);
    if (!late || wrong || !shown)
        printf("after a loss: %u of %u old tokens are not refused by 1014\n", wrong, shown);
    return late && shown && !wrong;
}

static bool
strike_all(struct redis_server_run *servers)
{
    uint64_t before = 0;
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        const struct fault *fault = &faults[i];
        if (!wait_until(fault->percent)) {
            printf("nothing moves before: %s\n", fault->name);
            return false;
        }
        uint64_t accepted = atomic_load(&all->accepted);
        if (accepted == before) {
            printf("nothing was accepted again before: %s\n", fault->name);
            return false;
        }
        before = accepted;
        if (!fault->strike(servers)) {
            printf("could not be done: %s\n", fault->name);
            return false;
        }
        printf("%s after %ju accepted\n", fault->name, (uintmax_t)accepted);
        if (fault->loses && !old_ones_are_refused(all->n / 100 * (fault->percent - 10)))
            return false;
    }
    return wait_until(100) && atomic_load(&all->accepted) > before;
}

/* The last word: the one that took over still serves. */
static bool
accepts_again(void)
{
    struct replay_store *store = open_store();
    bool ok = false;
    for (int i = 0; store && i < 100 && !ok; i++) {
        int64_t now = clock_wall_s();
        struct slice id = {(const char *)&i, sizeof(i)};
        const struct replay_item item = {slice_cstr("last"), id, now, now + 100};
        ok = replay_consume(store, &item, now, NULL) == ATTEST_OK;
        usleep(50000);
    }
    replay_free(store);
    return ok;
}

static bool
run(struct redis_server_run *servers)
{
    pid_t children[PROCESSES];
    bool ok = true;
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            _exit(process());
        }
    }
    ok = strike_all(servers);
    for (int i = 0; i < PROCESSES; i++) {
        int status = 1;
        if (!ok)
            kill(children[i], SIGKILL);
        ok = waitpid(children[i], &status, 0) == children[i] && status == 0 && ok;
    }
    printf("%zu tokens, %ju checks: %ju accepted, %ju seen before, %ju unavailable, %ju twice\n",
           all->n, (uintmax_t)all->checks, (uintmax_t)all->accepted, (uintmax_t)all->replayed,
           (uintmax_t)all->unavailable, (uintmax_t)all->twice);
    return ok && all->twice == 0 && all->accepted > all->n / 10 && all->replayed > 0 &&
           all->unavailable > 0 && accepts_again();
}

static bool
start_both(struct redis_server_run *servers)
{
    char port[16];
    const char *const listens[] = {
        "--port", port, "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0", NULL};
    /* Below the range that the kernel hands out. */
    for (int i = 0; i < 20; i++) {
        uint16_t random;
        random_bytes(&random, sizeof(random));
        snprintf(port, sizeof(port), "%d", 20000 + random % 12000);
        if (redis_start(&servers[0], listens))
            break;
        redis_stop(&servers[0]);
    }
    if (servers[0].pid <= 0 || !redis_start(&servers[1], NULL) || !name_current(&servers[0]))
        return false;
    return redis_declare_new(&servers[0]) &&
           redis_command(&servers[1], "REPLICAOF 127.0.0.1 %s", port);
}

int
main(void)
{
    static struct redis_server_run servers[2];
    static char path[80];
    const char *tokens = getenv("REPLAY_TOKENS");
    size_t n = tokens ? strtoul(tokens, NULL, 10) : TOKENS_DEFAULT;
    size_t len = sizeof(*all) + n * sizeof(struct token);
    need_redis();
    if (n < 1000 || crypto_init(NULL) != ATTEST_OK)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    all = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || !redis_prepare(&servers[0]) || !redis_prepare(&servers[1]))
        return 1;
    all->n = n;
    all->base_s = clock_wall_s();
    snprintf(path, sizeof(path), "%s/current", servers[0].dir);
    snprintf(all->url, sizeof(all->url), "unix://%s", path);
    current = path;
    bool ok = start_both(servers) && run(servers);
    unlink(path);
    redis_done(&servers[0]);
    redis_done(&servers[1]);
    return ok ? 0 : 1;
}
