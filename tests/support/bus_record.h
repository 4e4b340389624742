/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_BUS_RECORD_H
#define TESTS_SUPPORT_BUS_RECORD_H

#include <stdbool.h>

/*
 * Reads a record of tests/support/tcti_log.c and says on standard output which commands in it could
 * carry a secret, there or back, and had no session to encrypt it: whatever the secret was, and
 * whether or not the TPM still answered. TPM 2.0 Library, Part 1, 18 and 21; Part 3.
 *
 * commands, open   how many commands there are, and how many of them are such
 *
 * False when it cannot be read, or is no such record.
 */
bool bus_record_look(const char *path, unsigned *commands, unsigned *open);

#endif
