/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "cli/attack_crowd.h"
#include "cli/attack_server.h"
#include "cli/verify_keys.h"

/*
 * What a verifier gets its keys from, over real connections: its issuer is a server in this
 * process, and the attacker has got hold of it, or of the way to it.
 */

#define PATIENCE_MS 10000
#define FLOOD 600
#define FLOOD_HONEST 30 /* every so many an honest token */

#define DISCOVERY_PATH "/.well-known/openid-configuration"
#define SET_TYPE "application/json"
#define SIGNED_TYPE "application/jwk-set+jwt"

/* ---- a verifier that fetches ---- */

struct door {
    struct scene s;
    struct attack_server server, evil;
    bool served;
    char iss[48]; /* as JSON */
};

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

/* A verifier that knows nothing yet, with this root pinned unless it is NULL. */
static bool
start_over(struct door *d, const struct scene_key *root, int64_t wait_ms)
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

static char *
token_by(const struct door *d, const struct scene_key *key, const char *header)
{
    return scene_token(&d->s, key, header, "iss", d->iss, NULL);
}

static bool
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

static void
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

/* body is freed; NULL is no memory. */
static bool
serve(struct door *d, struct attack_server *server, const char *path, const char *status,
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

#define TYPE(type) "Content-Type: " type "\r\n"

static bool
serve_set(struct door *d, char *set)
{
    return serve(d, &d->server, JWKS_PATH, "200 OK", TYPE(SET_TYPE), set);
}

/* What is served now brings the attacker's key in, if anything does. */
static void
try_key(struct door *d, const char *name, const struct scene_key *root, char *token)
{
    if (token && start_over(d, root, PATIENCE_MS))
        scene_try(&d->s, name, ATTEST_E_KEY_FETCH, token);
    else
        free(token);
    attack_server_forget(&d->server);
    attack_server_forget(&d->evil);
}

static bool
door_control(struct door *d, const struct scene_key *root)
{
    bool held =
        start_over(d, root, PATIENCE_MS) && scene_control(&d->s, token_by(d, &d->s.provider, NULL));
    attack_server_forget(&d->server);
    return held;
}

/* ---- poisoned sets ---- */

/* The attacker's set as it would be right, under another wrapping. */
static void
try_answers(struct door *d)
{
    static const struct {
        const char *name, *status, *headers;
    } rows[] = {
        {"as a web page", "200 OK", TYPE("text/html")},
        {"as another kind of JSON", "200 OK", TYPE("application/jwk-set+json")},
        {"as nothing in particular", "200 OK", ""},
        {"as gzip", "200 OK", TYPE(SET_TYPE) "Content-Encoding: gzip\r\n"},
        {"with an error", "500 Internal Server Error", TYPE(SET_TYPE)},
        {"as not authoritative", "203 Non-Authoritative Information", TYPE(SET_TYPE)},
        {"in parts", "206 Partial Content", TYPE(SET_TYPE)},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(mem) char *name = scene_text("the attacker's keys %s", rows[i].name);
        serve(d, &d->server, JWKS_PATH, rows[i].status, rows[i].headers,
              scene_key_set(&d->s.attacker));
        try_key(d, name ? name : rows[i].name, NULL, token_by(d, &d->s.attacker, NULL));
    }
}

/* The issuer's server sends its visitors elsewhere. */
static void
try_elsewhere(struct door *d)
{
    const struct scene_key *evil = &d->s.attacker;
    AUTO(mem) char *redirect = scene_text(TYPE(SET_TYPE) "Location: %s/keys\r\n", d->evil.origin);
    serve(d, &d->evil, "/keys", "200 OK", TYPE(SET_TYPE), scene_key_set(evil));
    serve(d, &d->server, JWKS_PATH, "302 Found", redirect ? redirect : "", scene_text("{}"));
    try_key(d, "a redirect to the attacker's host", NULL, token_by(d, evil, NULL));

    serve(d, &d->evil, "/keys", "200 OK", TYPE(SET_TYPE), scene_key_set(evil));
    serve(d, &d->server, DISCOVERY_PATH, "200 OK", TYPE(SET_TYPE),
          scene_text("{\"issuer\":%s,\"jwks_uri\":\"%s/keys\"}", d->iss, d->evil.origin));
    try_key(d, "a discovery document that names the attacker's host", NULL,
            token_by(d, evil, NULL));

    serve(d, &d->server, "/keys", "200 OK", TYPE(SET_TYPE), scene_key_set(evil));
    serve(d, &d->server, DISCOVERY_PATH, "200 OK", TYPE(SET_TYPE),
          scene_text("{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\"}", d->evil.origin,
                     d->server.origin));
    try_key(d, "a discovery document of another issuer", NULL, token_by(d, evil, NULL));
}

static char *
set_of_two(const struct scene_key *a, const struct scene_key *b, const char *kid_of_b)
{
    AUTO(mem) char *one = scene_b64u(a->public_key.bytes, ED25519_PUBLIC_LEN);
    AUTO(mem) char *two = scene_b64u(b->public_key.bytes, ED25519_PUBLIC_LEN);
#define KEY "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\",\"x\":\"%s\"}"
    return one && two ? scene_text("{\"keys\":[" KEY "," KEY "]}", a->kid, one, kid_of_b, two)
                      : NULL;
}

/* Documents in which the attacker's key is there for some reader. */
static void
try_documents(struct door *d)
{
    const struct scene_key *evil = &d->s.attacker, *good = &d->s.provider;
    AUTO(mem) char *as_issuer = scene_header(good);
    AUTO(mem) char *set = scene_key_set(evil);
    AUTO(mem) char *right = scene_key_set(good);
    if (!as_issuer || !set || !right)
        return;
    serve_set(d, set_of_two(good, evil, good->kid));
    try_key(d, "two keys under the issuer's kid", NULL, token_by(d, evil, as_issuer));
    serve_set(d, scene_text("{\"keys\":[],%s", set + 1));
    try_key(d, "two lists of keys", NULL, token_by(d, evil, NULL));
    serve_set(d, scene_text("%s%s", right, set));
    try_key(d, "two documents", NULL, token_by(d, evil, NULL));
    serve_set(d, scene_text("%.*s,\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"}]}",
                            (int)strlen(set) - 3, set));
    try_key(d, "a key with its private half", NULL, token_by(d, evil, NULL));
    serve_set(d, scene_text("%s%70000s", set, " "));
    try_key(d, "a document that does not end", NULL, token_by(d, evil, NULL));
    serve_set(d, scene_text("\xef\xbb\xbf%s", set));
    try_key(d, "a byte order mark", NULL, token_by(d, evil, NULL));
    AUTO(mem)
    char *cut = scene_text("HTTP/1.1 200 OK\r\n" TYPE(SET_TYPE) "Content-Length: 9999\r\n"
                                                                "Connection: close\r\n\r\n%s",
                           set);
    if (cut && attack_server_says(&d->server, JWKS_PATH, cut, strlen(cut)))
        try_key(d, "an answer that was cut", NULL, token_by(d, evil, NULL));
}

