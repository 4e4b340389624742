/* SPDX-License-Identifier: MIT */
#include "signer/clock_watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BELIEVE_AGAIN_MS = 60000 };

#define OFF_MAX_MS (INT64_C(30) * 86400 * 1000) /* a month without the machine is usual enough */

void
clock_watch_accept(struct clock_watch *w, int64_t wall_ms, int64_t boot_ms)
{
    w->offset_ms = wall_ms - boot_ms;
    w->since_ms = boot_ms;
    w->floor_ms = wall_ms;
    w->jumped_ms = 0;
    w->unknown = false;
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
    else
        w->unknown = wall_ms < floor_ms - w->jump_max_ms || wall_ms > floor_ms + OFF_MAX_MS;
    clock_watch_look(w, wall_ms, boot_ms);
}

void
clock_watch_write(const struct clock_watch *w, const char *boot_id, int64_t wall_ms,
                  char out[CLOCK_WATCH_TEXT_SIZE])
{
    snprintf(out, CLOCK_WATCH_TEXT_SIZE, "%" PRId64 " %" PRId64 " %.40s", w->offset_ms,
             w->jumped_ms ? w->floor_ms : wall_ms, w->unknown ? "" : boot_id);
}

bool
clock_watch_look(struct clock_watch *w, int64_t wall_ms, int64_t boot_ms)
{
    int64_t off_ms = wall_ms - boot_ms - w->offset_ms;
    int64_t past_ms = wall_ms - w->floor_ms; /* negative: earlier than what is certainly past */
    bool jumped = off_ms > w->jump_max_ms || off_ms < -w->jump_max_ms;
    if (w->unknown) {
        off_ms = past_ms;
        jumped = past_ms < -w->jump_max_ms || past_ms > OFF_MAX_MS;
        if (!jumped)
            clock_watch_accept(w, wall_ms, boot_ms);
    }
    w->jumped_ms = jumped ? off_ms : 0;
    if (!jumped && boot_ms - w->since_ms >= BELIEVE_AGAIN_MS)
        clock_watch_accept(w, wall_ms, boot_ms);
    return !jumped;
}

int64_t
clock_watch_now_ms(const struct clock_watch *w, int64_t wall_ms, int64_t boot_ms)
{
    if (!w->jumped_ms)
        return wall_ms;
    return w->unknown ? w->floor_ms : boot_ms + w->offset_ms;
}
