/* SPDX-License-Identifier: MIT */
#include "admin/timeline.h"
#include "base/clock.h"

/* Pixels. Lengths along the time axis are written in tenths, to need no floating point. */
enum {
    WIDTH = 960,
    HEAD = 232, /* where time begins */
    PLOT = WIDTH - HEAD - 16,
    TOP = 64,
    ROW = 30,
    BAR = 18,
};

/* Each state has a colour that holds on white and on black, and a height of its own, so that the
 * picture can be read without colours. */
static const struct look {
    const char *fill;
    int height;
} looks[] = {
    [KEY_CREATED] = {"#8a8f98", 4},  [KEY_PUBLISHED] = {"#3b82c4", 9},
    [KEY_ACTIVE] = {"#2e9e5b", BAR}, [KEY_RETIRED] = {"#c98a1b", 12},
    [KEY_REMOVED] = {"#8a8f98", 2},  [KEY_REVOKED] = {"#d0453e", 6},
};

/* XML text and attribute values; bytes that XML does not have, and what is no ASCII, become "?". */
static void
put_text(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        const char *entity = *p == '&'    ? "&amp;"
                             : *p == '<'  ? "&lt;"
                             : *p == '>'  ? "&gt;"
                             : *p == '"'  ? "&quot;"
                             : *p == '\'' ? "&#39;"
                                          : NULL;
        if (entity)
            buf_str(out, entity);
        else
            buf_char(out, *p < 0x20 || *p > 0x7e ? '?' : *p);
    }
}

/* Where a moment lies, in tenths of a pixel, held to what is drawn. */
static int64_t
x_of(const struct timeline *t, int64_t at_s)
{
    if (at_s < t->from_s)
        at_s = t->from_s;
    if (at_s > t->to_s)
        at_s = t->to_s;
    return HEAD * 10 + (at_s - t->from_s) * PLOT * 10 / (t->to_s - t->from_s);
}

static void
put_tenths(struct buf *out, const char *name, int64_t tenths)
{
    buf_printf(out, " %s=\"%lld.%lld\"", name, (long long)(tenths / 10), (long long)(tenths % 10));
}

static void
put_style(struct buf *out)
{
    buf_str(out, "<style>\n"
                 "svg{background:#fff;color:#1b1f24;font:13px sans-serif}\n"
                 "text{fill:currentColor} .small{font-size:11px} .kid{font-family:monospace}\n"
                 ".title{font-size:16px;font-weight:bold}\n"
                 ".grid{stroke:currentColor;stroke-opacity:.15}\n"
                 ".now{stroke:#d0453e;stroke-width:2} .planned{opacity:.45}\n");
    for (int state = KEY_CREATED; state <= KEY_REVOKED; state++)
        buf_printf(out, ".%s{fill:%s}\n", key_state_name((enum key_state)state), looks[state].fill);
    buf_str(out, "@media (prefers-color-scheme:dark){svg{background:#14171a;color:#e6e8eb}}\n"
                 "</style>\n");
}

/* One stretch that lies wholly before or behind now, with words for whoever cannot see it. */
static void
put_bar(const struct timeline *t, const struct timeline_key *key, const struct timeline_part *part,
        int64_t y, struct buf *out)
{
    int64_t x = x_of(t, part->from_s), end = x_of(t, part->to_s);
    int height = looks[part->state].height;
    char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE] = "";
    bool planned = part->from_s >= t->now_s;
    clock_format(from, part->from_s);
    if (part->to_s != INT64_MAX)
        clock_format(to, part->to_s);
    if (end - x < 10)
        end = x + 10; /* a short one is seen too */
    buf_printf(out, "<rect class=\"%s%s\"", key_state_name(part->state), planned ? " planned" : "");
    put_tenths(out, "x", x);
    put_tenths(out, "width", end - x);
    buf_printf(out, " y=\"%lld\" height=\"%d\"><title>", (long long)(y + (ROW - height) / 2),
               height);
    put_text(out, key->kid);
    buf_printf(out, ": %s%s from %s%s%s</title></rect>\n", key_state_name(part->state),
               planned ? " (planned)" : "", from, *to ? " to " : "", to);
}

static void
put_part(const struct timeline *t, const struct timeline_key *key, const struct timeline_part *part,
         int64_t y, struct buf *out)
{
    if (part->to_s <= t->from_s || part->from_s >= t->to_s)
        return;
    if (part->from_s < t->now_s && part->to_s > t->now_s) {
        struct timeline_part past = {part->state, part->from_s, t->now_s};
        struct timeline_part planned = {part->state, t->now_s, part->to_s};
        put_part(t, key, &past, y, out);
        put_part(t, key, &planned, y, out);
        return;
    }
    put_bar(t, key, part, y, out);
}