/* A set that the issuer signed, or seems to have; good is in it, with what else is given. */
static char *
signed_set(const struct door *d, const struct scene_key *root, const char *header, const char *iss,
           int64_t iat_s, const struct scene_key *key, const char *revoked)
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
    (void)d;
    return payload && usual ? scene_sign(root, header ? header : usual, payload) : NULL;
}

static void
try_signed(struct door *d, const char *name, char *set)
{
    serve(d, &d->server, SIGNED_JWKS_PATH, "200 OK", TYPE(SIGNED_TYPE), set);
    try_key(d, name, &d->s.enterprise, token_by(d, &d->s.attacker, NULL));
}

/* The root is pinned: nobody between may say anything. */
static void
try_pinned(struct door *d)
{
    const struct scene_key *root = &d->s.enterprise, *evil = &d->s.attacker;
    int64_t now_s = scene_now_s(&d->s);
    AUTO(mem)
    char *as_root =
        scene_text("{\"alg\":\"EdDSA\",\"typ\":\"jwk-set+jwt\",\"kid\":\"%s\"}", root->kid);
    AUTO(mem)
    char *as_token = scene_text("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}", root->kid);
    if (!as_root || !as_token)
        return;
    serve(d, &d->server, SIGNED_JWKS_PATH, "200 OK", TYPE(SIGNED_TYPE),
          signed_set(d, root, NULL, d->iss, now_s, &d->s.provider, ""));
    if (!door_control(d, root))
        return;
    serve_set(d, scene_key_set(evil));
    try_key(d, "root pinned: a set that nobody signed", root, token_by(d, evil, NULL));
    try_signed(d, "root pinned: the attacker signed the set",
               signed_set(d, evil, NULL, d->iss, now_s, evil, ""));
    try_signed(d, "root pinned: the attacker signed under the root's kid",
               signed_set(d, evil, as_root, d->iss, now_s, evil, ""));
    try_signed(d, "root pinned: a set of another issuer",
               signed_set(d, root, NULL, "\"https://evil.example\"", now_s, evil, ""));
    try_signed(d, "root pinned: a set that has ended",
               signed_set(d, root, NULL, d->iss, now_s - 7200, evil, ""));
    try_signed(d, "root pinned: a set of the future",
               signed_set(d, root, NULL, d->iss, now_s + 7200, evil, ""));
    try_signed(d, "root pinned: a token that is no set",
               signed_set(d, root, as_token, d->iss, now_s, evil, ""));
}

