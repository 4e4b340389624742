/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

/* Built for coverage, what a child did counts only when it says so. */
extern void __gcov_dump(void) __attribute__((weak));

static inline void
child_exit(bool good)
{
    if (__gcov_dump)
        __gcov_dump();
    _exit(good ? 0 : 1);
}

static inline bool
child_was_good(pid_t pid)
{
    int status = -1;
    return waitpid(pid, &status, 0) == pid && status == 0;
}

#endif
