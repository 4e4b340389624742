/* SPDX-License-Identifier: MIT */
#include "cli/attack_door.h"

#include <string.h>

/*
 * A verifier remembers bound tokens that it has verified. What ended or was taken back since then
 * must not be let in on that account. Each try is with a token of its own that is remembered, and
 * with a right proof where nothing else is said.
 */

static uint64_t
hits(const struct scene *s)
{
    struct attest_counters counters = {0};
    return attest_verifier_counters(s->verifier, &counters, sizeof(counters)) == ATTEST_OK
               ? counters.token_cache_hits
               : 0;
}

/* iss NULL: the provider. */
static char *
bound_of(const struct scene *s, const char *iss)
{
    AUTO(mem) char *cnf = scene_cnf(&s->agent);
    return scene_token(s, &s->provider, NULL, "iss", iss ? iss : "\"" SCENE_PROVIDER "\"", "cnf",
                       cnf, NULL);
}

static enum attest_rc
show(const struct scene *s, const char *token)
{
    AUTO(mem) char *proof = scene_proof(s, &s->agent, NULL, token, "x", "1");
    return proof ? scene_check(s, token, proof) : ATTEST_E_NOMEM;
}

/* A bound token that was shown and is remembered; NULL, and the run has been told. */
static char *
remembered(struct scene *s, const char *iss)
{
    AUTO(mem) char *token = bound_of(s, iss);
    uint64_t before = hits(s);
    enum attest_rc rc = token ? show(s, token) : ATTEST_E_NOMEM;
    if (rc == ATTEST_OK)
        rc = show(s, token);
    if (!attack_ready(s->run, "a bound token with its proof", rc, NULL) ||
        !attack_ready(s->run, "a bound token is remembered",
                      hits(s) > before ? ATTEST_OK : ATTEST_E_INTERNAL, NULL))
        return NULL;
    return STEAL(token);
}

static void
try_again(struct scene *s, const char *name, enum attest_rc expected, const char *token)
{
    if (token)
        attack_tried(s->run, name, expected, show(s, token));
}

/* ---- who shows it ---- */

static void
try_proofs(struct scene *s)
{
    AUTO(mem) char *token = remembered(s, NULL);
    AUTO(mem) char *other = remembered(s, NULL);
    AUTO(mem) char *used = token ? scene_proof(s, &s->agent, NULL, token, "x", "1") : NULL;
    if (!token || !other ||
        !attack_ready(s->run, "another proof", used ? scene_check(s, token, used) : ATTEST_E_NOMEM,
                      NULL))
        return;
    scene_try(s, "without a proof", ATTEST_E_PROOF_REQUIRED, scene_text("%s", token));
    scene_try_proof(s, "with a proof by the attacker's key", ATTEST_E_PROOF,
                    scene_text("%s", token), scene_proof(s, &s->attacker, NULL, token, "x", "1"));
    scene_try_proof(s, "with a proof that was seen with it", ATTEST_E_REPLAY,
                    scene_text("%s", token), scene_text("%s", used));
    scene_try_proof(s, "with a proof for another token", ATTEST_E_PROOF, scene_text("%s", token),
                    scene_proof(s, &s->agent, NULL, other, "x", "1"));
    strcpy(strrchr(other, '.'), strrchr(token, '.'));
    try_again(s, "under the signature of another, with a right proof", ATTEST_E_SIGNATURE, other);
}

/* ---- what has become of what vouched for it ---- */

static bool
publish(struct scene *s, const struct scene_key *key)
{
    struct attest_error err = {0};
    AUTO(mem) char *set = scene_key_set(key);
    enum attest_rc rc = set ? attest_keys_add_jwks(s->keys, SCENE_PROVIDER, set, strlen(set), &err)
                            : ATTEST_E_NOMEM;
    return attack_ready(s->run, "key set", rc, &err);
}

static void
try_keys(struct scene *s)
{
    struct scene_key replaced = s->attacker;
    AUTO(mem) char *removed = remembered(s, NULL);
    memcpy(replaced.kid, s->provider.kid, sizeof(replaced.kid));
    if (removed && publish(s, &s->agent))
        try_again(s, "its key taken out of the set", ATTEST_E_KEY_UNKNOWN, removed);
    if (!publish(s, &s->provider))
        return;
    AUTO(mem) char *token = remembered(s, NULL);
    if (token && publish(s, &replaced))
        try_again(s, "another key published under its kid", ATTEST_E_SIGNATURE, token);
    publish(s, &s->provider);
}

static void
try_time(struct scene *s)
{
    AUTO(mem) char *token = remembered(s, NULL);
    s->clock_s += 300 + ATTEST_SKEW_DEFAULT_S;
    try_again(s, "when it has ended", ATTEST_E_EXPIRED, token);
}

/* ---- from a server ---- */

static void
try_revoked(struct door *d)
{
    const struct scene_key *root = &d->s.enterprise, *key = &d->s.provider;
    int64_t now_s = scene_now_s(&d->s);
    AUTO(mem)
    char *row = scene_text("{\"kid\":\"%s\",\"revoked_at\":%lld,\"reason\":\"stolen\"}", key->kid,
                           (long long)now_s);
    if (!attack_ready(d->s.run, "a revocation", row ? ATTEST_OK : ATTEST_E_NOMEM, NULL) ||
        !door_serve_signed(d, door_signed_set(root, NULL, d->iss, now_s, key, "")) ||
        !door_start(d, root, DOOR_PATIENCE_MS))
        return;
    AUTO(mem) char *token = remembered(&d->s, d->iss);
    if (token && door_serve_signed(d, door_signed_set(root, NULL, d->iss, now_s, key, row)) &&
        door_refresh(d))
        try_again(&d->s, "its key revoked", ATTEST_E_KEY_REVOKED, token);
    attack_server_forget(&d->server);
}

static void
try_cleared(struct door *d)
{
    struct attest_error err = {0};
    if (!door_serve_set(d, scene_key_set(&d->s.provider)) || !door_start(d, NULL, DOOR_PATIENCE_MS))
        return;
    AUTO(mem) char *token = remembered(&d->s, d->iss);
    if (!token)
        return;
    attack_server_forget(&d->server);
    if (attack_ready(d->s.run, "clear",
                     attest_verifier_clear(d->s.verifier, d->server.origin, &err), &err))
        attack_tried(d->s.run, "the issuer's keys forgotten, and none to be had",
                     ATTEST_E_KEY_FETCH, show(&d->s, token));
}

static void
cached_token(struct attack_run *run)
{
    const struct scene_wish wish = {.own_clock = true};
    struct scene s;
    struct door d;
    if (scene_open(&s, run, &wish)) {
        try_proofs(&s);
        try_keys(&s);
        try_time(&s);
    }
    scene_close(&s);
    if (run->broken != ATTEST_OK)
        return;
    if (door_open(&d, run)) {
        try_revoked(&d);
        try_cleared(&d);
    }
    door_close(&d);
}

const struct attack attacks_on_memory[] = {
    {"cached_token", "a token that was verified before is worth no more than it is now",
     cached_token},
    {NULL, NULL, NULL},
};
