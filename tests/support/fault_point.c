/* SPDX-License-Identifier: MIT */

/*
 * The fault points of attest-signer-fault: $ATTEST_FAULT_POINT is "ACTION.DONE", or "ACTION.DONE:N"
 * for the N-th time that it is reached; then the process is killed as by a power cut.
 */

#include "base/fault.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
fault_point(const char *action, const char *done)
{
    static atomic_int reached;
    char name[64];
    const char *wanted = getenv("ATTEST_FAULT_POINT");
    int len = snprintf(name, sizeof(name), "%s.%s", action, done);
    if (!wanted || strncmp(wanted, name, (size_t)len) != 0)
        return;
    int at = wanted[len] == ':' ? atoi(wanted + len + 1) : 1;
    if ((wanted[len] == ':' || wanted[len] == '\0') && atomic_fetch_add(&reached, 1) + 1 == at)
        raise(SIGKILL);
}
