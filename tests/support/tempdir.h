/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_TEMPDIR_H
#define TESTS_SUPPORT_TEMPDIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A directory for one test, under TMPDIR; path holds at least TEMPDIR_SIZE bytes. */
#define TEMPDIR_SIZE 256

static inline int
tempdir_make(char *path)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, TEMPDIR_SIZE, "%s/attestd-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    return mkdtemp(path) ? 0 : -1;
}

static inline int
tempdir_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void
tempdir_remove(const char *path)
{
    nftw(path, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
