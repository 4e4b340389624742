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
    bool ended;               /* a fetch, in this way: */
    enum attest_rc rc;
    char text[160];
};

/*
 * Makes a verifier that has its keys, or complains; when keys could not be had, a verdict that says
 * so (1012) is on standard output. *ret is the caller's to free in any case.
 */
enum exit_status verify_keys_verifier(struct verify_keys *vk, struct attest_policy *policy,
                                      struct attest_replay *replay, struct attest_verifier **ret);

/* Steps a verifier that fetches until a fetch has ended, well or not. */
void verify_keys_wait(struct verify_keys *vk, struct attest_verifier *verifier);

#endif
