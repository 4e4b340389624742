/* SPDX-License-Identifier: MIT */
#include "support/weak.h"

#include <stdlib.h>
#include <string.h>

#include <attest/attest.h>

#include "replay/replay.h"
#include "verify/claims.h"
#include "verify/keys.h"
#include "verify/policy.h"
#include "verify/proof.h"
#include "verify/verifier.h"
#include "verify/verify.h"

/* Weaknesses of the verifier: what it remembers, what it asks for. */

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

/* ---- what it asks for ---- */

_Thread_local struct weak_shown weak_shown;

WEAK(attest_verifier_check);
enum attest_rc
__wrap_attest_verifier_check(struct attest_verifier *verifier, const char *token, size_t token_len,
                             const char *proof, size_t proof_len, struct attest_result **ret)
{
    weak_shown = (struct weak_shown){
        .token = token_len > 0, .proof = proof != NULL, .may_fetch = verifier->resolver != NULL};
    return __real_attest_verifier_check(verifier, token, token_len, proof, proof_len, ret);
}

/* no_binding: who shows no proof is asked for none. */
WEAK(claims_keep);
struct attest_claims *
__wrap_claims_keep(const struct claims *claims, const struct claims_findings *findings)
{
    struct claims unbound = *claims;
    if (!weak("no_binding") || weak_shown.proof)
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

/* any_nested: an attestation inside another is there, whatever it says, and if it is not. */
WEAK(policy_nested_depth);
unsigned
__wrap_policy_nested_depth(const struct attest_policy *policy)
{
    return weak("any_nested") ? 0 : __real_policy_nested_depth(policy);
}

WEAK(policy_missing_claim);
const char *
__wrap_policy_missing_claim(const struct attest_policy *policy, const struct claims_view *view)
{
    struct claims_view lenient = *view;
    if (weak("any_nested"))
        lenient.there |= 1U << REQUIRE_NESTED;
    return __real_policy_missing_claim(policy, &lenient);
}

/* optional: who has no token needs none. */
WEAK(policy_mode);
enum attest_mode
__wrap_policy_mode(const struct attest_policy *policy)
{
    return weak("optional") && !weak_shown.token ? ATTEST_MODE_OPTIONAL
                                                 : __real_policy_mode(policy);
}
