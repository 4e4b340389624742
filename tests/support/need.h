/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_NEED_H
#define TESTS_SUPPORT_NEED_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* What a test program cannot do without, asked in main(): it says so, and ends with 77. */
static inline void
need(bool there, const char *what, const char *package)
{
    if (there)
        return;
    fprintf(stderr, "no %s: apt-get install %s\n", what, package);
    exit(77);
}

static inline void
need_program(const char *name, const char *package)
{
    char command[128];
    snprintf(command, sizeof(command), "command -v %s >/dev/null", name);
    need(system(command) == 0, name, package);
}

/* Whether this build fetches over HTTP. */
static inline bool
have_curl(void)
{
#ifdef WITH_CURL
    return true;
#else
    return false;
#endif
}

static inline void
need_curl(void)
{
    need(have_curl(), "libcurl in this build", "libcurl4-openssl-dev");
}

/* A build that speaks to Redis, and one to speak to. */
static inline void
need_redis(void)
{
#ifndef WITH_REDIS
    need(false, "hiredis in this build", "libhiredis-dev");
#endif
    need_program("redis-server", "redis-server");
    need_program("redis-cli", "redis-tools");
}

#endif
