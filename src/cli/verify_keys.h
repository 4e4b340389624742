/* SPDX-License-Identifier: MIT */
#ifndef CLI_VERIFY_KEYS_H
#define CLI_VERIFY_KEYS_H

#include <attest/attest.h>

#include "cli/command.h"

/*
 * Where `attest verify` has its keys from: --jwks or the issuer, and with --root-key signed ones
 * from there alone. A file is read; from a URL or the issuer the verifier itself fetches.
 */
#define JWKS_PATH "/.well-known/jwks.json"
#define SIGNED_JWKS_PATH "/.well-known/jwks.jwt"

/* What the verifier last told of its keys. Stays where it is as long as the verifier. */
struct verify_keys {
    const struct cli_args *args;
    const char *issuer;
    struct attest_keys *keys; /* the caller's */
    bool fetched;             /* by the verifier, and not read from a file */
    bool complained;          /* keys could not be had, and why was said */
    bool ended;               /* a fetch of the issuer's, in this way: */
    enum attest_rc rc;
    char text[160];
    bool any_ended; /* a fetch of anybody's, in this way: */
    enum attest_rc any_rc;
};

/*
 * Makes a verifier, with the issuer's keys in it, or says why there is none. When keys could not be
 * had, that is said, and it is made all the same: its verdict is then 1012, or what the token has
 * wrong without any key. *ret is the caller's to free in any case.
 */
enum exit_status verify_keys_verifier(struct verify_keys *vk, struct attest_policy *policy,
                                      struct attest_replay *replay, struct attest_verifier **ret);

/* Steps a verifier that fetches until a fetch of any issuer has ended: true when well. */
bool verify_keys_wait(struct verify_keys *vk, struct attest_verifier *verifier);

#endif
