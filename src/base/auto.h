/* SPDX-License-Identifier: MIT */
#ifndef BASE_AUTO_H
#define BASE_AUTO_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Clean-up at the end of the scope: AUTO(buf) struct buf b = {0}; calls buf_auto(&b).
 * A variable that lives for its clean-up alone is no mistake, hence "unused".
 * A room gives its own type NAME an `_auto` function beside its `_free` or `_done`:
 * DEFINE_AUTO(NAME, TYPE, FUNCTION) for pointers.
 */
#define AUTO(name) __attribute__((cleanup(name##_auto), unused))

#define DEFINE_AUTO(name, type, function)                                                          \
    static inline void name##_auto(type *p)                                                        \
    {                                                                                              \
        if (*p)                                                                                    \
            function(*p);                                                                          \
    }                                                                                              \
    struct name##_auto_needs_semicolon

/* Hands the value over and leaves NULL, so that the clean-up finds nothing to do. */
#define STEAL(p)                                                                                   \
    ({                                                                                             \
        __typeof__(p) *steal_from_ = &(p);                                                         \
        __typeof__(p) stolen_ = *steal_from_;                                                      \
        *steal_from_ = NULL;                                                                       \
        stolen_;                                                                                   \
    })

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void
mem_auto(void *p)
{
    free(*(void **)p);
}

static inline void
fd_auto(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

DEFINE_AUTO(file, FILE *, fclose);

#endif
