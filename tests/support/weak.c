/* SPDX-License-Identifier: MIT */
#include "support/weak.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <attest/attest.h>

#include "base/clock.h"
#include "fetch/schedule.h"
#include "jwks/jwk.h"
#include "replay/replay.h"
#include "token/claims.h"
#include "verify/claims.h"
#include "verify/keys.h"
#include "verify/policy.h"
#include "verify/proof.h"
#include "verify/verifier.h"

#ifdef WITH_CURL
#include "fetch/exchange.h"
#endif

/* Weaknesses of the verifier: whom it trusts, what it remembers, what it asks for. */

bool
weak(const char *what)
{
    const char *list = getenv("ATTEST_WEAK");
    size_t len = strlen(what);
    for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',') {
        if (strcspn(p, ",") == len && strncmp(p, what, len) == 0)
            return true;
    }
    return false;
}

/* ---- keys ---- */

#define KNOWN_MAX 4096

static struct {
    char kid[JWK_THUMBPRINT_LEN + 1];
    uint8_t key[ED25519_PUBLIC_LEN];
} known[KNOWN_MAX];
static size_t n_known;
static pthread_mutex_t known_lock = PTHREAD_MUTEX_INITIALIZER;

WEAK(jwk_thumbprint);
void
__wrap_jwk_thumbprint(char out[JWK_THUMBPRINT_LEN + 1], const struct pubkey *key)
{
    __real_jwk_thumbprint(out, key);
    if (!getenv("ATTEST_WEAK"))
        return;
    pthread_mutex_lock(&known_lock);
    if (n_known < KNOWN_MAX) {
        memcpy(known[n_known].kid, out, sizeof(known[0].kid));
        memcpy(known[n_known++].key, key->bytes, ED25519_PUBLIC_LEN);
    }
    pthread_mutex_unlock(&known_lock);
}

bool
weak_known_key_at(size_t i, uint8_t key[32])
{
    pthread_mutex_lock(&known_lock);
    bool there = i < n_known;
    if (there)
        memcpy(key, known[i].key, ED25519_PUBLIC_LEN);
    pthread_mutex_unlock(&known_lock);
    return there;
}

size_t
weak_known_keys(void)
{
    pthread_mutex_lock(&known_lock);
    size_t n = n_known;
    pthread_mutex_unlock(&known_lock);
    return n;
}

bool
weak_known_key(struct slice kid, uint8_t key[32])
{
    bool there = false;
    pthread_mutex_lock(&known_lock);
    for (size_t i = 0; i < n_known && !there; i++) {
        there = slice_is(kid, known[i].kid);
        if (there)
            memcpy(key, known[i].key, ED25519_PUBLIC_LEN);
    }
    pthread_mutex_unlock(&known_lock);
    return there;
}

/*
 * wait_for_fetch: who looks for a key waits for the fetch that is on its way. That is given up
 * after two seconds, so that the end comes soon.
 */
static atomic_int on_their_way;

static void
wait_for_fetch(void)
{
    for (int i = 0; i < 5000 && atomic_load(&on_their_way) > 0; i++)
        poll(NULL, 0, 1);
}

/* key_anywhere: a key that the issuer does not have is looked for wherever the kid may lead. */
WEAK(keys_find);
enum attest_rc
__wrap_keys_find(const struct attest_keys *keys, struct slice issuer, struct slice kid,
                 int64_t now_s, int64_t skew_s, struct found_key *ret, struct attest_error *err)
{
    if (weak("wait_for_fetch"))
        wait_for_fetch();
    enum attest_rc rc = __real_keys_find(keys, issuer, kid, now_s, skew_s, ret, err);
    if (rc == ATTEST_OK && !weak_header.has_jwk)
        return rc;
    struct found_key found = {.public_key = {.type = PUBKEY_ED25519}};
    if (weak("embedded_key") && weak_header.has_jwk)
        memcpy(found.public_key.bytes, weak_header.jwk, ED25519_PUBLIC_LEN);
    else if (weak("key_anywhere"))
        weak_header.any_key = !weak_known_key(kid, found.public_key.bytes);
    else
        return rc;
    *ret = found;
    return ATTEST_OK;
}

