/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_VERIFY_H
#define VERIFY_VERIFY_H

#include <attest/verify.h>

#include "base/bytes.h"
#include "verify/keys.h"

/* The inside of <attest/verify.h>. */

/* attest_verify() with someone to ask for missing keys (NULL: none). */
enum attest_rc verify_token(const struct attest_keys *keys, const struct attest_policy *policy,
                            struct key_source *source, struct slice token, int64_t now_s,
                            struct attest_claims **ret, struct attest_error *err);

/*
 * Whether a token that verify_token() accepted by this policy would be accepted now: its time, the
 * keys that vouched for it, its audience and all that the policy demands. False may also mean that
 * this is for verify_token() to say.
 */
bool verify_again(const struct attest_keys *keys, const struct attest_policy *policy,
                  const struct attest_claims *claims, int64_t now_s);

#endif
