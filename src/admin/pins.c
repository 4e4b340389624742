/* SPDX-License-Identifier: MIT */
#include "admin/pins.h"

#include <stdio.h>

#include "base/prompt.h"

#define PIN_MAX 255

static enum exit_status
ask(const struct options *o, const char *what, const char *again, const char *option,
    struct secret *ret)
{
    char question[96];
    snprintf(question, sizeof(question), "%s%s: ", what, again);
    struct attest_error err = {0};
    if (prompt_secret(question, PIN_MAX, ret, &err) == ATTEST_OK)
        return EXIT_DONE;
    if (err.rc == ATTEST_E_IO)
        return complain(EXIT_FAILED, "%s: %s; name a file with --%s", what, err.text, option);
    return report(o, &err, NULL);
}

enum exit_status
pin_get(const struct options *o, const char *what, const char *path, const char *option,
        struct secret *ret)
{
    if (!path)
        return ask(o, what, "", option, ret);
    struct attest_error err = {0};
    if (secret_read_file(path, PIN_MAX, ret, &err))
        return complain(EXIT_FAILED, "%s", err.text);
    return EXIT_DONE;
}

enum exit_status
pin_get_new(const struct options *o, const char *what, const char *path, const char *option,
            struct secret *ret)
{
    AUTO(secret) struct secret first = {0};
    AUTO(secret) struct secret second = {0};
    enum exit_status status = pin_get(o, what, path, option, &first);
    if (status == EXIT_DONE && !path)
        status = ask(o, what, ", once more", option, &second);
    if (status)
        return status;
    if (!path && !secret_eq(first.p, first.len, second.p, second.len))
        return complain(EXIT_FAILED, "%s: the two are not the same; start again", what);
    *ret = first;
    first = (struct secret){0};
    return EXIT_DONE;
}
