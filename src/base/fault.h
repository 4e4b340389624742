/* SPDX-License-Identifier: MIT */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

/*
 * A place where a test may kill the process: between two steps that must not be half done, by name
 * ("activate", "database": the database has just taken the activation). Does nothing, unless the
 * program was linked with tests/support/fault_point.c, which no installed program is.
 */
void fault_point(const char *action, const char *done);

#endif
