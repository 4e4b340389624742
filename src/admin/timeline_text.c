/* SPDX-License-Identifier: MIT */
#include "admin/timeline.h"
#include "base/clock.h"

enum { WIDTH_MIN = 40, WIDTH_MAX = 400, KID_SHOWN = 8, HEAD_WIDE = 26, HEAD_NARROW = 16 };

/* One column for each state: ASCII, Unicode, and its ANSI colour. */
static const struct glyph {
    char ascii;
    const char *block;
    const char *colour;
} glyphs[] = {
    [KEY_CREATED] = {'.', "·", "90"}, [KEY_PUBLISHED] = {'-', "░", "36"},
    [KEY_ACTIVE] = {'#', "█", "32"},  [KEY_RETIRED] = {'=', "▒", "33"},
    [KEY_REMOVED] = {':', "┄", "90"}, [KEY_REVOKED] = {'x', "×", "31"},
};

enum { CELL_NONE = -1 };

/*
 * Columns and what they stand for. The mark of now is a column of its own between past and future,
 * so that no cell is both: n_past cells lie before it and n_future behind.
 */
struct scale {
    const struct timeline *t;
    size_t n_past, n_future;
    bool mark;
};

static struct scale
scale_of(const struct timeline *t, size_t columns)
{
    struct scale s = {.t = t};
    if (t->now_s <= t->from_s || t->now_s >= t->to_s) {
        *(t->now_s <= t->from_s ? &s.n_future : &s.n_past) = columns;
        return s;
    }
    s.mark = true;
    int64_t cells = (int64_t)columns - 1, span_s = t->to_s - t->from_s;
    int64_t past = (cells * (t->now_s - t->from_s) + span_s / 2) / span_s;
    past = past < 1 ? 1 : past > cells - 1 ? cells - 1 : past;
    s.n_past = (size_t)past;
    s.n_future = (size_t)(cells - past);
    return s;
}

/* The moment at which a cell begins; the cell behind the last one begins at to_s. */
static int64_t
cell_from_s(const struct scale *s, size_t cell)
{
    const struct timeline *t = s->t;
    int64_t border_s = s->mark ? t->now_s : s->n_past ? t->to_s : t->from_s;
    if (cell < s->n_past)
        return t->from_s + (border_s - t->from_s) * (int64_t)cell / (int64_t)s->n_past;
    if (!s->n_future)
        return t->to_s;
    return border_s + (t->to_s - border_s) * (int64_t)(cell - s->n_past) / (int64_t)s->n_future;
}

static size_t
n_cells(const struct scale *s)
{
    return s->n_past + s->n_future;
}

static size_t
cell_of(const struct scale *s, int64_t at_s)
{
    size_t cell = 0;
    while (cell + 1 < n_cells(s) && cell_from_s(s, cell + 1) <= at_s)
        cell++;
    return cell;
}

static size_t
count(const int *cells, size_t n, int state)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += cells[i] == state;
    return found;
}

/* Each cell is what the key is in its middle; a part too short for that takes the cell it begins in
 * from a part that has others. */
static void
fill(const struct scale *s, const struct timeline_part *parts, size_t n_parts, int *cells)
{
    size_t n = n_cells(s);
    for (size_t i = 0; i < n; i++) {
        int64_t from_s = cell_from_s(s, i),
                middle_s = from_s + (cell_from_s(s, i + 1) - from_s) / 2;
        /* Left of the mark stands what the key is now, however long it has been that. */
        if (s->mark && i + 1 == s->n_past)
            middle_s = s->t->now_s;
        cells[i] = CELL_NONE;
        for (size_t p = 0; p < n_parts; p++) {
            if (parts[p].from_s <= middle_s && middle_s < parts[p].to_s)
                cells[i] = (int)parts[p].state;
        }
    }
    for (size_t p = 0; p < n_parts; p++) {
        if (parts[p].to_s <= s->t->from_s || parts[p].from_s >= s->t->to_s ||
            count(cells, n, (int)parts[p].state))
            continue;
        size_t cell = cell_of(s, parts[p].from_s);
        if (s->mark && cell + 1 == s->n_past && cell > 0 && parts[p].to_s <= s->t->now_s)
            cell--; /* the last one before now is taken */
        if (cells[cell] == CELL_NONE || count(cells, n, cells[cell]) > 1)
            cells[cell] = (int)parts[p].state;
    }
}

static void
put_glyph(const struct timeline_style *style, int state, bool planned, struct buf *out)
{
    const struct glyph *g = &glyphs[state];
    if (style->colour)
        buf_printf(out, "\033[%s%sm", planned ? "2;" : "", g->colour);
    if (style->unicode)
        buf_str(out, g->block);
    else
        buf_char(out, g->ascii);
    if (style->colour)
        buf_str(out, "\033[0m");
}

static void
put_mark(const struct timeline_style *style, struct buf *out)
{
    buf_str(out, style->colour ? "\033[1m" : "");
    buf_str(out, style->unicode ? "│" : "|");
    buf_str(out, style->colour ? "\033[0m" : "");
}

