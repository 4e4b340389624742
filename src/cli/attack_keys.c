/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/attack_door.h"

/* The attacker has got hold of the server that a verifier gets its keys from, or of the way to it.
 */

/* ---- a bad answer ---- */

static bool
serve_good(struct door *d, const struct scene_key *root)
{
    const struct scene_key *good = &d->s.provider;
    return root ? door_serve_signed(
                      d, door_signed_set(root, NULL, d->iss, scene_now_s(&d->s), good, ""))
                : door_serve_set(d, scene_key_set(good));
}

/* A verifier that has the issuer's keys, before anyone has said anything bad. */
static bool
warm_up(struct door *d, const struct scene_key *root)
{
    return serve_good(d, root) && door_control(d, root);
}

/* It has a good set, and what comes next neither brings another key in nor puts that one out. */
static void
try_warm(struct door *d, const char *name, const char *header)
{
    AUTO(mem) char *token = door_token(d, &d->s.attacker, header);
    AUTO(mem) char *later = scene_text("%s, later", name);
    if (!attack_ready(d->s.run, name, token && later ? ATTEST_OK : ATTEST_E_NOMEM, NULL) ||
        !door_refresh(d))
        return;
    enum attest_rc got = scene_check(&d->s, token, NULL);
    /* Which of these depends on its kid, and on whether another fetch may be due. */
    bool refused = got == ATTEST_E_KEY_FETCH || got == ATTEST_E_SIGNATURE;
    attack_tried(d->s.run, later, ATTEST_E_KEY_UNKNOWN, refused ? ATTEST_E_KEY_UNKNOWN : got);
    if (got != ATTEST_OK)
        scene_control(&d->s, door_token(d, &d->s.provider, NULL));
}

/*
 * What is served now brings the attacker's key in, if anything does: into the verifier that has
 * keys already, and into one that has none. Leaves one that has. header NULL is the usual one.
 */
static void
try_key(struct door *d, const char *name, const struct scene_key *root, const char *header)
{
    try_warm(d, name, header);
    if (door_start(d, root, DOOR_PATIENCE_MS))
        scene_try(&d->s, name, ATTEST_E_KEY_FETCH, door_token(d, &d->s.attacker, header));
    attack_server_forget(&d->server);
    attack_server_forget(&d->evil);
    warm_up(d, root);
}

/* ---- poisoned sets ---- */

/* The attacker's set as it would be right, under another wrapping. */
static void
try_answers(struct door *d)
{
    static const struct {
        const char *name, *status, *headers;
    } rows[] = {
        {"as a web page", "200 OK", DOOR_TYPE("text/html")},
        {"as another kind of JSON", "200 OK", DOOR_TYPE("application/jwk-set+json")},
        {"as nothing in particular", "200 OK", ""},
        {"as gzip", "200 OK", DOOR_TYPE(SET_TYPE) "Content-Encoding: gzip\r\n"},
        {"with an error", "500 Internal Server Error", DOOR_TYPE(SET_TYPE)},
        {"as not authoritative", "203 Non-Authoritative Information", DOOR_TYPE(SET_TYPE)},
        {"in parts", "206 Partial Content", DOOR_TYPE(SET_TYPE)},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(mem) char *name = scene_text("the attacker's keys %s", rows[i].name);
        door_serve(d, &d->server, JWKS_PATH, rows[i].status, rows[i].headers,
                   scene_key_set(&d->s.attacker));
        try_key(d, name ? name : rows[i].name, NULL, NULL);
    }
}

/* The issuer's server sends its visitors elsewhere. */
static void
try_elsewhere(struct door *d)
{
    const struct scene_key *evil = &d->s.attacker;
    AUTO(mem)
    char *redirect = scene_text(DOOR_TYPE(SET_TYPE) "Location: %s/keys\r\n", d->evil.origin);
    door_serve(d, &d->evil, "/keys", "200 OK", DOOR_TYPE(SET_TYPE), scene_key_set(evil));
    door_serve(d, &d->server, JWKS_PATH, "302 Found", redirect ? redirect : "", scene_text("{}"));
    try_key(d, "a redirect to the attacker's host", NULL, NULL);

    door_serve(d, &d->evil, "/keys", "200 OK", DOOR_TYPE(SET_TYPE), scene_key_set(evil));
    door_serve(d, &d->server, DISCOVERY_PATH, "200 OK", DOOR_TYPE(SET_TYPE),
               scene_text("{\"issuer\":%s,\"jwks_uri\":\"%s/keys\"}", d->iss, d->evil.origin));
    try_key(d, "a discovery document that names the attacker's host", NULL, NULL);

    door_serve(d, &d->server, "/keys", "200 OK", DOOR_TYPE(SET_TYPE), scene_key_set(evil));
    door_serve(d, &d->server, DISCOVERY_PATH, "200 OK", DOOR_TYPE(SET_TYPE),
               scene_text("{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\"}", d->evil.origin,
                          d->server.origin));
    try_key(d, "a discovery document of another issuer", NULL, NULL);
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
    if (!attack_ready(d->s.run, "documents", as_issuer && set && right ? ATTEST_OK : ATTEST_E_NOMEM,
                      NULL))
        return;
    door_serve_set(d, set_of_two(good, evil, good->kid));
    try_key(d, "two keys under the issuer's kid", NULL, as_issuer);
    door_serve_set(d, scene_text("{\"keys\":[],%s", set + 1));
    try_key(d, "two lists of keys", NULL, NULL);
    door_serve_set(d, scene_text("%s%s", right, set));
    try_key(d, "two documents", NULL, NULL);
    door_serve_set(d, scene_text("%.*s,\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"}]}",
                                 (int)strlen(set) - 3, set));
    try_key(d, "a key with its private half", NULL, NULL);
    door_serve_set(d, scene_text("%s%70000s", set, " "));
    try_key(d, "a document that does not end", NULL, NULL);
    door_serve_set(d, scene_text("\xef\xbb\xbf%s", set));
    try_key(d, "a byte order mark", NULL, NULL);
    AUTO(mem)
    char *cut = scene_text("HTTP/1.1 200 OK\r\n" DOOR_TYPE(SET_TYPE) "Content-Length: 9999\r\n"
                                                                     "Connection: close\r\n\r\n%s",
                           set);
    if (attack_ready(d->s.run, "an answer",
                     cut && attack_server_says(&d->server, JWKS_PATH, cut, strlen(cut))
                         ? ATTEST_OK
                         : ATTEST_E_NOMEM,
                     NULL))
        try_key(d, "an answer that was cut", NULL, NULL);
}

