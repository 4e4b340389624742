/* SPDX-License-Identifier: MIT */
#include <attest/version.h>

const char *
attest_version(void)
{
    return ATTEST_VERSION;
}
