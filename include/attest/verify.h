/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_VERIFY_H
#define ATTEST_VERIFY_H

#include <attest/claims.h>
#include <attest/keys.h>
#include <attest/policy.h>

/* The longest token that is looked at, in bytes. */
#define ATTEST_TOKEN_MAX 8192

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Verify one compact JWS against keys already in hand. No I/O, no clock, no memory of earlier
 * tokens: whether it is a replay, and whether the bearer of a bound token holds its key, is for the
 * caller to find out, or for attest_verifier_check(), which most servers want.
 *
 * policy   frozen
 * token    token_len bytes, need not end in NUL, at most ATTEST_TOKEN_MAX
 * now_s    seconds since the Unix epoch, UTC
 * ret      set only on ATTEST_OK; free with attest_claims_free()
 *
 * Checks in this order and says the first that fails: size, structure and header
 * (ATTEST_E_MALFORMED 1008), issuer (_ISSUER 1004), an alg that this issuer is not allowed (1008),
 * key (_KEY_REVOKED 1011, _KEY_FETCH 1012, _KEY_UNKNOWN 1010), an alg that is not the key's (1008),
 * signature (_SIGNATURE 1003), time (_EXPIRED 1001, _NOT_YET_VALID 1002), audience (_AUDIENCE
 * 1005), claims, a nested token among them (_CLAIMS 1007; 1012 when keys of its issuer are not to
 * be had), policy (_POLICY 1013). ATTEST_E_ARGUMENT when policy is not frozen, ATTEST_E_NOMEM.
 *
 * Needs some 50 KiB of stack, and as much again for each level of nesting that the policy follows;
 * so does attest_verifier_check(), also when it waits for a first key set.
 * Safe from any thread. RFC 7515 section 5.2, RFC 8037 section 3.1, RFC 7519 section 7.2.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2, 6) enum attest_rc
    attest_verify(const struct attest_keys *keys, const struct attest_policy *policy,
                  const char *token, size_t token_len, int64_t now_s, struct attest_claims **ret,
                  struct attest_error *err);

#ifdef __cplusplus
}
#endif
#endif
