/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_WORDS_H
#define ADMIN_WORDS_H

#include "base/bytes.h"

/*
 * Times as people say them. Pure. Each writes into room and returns its text, so that several fit
 * into one line: WORDS_WHEN(at_s, now_s).
 */
struct words {
    char text[64];
};

/* Seconds in one unit, rounded: "45 s", "12 min", "23 h", "5 d". */
const char *words_span(struct words *room, int64_t span_s);
/* "2026-01-31T12:00:00Z (in 3 h)", "… (3 h ago)", "… (now)". */
const char *words_when(struct words *room, int64_t at_s, int64_t now_s);
/* The second half alone: "in 3 h". */
const char *words_relative(struct words *room, int64_t at_s, int64_t now_s);

#define WORDS_SPAN(span_s) (words_span(&(struct words){{0}}, (span_s)))
#define WORDS_WHEN(at_s, now_s) (words_when(&(struct words){{0}}, (at_s), (now_s)))
#define WORDS_RELATIVE(at_s, now_s) (words_relative(&(struct words){{0}}, (at_s), (now_s)))

/*
 * Reads "2026-01-31" (its first second) or "2026-01-31T12:00:00Z", UTC, into *ret; false for
 * anything else, days that no calendar has included.
 */
bool words_read_time(const char *text, int64_t *ret);

#endif
