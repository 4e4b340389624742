/* SPDX-License-Identifier: MIT */
#include "verify/verifier.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "verify/claims.h"
#include "verify/keys.h"
#include "verify/policy.h"
#include "verify/proof.h"
#include "verify/verify.h"

/* ---- life ---- */

static int64_t
wall_clock(void *ctx)
{
    (void)ctx;
    return clock_wall_s();
}

static enum attest_rc
all_issuers_have_keys(const struct attest_policy *policy, const struct attest_keys *keys,
                      struct attest_error *err)
{
    for (size_t i = 0; i < policy_issuer_count(policy); i++) {
        const struct issuer_policy *issuer = policy_issuer_at(policy, i);
        if (!keys_has_issuer(keys, issuer->issuer))
            return error_set(err, ATTEST_E_CONFIG, "verifier: no keys for issuer %.*s",
                             SLICE_ARG(issuer->issuer));
    }
    return ATTEST_OK;
}

static bool
all_issuers_are_pinned(const struct attest_policy *policy, const struct attest_keys *keys)
{
    for (size_t i = 0; i < policy_issuer_count(policy); i++) {
        if (!attest_keys_pinned(keys, policy_issuer_at(policy, i)->issuer.p))
            return false;
    }
    return true;
}

/*
 * A root under a name that is nearly the policy's would protect nobody, and nobody would notice.
 * Where each of the policy's issuers has its root, no such name can be meant, and the others are
 * those of another verifier with the same keys.
 */
static enum attest_rc
no_root_is_lost(const struct attest_policy *policy, const struct attest_keys *keys,
                struct attest_error *err)
{
    const char *issuer;
    if (all_issuers_are_pinned(policy, keys))
        return ATTEST_OK;
    for (size_t i = 0; (issuer = keys_issuer_at(keys, i)); i++) {
        if (attest_keys_pinned(keys, issuer) && !policy_issuer(policy, slice_cstr(issuer)))
            return error_set(err, ATTEST_E_CONFIG,
                             "keys: a root is pinned for %.70s, which is no issuer of the policy: "
                             "make the names the same",
                             issuer);
    }
    return ATTEST_OK;
}

static enum attest_rc
new_verifier(struct attest_policy *policy, struct attest_keys *keys, bool fetching,
             struct attest_replay *replay, struct attest_verifier **ret, struct attest_error *err)
{
    if (!policy_frozen(policy))
        return error_set(err, ATTEST_E_ARGUMENT, "verifier: the policy is not frozen");
    if (replay && replay->pid != getpid())
        return error_set(err, ATTEST_E_FORKED, "verifier: the replay store was made before fork()");
    /* Nothing could be added to them here, and a thread of the parent's may have held their locks.
     */
    if ((fetching || atomic_load(&keys->fetched)) && keys->pid != getpid())
        return error_set(err, ATTEST_E_FORKED, "verifier: the keys were made before fork()");
    enum attest_rc rc = no_root_is_lost(policy, keys, err);
    if (rc == ATTEST_OK && !fetching)
        rc = all_issuers_have_keys(policy, keys, err);
    if (rc != ATTEST_OK)
        return rc;
    AUTO(attest_verifier) struct attest_verifier *v = calloc(1, sizeof(*v));
    if (!v)
        return error_set(err, ATTEST_E_NOMEM, "verifier: out of memory");
    v->pid = getpid();
    v->keep_behind_s = 2 * (replay ? ATTEST_SKEW_MAX_S : policy_skew_s(policy));
    if (replay) {
        v->replay = replay_hold(replay);
    } else {
        rc = attest_replay_new_memory(0, &v->replay, err);
    }
    if (rc == ATTEST_OK)
        rc = attest_verifier_set_token_cache(v, ATTEST_TOKEN_CACHE_DEFAULT, err);
    if (rc != ATTEST_OK)
        return rc;
    v->seeing.replay = v->replay;
    v->seeing.counts = counts_new();
    if (!v->seeing.counts)
        return error_set(err, ATTEST_E_NOMEM, "verifier: out of memory");
    v->stop_fd = -1;
    v->policy = policy_hold(policy);
    v->keys = keys_hold(keys);
    v->clock = wall_clock;
    v->boot_ms = clock_boot_ms;
    atomic_init(&v->ahead_ms, INT64_MIN);
    *ret = STEAL(v);
    return ATTEST_OK;
}

