/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "signer/issuance_log.h"
#include "tests/support/tempdir.h"

#define PATIENCE_S 20
#define BATCH 16 /* as many as the log waits for at most */
#define TRIES 20

static struct {
    char dir[TEMPDIR_SIZE];
    char path[TEMPDIR_SIZE + 8];
    struct issuance_log *log;
    sem_t written;
    _Atomic int states;
} t;

static const char body[] = "\"op\":\"test\"";

static void
on_written(void *ctx, struct log_entry *list)
{
    (void)ctx;
    while (list) {
        list = list->next;
        sem_post(&t.written);
    }
}

static void
on_state(void *ctx, bool ok, const char *why)
{
    (void)ctx, (void)ok, (void)why;
    t.states++;
}

static void
wait_written(int n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    while (n--)
        assert_int_equal(sem_timedwait(&t.written, &until), 0);
}

static void
append(struct log_entry *entries, int n)
{
    for (int i = 0; i < n; i++) {
        entries[i] = (struct log_entry){.body = slice_cstr(body), .rc = ATTEST_E_INTERNAL};
        issuance_log_append(t.log, &entries[i]);
    }
}

static uint64_t
commits(void)
{
    struct issuance_log_status status;
    issuance_log_status(t.log, &status);
    return status.commits;
}

/* However many are said to be on their way: the one that came is not kept. */
static void
test_company_that_never_comes(void **state)
{
    (void)state;
    static const unsigned under_way[] = {0, 1, 8, 64, 100000};
    for (size_t i = 0; i < ARRAY_LEN(under_way); i++) {
        struct log_entry entry;
        issuance_log_under_way(t.log, under_way[i]);
        append(&entry, 1);
        wait_written(1);
        assert_int_equal(entry.rc, ATTEST_OK);
    }
}

/* What comes together is synced together, unless this thread was held up in between. */
static void
test_company(void **state)
{
    (void)state;
    issuance_log_under_way(t.log, 64);
    for (int try = 0; try < TRIES; try++) {
        struct log_entry entries[BATCH];
        uint64_t before = commits();
        /* Time enough for the first to be gone before the others come, if it waited for nobody. */
        append(entries, 1);
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
        append(entries + 1, BATCH - 1);
        wait_written(BATCH);
        for (int i = 0; i < BATCH; i++)
            assert_int_equal(entries[i].rc, ATTEST_OK);
        if (commits() == before + 1)
            return;
    }
    fail_msg("%d records never shared one commit", BATCH);
}

/* One that is nearly late is not made late: it is recorded, or said to have been late, once. */
static void
test_deadline(void **state)
{
    (void)state;
    struct log_entry entry = {.body = slice_cstr(body), .deadline_ms = 1};
    issuance_log_under_way(t.log, 64);
    issuance_log_append(t.log, &entry);
    wait_written(1);
    assert_int_equal(entry.rc, ATTEST_E_TIMEOUT);
}

/* What waits when the log is closed is written first. */
static void
test_close_while_waiting(void **state)
{
    (void)state;
    struct log_entry entries[3];
    issuance_log_under_way(t.log, 64);
    append(entries, 3);
    issuance_log_close(t.log);
    t.log = NULL;
    wait_written(3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(entries[i].rc, ATTEST_OK);
}

static int
set_up(void **state)
{
    (void)state;
    if (tempdir_make(t.dir))
        return -1;
    snprintf(t.path, sizeof(t.path), "%s/log", t.dir);
    sem_init(&t.written, 0, 0);
    struct issuance_log_config config = {
        .chain = {.dir = t.path, .segment_bytes = 1 << 24},
        .on_written = on_written,
        .on_state = on_state,
    };
    if (issuance_log_open(&config, &t.log, NULL))
        return -1;
    return (int)issuance_log_start(t.log, NULL);
}

static int
tear_down(void **state)
{
    (void)state;
    issuance_log_close(t.log);
    t.log = NULL;
    sem_destroy(&t.written);
    tempdir_remove(t.dir);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_company_that_never_comes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_company, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_while_waiting, set_up, tear_down),
    };
    return crypto_init(NULL) == ATTEST_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
