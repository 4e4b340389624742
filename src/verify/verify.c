/* SPDX-License-Identifier: MIT */
#include "verify/verify.h"

#include "token/claims.h"
#include "verify/claims.h"
#include "verify/keys.h"
#include "verify/policy.h"

_Static_assert(ATTEST_TOKEN_MAX == JWS_TOKEN_MAX, "one limit");

/* What every step needs. */
struct check {
    const struct attest_keys *keys;
    const struct attest_policy *policy;
    struct key_source *source; /* NULL: none */
    int64_t now_s;
    const struct issuer_policy *issuer;
    struct found_key key;
    struct claims claims;
};

/* From bytes to an issuer that we know, by way of nothing but iss and the header. */
static enum attest_rc
check_issuer(struct check *c, struct jws *jws, struct slice token, struct attest_error *err)
{
    const struct profile *profile = profile_get(PROFILE_ATTESTATION);
    enum attest_rc rc = jws_read(jws, profile, token.p, token.len, err);
    if (rc == ATTEST_OK)
        rc = claims_read_issuer(&c->claims, profile, &jws->payload, err);
    if (rc != ATTEST_OK)
        return rc;
    c->issuer = policy_issuer(c->policy, c->claims.iss);
    if (!c->issuer)
        return error_set(err, ATTEST_E_ISSUER, "issuer %.*s is not trusted",
                         SLICE_ARG(c->claims.iss));
    if (!policy_allows_alg(c->issuer, jws->envelope.alg))
        return error_set(err, ATTEST_E_MALFORMED, "alg %s is not allowed for this issuer",
                         jwk_alg_name(jws->envelope.alg));
    return ATTEST_OK;
}

/* Whose word counts within another's token may still not come with one of its own. */
static enum attest_rc
check_bearer(const struct check *c, struct attest_error *err)
{
    const struct issuer_policy *only = policy_only_issuer(c->policy);
    if (only && c->issuer != only)
        return error_set(err, ATTEST_E_ISSUER, "the token is of %.*s, not of %.*s",
                         SLICE_ARG(c->issuer->issuer), SLICE_ARG(only->issuer));
    return ATTEST_OK;
}

static enum attest_rc
look_up(struct check *c, struct slice kid, struct attest_error *err)
{
    return keys_find(c->keys, c->claims.iss, kid, c->now_s, policy_skew_s(c->policy), &c->key, err);
}

static bool
is_miss(enum attest_rc rc)
{
    return rc == ATTEST_E_KEY_UNKNOWN || rc == ATTEST_E_KEY_FETCH;
}

/* What is missing may be on its way: err is written when it did not come. */
static enum attest_rc
find_key(struct check *c, struct slice kid, struct attest_error *err)
{
    struct attest_error first = {0}, second = {0}, *why = &first;
    enum attest_rc rc = look_up(c, kid, why);
    if (c->source)
        *(is_miss(rc) ? &c->source->misses : &c->source->hits) += 1;
    if (is_miss(rc) && c->source && c->source->missing) {
        enum attest_rc missing = c->source->missing(c->source->ctx, c->claims.iss, kid, rc, why);
        c->now_s = c->source->now_s(c->source->ctx);
        /* Whatever that says: the set may have come between the first look and it. */
        rc = look_up(c, kid, &second);
        if (missing && is_miss(rc))
            rc = missing;
        else
            why = &second;
    }
    return rc == ATTEST_OK ? rc : error_set(err, rc, "%s", why->text);
}

static enum attest_rc
check_signature(struct check *c, const struct jws *jws, struct attest_error *err)
{
    enum attest_rc rc = find_key(c, jws->envelope.kid, err);
    if (rc != ATTEST_OK)
        return rc;
    if (c->key.alg != JWK_ALG_NONE && c->key.alg != jws->envelope.alg)
        return error_set(err, ATTEST_E_MALFORMED, "alg %s, but the key is for %s",
                         jwk_alg_name(jws->envelope.alg), jwk_alg_name(c->key.alg));
    return jws_verify(&jws->envelope, &c->key.public_key, err);
}

static enum attest_rc
check_times(struct check *c, struct attest_error *err)
{
    int64_t skew_s = policy_skew_s(c->policy);
    enum attest_rc rc = claims_read_times(&c->claims, err);
    if (rc != ATTEST_OK)
        return rc;
    if (c->now_s >= c->claims.exp + skew_s)
        return error_set(err, ATTEST_E_EXPIRED, "expired %lld s ago",
                         (long long)(c->now_s - c->claims.exp));
    if (c->now_s < c->claims.nbf - skew_s)
        return error_set(err, ATTEST_E_NOT_YET_VALID, "valid in %lld s",
                         (long long)(c->claims.nbf - c->now_s));
    if (c->now_s < c->claims.iat - skew_s)
        return error_set(err, ATTEST_E_NOT_YET_VALID, "issued %lld s in the future",
                         (long long)(c->claims.iat - c->now_s));
    return ATTEST_OK;
}