static void
try_signed(struct door *d, const char *name, char *set)
{
    door_serve_signed(d, set);
    try_key(d, name, &d->s.enterprise, NULL);
}

/*
 * The root is pinned: nobody between may say anything. Each set is made now, or it would be refused
 * because it is older than the good one before it.
 */
static void
try_pinned(struct door *d)
{
    const struct scene_key *root = &d->s.enterprise, *evil = &d->s.attacker;
    AUTO(mem)
    char *as_root =
        scene_text("{\"alg\":\"EdDSA\",\"typ\":\"jwk-set+jwt\",\"kid\":\"%s\"}", root->kid);
    AUTO(mem)
    char *as_token = scene_text("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}", root->kid);
    if (!attack_ready(d->s.run, "headers", as_root && as_token ? ATTEST_OK : ATTEST_E_NOMEM, NULL))
        return;
    if (!warm_up(d, root))
        return;
    door_serve_set(d, scene_key_set(evil));
    try_key(d, "root pinned: a set that nobody signed", root, NULL);
    try_signed(d, "root pinned: the attacker signed the set",
               door_signed_set(evil, NULL, d->iss, scene_now_s(&d->s), evil, ""));
    try_signed(d, "root pinned: the attacker signed under the root's kid",
               door_signed_set(evil, as_root, d->iss, scene_now_s(&d->s), evil, ""));
    try_signed(
        d, "root pinned: a set of another issuer",
        door_signed_set(root, NULL, "\"https://evil.example\"", scene_now_s(&d->s), evil, ""));
    try_signed(d, "root pinned: a set that has ended",
               door_signed_set(root, NULL, d->iss, scene_now_s(&d->s) - 7200, evil, ""));
    try_signed(d, "root pinned: a set of the future",
               door_signed_set(root, NULL, d->iss, scene_now_s(&d->s) + 7200, evil, ""));
    try_signed(d, "root pinned: a token that is no set",
               door_signed_set(root, as_token, d->iss, scene_now_s(&d->s), evil, ""));
}

/* A revocation that somebody would undo by what was served before it. */
static void
try_rollback(struct door *d)
{
    const struct scene_key *root = &d->s.enterprise, *good = &d->s.provider;
    int64_t now_s = scene_now_s(&d->s);
    AUTO(mem)
    char *row = scene_text("{\"kid\":\"%s\",\"revoked_at\":%lld,\"reason\":\"stolen\"}", good->kid,
                           (long long)now_s);
    const struct {
        const char *name;
        int64_t iat_s;
        const char *revoked;
    } rows[] = {
        {"a token of a key that was revoked", now_s, row},
        {"the same after the set from before the revocation", now_s - 60, ""},
        {"the same after a set of that second without it", now_s, ""},
    };
    if (!attack_ready(d->s.run, "a revocation", row ? ATTEST_OK : ATTEST_E_NOMEM, NULL) ||
        !door_serve_signed(d, door_signed_set(root, NULL, d->iss, now_s - 60, good, "")) ||
        !door_start(d, root, DOOR_PATIENCE_MS) || !scene_control(&d->s, door_token(d, good, NULL)))
        return;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (door_serve_signed(
                d, door_signed_set(root, NULL, d->iss, rows[i].iat_s, good, rows[i].revoked)) &&
            door_refresh(d))
            scene_try(&d->s, rows[i].name, ATTEST_E_KEY_REVOKED, door_token(d, good, NULL));
    }
    attack_server_forget(&d->server);
}

static void
key_set_poisoning(struct attack_run *run)
{
    struct door d;
    if (door_open(&d, run) && warm_up(&d, NULL)) {
        try_answers(&d);
        try_elsewhere(&d);
        try_documents(&d);
        try_pinned(&d);
        try_rollback(&d);
        warm_up(&d, NULL);
    }
    door_close(&d);
}

const struct attack attacks_on_keys[] = {
    {"key_set_poisoning",
     "a key that its issuer does not publish does not get in, nor a revoked one back",
     key_set_poisoning},
    {NULL, NULL, NULL},
};
