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

/*
 * "redis" or "valkey", after which -server and -cli are named: what $REDIS says, else what is
 * installed. Not thread-safe until it was called once.
 */
static inline const char *
redis_kind(void)
{
    static const char *kind;
    if (!kind)
        kind = getenv("REDIS");
    if (!kind || !*kind)
        kind = system("command -v redis-server >/dev/null") != 0 &&
                       system("command -v valkey-server >/dev/null") == 0
                   ? "valkey"
                   : "redis";
    return kind;
}

/* A build that speaks to Redis, and one to speak to. */
static inline void
need_redis(void)
{
    static const char *const suffixes[] = {"-server", "-cli"};
#ifndef WITH_REDIS
    need(false, "hiredis in this build", "libhiredis-dev");
#endif
    for (size_t i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s%s", redis_kind(), suffixes[i]);
        need_program(name, "redis-server redis-tools");
    }
}

#endif
