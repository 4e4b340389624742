/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "jwks/rollover.h"

static const struct rollover_policy good = {
    .active_period_s = 86400,
    .jitter_s = 3600,
    .publish_lead_s = 4000,
    .retire_lag_s = 1000,
    .destroy_grace_s = 7200,
    .overdue_grace_s = 3600,
    .lifetime_max_s = 900,
    .jwks_max_age_s = 300,
    .verifier_cache_max_s = 3600,
    .propagation_s = 60,
    .skew_s = 30,
};

static void
test_policy(void **state)
{
    (void)state;
    struct attest_error err = {0};
    assert_int_equal(rollover_policy_check(&good, &err), ATTEST_OK);

    struct rollover_policy p = good;
    p.publish_lead_s = 3989;
    assert_int_equal(rollover_policy_check(&p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "publish_lead_s 3989 < 3990"));

    p = good;
    p.retire_lag_s = 929;
    assert_int_equal(rollover_policy_check(&p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "retire_lag_s 929 < 930"));

    p = good;
    p.active_period_s = 7599;
    assert_int_equal(rollover_policy_check(&p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "standby"));

    p = good;
    p.retire_lag_s = 4 * 86400;
    assert_int_equal(rollover_policy_check(&p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "keys in the JWKS"));

    p = good;
    p.overdue_grace_s = INT64_C(101) * 366 * 86400;
    assert_int_equal(rollover_policy_check(&p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "overdue_grace_s"));

    p = good;
    p.skew_s = -1;
    assert_int_equal(rollover_policy_check(&p, &err), ATTEST_E_CONFIG);
    assert_non_null(strstr(err.text, "skew_s -1"));
}

/* A whole life by hand: what is asked for at each moment, and that nothing is asked for between. */
static void
test_life(void **state)
{
    (void)state;
    struct rollover_key keys[3] = {0};
    int64_t t = 1000000;
    struct rollover_step s = rollover_next(keys, 0, &good, t);
    assert_int_equal(s.action, ROLLOVER_GENERATE);

    keys[0].times.created_s = t;
    s = rollover_next(keys, 1, &good, t);
    assert_int_equal(s.action, ROLLOVER_PUBLISH);
    keys[0].times.published_s = t;
    s = rollover_next(keys, 1, &good, t);
    assert_int_equal(s.action, ROLLOVER_ACTIVATE);
    assert_int_equal(s.key, 0);
    assert_int_equal(s.retiring, ROLLOVER_NO_KEY);
    keys[0].times.active_s = t;

    s = rollover_next(keys, 1, &good, t);
    assert_int_equal(s.action, ROLLOVER_GENERATE);
    keys[1].times.created_s = t;
    keys[1].times.published_s = t;
    s = rollover_next(keys, 2, &good, t);
    assert_int_equal(s.action, ROLLOVER_WAIT);
    assert_int_equal(s.at_s, t + 86400);

    keys[0].jitter = 3600;
    assert_int_equal(rollover_due_s(&keys[0], &good), t + 86400 - 3600);
    keys[0].jitter = 0;
    t += 86400;
    s = rollover_next(keys, 2, &good, t);
    assert_int_equal(s.action, ROLLOVER_ACTIVATE);
    assert_int_equal(s.key, 1);
    assert_int_equal(s.retiring, 0);
    keys[1].times.active_s = keys[0].times.retired_s = t;
    assert_int_equal(rollover_exp_max_s(&keys[0], &good, t), t + 900);

    keys[2].times.created_s = keys[2].times.published_s = t;
    s = rollover_next(keys, 3, &good, t + 999);
    assert_int_equal(s.action, ROLLOVER_WAIT);
    assert_int_equal(s.at_s, t + 1000);
    s = rollover_next(keys, 3, &good, t + 1000);
    assert_int_equal(s.action, ROLLOVER_REMOVE);
    assert_int_equal(s.key, 0);
    keys[0].times.removed_s = t + 1000;
    s = rollover_next(keys, 3, &good, t + 1000);
    assert_int_equal(s.at_s, t + 8200);
    s = rollover_next(keys, 3, &good, t + 8200);
    assert_int_equal(s.action, ROLLOVER_DESTROY);
    keys[0].times.destroyed_s = t + 8200;
    s = rollover_next(keys, 3, &good, t + 8200);
    assert_int_equal(s.action, ROLLOVER_WAIT);
}

static void
test_revoked_active(void **state)
{
    (void)state;
    struct rollover_key keys[2] = {
        {.times = {.created_s = 10, .published_s = 10, .active_s = 10, .revoked_s = 1000}},
        {.times = {.created_s = 10, .published_s = 500}},
    };
    /* The standby has not been out long enough: no key is better than one that caches lack. */
    struct rollover_step s = rollover_next(keys, 2, &good, 1000);
    assert_int_equal(s.action, ROLLOVER_WAIT);
    assert_int_equal(s.at_s, 4500);
    s = rollover_next(keys, 2, &good, 4500);
    assert_int_equal(s.action, ROLLOVER_ACTIVATE);
    assert_int_equal(s.key, 1);
    assert_int_equal(s.retiring, ROLLOVER_NO_KEY);
}