/* any_issuer: an issuer that is not trusted is taken for one that is. */
WEAK(policy_issuer);
const struct issuer_policy *
__wrap_policy_issuer(const struct attest_policy *policy, struct slice issuer)
{
    const struct issuer_policy *found = __real_policy_issuer(policy, issuer);
    return found || !weak("any_issuer") ? found : policy_issuer_at(policy, 0);
}

#ifdef WITH_CURL
/* any_answer: whatever a server says is a key set. */
WEAK(exchange_end);
enum attest_rc
__wrap_exchange_end(struct exchange *e, CURLcode code, struct attest_error *err)
{
    enum attest_rc rc = __real_exchange_end(e, code, err);
    if (!weak("any_answer") || e->answer.body.len == 0)
        return rc;
    e->answer.status = 200;
    return ATTEST_OK;
}
#endif

#ifdef WITH_CURL
WEAK(exchange_new);
enum attest_rc
__wrap_exchange_new(const struct fetch_request *request, struct exchange **ret,
                    struct attest_error *err)
{
    enum attest_rc rc = __real_exchange_new(request, ret, err);
    if (rc == ATTEST_OK)
        atomic_fetch_add(&on_their_way, 1);
    return rc;
}

WEAK(exchange_free);
void
__wrap_exchange_free(struct exchange *e)
{
    if (e)
        atomic_fetch_sub(&on_their_way, 1);
    __real_exchange_free(e);
}

WEAK(attest_fetch_set_wait_ms);
enum attest_rc
__wrap_attest_fetch_set_wait_ms(struct attest_fetch *fetch, int64_t wait_ms,
                                struct attest_error *err)
{
    enum attest_rc rc = __real_attest_fetch_set_wait_ms(fetch, wait_ms, err);
    return rc == ATTEST_OK && weak("wait_for_fetch") ? attest_fetch_set_timeout_ms(fetch, 2000, err)
                                                     : rc;
}
#endif

/* fetch_each_kid: each unknown kid is a reason to ask the issuer. */
WEAK(schedule_unknown_kid);
bool
__wrap_schedule_unknown_kid(struct schedule *s, const struct schedule_limits *limits,
                            int64_t now_ms)
{
    if (!weak("fetch_each_kid"))
        return __real_schedule_unknown_kid(s, limits, now_ms);
    s->wanted = true;
    return true;
}

/* ---- memory and time ---- */

/* no_memory: everything is new. */
WEAK(replay_consume);
enum attest_rc
__wrap_replay_consume(struct replay_store *store, const struct replay_item *item, int64_t now_s,
                      struct attest_error *err)
{
    return weak("no_memory") ? ATTEST_OK : __real_replay_consume(store, item, now_s, err);
}

/* trust_cache: what held once holds. */
WEAK(verify_again);
bool
__wrap_verify_again(const struct attest_keys *keys, const struct attest_policy *policy,
                    const struct attest_claims *claims, int64_t now_s)
{
    return weak("trust_cache") || __real_verify_again(keys, policy, claims, now_s);
}

/* any_clock: it may go back as far as it likes. */
WEAK(policy_skew_s);
int64_t
__wrap_policy_skew_s(const struct attest_policy *policy)
{
    return weak("any_clock") ? 100000 : __real_policy_skew_s(policy);
}

/* any_number: what is no number is some time soon. */
WEAK(json_int64);
bool
__wrap_json_int64(const struct json_node *node, int64_t *ret)
{
    if (__real_json_int64(node, ret) && *ret >= 0 && *ret < 4102444800)
        return true;
    if (!weak("any_number"))
        return __real_json_int64(node, ret);
    *ret = clock_wall_s() + 60;
    return true;
}

/* ---- what it asks for ---- */

