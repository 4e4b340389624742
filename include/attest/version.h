/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_VERSION_H
#define ATTEST_VERSION_H

#include <attest/error.h>

/* What a program was compiled against; attest_version() is what it runs with. */
#define ATTEST_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library at run time. Static, thread-safe. */
ATTEST_EXPORT const char *attest_version(void);

#ifdef __cplusplus
}
#endif
#endif
