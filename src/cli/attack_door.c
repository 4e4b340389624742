/* SPDX-License-Identifier: MIT */
#include "cli/attack_door.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* ---- a verifier that fetches ---- */

static enum attest_rc
trust_server(struct door *d, struct attest_error *err)
{
    enum attest_rc rc = attest_policy_new(&d->s.policy, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_allow_loopback_http(d->s.policy, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_audience(d->s.policy, SCENE_AUDIENCE, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_issuer(d->s.policy, d->server.origin, ATTEST_TRUST_PROVIDER, err);
    return rc == ATTEST_OK ? attest_policy_freeze(d->s.policy, err) : rc;
}

static void
forget_verifier(struct door *d)
{
    attest_verifier_free(d->s.verifier);
    attest_keys_free(d->s.keys);
    d->s.verifier = NULL;
    d->s.keys = NULL;
}

static enum attest_rc
pin(struct door *d, const struct scene_key *root, struct attest_error *err)
{
    AUTO(mem) char *jwk = scene_jwk(root);
    return jwk ? attest_keys_pin_root(d->s.keys, d->server.origin, jwk, strlen(jwk), err)
               : ATTEST_E_NOMEM;
}

bool
door_start(struct door *d, const struct scene_key *root, int64_t wait_ms)
{
    struct attest_error err = {0};
    struct attest_fetch *fetch = NULL;
    forget_verifier(d);
    enum attest_rc rc = attest_keys_new(&d->s.keys, &err);
    if (rc == ATTEST_OK && root)
        rc = pin(d, root, &err);
    if (rc == ATTEST_OK)
        rc = attest_fetch_new(&fetch, &err);
    if (rc == ATTEST_OK)
        rc = attest_fetch_set_wait_ms(fetch, wait_ms, &err);
    if (rc == ATTEST_OK)
        rc = attest_verifier_new_fetching(d->s.policy, d->s.keys, d->s.replay, fetch,
                                          &d->s.verifier, &err);
    attest_fetch_free(fetch);
    return attack_ready(d->s.run, "verifier", rc, &err);
}

char *
door_token(const struct door *d, const struct scene_key *key, const char *header)
{
    return scene_token(&d->s, key, header, "iss", d->iss, NULL);
}

bool
door_open(struct door *d, struct attack_run *run)
{
    struct attest_error err = {0};
    memset(d, 0, sizeof(*d));
    d->s.run = run;
    scene_key_init(&d->s.provider);
    scene_key_init(&d->s.enterprise); /* the issuer's root, where it has one */
    scene_key_init(&d->s.attacker);
    scene_key_init(&d->s.agent);
    enum attest_rc rc = attack_server_start(&d->server);
    if (rc == ATTEST_OK) {
        rc = attack_server_start(&d->evil);
        d->served = rc == ATTEST_OK;
        if (!d->served)
            attack_server_stop(&d->server);
    }
    if (!attack_ready(run, "a server on 127.0.0.1", rc, NULL))
        return false;
    snprintf(d->iss, sizeof(d->iss), "\"%s\"", d->server.origin);
    rc = trust_server(d, &err);
    if (rc == ATTEST_OK)
        rc = attest_replay_new_memory(0, &d->s.replay, &err);
    return attack_ready(run, "verifier", rc, &err);
}

void
door_close(struct door *d)
{
    forget_verifier(d);
    attest_replay_free(d->s.replay);
    attest_policy_free(d->s.policy);
    if (d->served) {
        attack_server_stop(&d->server);
        attack_server_stop(&d->evil);
    }
    scene_key_done(&d->s.provider);
    scene_key_done(&d->s.enterprise);
    scene_key_done(&d->s.attacker);
    scene_key_done(&d->s.agent);
}

/* ---- what a server says ---- */

bool
door_serve(struct door *d, struct attack_server *server, const char *path, const char *status,
           const char *headers, char *body)
{
    AUTO(mem) char *mine = body;
    AUTO(mem)
    char *all =
        mine ? scene_text("HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                          status, headers, strlen(mine), mine)
             : NULL;
    return attack_ready(d->s.run, "an answer",
                        all && attack_server_says(server, path, all, strlen(all)) ? ATTEST_OK
                                                                                  : ATTEST_E_NOMEM,
                        NULL);
}

bool
door_serve_set(struct door *d, char *set)
{
    return door_serve(d, &d->server, JWKS_PATH, "200 OK", DOOR_TYPE(SET_TYPE), set);
}

bool
door_serve_signed(struct door *d, char *set)
{
    return door_serve(d, &d->server, SIGNED_JWKS_PATH, "200 OK", DOOR_TYPE(SIGNED_TYPE), set);
}

char *
door_signed_set(const struct scene_key *root, const char *header, const char *iss, int64_t iat_s,
                const struct scene_key *key, const char *revoked)
{
    AUTO(mem)
    char *usual =
        scene_text("{\"alg\":\"EdDSA\",\"typ\":\"jwk-set+jwt\",\"kid\":\"%s\"}", root->kid);
    AUTO(mem) char *set = scene_key_set(key);
    AUTO(mem)
    char *payload =
        set ? scene_text("{\"iss\":%s,\"sub\":%s,\"iat\":%lld,\"exp\":%lld,%.*s,\"log_keys\":[],"
                         "\"revoked\":[%s]}",
                         iss, iss, (long long)iat_s, (long long)iat_s + 3600, (int)strlen(set) - 2,
                         set + 1, revoked)
            : NULL;
    return payload && usual ? scene_sign(root, header ? header : usual, payload) : NULL;
}

bool
door_control(struct door *d, const struct scene_key *root)
{
    bool held = door_start(d, root, DOOR_PATIENCE_MS) &&
                scene_control(&d->s, door_token(d, &d->s.provider, NULL));
    attack_server_forget(&d->server);
    return held;
}

/* ---- stepping ---- */

void
door_step(struct door *d, int wait_ms)
{
    struct pollfd fd = {.fd = attest_verifier_fd(d->s.verifier), .events = POLLIN};
    int ms = attest_verifier_timeout_ms(d->s.verifier);
    poll(&fd, 1, ms < 0 || ms > wait_ms ? wait_ms : ms);
    (void)!attest_verifier_step(d->s.verifier); /* this process made it */
}

uint64_t
door_fetches(const struct door *d)
{
    struct attest_counters counters = {0};
    return attest_verifier_counters(d->s.verifier, &counters, sizeof(counters)) == ATTEST_OK
               ? counters.key_fetches
               : 0;
}

bool
door_refresh(struct door *d)
{
    struct attest_error err = {0};
    uint64_t before = door_fetches(d);
    int64_t until_ms = clock_mono_ms() + DOOR_PATIENCE_MS;
    enum attest_rc rc = attest_verifier_invalidate(d->s.verifier, d->server.origin, &err);
    while (rc == ATTEST_OK && door_fetches(d) == before) {
        if (clock_mono_ms() >= until_ms)
            rc = error_set(&err, ATTEST_E_IO, "the issuer is not asked again");
        else
            door_step(d, 20);
    }
    return attack_ready(d->s.run, "another fetch", rc, &err);
}
