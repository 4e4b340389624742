/* SPDX-License-Identifier: MIT */
#include "cli/attack_scene.h"

#include <string.h>

#include "base/clock.h"

#define REPLAY_ENTRIES 8192

/* ---- the verifier ---- */

static int64_t
scene_clock(void *ctx)
{
    return ((const struct scene *)ctx)->clock_s;
}

static enum attest_rc
trust(struct attest_policy *policy, const char *issuer, enum attest_trust greatest,
      const char *trust_domain, struct attest_error *err)
{
    enum attest_rc rc = attest_policy_add_issuer(policy, issuer, greatest, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_issuer_trust_domain(policy, issuer, trust_domain, err);
    return rc == ATTEST_OK ? attest_policy_issuer_provider(policy, issuer, "anthropic", err) : rc;
}

static enum attest_rc
make_policy(struct scene *s, const struct scene_wish *wish, struct attest_error *err)
{
    enum attest_rc rc = attest_policy_new(&s->policy, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_audience(s->policy, SCENE_AUDIENCE, err);
    if (rc == ATTEST_OK)
        rc = trust(s->policy, SCENE_PROVIDER, ATTEST_TRUST_PROVIDER, "ai.example.com", err);
    if (rc == ATTEST_OK)
        rc = trust(s->policy, SCENE_ENTERPRISE, ATTEST_TRUST_ENTERPRISE, "agents.example.net", err);
    if (rc == ATTEST_OK && wish->policy)
        rc = wish->policy(s->policy, err);
    return rc == ATTEST_OK ? attest_policy_freeze(s->policy, err) : rc;
}

static enum attest_rc
add_keys(struct scene *s, const char *issuer, const struct scene_key *key, struct attest_error *err)
{
    AUTO(mem) char *set = scene_key_set(key);
    return set ? attest_keys_add_jwks(s->keys, issuer, set, strlen(set), err) : ATTEST_E_NOMEM;
}

static enum attest_rc
make_verifier(struct scene *s, const struct scene_wish *wish, struct attest_error *err)
{
    enum attest_rc rc = make_policy(s, wish, err);
    if (rc == ATTEST_OK)
        rc = attest_keys_new(&s->keys, err);
    if (rc == ATTEST_OK)
        rc = add_keys(s, SCENE_PROVIDER, &s->provider, err);
    if (rc == ATTEST_OK)
        rc = add_keys(s, SCENE_ENTERPRISE, &s->enterprise, err);
    if (rc == ATTEST_OK)
        rc = attest_replay_new_memory(REPLAY_ENTRIES, &s->replay, err);
    if (rc == ATTEST_OK)
        rc = attest_verifier_new(s->policy, s->keys, s->replay, &s->verifier, err);
    if (rc == ATTEST_OK && wish->own_clock)
        rc = attest_verifier_set_clock(s->verifier, scene_clock, s, err);
    return rc;
}

static char *
provider_token(struct scene *s)
{
    return scene_token(s, &s->provider, NULL, NULL);
}

bool
scene_open(struct scene *s, struct attack_run *run, const struct scene_wish *wish)
{
    static const struct scene_wish none = {0};
    struct attest_error err = {0};
    if (!wish)
        wish = &none;
    *s = (struct scene){.run = run,
                        .honest = wish->honest ? wish->honest : provider_token,
                        .clock_s = wish->own_clock ? clock_wall_s() : 0};
    scene_key_init(&s->provider);
    scene_key_init(&s->enterprise);
    scene_key_init(&s->attacker);
    scene_key_init(&s->agent);
    return attack_ready(run, "verifier", make_verifier(s, wish, &err), &err) &&
           scene_control(s, s->honest(s));
}

void
scene_close(struct scene *s)
{
    /* An attack that leaves the door shut for everyone has done harm, too. */
    if (s->verifier && s->run->broken == ATTEST_OK)
        scene_control(s, s->honest(s));
    attest_verifier_free(s->verifier);
    attest_replay_free(s->replay);
    attest_keys_free(s->keys);
    attest_policy_free(s->policy);
    scene_key_done(&s->provider);
    scene_key_done(&s->enterprise);
    scene_key_done(&s->attacker);
    scene_key_done(&s->agent);
}

/* ---- trying ---- */

enum attest_rc
scene_check(const struct scene *s, const char *token, const char *proof)
{
    struct attest_result *result = NULL;
    enum attest_rc rc = attest_verifier_check(s->verifier, token, token ? strlen(token) : 0, proof,
                                              proof ? strlen(proof) : 0, &result);
    attest_result_free(result);
    return rc;
}

void
scene_try(struct scene *s, const char *name, enum attest_rc expected, char *token)
{
    if (attack_ready(s->run, name, token ? ATTEST_OK : ATTEST_E_NOMEM, NULL))
        attack_tried(s->run, name, expected, scene_check(s, token, NULL));
    free(token);
}

void
scene_try_proof(struct scene *s, const char *name, enum attest_rc expected, char *token,
                char *proof)
{
    if (attack_ready(s->run, name, token && proof ? ATTEST_OK : ATTEST_E_NOMEM, NULL))
        attack_tried(s->run, name, expected, scene_check(s, token, proof));
    free(token);
    free(proof);
}

bool
scene_control(struct scene *s, char *token)
{
    enum attest_rc rc = token ? scene_check(s, token, NULL) : ATTEST_E_NOMEM;
    free(token);
    return attack_ready(s->run, "an honest token is refused", rc, NULL);
}