enum attest_rc
attest_verifier_new(struct attest_policy *policy, struct attest_keys *keys,
                    struct attest_replay *replay, struct attest_verifier **ret,
                    struct attest_error *err)
{
    return new_verifier(policy, keys, false, replay, ret, err);
}

enum attest_rc
attest_verifier_new_fetching(struct attest_policy *policy, struct attest_keys *keys,
                             struct attest_replay *replay, const struct attest_fetch *fetch,
                             struct attest_verifier **ret, struct attest_error *err)
{
    AUTO(attest_keys) struct attest_keys *own = NULL;
    AUTO(attest_verifier) struct attest_verifier *v = NULL;
    enum attest_rc rc = keys ? ATTEST_OK : attest_keys_new(&own, err);
    if (rc == ATTEST_OK)
        rc = new_verifier(policy, keys ? keys : own, true, replay, &v, err);
    if (rc == ATTEST_OK)
        rc = resolver_new(policy, v->keys, fetch, &v->resolver, err);
    if (rc != ATTEST_OK)
        return rc;
    resolver_tell(v->resolver, seeing_news, &v->seeing);
    *ret = STEAL(v);
    return ATTEST_OK;
}

void
attest_verifier_free(struct attest_verifier *verifier)
{
    if (!verifier || verifier->pid != getpid())
        return; /* the parent's threads may have left it half changed, its connections are theirs */
    if (verifier_is_own_thread(verifier))
        return; /* from its own callback, against the rule: a leak, and no use of what is freed */
    verifier_stop_thread(verifier);
    resolver_free(verifier->resolver);
    attest_policy_free(verifier->policy);
    attest_keys_free(verifier->keys);
    attest_replay_free(verifier->replay);
    free(verifier->seeing.counts);
    token_cache_free(verifier->tokens);
    free(verifier);
}

enum attest_rc
verifier_may_be_set(const struct attest_verifier *verifier, struct attest_error *err)
{
    if (verifier->pid != getpid())
        return error_set(err, ATTEST_E_FORKED, "verifier: made before fork()");
    if (atomic_load_explicit(&verifier->in_use, memory_order_relaxed))
        return error_set(err, ATTEST_E_ARGUMENT,
                         "verifier: to be set before its first check, step or thread");
    return ATTEST_OK;
}

enum attest_rc
attest_verifier_set_token_cache(struct attest_verifier *verifier, size_t tokens_max,
                                struct attest_error *err)
{
    struct token_cache *tokens = NULL;
    enum attest_rc rc = verifier_may_be_set(verifier, err);
    if (rc == ATTEST_OK && tokens_max)
        rc = token_cache_new(tokens_max, &tokens, err);
    if (rc != ATTEST_OK)
        return rc;
    token_cache_free(verifier->tokens);
    verifier->tokens = tokens;
    return ATTEST_OK;
}

enum attest_rc
attest_verifier_set_clock(struct attest_verifier *verifier, attest_clock_fn *now_s, void *ctx,
                          struct attest_error *err)
{
    enum attest_rc rc = verifier_may_be_set(verifier, err);
    if (rc != ATTEST_OK)
        return rc;
    verifier->clock = now_s;
    verifier->clock_ctx = ctx;
    verifier->boot_ms = NULL;
    return ATTEST_OK;
}

/* ---- judging ---- */

/*
 * The clock, which never goes back by more than the skew: a token whose jti may have left the
 * replay store must not come to life again. What it goes back against goes on with the time since
 * the machine started, which nobody sets: a store elsewhere forgets by a clock of its own, and that
 * does not wait for ours.
 */