static bool
same_identity(const struct claims *a, const struct claims *b)
{
    return slice_eq(a->model_family, b->model_family) &&
           slice_eq(a->model_version, b->model_version) && slice_eq(a->provider, b->provider) &&
           !a->deployment_id.p == !b->deployment_id.p &&
           slice_eq(a->deployment_id, b->deployment_id) && a->enterprise == b->enterprise &&
           slice_eq(a->org_id, b->org_id) && slice_eq(a->workload_id, b->workload_id) &&
           slice_eq(a->deployment_env, b->deployment_env);
}

static bool
same_key(const struct claims *a, const struct claims *b)
{
    return a->bound == b->bound &&
           (!a->bound || secret_eq(a->cnf_key, sizeof(a->cnf_key), b->cnf_key, sizeof(b->cnf_key)));
}

static enum attest_rc
check_nested_claims(struct check *inner, const struct claims *outer, struct attest_error *err)
{
    struct claims *claims = &inner->claims;
    struct claims_view view;
    enum attest_rc rc = check_times(inner, err);
    if (rc == ATTEST_OK)
        rc = claims_read_audience(claims, err);
    if (rc == ATTEST_OK)
        rc = claims_read_rest(claims, &inner->issuer->names, err);
    if (rc != ATTEST_OK)
        return rc;
    policy_view(claims, true, &view);
    rc = policy_check_issuer(inner->policy, inner->issuer, &view, inner->now_s, err);
    if (rc != ATTEST_OK)
        return rc;
    if (claims->n_aud != 1 || !slice_eq(claims->aud[0], outer->iss))
        return error_set(err, ATTEST_E_CLAIMS, "aud is not the outer iss");
    if (claims->exp < outer->exp)
        return error_set(err, ATTEST_E_CLAIMS, "expires before the outer token");
    if (!same_identity(claims, outer))
        return error_set(err, ATTEST_E_CLAIMS, "agent_identity differs");
    if (!same_key(claims, outer))
        return error_set(err, ATTEST_E_CLAIMS, "cnf differs");
    return ATTEST_OK;
}

/* By whose word, and for how long. */
static void
note_signer(const struct check *c, struct slice kid, struct claims_findings *found)
{
    found->signers[found->n_signers].issuer = c->issuer->issuer;
    found->signers[found->n_signers].key = c->key;
    found->signers[found->n_signers].kid_len = kid.len;
    memcpy(found->signers[found->n_signers++].kid, kid.p, kid.len);
    claims_times_narrow(&found->times, &c->claims);
}

/*
 * A nested attestation of an issuer that is not trusted here says nothing to us and is left aside,
 * and so is what lies deeper than the policy follows. Whatever else is wrong with it is wrong with
 * the token that vouches for it. In a function of its own, so that its room is taken only when
 * there is one.
 *
 * depth: how many levels of nesting this one is.
 */
static __attribute__((noinline)) enum attest_rc
check_nested(const struct check *outer, unsigned depth, struct claims_findings *found,
             struct attest_error *err)
{
    struct jws jws;
    struct check c = {.keys = outer->keys,
                      .policy = outer->policy,
                      .source = outer->source,
                      .now_s = outer->now_s};
    struct attest_error why = {0};
    enum attest_rc rc = check_issuer(&c, &jws, outer->claims.nested_attestation, &why);
    if (rc == ATTEST_E_ISSUER)
        return ATTEST_OK;
    if (rc == ATTEST_OK)
        rc = check_signature(&c, &jws, &why);
    if (rc == ATTEST_OK)
        rc = check_nested_claims(&c, &outer->claims, &why);
    if (rc == ATTEST_OK) {
        note_signer(&c, jws.envelope.kid, found);
        if (c.claims.nested_attestation.p && depth < policy_nested_depth(c.policy))
            rc = check_nested(&c, depth + 1, found, &why);
    }
    if (rc == ATTEST_E_KEY_FETCH) /* says nothing of the token */
        return error_set(err, rc, "nested_attestation: %s", why.text);
    if (rc != ATTEST_OK)
        return error_set(err, ATTEST_E_CLAIMS, "nested_attestation: %s", why.text);
    return ATTEST_OK;
}

static enum attest_rc
check_audience(const struct check *c, struct claims_findings *found, struct attest_error *err)
{
    struct claims_view view;
    policy_view(&c->claims, false, &view);
    int matched = policy_match_audience(c->policy, &view);
    if (matched < 0)
        return error_set(err, ATTEST_E_AUDIENCE, "token is meant for %.*s",
                         SLICE_ARG(c->claims.aud[0]));
    found->aud_matched = (size_t)matched;
    return ATTEST_OK;
}

