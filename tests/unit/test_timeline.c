/* SPDX-License-Identifier: MIT */
/*
 * The drawing of key lives, held to what a reader takes from it: what is left of now was, each
 * state is seen, in order, in proportion, within the width.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin/timeline.h"
#include "admin/words.h"

#define DAY INT64_C(86400)
#define NOW INT64_C(1769860800) /* 2026-01-31T12:00:00Z */

static const struct rollover_policy policy = {
    .active_period_s = 30 * DAY,
    .publish_lead_s = DAY,
    .retire_lag_s = 2 * DAY,
    .destroy_grace_s = 7 * DAY,
};

/* One key that went, one that signs, one that waits, one revoked; and a root that lives for years.
 */
static struct timeline_key lives[] = {
    {"aaaaaaaaAAAA", "token", "first",
     .times = {.created_s = NOW - 40 * DAY,
               .published_s = NOW - 38 * DAY,
               .active_s = NOW - 36 * DAY,
               .retired_s = NOW - 8 * DAY,
               .removed_s = NOW - 6 * DAY}},
    {"bbbbbbbbBBBB", "token", "second",
     .times = {.created_s = NOW - 30 * DAY,
               .published_s = NOW - 20 * DAY,
               .active_s = NOW - 8 * DAY}},
    {"ccccccccCCCC", "token", "third",
     .times = {.created_s = NOW - 8 * DAY, .published_s = NOW - 8 * DAY}},
    {"ddddddddDDDD", "token", "stolen",
     .times = {.created_s = NOW - 20 * DAY,
               .published_s = NOW - 18 * DAY,
               .revoked_s = NOW - 3 * DAY}},
    {"eeeeeeeeEEEE", "root", "root",
     .times = {.created_s = NOW - 900 * DAY,
               .published_s = NOW - 900 * DAY,
               .active_s = NOW - 900 * DAY}},
};

static struct timeline
make(void)
{
    struct timeline t = {.keys = lives, .n = ARRAY_LEN(lives), .now_s = NOW};
    timeline_plan(&t, &policy, NOW + 22 * DAY);
    timeline_range(&t);
    return t;
}

/* The drawing as text; free() it. */
static char *
draw(const struct timeline *t, unsigned width, bool unicode, bool colour)
{
    struct timeline_style style = {width, unicode, colour};
    struct buf out;
    buf_init(&out, 1 << 20);
    timeline_text(t, &style, &out);
    assert_true(buf_terminate(&out));
    return out.p;
}

/* The bar of the row that has this text, without its head; "" when there is no such row. */
static const char *
bar_of(const char *drawing, const char *kid, size_t head, char room[512])
{
    const char *at = strstr(drawing, kid);
    room[0] = '\0';
    if (!at)
        return room;
    while (at > drawing && at[-1] != '\n')
        at--;
    size_t len = strcspn(at, "\n");
    assert_true(len > head && len < 512);
    memcpy(room, at + head, len - head);
    room[len - head] = '\0';
    return room;
}

static size_t
count(const char *text, char c)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == c;
    return n;
}

static void
no_line_is_wider(void **state)
{
    (void)state;
    struct timeline t = make();
    for (unsigned width = 0; width < 300; width++) {
        unsigned allowed = width < 40 ? 40 : width;
        char *drawing = draw(&t, width, false, false);
        for (const char *line = drawing; *line; line += strcspn(line, "\n") + 1) {
            size_t len = strcspn(line, "\n");
            if (len > allowed)
                fail_msg("%zu columns at width %u: %.*s", len, width, (int)len, line);
            assert_true(len == 0 || line[len - 1] != ' ');
        }
        free(drawing);
    }
}

