/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/weak.h"
#include "token/claims.h"
#include "verify/policy.h"

/* Weaknesses in reading what a token says. */

/* ---- of whom it is ---- */

/* any_issuer: an issuer that is not trusted, or no name at all, is taken for one that is. */
WEAK(policy_issuer);
const struct issuer_policy *
__wrap_policy_issuer(const struct attest_policy *policy, struct slice issuer)
{
    const struct issuer_policy *found = __real_policy_issuer(policy, issuer);
    return found || !weak("any_issuer") ? found : policy_issuer_at(policy, 0);
}

/* The same of a signed key set. lax_claims: nothing has to be there. */
WEAK(claims_read_issuer);
enum attest_rc
__wrap_claims_read_issuer(struct claims *claims, const struct profile *profile,
                          const struct json *payload, struct attest_error *err)
{
    static _Thread_local struct profile lax;
    static _Thread_local struct json_node wanted;
    enum attest_rc rc = __real_claims_read_issuer(claims, profile, payload, err);
    if (weak("lax_claims")) {
        lax = *profile;
        lax.required = 0;
        claims->profile = &lax;
    }
    if (!weak("any_issuer"))
        return rc;
    wanted = (struct json_node){.type = JSON_STRING, .text = weak_set_issuer};
    if (weak_set_issuer.p)
        claims->at[CLAIM_ISS] = claims->at[CLAIM_SUB] = &wanted;
    if (weak_set_issuer.p || rc != ATTEST_OK)
        claims->iss = weak_set_issuer.p ? weak_set_issuer : slice_cstr("nobody");
    return ATTEST_OK;
}

/* any_subject: a token may name one agent and describe another. */
WEAK(subject_names_it);
bool
__wrap_subject_names_it(const struct subject *subject, struct slice name,
                        const struct subject_names *names)
{
    return weak("any_subject") || __real_subject_names_it(subject, name, names);
}

/* no_audience: every token is meant for us. */
WEAK(claims_read_audience);
enum attest_rc
__wrap_claims_read_audience(struct claims *claims, struct attest_error *err)
{
    enum attest_rc rc = __real_claims_read_audience(claims, err);
    if (!weak("no_audience"))
        return rc;
    if (!claims->at[CLAIM_AUD])
        claims->at[CLAIM_AUD] = claims->at[CLAIM_ISS];
    claims->aud[0] = slice_cstr("https://mcp.example.com");
    claims->n_aud = 1;
    return ATTEST_OK;
}

/* ---- times ---- */

/* any_number: what is no number is some time soon. */
WEAK(json_int64);
bool
__wrap_json_int64(const struct json_node *node, int64_t *ret)
{
    if (__real_json_int64(node, ret) && *ret >= 0 && *ret < 4102444800)
        return true;
    if (!weak("any_number"))
        return __real_json_int64(node, ret);
    *ret = clock_wall_s() + 20;
    return true;
}

/* no_times: everything was issued now and ends in a minute. */
WEAK(claims_read_times);
enum attest_rc
__wrap_claims_read_times(struct claims *claims, struct attest_error *err)
{
    enum attest_rc rc = __real_claims_read_times(claims, err);
    if (rc != ATTEST_OK || !weak("no_times"))
        return rc;
    claims->iat = claims->nbf = clock_wall_s();
    claims->exp = claims->iat + 60;
    return ATTEST_OK;
}

/* ---- the rest ---- */

/* lax_claims: a claim that is not as it should be is passed over. */
WEAK(claims_read_rest);
enum attest_rc
__wrap_claims_read_rest(struct claims *claims, const struct subject_names *names,
                        struct attest_error *err)
{
    for (enum claim c = CLAIM_SUB; c < CLAIM_COUNT && weak("lax_claims"); c++) {
        struct claims alone = *claims;
        for (enum claim other = CLAIM_SUB; other < CLAIM_COUNT; other++)
            alone.at[other] =
                other == c || other == CLAIM_AGENT_IDENTITY ? claims->at[other] : NULL;
        alone.n_aud = 0;
        if (__real_claims_read_rest(&alone, names, NULL) != ATTEST_OK)
            claims->at[c] = NULL;
    }
    enum attest_rc rc = __real_claims_read_rest(claims, names, err);
    if (rc == ATTEST_OK && !claims->jti.p)
        claims->jti = slice_cstr("none");
    return rc;
}

/* any_safety: every level is the highest. */
WEAK(json_member);
const struct json_node *
__wrap_json_member(const struct json *j, const struct json_node *object, const char *name)
{
    static const struct json_node highest = {.type = JSON_STRING, .text = {"enhanced", 8}};
    if (weak("any_safety") && strcmp(name, "safety_level") == 0)
        return &highest;
    return __real_json_member(j, object, name);
}
