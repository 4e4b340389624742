/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "fetch/schedule.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

static const struct schedule_limits *const limits = &schedule_defaults;

static struct schedule
with_set(int64_t now_ms, int64_t ttl_ms)
{
    struct schedule s = {0};
    schedule_started(&s);
    schedule_succeeded(&s, limits, now_ms, ttl_ms, 0);
    return s;
}

static void
the_first_is_due_at_once(void **state)
{
    (void)state;
    struct schedule s = {0};
    assert_true(schedule_due_ms(&s) <= 0);
    assert_true(schedule_usable_until_ms(&s, limits) < 0);
    schedule_started(&s);
    assert_int_equal(schedule_due_ms(&s), INT64_MAX);
}

static void
the_time_to_live_keeps_its_bounds(void **state)
{
    (void)state;
    static const struct {
        int64_t said_ms, kept_ms;
    } cases[] = {
        {-1, HOUR},   {0, 10 * SECOND},     {5 * SECOND, 10 * SECOND}, {300 * SECOND, 300 * SECOND},
        {HOUR, HOUR}, {INT64_MAX / 2, HOUR}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct schedule s = with_set(1000, cases[i].said_ms);
        assert_int_equal(s.fresh_until_ms, 1000 + cases[i].kept_ms);
        assert_int_equal(schedule_usable_until_ms(&s, limits), 1000 + cases[i].kept_ms + HOUR);
    }
}

static void
the_next_is_fetched_before_the_last_is_over(void **state)
{
    (void)state;
    for (uint32_t chance = 0; chance < 5000; chance += 7) {
        struct schedule s = {0};
        schedule_started(&s);
        schedule_succeeded(&s, limits, 0, HOUR, chance);
        assert_in_range(schedule_due_ms(&s), HOUR * 7 / 10, HOUR * 8 / 10);
    }
}

static void
failures_wait_longer_each_time_and_then_the_circuit_opens(void **state)
{
    (void)state;
    struct schedule s = with_set(0, HOUR);
    int64_t now = s.refresh_ms;
    static const int64_t waits[] = {500, 1000, 2000, 4000};
    for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
        assert_int_equal(schedule_circuit(&s, limits, now), CIRCUIT_CLOSED);
        schedule_started(&s);
        schedule_failed(&s, limits, now, 0, (uint32_t)(i * 311));
        int64_t wait = schedule_due_ms(&s) - now;
        assert_in_range(wait, waits[i] / 2, waits[i] * 3 / 2);
        now += wait;
    }
    schedule_started(&s);
    schedule_failed(&s, limits, now, 0, 1);
    assert_int_equal(schedule_circuit(&s, limits, now), CIRCUIT_OPEN);
    assert_int_equal(schedule_due_ms(&s), now + 30 * SECOND);
    now += 30 * SECOND;
    assert_int_equal(schedule_circuit(&s, limits, now), CIRCUIT_HALF_OPEN);
    schedule_started(&s);
    assert_int_equal(schedule_circuit(&s, limits, now), CIRCUIT_HALF_OPEN);
    schedule_failed(&s, limits, now, 0, 1);
    assert_int_equal(schedule_circuit(&s, limits, now), CIRCUIT_OPEN);
    assert_int_equal(schedule_due_ms(&s), now + 30 * SECOND);
    now += 30 * SECOND;
    schedule_started(&s);
    schedule_succeeded(&s, limits, now, HOUR, 0);
    assert_int_equal(schedule_circuit(&s, limits, now), CIRCUIT_CLOSED);
    assert_true(schedule_due_ms(&s) > now + HOUR / 2);
}