static int64_t
now_s(struct attest_verifier *v)
{
    int64_t now = v->clock(v->clock_ctx);
    int64_t boot_ms = v->boot_ms ? v->boot_ms() : 0;
    int64_t most = atomic_load_explicit(&v->ahead_ms, memory_order_relaxed);
    if (now >= 0 && now <= CLAIMS_TIME_MAX) {
        int64_t ahead = now * 1000 - boot_ms;
        while (ahead > most &&
               !atomic_compare_exchange_weak_explicit(&v->ahead_ms, &most, ahead,
                                                      memory_order_relaxed, memory_order_relaxed))
            ;
        most = ahead > most ? ahead : most;
    }
    if (most == INT64_MIN)
        return now;
    int64_t floor = (boot_ms + most) / 1000 - policy_skew_s(v->policy);
    return now > floor ? now : floor;
}

/* When a token begins to be good, by its issuer's clock. */
static int64_t
begins_s(const struct attest_claims *claims)
{
    return claims->nbf > claims->iat ? claims->nbf : claims->iat;
}

/*
 * A store that lost its memory must know what it could have known: from an issuer whose clock was
 * ahead, by another verifier whose clock was.
 */
static int64_t
before(const struct attest_verifier *v, int64_t first_s)
{
    return first_s - policy_skew_s(v->policy) - REPLAY_CLOCKS_APART_MAX_S;
}

/* The last thing before "verified": from here on nobody else gets through with the same. */
static enum attest_rc
consume_token(struct attest_verifier *v, const struct attest_claims *claims, int64_t now,
              struct attest_error *err)
{
    int64_t first_s = begins_s(claims);
    const struct replay_item item = {slice_cstr(claims->iss),
                                     slice_cstr(claims->jti),
                                     before(v, first_s),
                                     claims->exp + v->keep_behind_s,
                                     false,
                                     first_s};
    return replay_consume(v->replay->store, &item, now, err);
}

static enum attest_rc
consume_proof(struct attest_verifier *v, const struct attest_claims *claims,
              const uint8_t digest[SHA256_LEN], struct slice proof, int64_t now,
              struct attest_error *err)
{
    struct proof found;
    int64_t skew_s = policy_skew_s(v->policy);
    enum attest_rc rc = proof_verify(claims, digest, proof, now, skew_s, &found, err);
    if (rc != ATTEST_OK)
        return rc;
    /* It names its token, and is no older than that. */
    int64_t first_s = found.exp - PROOF_LIFETIME_MAX_S;
    if (first_s < begins_s(claims))
        first_s = begins_s(claims);
    const struct replay_item item = {slice_cstr(claims->cnf_thumbprint),
                                     slice_cstr(found.jti),
                                     before(v, first_s),
                                     found.exp + v->keep_behind_s,
                                     true,
                                     first_s};
    return replay_consume(v->replay->store, &item, now, err);
}

static enum attest_rc
consume(struct attest_verifier *v, const struct attest_claims *claims,
        const uint8_t digest[SHA256_LEN], struct slice proof, int64_t now, struct attest_error *err)
{
    if (claims->bound && proof.p)
        return consume_proof(v, claims, digest, proof, now, err);
    if (claims->bound)
        return error_set(err, ATTEST_E_PROOF_REQUIRED, "bound token without proof");
    if (proof.p)
        return error_set(err, ATTEST_E_PROOF, "proof for a token that is not bound to a key");
    return consume_token(v, claims, now, err);
}

static enum attest_rc
missing(void *ctx, struct slice issuer, struct slice kid, enum attest_rc rc,
        struct attest_error *err)
{
    struct attest_verifier *v = ctx;
    return resolver_missing(v->resolver, issuer, kid, rc, err);
}

static int64_t
now_behind(void *ctx)
{
    return now_s(ctx);
}

/*
 * What is known of a token that was verified before and would be again. One that would not be is
 * verified anew: that is what says why, and asks for a key that is missing.
 */
static struct attest_claims *
verified_before(struct attest_verifier *v, const uint8_t digest[SHA256_LEN], int64_t now)
{
    AUTO(attest_claims) struct attest_claims *claims = token_cache_get(v->tokens, digest);
    if (!claims)
        return NULL;
    if (verify_again(v->keys, v->policy, claims, now))
        return STEAL(claims);
    token_cache_drop(v->tokens, digest);
    return NULL;
}

