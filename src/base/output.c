/* SPDX-License-Identifier: MIT */
#include "base/output.h"

#include <stdio.h>

enum exit_status
output_end(const char *program, enum exit_status status)
{
    int flushed = fflush(stdout);
    if (status > EXIT_REFUSED || (flushed == 0 && !ferror(stdout)))
        return status;
    fprintf(stderr, "%s: standard output cannot be written; look at where it leads\n", program);
    return EXIT_FAILED;
}
