/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <pthread.h>

#include "base/clock.h"
#include "cli/attack_crowd.h"
#include "cli/attack_door.h"

/* What it costs the issuer, and those with a key, when many come at once or before the keys do. */

#define FLOOD 300 /* and as many again */
#define KNOWN 20
#define COOLDOWN_MS 30000 /* as attest_fetch_new() has it */

/* ---- a fetch that hangs ---- */

struct known {
    const struct door *door;
    enum attest_rc rc; /* of the first that was refused */
    pthread_t thread;
};

static void *
show_known(void *ctx)
{
    struct known *k = ctx;
    for (int i = 0; i < KNOWN && k->rc == ATTEST_OK; i++) {
        AUTO(mem) char *token = door_token(k->door, &k->door->s.provider, NULL);
        k->rc = token ? scene_check(&k->door->s, token, NULL) : ATTEST_E_NOMEM;
    }
    return NULL;
}

/* A token under a kid that nobody has. */
static enum attest_rc
show_unknown(struct door *d, int i)
{
    AUTO(mem)
    char *header =
        scene_text("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%d-%s\"}", i, d->s.attacker.kid);
    AUTO(mem) char *token = header ? door_token(d, &d->s.attacker, header) : NULL;
    return token ? scene_check(&d->s, token, NULL) : ATTEST_E_NOMEM;
}

/* So many that one fetch each would bring the issuer down. True when one was let through. */
static bool
flood(struct door *d, int from, enum attest_rc *last)
{
    bool through = false;
    for (int i = from; i < from + FLOOD; i++) {
        *last = show_unknown(d, i);
        through |= *last == ATTEST_OK;
    }
    return through;
}

/* Until it has been asked so often, or so many fetches have ended. */
static bool
wait_for(struct door *d, const char *what, unsigned asked, uint64_t fetched)
{
    int64_t until_ms = clock_mono_ms() + DOOR_PATIENCE_MS;
    while (atomic_load(&d->server.asked) < asked || door_fetches(d) < fetched) {
        if (!attack_ready(d->s.run, what, clock_mono_ms() < until_ms ? ATTEST_OK : ATTEST_E_IO,
                          NULL))
            return false;
        poll(NULL, 0, 1);
    }
    return true;
}

/*
 * The first unknown kid has the set fetched, which hangs until known kids have been judged in a
 * thread of their own: if they were only because it had come to an end, they were kept waiting.
 */
static bool
while_it_hangs(struct door *d, bool *through)
{
    struct known known = {.door = d};
    enum attest_rc last;
    if (!attack_ready(
            d->s.run, "silence",
            attack_server_says(&d->server, JWKS_PATH, NULL, 0) ? ATTEST_OK : ATTEST_E_NOMEM, NULL))
        return false;
    *through = show_unknown(d, -1) == ATTEST_OK;
    if (!wait_for(d, "a fetch for an unknown kid", 2, 1) ||
        !attack_ready(d->s.run, "thread",
                      pthread_create(&known.thread, NULL, show_known, &known) == 0 ? ATTEST_OK
                                                                                   : ATTEST_E_NOMEM,
                      NULL))
        return false;
    *through |= flood(d, 0, &last);
    pthread_join(known.thread, NULL);
    attack_held(d->s.run, "a known kid kept waiting while a fetch hangs", ATTEST_E_KEY_UNKNOWN,
                known.rc == ATTEST_OK && door_fetches(d) == 1);
    return true;
}

static void
try_flood(struct door *d)
{
    int64_t start_ms = clock_mono_ms();
    enum attest_rc last = ATTEST_OK;
    bool through = false;
    if (!while_it_hangs(d, &through) || !door_serve_set(d, scene_key_set(&d->s.provider)))
        return;
    attack_server_release(&d->server, JWKS_PATH);
    if (!wait_for(d, "the end of a fetch", 2, 2))
        return;
    through |= flood(d, FLOOD, &last);
    /* On a slow machine it may be time for another fetch, and this the one that asked for it. */
    for (int i = 0; last == ATTEST_E_KEY_FETCH && i < DOOR_PATIENCE_MS; i++) {
        poll(NULL, 0, 1);
        last = show_unknown(d, 2 * FLOOD - 1);
    }
    attack_tried(d->s.run, "the last of six hundred unknown kids", ATTEST_E_KEY_UNKNOWN,
                 through ? ATTEST_OK : last);
    int64_t more = (clock_mono_ms() - start_ms) / COOLDOWN_MS;
    attack_held(d->s.run, "more than one fetch for all of them", ATTEST_E_KEY_UNKNOWN,
                atomic_load(&d->server.asked) <= 2 + more);
    scene_control(&d->s, door_token(d, &d->s.provider, NULL));
}

static void
unknown_kid_flood(struct attack_run *run)
{
    struct door d;
    struct attest_error err = {0};
    if (door_open(&d, run) && door_serve_set(&d, scene_key_set(&d.s.provider)) &&
        door_start(&d, NULL, DOOR_PATIENCE_MS) &&
        scene_control(&d.s, door_token(&d, &d.s.provider, NULL)) &&
        attack_ready(run, "thread", attest_verifier_start_thread(d.s.verifier, &err), &err))
        try_flood(&d);
    door_close(&d);
}

/* ---- before there is a set ---- */

/* The verifier has no thread of its own: nothing is fetched before somebody has to wait for it. */
static void
cold_start_race(struct attack_run *run)
{
    struct door d;
    if (door_open(&d, run) && door_serve_set(&d, scene_key_set(&d.s.provider)) &&
        door_start(&d, NULL, DOOR_PATIENCE_MS)) {
        AUTO(mem) char *token = door_token(&d, &d.s.provider, NULL);
        struct crowd crowd = {0};
        if (token)
            crowd = crowd_show(&d.s, token);
        attack_ready(run, "threads", crowd.shown == CROWD ? ATTEST_OK : ATTEST_E_NOMEM, NULL);
        attack_held(run, "shown sixteen times at once, before there is a key", ATTEST_E_REPLAY,
                    crowd.accepted == 1 && crowd.replayed == CROWD - 1);
        attack_held(run, "more than one fetch for all of them", ATTEST_E_KEY_FETCH,
                    atomic_load(&d.server.asked) == 1);
    }
    if (run->broken == ATTEST_OK && door_start(&d, NULL, 0))
        scene_try(&d.s, "before the first key set is there", ATTEST_E_KEY_FETCH,
                  door_token(&d, &d.s.attacker, NULL));
    if (run->broken == ATTEST_OK && attack_server_says(&d.server, JWKS_PATH, NULL, 0) &&
        door_start(&d, NULL, 200))
        scene_try(&d.s, "while the issuer does not answer", ATTEST_E_KEY_FETCH,
                  door_token(&d, &d.s.attacker, NULL));
    door_close(&d);
}

const struct attack attacks_on_fetching[] = {
    {"unknown_kid_flood", "kids that nobody knows cost one fetch, and no one else anything",
     unknown_kid_flood},
    {"cold_start_race", "who comes before the keys waits or is put off, and is let in once",
     cold_start_race},
    {NULL, NULL, NULL},
};