/* A nested one counts where it is demanded if it is the word of another issuer than the token's,
 * which could otherwise vouch for itself. */
static enum attest_rc
check_policy(const struct check *c, struct claims_findings *found, struct attest_error *err)
{
    struct claims_view view;
    policy_view(&c->claims, true, &view);
    bool by_another =
        found->nested_verified && !slice_eq(found->signers[1].issuer, c->issuer->issuer);
    if (by_another)
        view.there |= 1U << REQUIRE_NESTED;
    const char *missing = policy_missing_claim(c->policy, &view);
    if (missing)
        return error_set(err, ATTEST_E_CLAIMS, "%s: demanded here%s and not there", missing,
                         found->nested_verified && !by_another ? ", by another issuer," : "");
    found->there = view.there;
    found->trust = policy_trust(c->issuer, &view);
    enum attest_rc rc = policy_check_issuer(c->policy, c->issuer, &view, c->now_s, err);
    return rc == ATTEST_OK ? policy_check_agent(c->policy, c->issuer, &view, err) : rc;
}

/* Behind the signature: everything that the token says, in the order of the verdicts. */
static enum attest_rc
check_claims(struct check *c, struct slice kid, struct claims_findings *found,
             struct attest_error *err)
{
    struct claims *claims = &c->claims;
    enum attest_rc rc = check_times(c, err);
    if (rc == ATTEST_OK)
        rc = claims_read_audience(claims, err);
    if (rc == ATTEST_OK)
        rc = check_audience(c, found, err);
    if (rc == ATTEST_OK)
        rc = claims_read_rest(claims, &c->issuer->names, err);
    if (rc != ATTEST_OK)
        return rc;
    note_signer(c, kid, found);
    if (claims->nested_attestation.p && policy_nested_depth(c->policy) > 0)
        rc = check_nested(c, 1, found, err);
    found->nested_verified = found->n_signers > 1;
    return rc == ATTEST_OK ? check_policy(c, found, err) : rc;
}

enum attest_rc
verify_token(const struct attest_keys *keys, const struct attest_policy *policy,
             struct key_source *source, struct slice token, int64_t now_s,
             struct attest_claims **ret, struct attest_error *err)
{
    struct jws jws;
    struct check c = {.keys = keys, .policy = policy, .source = source, .now_s = now_s};
    if (!policy_frozen(policy))
        return error_set(err, ATTEST_E_ARGUMENT, "policy: not frozen");
    if (now_s < 0 || now_s > CLAIMS_TIME_MAX)
        return error_set(err, ATTEST_E_ARGUMENT, "now is no time of this era");
    enum attest_rc rc = check_issuer(&c, &jws, token, err);
    if (rc == ATTEST_OK)
        rc = check_bearer(&c, err);
    if (rc == ATTEST_OK)
        rc = check_signature(&c, &jws, err);
    if (rc != ATTEST_OK)
        return rc;
    struct claims_findings found;
    found.n_signers = 0;
    found.times = (struct claims_times){.issued_s = INT64_MAX, .until_s = INT64_MAX};
    rc = check_claims(&c, jws.envelope.kid, &found, err);
    if (rc != ATTEST_OK)
        return rc;
    struct attest_claims *claims = claims_keep(&c.claims, &found);
    if (!claims)
        return error_set(err, ATTEST_E_NOMEM, "verify: out of memory");
    *ret = claims;
    return ATTEST_OK;
}

bool
verify_again(const struct attest_keys *keys, const struct attest_policy *policy,
             const struct attest_claims *claims, int64_t now_s)
{
    struct claims_view view;
    const struct issuer_policy *issuer = policy_issuer(policy, claims->signers[0].issuer);
    if (!issuer || !policy_times_hold(policy, &claims->times, now_s))
        return false;
    for (size_t i = 0; i < claims->n_signers; i++) {
        const struct claims_signer *signer = &claims->signers[i];
        if (!keys_still(keys, signer->issuer, signer->kid, now_s, policy_skew_s(policy),
                        &signer->key))
            return false;
    }
    claims_view(claims, &view);
    return policy_match_audience(policy, &view) == (int)claims->aud_matched &&
           !policy_missing_claim(policy, &view) &&
           policy_check_issuer(policy, issuer, &view, now_s, NULL) == ATTEST_OK &&
           policy_check_agent(policy, issuer, &view, NULL) == ATTEST_OK;
}

enum attest_rc
attest_verify(const struct attest_keys *keys, const struct attest_policy *policy, const char *token,
              size_t token_len, int64_t now_s, struct attest_claims **ret, struct attest_error *err)
{
    return verify_token(keys, policy, NULL, (struct slice){token, token_len}, now_s, ret, err);
}