static void
plain_is_printable_ascii(void **state)
{
    (void)state;
    struct timeline t = make();
    char *drawing = draw(&t, 80, false, false);
    for (const char *p = drawing; *p; p++)
        assert_true(*p == '\n' || (*p >= 0x20 && *p <= 0x7e));
    free(drawing);
    drawing = draw(&t, 80, true, false);
    assert_null(strchr(drawing, '\033'));
    assert_non_null(strstr(drawing, "█"));
    free(drawing);
    drawing = draw(&t, 80, false, true);
    assert_non_null(strstr(drawing, "\033["));
    free(drawing);
}

static void
states_come_in_order_with_now_between(void **state)
{
    (void)state;
    char room[512];
    struct timeline t = make();
    for (unsigned width = 60; width < 200; width += 7) {
        char *drawing = draw(&t, width, false, false);
        size_t mark = strcspn(bar_of(drawing, "aaaaaaaa", 26, room), "|");
        /* The life of the first: waits, is shown, signs, retires, is gone: all of it before now. */
        room[mark] = '\0';
        size_t at = strspn(room, " ");
        for (const char *glyph = ".-#=:"; *glyph; glyph++) {
            char one[2] = {*glyph};
            size_t run = strspn(room + at, one);
            if (run == 0)
                fail_msg("no '%c' at width %u: %s", *glyph, width, room);
            at += run;
        }
        assert_int_equal(at, mark);
        free(drawing);
    }
}

static void
mark_is_one_column(void **state)
{
    (void)state;
    char room[512];
    struct timeline t = make();
    char *drawing = draw(&t, 100, false, false);
    size_t mark = 0;
    for (size_t i = 0; i < t.n; i++) {
        char kid[9];
        snprintf(kid, sizeof(kid), "%.8s", lives[i].kid);
        size_t at = strcspn(bar_of(drawing, kid, 26, room), "|");
        assert_true(room[at] == '|');
        assert_true(i == 0 || at == mark);
        mark = at;
    }
    free(drawing);
}

static void
plan_stands_right_of_now(void **state)
{
    (void)state;
    char room[512];
    struct timeline t = make();
    char *drawing = draw(&t, 120, false, false);
    /* The second signs until it is due, then retires and goes. */
    const char *bar = strchr(bar_of(drawing, "bbbbbbbb", 26, room), '|');
    assert_non_null(bar);
    assert_true(bar[1] == '#' && strchr(bar, '=') && strchr(bar, '=') > strrchr(bar, '#'));
    assert_true(bar > room && bar[-1] == '#');
    /* The third is published until then, and signs. */
    bar = strchr(bar_of(drawing, "cccccccc", 26, room), '|');
    assert_true(bar[-1] == '-' && bar[1] == '-' && strrchr(bar, '#') > strrchr(bar, '-'));
    /* The revoked one never signs again, and goes after its grace. */
    bar_of(drawing, "dddddddd", 26, room);
    assert_int_equal(count(room, '#'), 0);
    assert_true(strchr(room, 'x') > strchr(room, '-'));
    /* The root fills its row. */
    bar_of(drawing, "eeeeeeee", 26, room);
    assert_int_equal(count(room, '#') + 1, strlen(room));
    free(drawing);
}

static void
lengths_are_in_proportion(void **state)
{
    (void)state;
    char room[512];
    struct timeline t = make();
    t.from_s = NOW - 40 * DAY;
    t.to_s = NOW + 40 * DAY;
    for (unsigned width = 107; width < 390; width += 20) {
        char *drawing = draw(&t, width, false, false);
        size_t cells = width - 26 - 1, found = count(bar_of(drawing, "aaaaaaaa", 26, room), '#');
        size_t wanted = cells * 28 / 80; /* it signed for 28 of the 80 days */
        assert_in_range(found, wanted - 1, wanted + 1);
        free(drawing);
    }
}