static void
put_key(const struct timeline *t, const struct timeline_key *key, int64_t y, struct buf *out)
{
    struct timeline_part parts[TIMELINE_PARTS_MAX];
    size_t n = timeline_parts(&key->plan, parts);
    char kid[9];
    snprintf(kid, sizeof(kid), "%.8s", key->kid);
    buf_printf(out, "<g role=\"listitem\"><text x=\"8\" y=\"%lld\">", (long long)(y + 19));
    put_text(out, key->purpose);
    buf_str(out, " <tspan class=\"kid\">");
    put_text(out, kid);
    buf_printf(out, "</tspan> %s</text>\n",
               key->times.destroyed_s && key->times.destroyed_s <= t->now_s
                   ? "destroyed"
                   : key_state_name(key_state(&key->times, t->now_s)));
    for (size_t i = 0; i < n; i++)
        put_part(t, key, &parts[i], y, out);
    buf_str(out, "</g>\n");
}

static void
put_axis(const struct timeline *t, int64_t bottom, struct buf *out)
{
    char text[TIMELINE_TICK_SIZE];
    int64_t at_s, step_s = timeline_ticks(t, 9, &at_s);
    buf_str(out, "<g class=\"axis\" aria-hidden=\"true\">\n");
    for (; at_s <= t->to_s; at_s += step_s) {
        timeline_tick(text, at_s, step_s);
        int64_t x = x_of(t, at_s);
        buf_str(out, "<line class=\"grid\"");
        put_tenths(out, "x1", x);
        put_tenths(out, "x2", x);
        buf_printf(out, " y1=\"%d\" y2=\"%lld\"/>\n<text class=\"small\" text-anchor=\"middle\"",
                   TOP - 4, (long long)bottom);
        put_tenths(out, "x", x);
        buf_printf(out, " y=\"%lld\">%s</text>\n", (long long)(bottom + 16), text);
    }
    buf_str(out, "</g>\n");
}

static void
put_now(const struct timeline *t, int64_t bottom, struct buf *out)
{
    if (t->now_s < t->from_s || t->now_s > t->to_s)
        return;
    int64_t x = x_of(t, t->now_s);
    buf_str(out, "<line class=\"now\"");
    put_tenths(out, "x1", x);
    put_tenths(out, "x2", x);
    buf_printf(out, " y1=\"%d\" y2=\"%lld\"/>\n<text class=\"small\" text-anchor=\"middle\"",
               TOP - 8, (long long)bottom);
    put_tenths(out, "x", x);
    buf_printf(out, " y=\"%d\">now</text>\n", TOP - 12);
}

static void
put_legend(int64_t y, struct buf *out)
{
    int x = 8;
    buf_str(out, "<g aria-label=\"legend\">\n");
    for (int state = KEY_CREATED; state <= KEY_REVOKED; state++) {
        const char *name = key_state_name((enum key_state)state);
        int height = looks[state].height;
        buf_printf(out,
                   "<rect class=\"%s\" x=\"%d\" y=\"%lld\" width=\"24\" height=\"%d\"/>"
                   "<text class=\"small\" x=\"%d\" y=\"%lld\">%s</text>\n",
                   name, x, (long long)(y + (BAR - height) / 2), height, x + 30,
                   (long long)(y + 13), name);
        x += 110;
    }
    buf_printf(out,
               "<rect class=\"active planned\" x=\"%d\" y=\"%lld\" width=\"24\" height=\"%d\"/>"
               "<text class=\"small\" x=\"%d\" y=\"%lld\">paler: planned</text>\n</g>\n",
               x, (long long)y, BAR, x + 30, (long long)(y + 13));
}

static bool
is_seen(const struct timeline *t, const struct timeline_key *key)
{
    const struct key_times *plan = &key->plan;
    return plan->created_s < t->to_s && (!plan->destroyed_s || plan->destroyed_s > t->from_s);
}

void
timeline_svg(const struct timeline *t, struct buf *out)
{
    char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE];
    clock_format(from, t->from_s);
    clock_format(to, t->to_s);
    clock_format(now, t->now_s);
    int64_t n_rows = 0;
    for (size_t i = 0; i < t->n; i++)
        n_rows += is_seen(t, &t->keys[i]);
    int64_t bottom = TOP + n_rows * ROW, height = bottom + 64;
    buf_printf(out,
               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
               "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"figure\" "
               "aria-labelledby=\"title desc\" viewBox=\"0 0 %d %lld\" width=\"%d\" "
               "height=\"%lld\">\n"
               "<title id=\"title\">The life of the keys</title>\n"
               "<desc id=\"desc\">A bar for each key against time, %s to %s, as of %s: %lld keys."
               "</desc>\n",
               WIDTH, (long long)height, WIDTH, (long long)height, from, to, now,
               (long long)n_rows);
    put_style(out);
    buf_printf(out,
               "<text class=\"title\" x=\"8\" y=\"24\">The life of the keys</text>\n"
               "<text class=\"small\" x=\"8\" y=\"42\">%s to %s (UTC)</text>\n",
               from, to);
    put_axis(t, bottom, out);
    buf_str(out, "<g role=\"list\">\n");
    int64_t y = TOP;
    for (size_t i = 0; i < t->n; i++) {
        if (!is_seen(t, &t->keys[i]))
            continue;
        put_key(t, &t->keys[i], y, out);
        y += ROW;
    }
    buf_str(out, "</g>\n");
    put_now(t, bottom, out);
    put_legend(bottom + 32, out);
    buf_str(out, "</svg>\n");
}
