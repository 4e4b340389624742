/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_SIGNER_H
#define SIGNER_SIGNER_H

#include "signer/signer_config.h"

struct signer_options {
    bool accept_log_cut; /* go on from a log that lacks records known to have been written */
    bool passive;        /* leave the token to whoever holds it; serve, change nothing */
    bool take_over;      /* hold the token from now on */
};

/*
 * attest-signer, from an accepted configuration to its end: takes the PIN, opens the key records,
 * the issuance log and the keystore, serves both sockets until SIGTERM or SIGINT, finishes what it
 * accepted. For the main thread, once a process; crypto_init(), log_init() and jsondoc_init() have
 * been called.
 *
 * Returns the exit status: 0 stopped as told, 1 the token refused the PIN (do not try again by
 * yourself), 3 it could not start or go on; the reason has then been logged.
 */
int signer_run(const struct signer_config *config, const struct signer_options *options);

#endif
