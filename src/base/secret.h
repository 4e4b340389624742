/* SPDX-License-Identifier: MIT */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/bytes.h"

/*
 * Seeds, PINs and wrapping keys live here: guard pages around, locked, left out of core dumps,
 * wiped when freed. A secret is moved, not copied; secret_free() empties it.
 */
struct secret {
    uint8_t *p;
    size_t len;
};

/*
 * len bytes, content undefined. When the memory cannot be had the process aborts: there is no safe
 * way on without it, and the only cause is a limit (RLIMIT_MEMLOCK) that the start should show.
 */
struct secret secret_new(size_t len);
struct secret secret_copy(const void *p, size_t len);
/* The same for a library, which ends nobody's process: p is NULL when the memory cannot be had. */
struct secret secret_try_new(size_t len);
struct secret secret_try_copy(const void *p, size_t len);
void secret_free(struct secret *s);
/*
 * From here on all memory of the heap is written over as it is freed: libraries that are handed a
 * secret keep copies and free them as they are. Once, at the start of a program that has any,
 * before anything else, or OpenSSL's memory is left out; where the C library is not glibc it does
 * nothing.
 */
void secret_wipe_freed(void);

/*
 * Whether so many bytes of secrets can be kept from the swap: secret_new() goes on without when the
 * limit of locked memory (RLIMIT_MEMLOCK) is too low. For the start of a program, once.
 */
bool secret_lockable(size_t len);
/* Wipes ordinary memory in a way that the compiler keeps. */
void secret_wipe(void *p, size_t len);
/*
 * Clears the vector registers of this thread. Whatever copies a secret moves it through them, where
 * it stays, for a core dump to find, while a thread waits that last signed something. secret_free()
 * does it too. On other machines than x86-64 and AArch64 it does nothing.
 */
void secret_clear_registers(void);
/* In constant time; false when the lengths differ. */
bool secret_eq(const void *a, size_t a_len, const void *b, size_t b_len);

/*
 * Reads a secret from a file: a regular file, at most len_max bytes, one trailing newline dropped,
 * not empty, and not readable by others than its owner and group.
 */
enum attest_rc secret_read_file(const char *path, size_t len_max, struct secret *ret,
                                struct attest_error *err);

static inline void
secret_auto(struct secret *s)
{
    secret_free(s);
}

#endif
