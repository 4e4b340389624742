/* SPDX-License-Identifier: MIT */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <attest/error.h>

/*
 * Fills err (which may be NULL) and returns rc, so that a failing path is one line:
 *     return error_set(err, ATTEST_E_CLAIMS, "%s: missing", "sub");
 * Bytes outside printable ASCII are written as '?', longer texts are cut.
 */
enum attest_rc error_set(struct attest_error *err, enum attest_rc rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": " and strerror(errno_value) behind. */
enum attest_rc error_errno(struct attest_error *err, enum attest_rc rc, int errno_value,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