/* A thousand verifiers that failed or fetched together do not return together. */
static void
chance_spreads_them(void **state)
{
    (void)state;
    int64_t retry_ms[2] = {INT64_MAX, 0}, refresh_ms[2] = {INT64_MAX, 0};
    for (uint32_t chance = 0; chance < 1024; chance++) {
        struct schedule failing = {0}, fetching = {0};
        schedule_started(&failing);
        schedule_failed(&failing, limits, 0, 0, chance);
        schedule_started(&fetching);
        schedule_succeeded(&fetching, limits, 0, HOUR, chance);
        int64_t retry = schedule_due_ms(&failing);
        int64_t refresh = schedule_due_ms(&fetching);
        retry_ms[0] = retry < retry_ms[0] ? retry : retry_ms[0];
        retry_ms[1] = retry > retry_ms[1] ? retry : retry_ms[1];
        refresh_ms[0] = refresh < refresh_ms[0] ? refresh : refresh_ms[0];
        refresh_ms[1] = refresh > refresh_ms[1] ? refresh : refresh_ms[1];
    }
    assert_int_equal(retry_ms[0], limits->retry_first_ms / 2);
    assert_in_range(retry_ms[1], limits->retry_first_ms * 14 / 10, limits->retry_first_ms * 3 / 2);
    assert_in_range(refresh_ms[0], HOUR * 70 / 100, HOUR * 71 / 100);
    assert_int_equal(refresh_ms[1], HOUR * 80 / 100);
}

static void
a_server_may_ask_for_patience_within_bounds(void **state)
{
    (void)state;
    struct schedule s = {0};
    schedule_started(&s);
    schedule_failed(&s, limits, 0, 20 * SECOND, 0);
    assert_int_equal(schedule_due_ms(&s), 20 * SECOND);
    schedule_started(&s);
    schedule_failed(&s, limits, 20 * SECOND, 1000 * HOUR, 0);
    assert_int_equal(schedule_due_ms(&s), 50 * SECOND);
}

static void
a_flood_of_unknown_kids_asks_once_in_a_while(void **state)
{
    (void)state;
    struct schedule s = with_set(0, HOUR);
    unsigned fetches = 0;
    for (int64_t now = 0; now < 10 * MINUTE; now += 10) {
        (void)schedule_unknown_kid(&s, limits, now);
        if (schedule_due_ms(&s) <= now) {
            schedule_started(&s);
            fetches++;
            schedule_succeeded(&s, limits, now, HOUR, 0);
        }
    }
    assert_int_equal(fetches, 20);
}

static void
unknown_kids_do_not_press_a_server_that_is_down(void **state)
{
    (void)state;
    struct schedule s = with_set(0, HOUR);
    unsigned fetches = 0;
    for (int64_t now = 0; now < 10 * MINUTE; now += 10) {
        (void)schedule_unknown_kid(&s, limits, now);
        if (schedule_due_ms(&s) <= now) {
            schedule_started(&s);
            fetches++;
            schedule_failed(&s, limits, now, 0, (uint32_t)now);
        }
    }
    assert_in_range(fetches, 20, 26); /* five, then one in thirty seconds */
}

static void
who_asks_while_one_is_on_its_way_waits_for_it(void **state)
{
    (void)state;
    struct schedule s = with_set(0, HOUR);
    assert_true(schedule_unknown_kid(&s, limits, 0));
    assert_true(schedule_unknown_kid(&s, limits, 0));
    schedule_started(&s);
    assert_true(schedule_unknown_kid(&s, limits, 1));
    schedule_succeeded(&s, limits, 2, HOUR, 0);
    assert_false(schedule_unknown_kid(&s, limits, 3));
    assert_true(schedule_due_ms(&s) > HOUR / 2);
    assert_true(schedule_unknown_kid(&s, limits, 30 * SECOND));
}

static void
clear_takes_the_set_and_invalidate_does_not(void **state)
{
    (void)state;
    struct schedule s = with_set(0, HOUR);
    schedule_invalidate(&s);
    assert_true(schedule_due_ms(&s) <= 0);
    assert_int_equal(schedule_usable_until_ms(&s, limits), 2 * HOUR);
    schedule_clear(&s);
    assert_true(schedule_due_ms(&s) <= 0);
    assert_true(schedule_usable_until_ms(&s, limits) < 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_due_at_once),
        cmocka_unit_test(the_time_to_live_keeps_its_bounds),
        cmocka_unit_test(the_next_is_fetched_before_the_last_is_over),
        cmocka_unit_test(failures_wait_longer_each_time_and_then_the_circuit_opens),
        cmocka_unit_test(chance_spreads_them),
        cmocka_unit_test(a_server_may_ask_for_patience_within_bounds),
        cmocka_unit_test(a_flood_of_unknown_kids_asks_once_in_a_while),
        cmocka_unit_test(unknown_kids_do_not_press_a_server_that_is_down),
        cmocka_unit_test(who_asks_while_one_is_on_its_way_waits_for_it),
        cmocka_unit_test(clear_takes_the_set_and_invalidate_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
