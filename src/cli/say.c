/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/command.h"

#define INPUT_MAX 65536

enum exit_status
cli_complain(enum exit_status status, const char *command, const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    /* One line, whatever was on the command line. */
    for (char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    fprintf(stderr, "attest %s: %s\n", command, text);
    return status;
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum attest_rc
cli_read_token(const char *operand, struct buf *out, struct attest_error *err)
{
    if (operand && strcmp(operand, "-") != 0) {
        buf_str(out, operand);
    } else {
        enum attest_rc rc = file_read("-", INPUT_MAX, out, err);
        if (rc != ATTEST_OK)
            return rc;
    }
    size_t start = 0;
    while (start < out->len && is_space(out->p[start]))
        start++;
    while (out->len > start && is_space(out->p[out->len - 1]))
        out->len--;
    buf_consume(out, start);
    return buf_rc(out) ? error_set(err, buf_rc(out), "token: %s", attest_strerror(buf_rc(out)))
                       : ATTEST_OK;
}
