/* SPDX-License-Identifier: MIT */
#include "admin/command.h"

#define OPTS_TOKEN (OPT_CONFIG | OPT_MODULE | OPT_KEYSTORE)
#define OPTS_SIGNER (OPT_CONFIG | OPT_SOCKET)

/* A command is a row here, its function beside its fellows in cmd_*.c, and a line in the man page,
 * which tests/integration/man.sh holds to this table. */
const struct command commands[] = {
    {"status", NULL, cmd_status, "", 0, 0, OPTS_SIGNER,
     "what attest-signer is doing: keystore, keys, queue, log"},
    {"key", "list", cmd_key_list, "", 0, 0, OPTS_SIGNER, "the keys and the state each is in"},
    {"key", "generate", cmd_key_generate, "", 0, 0, OPTS_SIGNER | OPT_PURPOSE | OPT_LABEL,
     "make a key inside the token"},
    {"hsm", "slots", cmd_hsm_slots, "", 0, 0, OPT_CONFIG | OPT_MODULE,
     "the slots of a PKCS#11 module and the tokens in them"},
    {"hsm", "init", cmd_hsm_init, "", 0, 0,
     OPT_CONFIG | OPT_MODULE | OPT_SLOT | OPT_LABEL | OPT_PIN_FILE | OPT_SO_PIN_FILE,
     "initialise a token that is not, and set both its PINs"},
    {"hsm", "pin", cmd_hsm_pin, "", 0, 0,
     OPTS_TOKEN | OPT_PIN_FILE | OPT_SO_PIN_FILE | OPT_NEW_PIN_FILE,
     "change the user's PIN, or with --so-pin-file the security officer's"},
    {"hsm", "info", cmd_hsm_info, "", 0, 0, OPTS_TOKEN, "what a token and its module say"},
    {"hsm", "check", cmd_hsm_check, "", 0, 0, OPTS_TOKEN | OPT_PIN_FILE,
     "do once what the signer does, with a key that vanishes"},
    {"audit", "verify", cmd_audit_verify, "[DIR]", 0, 1, OPT_CONFIG | OPT_LOG_KEY,
     "check every record and every link of an issuance log"},
    {"audit", "show", cmd_audit_show, "", 0, 0, OPTS_SIGNER, "where the issuance log stands"},
    {"config", "check", cmd_config_check, "[FILE]", 0, 1, OPT_CONFIG | OPT_DAEMON,
     "say whether a daemon would accept its configuration"},
    {"config", "dump", cmd_config_dump, "[FILE]", 0, 1, OPT_CONFIG | OPT_DAEMON,
     "print every key with the value in force"},
};

const size_t n_commands = ARRAY_LEN(commands);