static void
put_cells(const struct scale *s, const struct timeline_style *style, const int *cells,
          struct buf *out)
{
    size_t blanks = 0; /* held back, so that no line ends in them */
    for (size_t i = 0; i < n_cells(s); i++) {
        if (s->mark && i == s->n_past) {
            buf_printf(out, "%*s", (int)blanks, "");
            blanks = 0;
            put_mark(style, out);
        }
        if (cells[i] == CELL_NONE) {
            blanks++;
            continue;
        }
        buf_printf(out, "%*s", (int)blanks, "");
        blanks = 0;
        put_glyph(style, cells[i], i >= s->n_past, out);
    }
    buf_char(out, '\n');
}

/* What comes from elsewhere keeps to one line of printable ASCII. */
static void
put_head(const struct timeline_key *key, int64_t now_s, size_t head, struct buf *out)
{
    char text[HEAD_WIDE + 1];
    const char *state = key->times.destroyed_s && key->times.destroyed_s <= now_s
                            ? "destroyed"
                            : key_state_name(key_state(&key->times, now_s));
    snprintf(text, sizeof(text), "%-5.5s %-8.8s %s", key->purpose, key->kid,
             head == HEAD_WIDE ? state : "");
    for (char *p = text; *p; p++) {
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    }
    buf_printf(out, "%-*.*s", (int)head, (int)head - 1, text);
}

static bool
put_row(const struct scale *s, const struct timeline_style *style, const struct timeline_key *key,
        size_t head, struct buf *out)
{
    int cells[WIDTH_MAX];
    struct timeline_part parts[TIMELINE_PARTS_MAX];
    size_t n = timeline_parts(&key->plan, parts);
    if (n == 0 || parts[n - 1].to_s <= s->t->from_s || parts[0].from_s >= s->t->to_s)
        return false;
    fill(s, parts, n, cells);
    put_head(key, s->t->now_s, head, out);
    put_cells(s, style, cells, out);
    return true;
}

static size_t
column_of(const struct scale *s, int64_t at_s)
{
    size_t cell = cell_of(s, at_s);
    return cell + (s->mark && cell >= s->n_past);
}

/* The axis: a rule with a tick where each label begins, and the labels under it. */
static void
put_axis(const struct scale *s, const struct timeline_style *style, size_t head, struct buf *out)
{
    char labels[WIDTH_MAX + 1];
    bool ticks[WIDTH_MAX + 1] = {false};
    size_t columns = n_cells(s) + s->mark, end = 0;
    int64_t at_s, step_s = timeline_ticks(s->t, columns / 8 + 1, &at_s);
    memset(labels, ' ', sizeof(labels));
    for (; at_s < s->t->to_s; at_s += step_s) {
        char text[TIMELINE_TICK_SIZE];
        size_t at = column_of(s, at_s), len = timeline_tick(text, at_s, step_s);
        if (at < end || at + len > columns)
            continue;
        ticks[at] = true;
        memcpy(labels + at, text, len);
        end = at + len + 1;
    }
    buf_printf(out, "%*s", (int)head, "");
    for (size_t i = 0; i < columns; i++)
        buf_str(out, s->mark && i == s->n_past ? (style->unicode ? "┼" : "|")
                     : ticks[i]                ? (style->unicode ? "┬" : "+")
                     : style->unicode          ? "─"
                                               : "-");
    buf_char(out, '\n');
    if (end) /* it is one behind the last label */
        buf_printf(out, "%*s%.*s\n", (int)head, "", (int)end - 1, labels);
}

static void
put_legend(const struct timeline_style *style, size_t width, struct buf *out)
{
    size_t at = 0;
    for (int state = KEY_CREATED; state <= KEY_REVOKED; state++) {
        const char *name = key_state_name((enum key_state)state);
        size_t len = 2 + strlen(name);
        if (at && at + 2 + len > width) {
            buf_char(out, '\n');
            at = 0;
        }
        if (at)
            buf_str(out, "  ");
        put_glyph(style, state, false, out);
        buf_printf(out, " %s", name);
        at += len + (at ? 2 : 0);
    }
    buf_char(out, '\n');
    put_mark(style, out);
    buf_str(out, " now; right of it what is planned\n");
}

void
timeline_text(const struct timeline *t, const struct timeline_style *style, struct buf *out)
{
    size_t width = style->width < WIDTH_MIN   ? WIDTH_MIN
                   : style->width > WIDTH_MAX ? WIDTH_MAX
                                              : style->width;
    size_t head = width < 60 ? HEAD_NARROW : HEAD_WIDE, n_left_out = 0;
    struct scale s = scale_of(t, width - head);
    char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE];
    clock_format(from, t->from_s);
    clock_format(to, t->to_s);
    clock_format(now, t->now_s);
    if (width >= 60)
        buf_printf(out, "%s to %s\n", from, to);
    else
        buf_printf(out, "%s to\n%s\n", from, to);
    for (size_t i = 0; i < t->n; i++)
        n_left_out += !put_row(&s, style, &t->keys[i], head, out);
    put_axis(&s, style, head, out);
    put_legend(style, width, out);
    buf_printf(out, "now is %s\n", now);
    if (n_left_out)
        buf_printf(out, "%zu not shown: their life lies outside\n", n_left_out);
}