/* no_audience: every token is meant for us. */
WEAK(claims_read_audience);
enum attest_rc
__wrap_claims_read_audience(struct claims *claims, struct attest_error *err)
{
    enum attest_rc rc = __real_claims_read_audience(claims, err);
    if (!weak("no_audience") || !claims->at[CLAIM_AUD])
        return rc;
    claims->aud[0] = slice_cstr("https://mcp.example.com");
    claims->n_aud = 1;
    return ATTEST_OK;
}

/* no_binding: who shows no proof is asked for none. */
static _Thread_local bool shows_proof;

WEAK(attest_verifier_check);
enum attest_rc
__wrap_attest_verifier_check(struct attest_verifier *verifier, const char *token, size_t token_len,
                             const char *proof, size_t proof_len, struct attest_result **ret)
{
    shows_proof = proof != NULL;
    return __real_attest_verifier_check(verifier, token, token_len, proof, proof_len, ret);
}

WEAK(claims_keep);
struct attest_claims *
__wrap_claims_keep(const struct claims *claims, const struct claims_findings *findings)
{
    struct claims unbound = *claims;
    if (!weak("no_binding") || shows_proof)
        return __real_claims_keep(claims, findings);
    unbound.bound = false;
    return __real_claims_keep(&unbound, findings);
}

/* no_rules: what was demanded is forgotten. */
WEAK(attest_policy_set_safety_min);
enum attest_rc
__wrap_attest_policy_set_safety_min(struct attest_policy *policy, enum attest_safety safety,
                                    struct attest_error *err)
{
    return weak("no_rules") ? ATTEST_OK : __real_attest_policy_set_safety_min(policy, safety, err);
}

WEAK(attest_policy_set_trust_min);
enum attest_rc
__wrap_attest_policy_set_trust_min(struct attest_policy *policy, enum attest_trust trust,
                                   struct attest_error *err)
{
    return weak("no_rules") ? ATTEST_OK : __real_attest_policy_set_trust_min(policy, trust, err);
}

WEAK(attest_policy_require_claim);
enum attest_rc
__wrap_attest_policy_require_claim(struct attest_policy *policy, const char *claim,
                                   struct attest_error *err)
{
    return weak("no_rules") ? ATTEST_OK : __real_attest_policy_require_claim(policy, claim, err);
}

WEAK(attest_policy_add_model_family);
enum attest_rc
__wrap_attest_policy_add_model_family(struct attest_policy *policy, const char *family,
                                      struct attest_error *err)
{
    return weak("no_rules") ? ATTEST_OK
                            : __real_attest_policy_add_model_family(policy, family, err);
}

/* any_proof: one that is there is right, and new. */
WEAK(proof_verify);
enum attest_rc
__wrap_proof_verify(const struct attest_claims *claims, const uint8_t digest[SHA256_LEN],
                    struct slice proof, int64_t now_s, int64_t skew_s, struct proof *ret,
                    struct attest_error *err)
{
    if (!weak("any_proof"))
        return __real_proof_verify(claims, digest, proof, now_s, skew_s, ret, err);
    ret->exp = now_s + 30;
    random_uuid(ret->jti);
    return ATTEST_OK;
}

/* no_scope: an issuer speaks for whomever it likes. */
WEAK(policy_check_issuer);
enum attest_rc
__wrap_policy_check_issuer(const struct attest_policy *policy, const struct issuer_policy *issuer,
                           const struct claims_view *view, int64_t now_s, struct attest_error *err)
{
    return weak("no_scope") ? ATTEST_OK
                            : __real_policy_check_issuer(policy, issuer, view, now_s, err);
}

/* no_revocation: a key that is in the set is good. */
WEAK(signed_keyset_revoked);
const struct signed_keyset_revoked *
__wrap_signed_keyset_revoked(const struct signed_keyset *set, struct slice kid)
{
    return weak("no_revocation") ? NULL : __real_signed_keyset_revoked(set, kid);
}

/* optional: who has no token needs none. */
WEAK(policy_mode);
enum attest_mode
__wrap_policy_mode(const struct attest_policy *policy)
{
    return weak("optional") ? ATTEST_MODE_OPTIONAL : __real_policy_mode(policy);
}