/* A revocation that somebody would undo by what was served before it. */
static void
try_rollback(struct door *d)
{
    const struct scene_key *root = &d->s.enterprise, *good = &d->s.provider;
    int64_t now_s = scene_now_s(&d->s);
    struct attest_error err = {0};
    AUTO(mem)
    char *row = scene_text("{\"kid\":\"%s\",\"revoked_at\":%lld,\"reason\":\"stolen\"}", good->kid,
                           (long long)now_s);
    AUTO(mem) char *before = signed_set(d, root, NULL, d->iss, now_s - 60, good, "");
    AUTO(mem) char *after = row ? signed_set(d, root, NULL, d->iss, now_s, &d->s.agent, row) : NULL;
    AUTO(mem) char *same = signed_set(d, root, NULL, d->iss, now_s, good, "");
    if (!before || !after || !same || !start_over(d, root, 0))
        return;
    struct attest_keys *keys = d->s.keys;
    const char *issuer = d->server.origin;
    if (!attack_ready(d->s.run, "key set",
                      attest_keys_add_signed(keys, issuer, before, strlen(before), now_s, &err),
                      &err) ||
        !scene_control(&d->s, token_by(d, good, NULL)) ||
        !attack_ready(d->s.run, "key set",
                      attest_keys_add_signed(keys, issuer, after, strlen(after), now_s, &err),
                      &err))
        return;
    scene_try(&d->s, "a token of a key that was revoked", ATTEST_E_KEY_REVOKED,
              token_by(d, good, NULL));
    attack_tried(d->s.run, "the set from before the revocation", ATTEST_E_REPLAY,
                 attest_keys_add_signed(keys, issuer, before, strlen(before), now_s, NULL));
    attack_tried(d->s.run, "a set of the same second without the revocation", ATTEST_E_REPLAY,
                 attest_keys_add_signed(keys, issuer, same, strlen(same), now_s, NULL));
    scene_try(&d->s, "a token of that key after both", ATTEST_E_KEY_REVOKED,
              token_by(d, good, NULL));
}

static void
key_set_poisoning(struct attack_run *run)
{
    struct door d;
    if (door_open(&d, run) && serve_set(&d, scene_key_set(&d.s.provider)) &&
        door_control(&d, NULL)) {
        try_answers(&d);
        try_elsewhere(&d);
        try_documents(&d);
        try_pinned(&d);
        try_rollback(&d);
    }
    door_close(&d);
}

/* ---- floods and races ---- */

static void
step(struct door *d, int wait_ms)
{
    struct pollfd fd = {.fd = attest_verifier_fd(d->s.verifier), .events = POLLIN};
    int ms = attest_verifier_timeout_ms(d->s.verifier);
    poll(&fd, 1, ms < 0 || ms > wait_ms ? wait_ms : ms);
    attest_verifier_step(d->s.verifier);
}

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
        AUTO(mem) char *token = header ? token_by(d, &d->s.attacker, header) : NULL;
        AUTO(mem) char *known = i % FLOOD_HONEST == 0 ? token_by(d, &d->s.provider, NULL) : NULL;
        last = token ? scene_check(&d->s, token, NULL) : ATTEST_E_NOMEM;
        through |= last == ATTEST_OK;
        if (known && honest == ATTEST_OK)
            honest = scene_check(&d->s, known, NULL);
        /* The first has the set fetched; give that time to be over, and then none. */
        step(d, last == ATTEST_E_KEY_FETCH ? 20 : 0);
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
    if (door_open(&d, run) && serve_set(&d, scene_key_set(&d.s.provider)) &&
        start_over(&d, NULL, PATIENCE_MS) && scene_control(&d.s, token_by(&d, &d.s.provider, NULL)))
        flood(&d);
    door_close(&d);
}

static void
cold_start_race(struct attack_run *run)
{
    struct door d;
    struct attest_error err = {0};
    if (door_open(&d, run) && serve_set(&d, scene_key_set(&d.s.provider)) &&
        start_over(&d, NULL, PATIENCE_MS) &&
        attack_ready(run, "thread", attest_verifier_start_thread(d.s.verifier, &err), &err)) {
        AUTO(mem) char *token = token_by(&d, &d.s.provider, NULL);
        struct crowd crowd = {0};
        if (token)
            crowd = crowd_show(&d.s, token);
        attack_ready(run, "threads", crowd.shown == CROWD ? ATTEST_OK : ATTEST_E_NOMEM, NULL);
        attack_held(run, "shown sixteen times at once, before there is a key", ATTEST_E_REPLAY,
                    crowd.accepted == 1 && crowd.replayed == CROWD - 1);
        attack_held(run, "more than one fetch for all of them", ATTEST_E_KEY_FETCH,
                    atomic_load(&d.server.asked) == 1);
    }
    if (run->broken == ATTEST_OK && start_over(&d, NULL, 0))
        scene_try(&d.s, "before the first key set is there", ATTEST_E_KEY_FETCH,
                  token_by(&d, &d.s.attacker, NULL));
    if (run->broken == ATTEST_OK && attack_server_says(&d.server, JWKS_PATH, NULL, 0) &&
        start_over(&d, NULL, 200))
        scene_try(&d.s, "while the issuer does not answer", ATTEST_E_KEY_FETCH,
                  token_by(&d, &d.s.attacker, NULL));
    door_close(&d);
}

const struct attack attacks_on_keys[] = {
    {"key_set_poisoning",
     "a key that its issuer does not publish does not get in, nor a revoked one back",
     key_set_poisoning},
    {"unknown_kid_flood", "kids that nobody knows cost one fetch, and no one else anything",
     unknown_kid_flood},
    {"cold_start_race", "who comes before the keys waits or is put off, and is let in once",
     cold_start_race},
    {NULL, NULL, NULL},
};
