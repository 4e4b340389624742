/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "admin/command.h"

enum exit_status
complain(enum exit_status status, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fputs("attestctl: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    return status;
}

enum exit_status
refuse(const struct options *o, const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    if (!o->json) {
        printf("refused: %s\n", text);
        return EXIT_REFUSED;
    }
    json_t *object = json_pack("{s:b, s:s}", "ok", 0, "error", text);
    if (object)
        json_dumpf(object, stdout, JSON_COMPACT);
    json_decref(object);
    fputc('\n', stdout);
    return EXIT_REFUSED;
}

enum exit_status
status_of(enum attest_rc rc)
{
    switch (rc) {
    case ATTEST_OK:
        return EXIT_DONE;
    case ATTEST_E_ARGUMENT:
        return EXIT_USAGE;
    case ATTEST_E_DENIED:
    case ATTEST_E_EXISTS:
    case ATTEST_E_PIN:
    case ATTEST_E_CORRUPT:
    case ATTEST_E_UNSUPPORTED:
        return EXIT_REFUSED;
    default:
        return rc >= ATTEST_E_EXPIRED ? EXIT_REFUSED : EXIT_FAILED;
    }
}

enum exit_status
report(const struct options *o, const struct attest_error *err, const char *advice)
{
    enum exit_status status = status_of(err->rc);
    const char *text = *err->text ? err->text : attest_strerror(err->rc);
    bool asks = *text && text[strlen(text) - 1] == '?';
    const char *sep = !advice ? "" : asks ? " " : "; ";
    if (status == EXIT_REFUSED)
        return refuse(o, "%s%s%s", text, sep, advice ? advice : "");
    return complain(status, "%s%s%s", text, sep, advice ? advice : "");
}