static void
short_states_are_seen(void **state)
{
    (void)state;
    char room[512];
    struct timeline_key key = {"ffffffff", "token", "",
                               .times = {.created_s = NOW - 300 * DAY,
                                         .published_s = NOW - 300 * DAY + 1,
                                         .active_s = NOW - 300 * DAY + 2,
                                         .retired_s = NOW - 10,
                                         .removed_s = NOW - 5}};
    key.plan = key.times;
    struct timeline t = {&key, 1, NOW, NOW - 330 * DAY, NOW + 30 * DAY};
    char *drawing = draw(&t, 80, false, false);
    bar_of(drawing, "ffffffff", 26, room);
    assert_true(count(room, '#') > 30);
    assert_true(count(room, '=') >= 1);
    assert_true(count(room, '.') >= 1 || count(room, '-') >= 1);
    free(drawing);
}

/* A key of this second, with a long plan: what it is now stands left of the mark. */
static void
present_state_stands_at_the_mark(void **state)
{
    (void)state;
    char room[512];
    struct timeline_key key = {"gggggggg", "token", "",
                               .times = {.created_s = NOW, .published_s = NOW, .active_s = NOW}};
    struct timeline t = {.keys = &key, .n = 1, .now_s = NOW};
    timeline_plan(&t, &policy, NOW + 30 * DAY);
    timeline_range(&t);
    char *drawing = draw(&t, 80, false, false);
    assert_non_null(strstr(bar_of(drawing, "gggggggg", 26, room), "#|#"));
    free(drawing);
    /* What it was just before that stands before it. */
    key.times.created_s = key.times.published_s = NOW - 60;
    key.times.active_s = NOW - 5;
    timeline_plan(&t, &policy, NOW + 30 * DAY);
    timeline_range(&t);
    drawing = draw(&t, 80, false, false);
    assert_non_null(strstr(bar_of(drawing, "gggggggg", 26, room), "-#|#"));
    free(drawing);
}

static void
range_leaves_out_what_it_does_not_touch(void **state)
{
    (void)state;
    struct timeline t = make();
    t.from_s = NOW - 1000 * DAY;
    t.to_s = NOW - 800 * DAY;
    char *drawing = draw(&t, 80, false, false);
    assert_null(strstr(drawing, "aaaaaaaa"));
    assert_non_null(strstr(drawing, "eeeeeeee"));
    assert_non_null(strstr(drawing, "4 not shown"));
    char room[512];
    assert_null(strchr(bar_of(drawing, "eeeeeeee", 26, room), '|'));
    free(drawing);
}

static void
axis_has_a_few_round_labels(void **state)
{
    (void)state;
    static const int64_t spans_s[] = {10,      90,       1200,      7200,       40000,
                                      3 * DAY, 40 * DAY, 400 * DAY, 4000 * DAY, 15000 * DAY};
    for (size_t i = 0; i < ARRAY_LEN(spans_s); i++) {
        struct timeline t = {.now_s = NOW, .from_s = NOW - spans_s[i], .to_s = NOW + spans_s[i]};
        int64_t first_s, step_s = timeline_ticks(&t, 6, &first_s);
        assert_true(first_s >= t.from_s && first_s - step_s < t.from_s && first_s % step_s == 0);
        assert_in_range((t.to_s - first_s) / step_s, 1, 6);
    }
    char text[TIMELINE_TICK_SIZE];
    assert_int_equal(timeline_tick(text, NOW, 5), 8);
    assert_string_equal(text, "12:00:00");
    timeline_tick(text, NOW, 3600);
    assert_string_equal(text, "12:00");
    timeline_tick(text, NOW, 21600);
    assert_string_equal(text, "01-31 12:00");
    timeline_tick(text, NOW, DAY);
    assert_string_equal(text, "01-31");
    timeline_tick(text, NOW, 7776000);
    assert_string_equal(text, "2026-01-31");
}

