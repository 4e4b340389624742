/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *
attest_strerror(enum attest_rc rc)
{
    static const struct {
        int number;
        const char *text;
    } list[] = {
#define ATTEST_RC_ROW(name, number, text) {number, text},
        ATTEST_RC_LIST(ATTEST_RC_ROW)
#undef ATTEST_RC_ROW
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (list[i].number == (int)rc)
            return list[i].text;
    }
    return "unknown error";
}

static void
make_printable(char *text)
{
    for (; *text; text++) {
        if (*text < 0x20 || *text > 0x7e)
            *text = '?';
    }
}

enum attest_rc
error_set(struct attest_error *err, enum attest_rc rc, const char *format, ...)
{
    if (!err)
        return rc;
    va_list ap;
    va_start(ap, format);
    vsnprintf(err->text, sizeof(err->text), format, ap);
    va_end(ap);
    make_printable(err->text);
    err->rc = rc;
    return rc;
}

enum attest_rc
error_errno(struct attest_error *err, enum attest_rc rc, int errno_value, const char *format, ...)
{
    if (!err)
        return rc;
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(err->text, sizeof(err->text), format, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->text)) {
        char reason[96];
        snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s",
                 strerror_r(errno_value, reason, sizeof(reason)));
    }
    make_printable(err->text);
    err->rc = rc;
    return rc;
}
