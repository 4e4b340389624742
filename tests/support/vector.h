/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_VECTOR_H
#define TESTS_SUPPORT_VECTOR_H

#include "base/bytes.h"

/*
 * Files of tests/vectors. Whatever cannot be read ends the test program: a vector that is missing
 * is a test that was not run. size_max bounds what is read.
 */
#define VECTOR_MAX 262144

/* The bytes of tests/vectors/NAME with a NUL behind that does not count; free() it. */
char *vector_read(const char *name, size_t *len);
/* The same, NULL when there is no such file. */
char *vector_read_optional(const char *name, size_t *len);
/* The same without one newline at the end, for files that hold one line. */
char *vector_line(const char *name);

/*
 * Calls each with the name of every folder in tests/vectors/NAME, in alphabetical order; returns
 * how many there were.
 */
size_t vector_each(const char *name, void (*each)(void *ctx, const char *folder), void *ctx);

#endif
