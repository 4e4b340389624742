/* SPDX-License-Identifier: MIT */
#include "issuer/cnf_proof.h"

#include "token/jws.h"

enum { LIFETIME_MAX_S = 60, SKEW_S = 30, JTI_MAX = 128 };

static const struct profile profile = {
    .name = "cnf proof",
    .typ = {"cnf-proof+jwt"},
    .required = CLAIM_BIT(CLAIM_ISS) | CLAIM_BIT(CLAIM_EXP) | CLAIM_BIT(CLAIM_JTI),
    .lifetime_default_s = LIFETIME_MAX_S,
    .lifetime_max_s = LIFETIME_MAX_S,
};

static const struct json_node *
string_member(const struct jws *jws, const char *name)
{
    const struct json_node *node = json_member(&jws->payload, json_root(&jws->payload), name);
    return node && node->type == JSON_STRING ? node : NULL;
}

enum attest_rc
cnf_proof_check(const struct mint_request *request, const char *issuer, int64_t now_s,
                struct attest_error *err)
{
    if (!request->cnf_proof.p)
        return error_set(err, ATTEST_E_CLAIMS,
                         "cnf_proof: missing; a token bound to a key needs a proof by that key");
    struct jws jws;
    struct attest_error why;
    const struct pubkey key = pubkey_ed25519(request->cnf_key);
    if (jws_read(&jws, &profile, request->cnf_proof.p, request->cnf_proof.len, &why) ||
        jws_verify(&jws.envelope, &key, &why))
        return error_set(err, ATTEST_E_CLAIMS, "cnf_proof: %s", why.text);
    const struct json_node *iss = string_member(&jws, "iss");
    if (!iss || !slice_is(iss->text, issuer))
        return error_set(err, ATTEST_E_CLAIMS, "cnf_proof: iss: not this issuer");
    const struct json_node *jti = string_member(&jws, "jti");
    if (!jti || jti->text.len == 0 || jti->text.len > JTI_MAX)
        return error_set(err, ATTEST_E_CLAIMS, "cnf_proof: jti: missing or too long");
    int64_t exp_s;
    const struct json_node *exp = json_member(&jws.payload, json_root(&jws.payload), "exp");
    if (!exp || !json_int64(exp, &exp_s))
        return error_set(err, ATTEST_E_CLAIMS, "cnf_proof: exp: missing or no integer");
    if (exp_s < now_s - SKEW_S)
        return error_set(err, ATTEST_E_CLAIMS, "cnf_proof: exp: has passed");
    if (exp_s > now_s + LIFETIME_MAX_S + SKEW_S)
        return error_set(err, ATTEST_E_CLAIMS, "cnf_proof: exp: more than %d s ahead",
                         LIFETIME_MAX_S);
    return ATTEST_OK;
}
