/* SPDX-License-Identifier: MIT */
#ifndef CLI_VERIFY_KEYS_H
#define CLI_VERIFY_KEYS_H

#include <attest/keys.h>

#include "cli/command.h"

/*
 * Where `attest verify` has its keys from: --jwks or the issuer, and with --root-key signed ones
 * from there alone.
 */
#define JWKS_PATH "/.well-known/jwks.json"
#define SIGNED_JWKS_PATH "/.well-known/jwks.jwt"

/*
 * Fills keys, or complains; when keys could not be had, a verdict that says so (1012) is on
 * standard output.
 */
enum exit_status verify_keys_load(const struct cli_args *args, const char *issuer,
                                  struct attest_keys *keys);

#endif