static void
parts_have_no_gaps(void **state)
{
    (void)state;
    struct timeline_part parts[TIMELINE_PARTS_MAX];
    struct timeline t = make();
    for (size_t i = 0; i < t.n; i++) {
        size_t n = timeline_parts(&t.keys[i].plan, parts);
        assert_in_range(n, 1, TIMELINE_PARTS_MAX);
        assert_int_equal(parts[0].from_s, t.keys[i].plan.created_s);
        for (size_t p = 1; p < n; p++) {
            assert_int_equal(parts[p].from_s, parts[p - 1].to_s);
            assert_true(parts[p].state != parts[p - 1].state);
        }
        for (size_t p = 0; p < n; p++)
            assert_int_equal(parts[p].state, key_state_at(&t.keys[i].plan, parts[p].from_s));
        int64_t end_s = t.keys[i].plan.destroyed_s;
        assert_int_equal(parts[n - 1].to_s, end_s ? end_s : INT64_MAX);
    }
    /* Made and destroyed in one second: nothing to draw. */
    assert_int_equal(timeline_parts(&(struct key_times){.created_s = 5, .destroyed_s = 5}, parts),
                     0);
}

static void
next_is_told(void **state)
{
    (void)state;
    int64_t at_s = 0;
    struct timeline t = make();
    assert_string_equal(timeline_next(&t.keys[0], NOW, &at_s), "is destroyed");
    assert_int_equal(at_s, NOW + DAY);
    assert_string_equal(timeline_next(&t.keys[1], NOW, &at_s), "retires");
    assert_int_equal(at_s, NOW + 22 * DAY);
    assert_string_equal(timeline_next(&t.keys[2], NOW, &at_s), "signs");
    assert_int_equal(at_s, NOW + 22 * DAY);
    assert_string_equal(timeline_next(&t.keys[3], NOW, &at_s), "is destroyed");
    assert_int_equal(at_s, NOW + 4 * DAY);
    assert_null(timeline_next(&t.keys[4], NOW, &at_s));
}

static void
plan_never_contradicts_what_is_stored(void **state)
{
    (void)state;
    struct timeline t = make();
    for (size_t i = 0; i < t.n; i++) {
        struct timeline_key *key = &t.keys[i];
        for (int64_t at_s = NOW - 50 * DAY; at_s <= NOW; at_s += DAY / 2)
            assert_int_equal(key_state_at(&key->plan, at_s), key_state_at(&key->times, at_s));
    }
    /* A rotation that an operator planned wins over the schedule. */
    struct timeline_key two[] = {lives[1], lives[2]};
    two[0].times.retired_s = two[1].times.active_s = NOW + DAY;
    struct timeline planned = {.keys = two, .n = 2, .now_s = NOW};
    timeline_plan(&planned, &policy, NOW + 22 * DAY);
    assert_int_equal(two[0].plan.retired_s, NOW + DAY);
    assert_int_equal(two[0].plan.removed_s, NOW + 3 * DAY);
    assert_int_equal(two[1].plan.active_s, NOW + DAY);
}

static size_t
times_in(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
}

/* TEST_SVG in the environment names a file that an XML reader looks at afterwards. */
static void
svg_is_whole_and_escaped(void **state)
{
    (void)state;
    struct timeline_key keys[] = {lives[0],
                                  lives[1],
                                  lives[2],
                                  {"<script>&\"'\x01\xff", "tok<en", "",
                                   .times = {.created_s = NOW - DAY, .published_s = NOW - DAY}}};
    struct timeline t = {.keys = keys, .n = ARRAY_LEN(keys), .now_s = NOW};
    timeline_plan(&t, &policy, NOW + 22 * DAY);
    timeline_range(&t);
    struct buf out;
    buf_init(&out, 1 << 20);
    timeline_svg(&t, &out);
    assert_true(buf_terminate(&out));
    assert_memory_equal(out.p, "<?xml", 5);
    assert_null(strstr(out.p, "<script"));
    assert_non_null(strstr(out.p, "&lt;script&gt;&amp;&quot;&#39;??"));
    assert_non_null(strstr(out.p, "tok&lt;en"));
    assert_non_null(strstr(out.p, "<title id=\"title\">"));
    assert_non_null(strstr(out.p, "prefers-color-scheme:dark"));
    assert_null(strstr(out.p, "href"));
    assert_int_equal(times_in(out.p, "role=\"listitem\""), t.n);
    assert_int_equal(times_in(out.p, "class=\"now\""), 1);
    /* Each part is a bar with its times in words; one that now cuts is two. */
    assert_non_null(strstr(out.p, "aaaaaaaaAAAA: active from 2025-12-26T12:00:00Z to "
                                  "2026-01-23T12:00:00Z</title>"));
    assert_non_null(strstr(out.p, "bbbbbbbbBBBB: active from 2026-01-23T12:00:00Z to "
                                  "2026-01-31T12:00:00Z</title>"));
    assert_non_null(strstr(out.p, "bbbbbbbbBBBB: active (planned) from 2026-01-31T12:00:00Z to "
                                  "2026-02-22T12:00:00Z</title>"));
    const char *path = getenv("TEST_SVG");
    if (path) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(out.p, 1, out.len, f), out.len);
        assert_int_equal(fclose(f), 0);
    }
    buf_done(&out);
}

