/* SPDX-License-Identifier: MIT */
#ifndef CLI_ATTACK_SCENE_H
#define CLI_ATTACK_SCENE_H

#include "cli/attack.h"

#include "jwks/jwk.h"

/*
 * What an attack takes place in: a verifier that trusts two issuers, a provider and an enterprise,
 * with keys that were made for this run; an attacker with a key of his own; and an agent with one.
 *
 * Texts that are returned are the caller's to free, and NULL when there is no memory, or when
 * something was asked for that has no room; whoever takes one takes NULL too and says so.
 */

#define SCENE_AUDIENCE "https://mcp.example.com"
#define SCENE_PROVIDER "https://ai.example.com"
#define SCENE_ENTERPRISE "https://agents.example.net"

struct scene_key {
    struct secret seed;
    struct pubkey public_key;
    char kid[JWK_THUMBPRINT_LEN + 1];
};

void scene_key_init(struct scene_key *key);
void scene_key_done(struct scene_key *key);
/* A key set with this key alone, and the key as `cnf` has it. */
char *scene_key_set(const struct scene_key *key);
char *scene_cnf(const struct scene_key *key);
char *scene_jwk(const struct scene_key *key);

struct scene {
    struct attack_run *run;
    struct scene_key provider, enterprise, attacker, agent;
    struct attest_keys *keys;
    struct attest_policy *policy;
    struct attest_replay *replay;
    struct attest_verifier *verifier;
    char *(*honest)(struct scene *s);
    int64_t clock_s; /* 0: the system's; else the time that it is, for tokens and verifier */
};

struct scene_wish {
    /* What the policy demands besides; NULL: nothing. */
    enum attest_rc (*policy)(struct attest_policy *policy, struct attest_error *err);
    /* A token that this verifier takes; NULL: an unbound one of the provider. */
    char *(*honest)(struct scene *s);
    bool own_clock;
};

/*
 * Makes it and shows it something honest; wish may be NULL. False: the run has been told why
 * nothing can be said. scene_close() is called either way, and shows it something honest again.
 */
bool scene_open(struct scene *s, struct attack_run *run, const struct scene_wish *wish);
void scene_close(struct scene *s);

/* ---- tokens ---- */

/* Seconds since the epoch, and UUIDs, as JSON has them: "\"…\"". */
int64_t scene_now_s(const struct scene *s);

/*
 * The payload of a right token, issued now for 300 s: of the enterprise if key is its, else of the
 * provider. Then pairs of a name and a JSON text, each in the place of the member of that name or
 * behind the others, "" to leave it out; NULL at the end.
 */
char *scene_payload(const struct scene *s, const struct scene_key *key, ...)
    __attribute__((sentinel));
/* {"alg":"EdDSA","typ":"JWT","kid":…} */
char *scene_header(const struct scene_key *key);
/* Compact JWS of these bytes; header NULL is the usual one. */
char *scene_sign(const struct scene_key *key, const char *header, const char *payload);
/* One of what is there and a signature of any length; NULL: the usual header. */
char *scene_join(const struct scene_key *key, const char *header, const char *payload,
                 const void *signature, size_t signature_len);
/* scene_payload() and scene_sign() in one. */
char *scene_token(const struct scene *s, const struct scene_key *key, const char *header, ...)
    __attribute__((sentinel));
/* printf() into a text. */
char *scene_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Bytes in base64url. */
char *scene_b64u(const void *p, size_t len);

/* A token of the provider bound to the agent's key, and a proof for it by any key. */
char *scene_bound(const struct scene *s);
char *scene_proof(const struct scene *s, const struct scene_key *key, const char *header,
                  const char *token, const char *name, const char *json);

/* ---- trying ---- */

/* What a server gets told: ATTEST_OK lets the caller in. proof may be NULL. */
enum attest_rc scene_check(const struct scene *s, const char *token, const char *proof);
/* The same as a try; token is freed. */
void scene_try(struct scene *s, const char *name, enum attest_rc expected, char *token);
/* With a proof; both are freed. */
void scene_try_proof(struct scene *s, const char *name, enum attest_rc expected, char *token,
                     char *proof);

/* A token, and the same as somebody changed it on the way, under the signature that it had. */
struct scene_altered {
    char *right, *wrong;
};

static inline void
scene_altered_auto(struct scene_altered *a)
{
    free(a->right);
    free(a->wrong);
}

/*
 * A name, what the member was as JSON ("": not there; SCENE_AS_USUAL: as a right token has it) and
 * what it became; NULL at the end. False: no memory. To be given up either way.
 */
#define SCENE_AS_USUAL "?"
bool scene_alter(const struct scene *s, const struct scene_key *key, struct scene_altered *ret, ...)
    __attribute__((sentinel));
/* Tries what it became; as it was it must get this verdict, or the run says nothing. */
void scene_try_altered(struct scene *s, const char *name, enum attest_rc unaltered,
                       const struct scene_key *key, ...) __attribute__((sentinel));

/* This must be let through, or the run says nothing; token is freed. */
bool scene_control(struct scene *s, char *token);

#endif
