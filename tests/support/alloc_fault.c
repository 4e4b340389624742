/* SPDX-License-Identifier: MIT */
#include "support/alloc_fault.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__GLIBC__) && !defined(SANITIZED)
#define INTERPOSE
#endif

static _Thread_local size_t left; /* 0: not armed, or over */
static _Thread_local bool reached, all_behind, ours_only;
static _Thread_local bool ours, library_failed;
static _Thread_local long live;

static bool
fails(void)
{
    if (ours_only && !ours)
        return false;
    if (!(reached && all_behind) && (left == 0 || --left > 0))
        return false;
    reached = true;
    library_failed |= !ours;
    errno = ENOMEM;
    return true;
}

void
alloc_fault_arm(size_t n, bool on)
{
    left = n;
    reached = library_failed = ours_only = false;
    all_behind = on;
}

void
alloc_fault_arm_ours(size_t n, bool on)
{
    alloc_fault_arm(n, on);
    ours_only = true;
}

bool
alloc_fault_was_library(void)
{
    return library_failed;
}

bool
alloc_fault_disarm(void)
{
    bool was = reached;
    left = 0;
    reached = all_behind = ours_only = false;
    return was;
}

long
alloc_fault_live(void)
{
    return live;
}

bool
alloc_fault_counts(void)
{
#ifdef INTERPOSE
    return true;
#else
    return false;
#endif
}

#ifdef INTERPOSE
#pragma GCC visibility push(default) /* or the libraries would not see them */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

static void *
counted(void *p)
{
    live += p != NULL;
    return p;
}

void *
malloc(size_t size)
{
    return fails() ? NULL : counted(__libc_malloc(size));
}

void *
calloc(size_t n, size_t size)
{
    return fails() ? NULL : counted(__libc_calloc(n, size));
}

void *
realloc(void *p, size_t size)
{
    if (size > 0 && fails())
        return NULL;
    void *moved = __libc_realloc(p, size);
    live += !p && moved ? 1 : p && size == 0 ? -1 : 0;
    return moved;
}

void *
reallocarray(void *p, size_t n, size_t size)
{
    if (size > 0 && n > SIZE_MAX / size) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, n * size);
}

void *
memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : counted(__libc_memalign(alignment, size));
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int
posix_memalign(void **ret, size_t alignment, size_t size)
{
    void *p = memalign(alignment, size);
    if (!p)
        return ENOMEM;
    *ret = p;
    return 0;
}

void
free(void *p)
{
    live -= p != NULL;
    __libc_free(p);
}

#pragma GCC visibility pop
#endif

/*
 * ---- by the linker: our own objects come in here ----
 * With the above that is for knowing who asked; without it the fault is made here.
 */

#ifdef INTERPOSE
#define FAILS false
#else
#define FAILS fails()
#endif

#define OURS(call)                                                                                 \
    ({                                                                                             \
        ours = true;                                                                               \
        __typeof__(call) got_ = FAILS ? NULL : (call);                                             \
        ours = false;                                                                              \
        got_;                                                                                      \
    })

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void *
__wrap_malloc(size_t size)
{
    return OURS(__real_malloc(size));
}

void *
__wrap_calloc(size_t n, size_t size)
{
    return OURS(__real_calloc(n, size));
}

void *
__wrap_realloc(void *p, size_t size)
{
    return OURS(__real_realloc(p, size));
}

char *
__wrap_strdup(const char *s)
{
    return OURS(__real_strdup(s));
}

char *
__wrap_strndup(const char *s, size_t n)
{
    return OURS(__real_strndup(s, n));
}

void *
__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return OURS(__real_aligned_alloc(alignment, size));
}
