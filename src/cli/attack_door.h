/* SPDX-License-Identifier: MIT */
#ifndef CLI_ATTACK_DOOR_H
#define CLI_ATTACK_DOOR_H

#include "cli/attack_scene.h"
#include "cli/attack_server.h"
#include "cli/verify_keys.h"

/*
 * A verifier that fetches the keys of its one issuer, which is a server in this process; and a
 * server of the attacker's. Of the scene that it has, `provider` is the issuer's key, `enterprise`
 * its root, where it has one.
 */

#define DOOR_PATIENCE_MS 10000 /* for what is about to happen; longer is a failure */

#define DISCOVERY_PATH "/.well-known/openid-configuration"
#define SET_TYPE "application/json"
#define SIGNED_TYPE "application/jwk-set+jwt"
#define DOOR_TYPE(type) "Content-Type: " type "\r\n"

struct door {
    struct scene s;
    struct attack_server server, evil;
    bool served;
    char iss[48]; /* as JSON */
};

/* False: the run has been told why. There is no verifier yet. door_close() is called either way. */
bool door_open(struct door *d, struct attack_run *run);
void door_close(struct door *d);

/* A new verifier that knows nothing yet, with this root pinned unless it is NULL. */
bool door_start(struct door *d, const struct scene_key *root, int64_t wait_ms);
/* The same, and what is served now lets the issuer's own token through; then nothing is served. */
bool door_control(struct door *d, const struct scene_key *root);
/* Has the verifier fetch once more and waits until that has ended, well or not. */
bool door_refresh(struct door *d);
/* How many of its fetches have ended, well or not. */
uint64_t door_fetches(const struct door *d);
/* Steps the verifier, after waiting at most so long for something to do. */
void door_step(struct door *d, int wait_ms);

/* A right token of the issuer by this key, as scene_token() makes it. */
char *door_token(const struct door *d, const struct scene_key *key, const char *header);

/* From now on this is the answer. body is freed; NULL is no memory. */
bool door_serve(struct door *d, struct attack_server *server, const char *path, const char *status,
                const char *headers, char *body);
bool door_serve_set(struct door *d, char *set);
/*
 * A set that the issuer signed, or seems to have: key is in it, and what else is given. header NULL
 * is the usual one; iss and the list of those revoked are JSON.
 */
char *door_signed_set(const struct scene_key *root, const char *header, const char *iss,
                      int64_t iat_s, const struct scene_key *key, const char *revoked);
bool door_serve_signed(struct door *d, char *set);

#endif
