/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_KEYS_H
#define ADMIN_KEYS_H

#include <jansson.h>

#include "admin/command.h"
#include "admin/table.h"

/* Keys as the signer describes them, as a table; what to do when there are none. */
enum exit_status print_keys(const json_t *keys);

#endif
