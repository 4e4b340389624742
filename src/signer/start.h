/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_START_H
#define SIGNER_START_H

#include "base/secret.h"
#include "signer/server.h"
#include "signer/signer_config.h"

/* What the signer needs of the machine before it can run: the PIN, the users, the sockets. */

/*
 * The token's PIN: from pin.file, else asked for at the terminal with pin.prompt, else unsealed
 * from pin.tpm2, else from the credential pin.credential. ATTEST_E_CONFIG when there is no way to
 * it, or what the reading says. Left empty, without an error, when there is no way to it and the
 * keystore can do without.
 */
enum attest_rc start_pin(const struct signer_config *config, struct secret *ret,
                         struct attest_error *err);

/* The password of the TPM's owner hierarchy; left empty where the configuration names none. */
enum attest_rc start_owner_auth(const struct signer_config *config, struct secret *ret,
                                struct attest_error *err);

/* A directory that others may pass through and read, with what is missing above it. Before threads
 * start. */
enum attest_rc start_make_dir(const char *path, struct attest_error *err);

/* One socket: the listener with its users. */
struct start_socket {
    struct server_listener listener;
    uid_t *users;
    const char *path; /* borrowed from the configuration; NULL when the socket was passed to us */
};

/*
 * The users of both sockets, none of whom may be on both unless config->development; and then the
 * sockets themselves, passed by the service manager (LISTEN_FDNAMES "signer" and "signer-admin") or
 * made. ATTEST_E_CONFIG, or what sock_listen_unix() says.
 */
enum attest_rc start_sockets(const struct signer_config *config, struct start_socket ret[2],
                             struct attest_error *err);
/* Removes the socket files that were made, closes. */
void start_sockets_done(struct start_socket sockets[2]);

#endif
