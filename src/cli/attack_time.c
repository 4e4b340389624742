/* SPDX-License-Identifier: MIT */
#include "cli/attack_crowd.h"

/* The same again, and clocks that are turned. */

#define SMALL_MEMORY 64
#define SKEW_S ATTEST_SKEW_DEFAULT_S
#define FORGOTTEN_S 4000 /* by then no memory has to know a token of 300 s any more */

/* A second verifier like the scene's, with another memory; NULL: the scene's own. */
static bool
second(const struct scene *s, struct attest_replay *replay, struct scene *ret)
{
    struct attest_error err = {0};
    *ret = *s;
    return attack_ready(
        s->run, "second verifier",
        attest_verifier_new(s->policy, s->keys, replay ? replay : s->replay, &ret->verifier, &err),
        &err);
}

static void
at_another_door(struct scene *s)
{
    struct scene other = {0};
    AUTO(mem) char *token = scene_token(s, &s->provider, NULL, NULL);
    if (token && second(s, NULL, &other) &&
        attack_ready(s->run, "an honest token", scene_check(s, token, NULL), NULL))
        scene_try(&other, "shown to another server that shares the memory", ATTEST_E_REPLAY,
                  scene_text("%s", token));
    attest_verifier_free(other.verifier);
}

/* A memory that is full refuses those who come; it does not forget who was there. */
static void
pushed_out(struct scene *s)
{
    struct scene other = {0};
    struct attest_replay *replay = NULL;
    AUTO(mem) char *token = scene_token(s, &s->provider, NULL, NULL);
    enum attest_rc rc = ATTEST_OK;
    if (token &&
        attack_ready(s->run, "memory", attest_replay_new_memory(SMALL_MEMORY, &replay, NULL),
                     NULL) &&
        second(s, replay, &other) &&
        attack_ready(s->run, "an honest token", scene_check(&other, token, NULL), NULL)) {
        for (int i = 0; i < 2 * SMALL_MEMORY; i++) {
            AUTO(mem) char *more = scene_token(s, &s->provider, NULL, NULL);
            rc = more ? scene_check(&other, more, NULL) : ATTEST_E_NOMEM;
        }
        attack_tried(s->run, "one more than the memory holds", ATTEST_E_REPLAY_STORE, rc);
        scene_try(&other, "shown again when others have filled the memory", ATTEST_E_REPLAY,
                  scene_text("%s", token));
    }
    attest_verifier_free(other.verifier);
    attest_replay_free(replay);
}

static void
shown_again(struct scene *s)
{
    AUTO(mem) char *token = scene_token(s, &s->provider, NULL, NULL);
    int64_t start_s = s->clock_s;
    if (!token || !attack_ready(s->run, "an honest token", scene_check(s, token, NULL), NULL))
        return;
    scene_try(s, "shown again at once", ATTEST_E_REPLAY, scene_text("%s", token));
    s->clock_s = start_s + 299;
    scene_try(s, "shown again in its last second", ATTEST_E_REPLAY, scene_text("%s", token));
    s->clock_s = start_s + 300 + SKEW_S - 1;
    scene_try(s, "shown again in the last second of the skew", ATTEST_E_REPLAY,
              scene_text("%s", token));
    s->clock_s = start_s + 300 + SKEW_S;
    scene_try(s, "shown again when it has ended", ATTEST_E_EXPIRED, scene_text("%s", token));
}

static void
token_replay(struct attack_run *run)
{
    const struct scene_wish wish = {.own_clock = true};
    struct scene s;
    if (scene_open(&s, run, &wish)) {
        shown_again(&s);
        AUTO(mem) char *token = scene_token(&s, &s.provider, NULL, NULL);
        struct crowd crowd = {0};
        if (token)
            crowd = crowd_show(&s, token);
        if (attack_ready(run, "threads", crowd.shown == CROWD ? ATTEST_OK : ATTEST_E_NOMEM, NULL))
            attack_held(run, "shown sixteen times at once", ATTEST_E_REPLAY,
                        crowd.accepted == 1 && crowd.replayed == CROWD - 1);
    }
    scene_close(&s);
    if (scene_open(&s, run, NULL)) {
        at_another_door(&s);
        pushed_out(&s);
    }
    scene_close(&s);
}

/* ---- the clock ---- */

static void
clock_rollback(struct attack_run *run)
{
    const struct scene_wish wish = {.own_clock = true};
    struct scene s;
    if (scene_open(&s, run, &wish)) {
        int64_t start_s = s.clock_s;
        AUTO(mem) char *used = scene_token(&s, &s.provider, NULL, NULL);
        AUTO(mem) char *kept = scene_token(&s, &s.provider, NULL, NULL);
        attack_ready(run, "an honest token", used ? scene_check(&s, used, NULL) : ATTEST_E_NOMEM,
                     NULL);
        s.clock_s = start_s - SKEW_S;
        scene_try(&s, "a used token, the clock back by the skew", ATTEST_E_REPLAY,
                  scene_text("%s", used ? used : ""));
        /* Far enough ahead for everything to be forgotten, and back. */
        s.clock_s = start_s + FORGOTTEN_S;
        scene_control(&s, scene_token(&s, &s.provider, NULL, NULL));
        s.clock_s = start_s + 10;
        scene_try(&s, "a used token, the clock back to when it was good", ATTEST_E_EXPIRED,
                  scene_text("%s", used ? used : ""));
        scene_try(&s, "an old token, the clock back to when it was good", ATTEST_E_EXPIRED,
                  scene_text("%s", kept ? kept : ""));
        s.clock_s = start_s + FORGOTTEN_S;
    }
    scene_close(&s);
}

const struct attack attacks_on_time[] = {
    {"token_replay", "a token is good once, wherever it is shown and whatever came between",
     token_replay},
    {"clock_rollback", "a clock that is set back brings no token back", clock_rollback},
    {NULL, NULL, NULL},
};
