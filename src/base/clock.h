/* SPDX-License-Identifier: MIT */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Seconds since the Unix epoch, UTC. */
int64_t clock_wall_s(void);
/* Milliseconds and microseconds that only go forward, from an arbitrary start. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
/* Milliseconds since the machine started, its sleep included; what the wall clock is held against.
 */
int64_t clock_boot_ms(void);
/* The wall clock in milliseconds and microseconds. */
int64_t clock_wall_ms(void);
int64_t clock_wall_us(void);
/* CPU time of the calling thread in nanoseconds. */
int64_t clock_thread_cpu_ns(void);

/* RFC 3339 in UTC, "2026-01-31T12:00:00Z", with NUL; years 0 to 9999. */
#define CLOCK_TEXT_SIZE 24
void clock_format(char out[CLOCK_TEXT_SIZE], int64_t wall_s);

#endif
