/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_KEY_RECORDS_SCHEMA_H
#define SIGNER_KEY_RECORDS_SCHEMA_H

#include <stddef.h>

/*
 * The steps from an empty database to the one that this version uses; the schema's version
 * (PRAGMA user_version) is the number of steps taken. A step that was released is never changed.
 */
extern const char *const key_records_steps[];
extern const size_t key_records_n_steps;

#endif