static void
words_for_times(void **state)
{
    (void)state;
    assert_string_equal(WORDS_SPAN(0), "0 s");
    assert_string_equal(WORDS_SPAN(119), "119 s");
    assert_string_equal(WORDS_SPAN(120), "2 min");
    assert_string_equal(WORDS_SPAN(7199), "120 min");
    assert_string_equal(WORDS_SPAN(7200), "2 h");
    assert_string_equal(WORDS_SPAN(82800), "23 h");
    assert_string_equal(WORDS_SPAN(30 * DAY), "30 d");
    assert_string_equal(WORDS_RELATIVE(NOW, NOW), "now");
    assert_string_equal(WORDS_RELATIVE(NOW + 10800, NOW), "in 3 h");
    assert_string_equal(WORDS_RELATIVE(NOW - 10800, NOW), "3 h ago");
    assert_string_equal(WORDS_WHEN(NOW, NOW - 60), "2026-01-31T12:00:00Z (in 60 s)");
}

static void
times_are_read_strictly(void **state)
{
    (void)state;
    int64_t at_s = 0;
    assert_true(words_read_time("2026-01-31T12:00:00Z", &at_s));
    assert_int_equal(at_s, NOW);
    assert_true(words_read_time("2026-01-31", &at_s));
    assert_int_equal(at_s, NOW - DAY / 2);
    static const char *const wrong[] = {"",
                                        "2026",
                                        "2026-02-30",
                                        "2026-13-01",
                                        "2026-1-1",
                                        "2026-01-31T12:00:00",
                                        "2026-01-31 12:00:00Z",
                                        "2026-01-31T24:00:00Z",
                                        "+026-01-31",
                                        "2026-01-31Z",
                                        "2026-00-10",
                                        "1769860800",
                                        "2026-01-31T12:00:61Z",
                                        " 2026-01-31"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (words_read_time(wrong[i], &at_s))
            fail_msg("'%s' was read as a time", wrong[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_line_is_wider),
        cmocka_unit_test(plain_is_printable_ascii),
        cmocka_unit_test(states_come_in_order_with_now_between),
        cmocka_unit_test(mark_is_one_column),
        cmocka_unit_test(plan_stands_right_of_now),
        cmocka_unit_test(lengths_are_in_proportion),
        cmocka_unit_test(short_states_are_seen),
        cmocka_unit_test(present_state_stands_at_the_mark),
        cmocka_unit_test(range_leaves_out_what_it_does_not_touch),
        cmocka_unit_test(axis_has_a_few_round_labels),
        cmocka_unit_test(parts_have_no_gaps),
        cmocka_unit_test(next_is_told),
        cmocka_unit_test(plan_never_contradicts_what_is_stored),
        cmocka_unit_test(svg_is_whole_and_escaped),
        cmocka_unit_test(words_for_times),
        cmocka_unit_test(times_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
