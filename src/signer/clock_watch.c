/* SPDX-License-Identifier: MIT */
#include "signer/clock_watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BELIEVE_AGAIN_MS = 60000 };

void
clock_watch_accept(struct clock_watch *w, int64_t wall_ms, int64_t boot_ms)
{
    w->offset_ms = wall_ms - boot_ms;
    w->since_ms = boot_ms;
    w->floor_ms = wall_ms;
    w->jumped_ms = 0;
}

void
clock_watch_resume(struct clock_watch *w, const char *text, const char *boot_id, int64_t wall_ms,
                   int64_t boot_ms)
{
    int64_t offset_ms = 0, floor_ms = 0;
    char boot[41] = "";
    clock_watch_accept(w, wall_ms, boot_ms);
    if (sscanf(text, "%" SCNd64 " %" SCNd64 " %40s", &offset_ms, &floor_ms, boot) < 2)
        return;
    w->floor_ms = floor_ms;
    if (boot_id[0] && strcmp(boot, boot_id) == 0)
        w->offset_ms = offset_ms;
    clock_watch_look(w, wall_ms, boot_ms);
}

void
clock_watch_write(const struct clock_watch *w, const char *boot_id, int64_t wall_ms,
                  char out[CLOCK_WATCH_TEXT_SIZE])
{
    snprintf(out, CLOCK_WATCH_TEXT_SIZE, "%" PRId64 " %" PRId64 " %.40s", w->offset_ms,
             w->jumped_ms ? w->floor_ms : wall_ms, boot_id);
}

bool
clock_watch_look(struct clock_watch *w, int64_t wall_ms, int64_t boot_ms)
{
    int64_t off_ms = wall_ms - boot_ms - w->offset_ms;
    int64_t late_ms = wall_ms - w->floor_ms; /* negative: earlier than what is certainly past */
    bool jumped = off_ms > w->jump_max_ms || off_ms < -w->jump_max_ms;
    if (!jumped && late_ms < -w->jump_max_ms) {
        jumped = true;
        off_ms = late_ms;
    }
    w->jumped_ms = jumped ? off_ms : 0;
    if (!jumped && boot_ms - w->since_ms >= BELIEVE_AGAIN_MS)
        clock_watch_accept(w, wall_ms, boot_ms);
    return !jumped;
}
