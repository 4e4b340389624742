/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_SEALED_H
#define ADMIN_SEALED_H

#include "admin/command.h"
#include "hsm/sealing.h"
#include "signer/signer_config.h"

/* What the signer's configuration says is sealed: keys, or the PIN of a token. */
struct sealed {
    struct signer_config settings;
    struct secret pin, owner_auth;
    uint8_t approver[ES256_POINT_LEN], sealed_id[SHA256_LEN];
    char *uri, *path;
    bool holds_keys;               /* else a PIN */
    struct keystore_config config; /* borrows from the others */
};

/* Core dumps and tracers are kept out from here on, as of the daemons. Anything but EXIT_DONE has
   been said to the user already. With the owner's password, without the PIN. */
enum exit_status sealed_open(const struct options *o, struct sealed *ret);
void sealed_done(struct sealed *s); /* a zeroed one too */

static inline void
sealed_auto(struct sealed *s)
{
    sealed_done(s);
}

/*
 * The PIN of sealed keys as the signer has it: from --pin-file, or where the configuration says,
 * which may be the terminal. With --no-pin none. Empty where none of these says anything: the
 * signer may have one all the same, as a credential of the service manager's.
 */
enum exit_status sealed_pin(const struct options *o, struct sealed *s);

#endif
