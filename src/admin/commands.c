/* SPDX-License-Identifier: MIT */
#include "admin/command.h"

#define OPTS_SIGNER (OPT_CONFIG | OPT_SOCKET)

/* A command is a row here, its function beside its fellows in cmd_*.c, and a line in the man page,
 * which tests/integration/man.sh holds to this table. */
const struct command commands[] = {
    {"status", NULL, cmd_status, "", 0, 0, OPTS_SIGNER,
     "what attest-signer is doing: keystore, keys, queue, log"},
    {"key", "list", cmd_key_list, "", 0, 0, OPTS_SIGNER, "the keys and the state each is in"},
    {"key", "generate", cmd_key_generate, "", 0, 0, OPTS_SIGNER | OPT_PURPOSE | OPT_LABEL,
     "make a key inside the token"},
};

const size_t n_commands = ARRAY_LEN(commands);
