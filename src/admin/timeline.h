/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_TIMELINE_H
#define ADMIN_TIMELINE_H

#include "base/bytes.h"
#include "jwks/rollover.h"

/*
 * The life of each key as a bar against time, now marked. Pure: keys, policy and now go in, text or
 * SVG comes out; no clock, no terminal, no environment.
 */
struct timeline_key {
    const char *kid, *purpose, *label; /* borrowed; what is in them is escaped where it matters */
    struct key_times times;            /* as recorded, planned ones included */
    struct key_times plan;             /* and what the schedule will add: timeline_plan() */
};

struct timeline {
    struct timeline_key *keys;
    size_t n;
    int64_t now_s;
    int64_t from_s, to_s; /* what is drawn: from_s < to_s; timeline_range() */
};

/*
 * Fills in every key's plan: the times, and for token keys what a loop that keeps to this policy
 * will do and when: the active key is due at due_s (0: unknown), the standby then takes over, and
 * so on up to being destroyed. A guess for drawing, never for deciding.
 */
void timeline_plan(struct timeline *t, const struct rollover_policy *policy, int64_t due_s);

/* Sets from_s and to_s so that every key that is not destroyed, and its plan, is seen. */
void timeline_range(struct timeline *t);

/* The next time stamp of a key's plan behind now_s: what will happen to it then ("signs"), and
 * when; NULL when nothing is planned. */
const char *timeline_next(const struct timeline_key *key, int64_t now_s, int64_t *at_s);

/* One stretch of a life in one state. */
struct timeline_part {
    enum key_state state;
    int64_t from_s, to_s; /* INT64_MAX: no end */
};
#define TIMELINE_PARTS_MAX 8
/* The stretches of these times in order, without gaps, from created to destroyed; how many. */
size_t timeline_parts(const struct key_times *times,
                      struct timeline_part parts[TIMELINE_PARTS_MAX]);

struct timeline_style {
    unsigned width; /* columns; less than 40 is taken as 40, more than 400 as 400 */
    bool unicode;   /* block characters in UTF-8, else ASCII */
    bool colour;    /* ANSI escapes */
};

/*
 * For a terminal: a line with the range, a row for each key whose life touches it, an axis, a
 * legend. No line is wider than style->width. A state that a key is in shows as one column at
 * least, as long as there are columns enough. Left of the now mark stands what was, right of it
 * what is planned.
 */
void timeline_text(const struct timeline *t, const struct timeline_style *style, struct buf *out);

/* The same as a document of its own: no script, no font, no reference to anything outside. */
void timeline_svg(const struct timeline *t, struct buf *out);

/* Round times for an axis of at most n_max ticks: the step, and in *first_s the first tick. */
int64_t timeline_ticks(const struct timeline *t, size_t n_max, int64_t *first_s);
/* How a tick is written, in UTC, as finely as the step asks for; its length. */
#define TIMELINE_TICK_SIZE 32
size_t timeline_tick(char out[TIMELINE_TICK_SIZE], int64_t at_s, int64_t step_s);

#endif
