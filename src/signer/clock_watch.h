/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_CLOCK_WATCH_H
#define SIGNER_CLOCK_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Notices a wall clock that jumps, by holding it against the time since the machine started. Key
 * life is made of time stamps: a clock that is wrong for a minute must not retire, remove or
 * destroy anything. Pure: whoever calls reads the clocks.
 *
 * Small steps, as of a clock that is being disciplined, are let through and forgotten after
 * a minute. A jump that is undone is no jump any more.
 */
struct clock_watch {
    int64_t jump_max_ms;
    int64_t offset_ms; /* wall - boot, when the clock was last believed */
    int64_t since_ms;  /* boot, at that moment */
    int64_t floor_ms;  /* wall: a moment that is certainly past */
    int64_t jumped_ms; /* how far it is off now; 0: it is believed */
    bool unknown;      /* the machine restarted with a clock that is wrong: nothing to go by */
};

#define CLOCK_WATCH_TEXT_SIZE 96

/* Believes the clock as it is. */
void clock_watch_accept(struct clock_watch *watch, int64_t wall_ms, int64_t boot_ms);

/*
 * Goes on from what clock_watch_write() left, perhaps by another process: in the same boot the
 * clock is held to it in both directions; after a restart of the machine it may not be earlier, nor
 * later by more than a machine is usually off. text "" or unreadable: accepted as it is. boot_id ""
 * is never the same.
 */
void clock_watch_resume(struct clock_watch *watch, const char *text, const char *boot_id,
                        int64_t wall_ms, int64_t boot_ms);
void clock_watch_write(const struct clock_watch *watch, const char *boot_id, int64_t wall_ms,
                       char out[CLOCK_WATCH_TEXT_SIZE]);

/* Looks; true while the clock is believed. */
bool clock_watch_look(struct clock_watch *watch, int64_t wall_ms, int64_t boot_ms);

/* The time as far as it is known, after a look: the wall clock, or what it would be without the
 * jump. */
int64_t clock_watch_now_ms(const struct clock_watch *watch, int64_t wall_ms, int64_t boot_ms);

#endif
