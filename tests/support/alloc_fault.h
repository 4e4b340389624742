/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_ALLOC_FAULT_H
#define TESTS_SUPPORT_ALLOC_FAULT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Makes the nth allocation of this thread fail, whoever asks for memory: with glibc the test
 * program's malloc() is everyone's, the libraries' too. Under a sanitizer, which has a malloc() of
 * its own, it is that of our own objects alone, by the linker's --wrap; the sanitizer then sees
 * what becomes of their leaks.
 */

/* Whether alloc_fault_live() counts. */
bool alloc_fault_counts(void);

/* From now on the nth allocation fails (1: the next), and with `on` all behind it. */
void alloc_fault_arm(size_t n, bool on);
/* The same, counting only what our own objects ask for: a library may not survive without memory.
 */
void alloc_fault_arm_ours(size_t n, bool on);
/* No more; true when the nth was reached. */
bool alloc_fault_disarm(void);

/*
 * Whether, since it was armed, an allocation failed that a library asked for and not our own
 * objects. What a library makes of that is its own: some leak, some blame the input.
 */
bool alloc_fault_was_library(void);

/* What this thread has asked for and not given back; only differences mean anything. */
long alloc_fault_live(void);

#endif