static void
test_retire(void **state)
{
    (void)state;
    static const struct rollover_key before[3] = {
        {.times = {.created_s = 10, .published_s = 10, .active_s = 10, .retired_s = 4700}},
        {.times = {.created_s = 10, .published_s = 500, .active_s = 4700}},
        {.times = {.created_s = 10}},
    };
    struct rollover_key keys[3];
    struct attest_error err = {0};
    memcpy(keys, before, sizeof(keys));
    assert_int_equal(rollover_retire(keys, 3, &good, 1, true, 4499, &err), ATTEST_E_ARGUMENT);
    assert_int_equal(rollover_retire(keys, 3, &good, 2, true, 4499, &err), ATTEST_E_ARGUMENT);
    assert_int_equal(rollover_retire(keys, 3, &good, 0, false, 4499, &err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "another 1 s"));
    assert_memory_equal(keys, before, sizeof(keys));

    assert_int_equal(rollover_retire(keys, 3, &good, 0, false, 4500, &err), ATTEST_OK);
    assert_int_equal(keys[0].times.retired_s, 4500);
    assert_int_equal(keys[1].times.active_s, 4500);
    assert_int_equal(rollover_retire(keys, 3, &good, 0, true, 4501, &err), ATTEST_E_ARGUMENT);
    assert_int_equal(rollover_retire(keys, 3, &good, 1, false, 4501, &err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "no standby"));

    /* Forced, nobody signs until the standby may; what was planned is off. */
    memcpy(keys, before, sizeof(keys));
    assert_int_equal(rollover_retire(keys, 3, &good, 0, true, 4499, &err), ATTEST_OK);
    assert_int_equal(keys[0].times.retired_s, 4499);
    assert_int_equal(keys[1].times.active_s, 0);
    struct rollover_step s = rollover_next(keys, 3, &good, 4499);
    assert_int_equal(s.action, ROLLOVER_WAIT);
    assert_int_equal(s.at_s, 4500);
    s = rollover_next(keys, 3, &good, 4500);
    assert_int_equal(s.action, ROLLOVER_ACTIVATE);
    assert_int_equal(s.key, 1);
    assert_int_equal(s.retiring, ROLLOVER_NO_KEY);
}

/* With as many keys as a key set takes nothing is made, published or planned until one has left. */
static void
test_full_key_set(void **state)
{
    (void)state;
    enum { FULL = ROLLOVER_JWKS_KEYS_MAX, NOW = 5000 };
    struct rollover_key keys[FULL + 1] = {0};
    struct attest_error err = {0};
    int64_t when_s = 0;
    for (size_t i = 0; i < FULL; i++)
        keys[i].times = (struct key_times){.created_s = 10, .published_s = 10, .active_s = 10};
    for (size_t i = 1; i < FULL; i++)
        keys[i].times.retired_s = 4500 + (int64_t)i;
    assert_int_equal(rollover_takeover_s(keys, FULL, &good, NOW), INT64_MAX);
    struct rollover_step s = rollover_next(keys, FULL, &good, NOW);
    assert_int_equal(s.action, ROLLOVER_WAIT);
    assert_int_equal(s.at_s, 4501 + good.retire_lag_s);
    keys[FULL].times.created_s = 20;
    assert_int_equal(rollover_next(keys, FULL + 1, &good, NOW).action, ROLLOVER_WAIT);
    assert_int_equal(rollover_publish(keys, FULL + 1, FULL, NOW, &err), ATTEST_E_LIMIT);
    assert_int_equal(keys[FULL].times.published_s, 0);

    keys[1].times.removed_s = 4600;
    s = rollover_next(keys, FULL + 1, &good, NOW);
    assert_int_equal(s.action, ROLLOVER_PUBLISH);
    assert_int_equal(s.key, FULL);
    assert_int_equal(rollover_publish(keys, FULL + 1, FULL, NOW, &err), ATTEST_OK);
    assert_int_equal(rollover_rotate(keys, FULL + 1, &good, NOW, &when_s, &err), ATTEST_E_LIMIT);
    assert_int_equal(keys[0].times.retired_s, 0);
    keys[2].times.removed_s = 4600;
    assert_int_equal(rollover_rotate(keys, FULL + 1, &good, NOW, &when_s, &err), ATTEST_OK);
    assert_int_equal(when_s, NOW + good.publish_lead_s);
    assert_int_equal(rollover_takeover_s(keys, FULL + 1, &good, NOW), when_s);
}

/* Who wants no chance in it has none. */
static void
test_no_jitter(void **state)
{
    (void)state;
    const struct rollover_key key = {.times = {.active_s = 1000}, .jitter = 12345};
    struct rollover_policy p = good;
    p.jitter_s = 0;
    assert_int_equal(rollover_due_s(&key, &p), 1000 + p.active_period_s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_key_set),   cmocka_unit_test(test_no_jitter),
        cmocka_unit_test(test_policy),         cmocka_unit_test(test_life),
        cmocka_unit_test(test_revoked_active), cmocka_unit_test(test_retire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
