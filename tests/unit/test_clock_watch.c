/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "signer/clock_watch.h"

#define WALL INT64_C(1700000000000)
#define BOOT INT64_C(5000000)
#define MINUTE 60000
#define HOUR (60 * MINUTE)

static struct clock_watch
fresh(void)
{
    struct clock_watch w = {.jump_max_ms = MINUTE};
    clock_watch_accept(&w, WALL, BOOT);
    return w;
}

static void
a_clock_that_runs_is_believed(void **state)
{
    (void)state;
    struct clock_watch w = fresh();
    for (int64_t t = 0; t < 48 * HOUR; t += 250)
        assert_true(clock_watch_look(&w, WALL + t, BOOT + t));
}

static void
a_jump_is_not_and_its_undoing_is(void **state)
{
    (void)state;
    const int64_t jumps[] = {MINUTE + 1, -MINUTE - 1, HOUR, -48 * HOUR, 1000 * (int64_t)HOUR};
    for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        struct clock_watch w = fresh();
        assert_true(clock_watch_look(&w, WALL + 250, BOOT + 250));
        assert_false(clock_watch_look(&w, WALL + 500 + jumps[i], BOOT + 500));
        assert_true(w.jumped_ms == jumps[i]);
        /* Time alone does not make it right. */
        assert_false(clock_watch_look(&w, WALL + HOUR + jumps[i], BOOT + HOUR));
        assert_true(clock_watch_look(&w, WALL + HOUR + 250, BOOT + HOUR + 250));
        assert_false(clock_watch_look(&w, WALL + HOUR + jumps[i], BOOT + HOUR));
        clock_watch_accept(&w, WALL + HOUR + jumps[i], BOOT + HOUR);
        assert_true(clock_watch_look(&w, WALL + HOUR + jumps[i] + 250, BOOT + HOUR + 250));
    }
}

static void
slewing_is_let_through(void **state)
{
    (void)state;
    struct clock_watch w = fresh();
    int64_t drift = 0;
    for (int64_t t = 0; t < 24 * HOUR; t += 1000) {
        drift += 1; /* 1,000 ppm, for a day: more than a minute in the end */
        assert_true(clock_watch_look(&w, WALL + t + drift, BOOT + t));
    }
    assert_true(drift > MINUTE);
}

static void
many_small_steps_at_once_are_a_jump(void **state)
{
    (void)state;
    struct clock_watch w = fresh();
    bool believed = true;
    for (int i = 1; i <= 10 && believed; i++)
        believed = clock_watch_look(&w, WALL + i * 10000, BOOT + i * 100);
    assert_false(believed);
}

static void
remembers_across_processes(void **state)
{
    (void)state;
    char text[CLOCK_WATCH_TEXT_SIZE];
    struct clock_watch w = fresh(), next = {.jump_max_ms = MINUTE};
    clock_watch_write(&w, "boot-a", WALL, text);

    clock_watch_resume(&next, text, "boot-a", WALL + HOUR, BOOT + HOUR);
    assert_true(next.jumped_ms == 0);
    clock_watch_resume(&next, text, "boot-a", WALL + 2 * HOUR, BOOT + HOUR);
    assert_true(next.jumped_ms == HOUR);
    assert_false(clock_watch_look(&next, WALL + 2 * HOUR, BOOT + HOUR));
    clock_watch_resume(&next, text, "boot-a", WALL, BOOT + HOUR);
    assert_true(next.jumped_ms == -HOUR);

    /* After a restart of the machine nobody knows how long it was off. */
    clock_watch_resume(&next, text, "boot-b", WALL + 500 * (int64_t)HOUR, 1000);
    assert_true(next.jumped_ms == 0);
    clock_watch_resume(&next, text, "boot-b", WALL + 8766 * (int64_t)HOUR, 1000);
    assert_true(next.jumped_ms > 0);
    assert_true(clock_watch_now_ms(&next, WALL + 8766 * (int64_t)HOUR, 1000) == WALL);
    assert_true(clock_watch_look(&next, WALL + HOUR, 31000)); /* set right by the network */
    assert_true(clock_watch_look(&next, WALL + HOUR + 5000, 36000));
    clock_watch_resume(&next, text, "boot-b", WALL - HOUR, 1000);
    assert_true(next.jumped_ms == -HOUR);
    assert_false(clock_watch_look(&next, WALL - HOUR, 1000));
    /* What is written while it is wrong must not make it right. */
    clock_watch_write(&next, "boot-b", WALL - HOUR, text);
    clock_watch_resume(&next, text, "boot-b", WALL - HOUR, 2000);
    assert_true(next.jumped_ms < 0);

    const char *const nothing[] = {"", "x", "12"};
    for (size_t i = 0; i < 3; i++) {
        clock_watch_resume(&next, nothing[i], "boot-a", WALL, BOOT);
        assert_true(clock_watch_look(&next, WALL, BOOT));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_runs_is_believed),
        cmocka_unit_test(a_jump_is_not_and_its_undoing_is),
        cmocka_unit_test(slewing_is_let_through),
        cmocka_unit_test(many_small_steps_at_once_are_a_jump),
        cmocka_unit_test(remembers_across_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
