/* SPDX-License-Identifier: MIT */
#include "verify/proof.h"

#include <string.h>

#include "base/b64u.h"
#include "token/jws.h"
#include "verify/claims.h"

static const struct profile proof_profile = {.name = "proof of possession", .typ = {"wpt+jwt"}};

static enum attest_rc
bad(struct attest_error *err, const char *why)
{
    return error_set(err, ATTEST_E_PROOF, "proof: %s", why);
}

static bool
string_is(const struct json_node *node, struct slice expected)
{
    return node && node->type == JSON_STRING && slice_eq(node->text, expected);
}

static bool
hash_is(const struct json_node *node, const uint8_t digest[SHA256_LEN])
{
    char text[(SHA256_LEN * 4 + 2) / 3];
    b64u_encode(text, digest, SHA256_LEN);
    return string_is(node, (struct slice){text, sizeof(text)});
}

static enum attest_rc
check_claims(const struct attest_claims *claims, const uint8_t digest[SHA256_LEN],
             const struct json *j, int64_t now_s, int64_t skew_s, struct proof *ret,
             struct attest_error *err)
{
    const struct json_node *root = json_root(j);
    const struct json_node *jti = json_member(j, root, "jti");
    if (!json_int64(json_member(j, root, "exp"), &ret->exp) || ret->exp < 0 ||
        ret->exp > CLAIMS_TIME_MAX)
        return bad(err, "exp is no time");
    if (now_s >= ret->exp + skew_s)
        return bad(err, "expired");
    if (ret->exp > now_s + PROOF_LIFETIME_MAX_S + skew_s)
        return bad(err, "exp is more than 60 s ahead");
    if (!string_is(json_member(j, root, "aud"), slice_cstr(claims->aud[claims->aud_matched])))
        return bad(err, "aud is not the name that the token was meant for");
    if (!hash_is(json_member(j, root, "wth"), digest))
        return bad(err, "wth is not the hash of this token");
    if (!jti || jti->type != JSON_STRING || jti->text.len == 0 || jti->text.len > PROOF_JTI_MAX)
        return bad(err, "jti is no string of 1 to 256 bytes");
    memcpy(ret->jti, jti->text.p, jti->text.len);
    ret->jti[jti->text.len] = '\0';
    return ATTEST_OK;
}

enum attest_rc
proof_verify(const struct attest_claims *claims, const uint8_t digest[SHA256_LEN],
             struct slice proof, int64_t now_s, int64_t skew_s, struct proof *ret,
             struct attest_error *err)
{
    struct jws jws;
    struct attest_error why = {0};
    struct proof found;
    const struct pubkey key = pubkey_ed25519(claims->cnf_key);
    if (jws_read(&jws, &proof_profile, proof.p, proof.len, &why) != ATTEST_OK ||
        jws_verify(&jws.envelope, &key, &why) != ATTEST_OK)
        return bad(err, why.text);
    enum attest_rc rc = check_claims(claims, digest, &jws.payload, now_s, skew_s, &found, err);
    if (rc == ATTEST_OK)
        *ret = found;
    return rc;
}
