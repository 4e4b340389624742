/* SPDX-License-Identifier: MIT */
#include "base/output.h"

#include <stdio.h>

int
output_end(const char *program, int status)
{
    int flushed = fflush(stdout);
    if (status > 1 || (flushed == 0 && !ferror(stdout)))
        return status;
    fprintf(stderr, "%s: standard output cannot be written; look at where it leads\n", program);
    return 3;
}