/*
 * As if new. After a wait for keys it is the time behind the wait that counts, for all of it: a
 * token that was looked at before may have run out while those of its nested one were fetched.
 */
static enum attest_rc
verify_new(struct attest_verifier *v, struct slice token, int64_t *now, struct attest_claims **ret,
           struct attest_error *err)
{
    AUTO(attest_claims) struct attest_claims *claims = NULL;
    struct key_source source = {
        .missing = v->resolver ? missing : NULL, .now_s = now_behind, .ctx = v};
    enum attest_rc rc = verify_token(v->keys, v->policy, &source, token, *now, &claims, err);
    seeing_keys(&v->seeing, source.hits, source.misses);
    if (source.misses)
        *now = now_s(v);
    if (rc == ATTEST_OK && source.misses && !verify_again(v->keys, v->policy, claims, *now))
        return verify_token(v->keys, v->policy, NULL, token, *now, ret, err);
    if (rc == ATTEST_OK)
        *ret = STEAL(claims);
    return rc;
}

static enum attest_rc
judge(struct attest_verifier *v, struct slice token, struct slice proof, struct attest_claims **ret,
      struct attest_error *err)
{
    AUTO(attest_claims) struct attest_claims *claims = NULL;
    if (!token.p)
        return error_set(err, ATTEST_E_REQUIRED, "no attestation");
    int64_t now = now_s(v);
    uint8_t digest[SHA256_LEN] = {0};
    if (proof.p && token.len <= ATTEST_TOKEN_MAX)
        sha256(digest, token.p, token.len);
    bool cached = v->tokens && proof.p && token.len <= ATTEST_TOKEN_MAX;
    bool again = cached && (claims = verified_before(v, digest, now));
    enum attest_rc rc = again ? ATTEST_OK : verify_new(v, token, &now, &claims, err);
    if (rc == ATTEST_OK)
        rc = consume(v, claims, digest, proof, now, err);
    if (rc != ATTEST_OK)
        return rc;
    if (cached && !again && claims->bound)
        token_cache_put(v->tokens, digest, claims, now);
    *ret = STEAL(claims);
    return ATTEST_OK;
}

/* The verdict, or NULL and why there is none. */
static enum attest_rc
decide(struct attest_verifier *v, struct slice token, struct slice proof,
       struct attest_result **ret)
{
    AUTO(attest_result) struct attest_result *result = calloc(1, sizeof(*result));
    if (!result)
        return ATTEST_E_NOMEM;
    enum attest_rc rc = judge(v, token, proof, &result->claims, &result->error);
    if (rc != ATTEST_OK && !verdict_is(rc))
        return rc;
    result->rc = rc;
    result->allowed = rc == ATTEST_OK || policy_mode(v->policy) != ATTEST_MODE_REQUIRED;
    *ret = STEAL(result);
    return rc;
}

enum attest_rc
attest_verifier_check_traced(struct attest_verifier *verifier, const char *token, size_t token_len,
                             const char *proof, size_t proof_len, const char *traceparent,
                             struct attest_result **ret)
{
    struct sight sight;
    struct attest_result *result = NULL;
    *ret = NULL;
    if (getpid() != verifier->pid)
        return ATTEST_E_FORKED;
    verifier_use(verifier);
    seeing_begin(&verifier->seeing, traceparent, &sight);
    enum attest_rc rc = decide(verifier, (struct slice){token, token_len},
                               (struct slice){proof, proof_len}, &result);
    bool warn = rc != ATTEST_OK && policy_mode(verifier->policy) == ATTEST_MODE_PREFERRED;
    seeing_end(&verifier->seeing, &sight, rc, result, warn);
    *ret = result;
    return result && result->allowed ? ATTEST_OK : rc;
}

enum attest_rc
attest_verifier_check(struct attest_verifier *verifier, const char *token, size_t token_len,
                      const char *proof, size_t proof_len, struct attest_result **ret)
{
    return attest_verifier_check_traced(verifier, token, token_len, proof, proof_len, NULL, ret);
}
