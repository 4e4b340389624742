/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/attack_crowd.h"
#include "cli/attack_door.h"

/* What it costs the issuer, and those with a key, when many come at once or before the keys do. */

#define FLOOD 600
#define FLOOD_HONEST 30 /* every so many an honest token */

/* Kids that nobody has, so many that one fetch each would bring the issuer down. */
static void
flood(struct door *d)
{
    enum attest_rc last = ATTEST_OK, honest = ATTEST_OK;
    bool through = false;
    for (int i = 0; i < FLOOD; i++) {
        AUTO(mem)
        char *header = scene_text("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%d-%s\"}", i,
                                  d->s.attacker.kid);
        AUTO(mem) char *token = header ? door_token(d, &d->s.attacker, header) : NULL;
        AUTO(mem) char *known = i % FLOOD_HONEST == 0 ? door_token(d, &d->s.provider, NULL) : NULL;
        last = token ? scene_check(&d->s, token, NULL) : ATTEST_E_NOMEM;
        through |= last == ATTEST_OK;
        if (known && honest == ATTEST_OK)
            honest = scene_check(&d->s, known, NULL);
        /* The first has the set fetched; give that time to be over, and then none. */
        door_step(d, last == ATTEST_E_KEY_FETCH ? 20 : 0);
    }
    attack_tried(d->s.run, "the last of six hundred unknown kids", ATTEST_E_KEY_UNKNOWN,
                 through ? ATTEST_OK : last);
    attack_held(d->s.run, "more than one fetch for all of them", ATTEST_E_KEY_UNKNOWN,
                atomic_load(&d->server.asked) == 2);
    attack_held(d->s.run, "a known kid kept waiting meanwhile", ATTEST_E_KEY_UNKNOWN,
                honest == ATTEST_OK);
}

static void
unknown_kid_flood(struct attack_run *run)
{
    struct door d;
    if (door_open(&d, run) && door_serve_set(&d, scene_key_set(&d.s.provider)) &&
        door_start(&d, NULL, DOOR_PATIENCE_MS) &&
        scene_control(&d.s, door_token(&d, &d.s.provider, NULL)))
        flood(&d);
    door_close(&d);
}

static void
cold_start_race(struct attack_run *run)
{
    struct door d;
    struct attest_error err = {0};
    if (door_open(&d, run) && door_serve_set(&d, scene_key_set(&d.s.provider)) &&
        door_start(&d, NULL, DOOR_PATIENCE_MS) &&
        attack_ready(run, "thread", attest_verifier_start_thread(d.s.verifier, &err), &err)) {
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
