/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_VERSION_H
#define ATTEST_VERSION_H

#include <attest/error.h>

/*
 * What a program was compiled against; attest_version() is what it runs with. The number, for #if,
 * is 10000 times the first, 100 times the second and once the third. configure reads the text here.
 */
#define ATTEST_VERSION "0.1.0"
#define ATTEST_VERSION_NUMBER 100

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library at run time. Static, thread-safe. */
ATTEST_EXPORT const char *attest_version(void);

#ifdef __cplusplus
}
#endif
#endif
