/* SPDX-License-Identifier: MIT */
#include "cli/command.h"

const struct cli_command *const cli_commands[] = {
    &cmd_token,   &cmd_verify, &cmd_verify_evidence, &cmd_prove,
    &cmd_inspect, &cmd_keygen, &cmd_attack,          NULL,
};
