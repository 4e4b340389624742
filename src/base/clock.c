/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static struct timespec
read_clock(clockid_t id)
{
    struct timespec t = {0};
    clock_gettime(id, &t);
    return t;
}

int64_t
clock_wall_s(void)
{
    return read_clock(CLOCK_REALTIME).tv_sec;
}

static int64_t
read_us(clockid_t id)
{
    struct timespec t = read_clock(id);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t
clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

int64_t
clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

static int64_t
read_ms(clockid_t id)
{
    struct timespec t = read_clock(id);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t
clock_boot_ms(void)
{
    return read_ms(CLOCK_BOOTTIME);
}

int64_t
clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

int64_t
clock_thread_cpu_ns(void)
{
    struct timespec t = read_clock(CLOCK_THREAD_CPUTIME_ID);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void
clock_format(char out[CLOCK_TEXT_SIZE], int64_t wall_s)
{
    time_t t = (time_t)wall_s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099)
        tm = (struct tm){.tm_mday = 1};
    strftime(out, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
