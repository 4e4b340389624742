/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static int capture_fd, saved_fd;
static char captured[65536];

static void
capture_start(void)
{
    char path[] = "/tmp/test_log.XXXXXX";
    fflush(stderr);
    capture_fd = mkstemp(path);
    assert_true(capture_fd >= 0);
    unlink(path);
    assert_int_equal(fcntl(capture_fd, F_SETFL, O_APPEND), 0);
    saved_fd = dup(STDERR_FILENO);
    dup2(capture_fd, STDERR_FILENO);
}

static const char *
capture_stop(void)
{
    dup2(saved_fd, STDERR_FILENO);
    close(saved_fd);
    ssize_t n = pread(capture_fd, captured, sizeof(captured) - 1, 0);
    assert_true(n >= 0);
    captured[n] = '\0';
    close(capture_fd);
    return captured;
}

static void
test_line(void **state)
{
    (void)state;
    capture_start();
    unsetenv("JOURNAL_STREAM");
    log_init("attestd", LOG_LEVEL_INFO);
    errno = ENOSPC;
    log_event(LOG_LEVEL_WARNING, "keystore_lost", "token=%s retry_in_ms=%d",
              LOG_QUOTED(slice_cstr("my token")), 500);
    assert_int_equal(errno, ENOSPC);
    const char *line = capture_stop();
    assert_memory_equal(line, "ts=20", 5);
    const char *rest = strchr(line, ' ');
    assert_non_null(rest);
    assert_int_equal(rest - line, strlen("ts=2026-01-31T12:00:00Z"));
    assert_string_equal(rest, " level=warning program=attestd event=keystore_lost "
                              "token=\"my token\" retry_in_ms=500\n");
}

static void
test_levels(void **state)
{
    (void)state;
    capture_start();
    log_init(NULL, LOG_LEVEL_WARNING);
    log_event(LOG_LEVEL_INFO, "dropped", NULL);
    log_event(LOG_LEVEL_DEBUG, "dropped", NULL);
    log_event(LOG_LEVEL_ERROR, "kept", NULL);
    log_event(LOG_LEVEL_WARNING, "kept", NULL);
    const char *text = capture_stop();
    assert_null(strstr(text, "dropped"));
    assert_non_null(strstr(text, " level=error event=kept\n"));
    assert_non_null(strstr(text, " level=warning event=kept\n"));
    assert_string_equal(log_level_names[LOG_LEVEL_ERROR], "error");
    assert_string_equal(log_level_names[LOG_LEVEL_DEBUG], "debug");
    assert_null(log_level_names[LOG_LEVEL_DEBUG + 1]);
}

/* The prefix is written only when standard error is the stream that the variable names. */
static void
test_journal_prefix(void **state)
{
    (void)state;
    struct stat st;
    char stream[64];
    capture_start();
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init(NULL, LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_ERROR, "one", NULL);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino + 1);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init(NULL, LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_ERROR, "two", NULL);
    unsetenv("JOURNAL_STREAM");
    log_init(NULL, LOG_LEVEL_INFO);
    const char *text = capture_stop();
    assert_memory_equal(text, "<3>ts=", 6);
    assert_non_null(strstr(text, "event=one\nts="));
}

static void
test_no_forged_line(void **state)
{
    (void)state;
    static const char hostile[] = "x\"\nts=2026 level=info event=forged \\ \xc3\xa9\x7f";
    capture_start();
    log_event(LOG_LEVEL_ERROR, "real", "a=%s b=%s", LOG_QUOTED(slice_cstr(hostile)), hostile);
    const char *text = capture_stop();
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    assert_non_null(
        strstr(text, "a=\"x\\\"\\x0ats=2026 level=info event=forged \\\\ \\xc3\\xa9\\x7f\""));
    assert_non_null(strstr(text, "b=x\"?ts=2026"));
}

static void
test_long(void **state)
{
    (void)state;
    char long_text[5000];
    memset(long_text, 'a', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    capture_start();
    log_event(LOG_LEVEL_ERROR, "long", "%s", long_text);
    log_event(LOG_LEVEL_ERROR, "after", NULL);
    const char *text = capture_stop();
    const char *end = strchr(text, '\n');
    assert_non_null(end);
    assert_in_range(end - text, 1000, 2048);
    assert_non_null(strstr(end, "event=after\n"));

    struct log_quoted room;
    log_quote(&room, slice_cstr(long_text));
    assert_in_range(strlen(room.text), 200, 205);
    assert_string_equal(room.text + strlen(room.text) - 4, "...\"");
    memset(long_text, 1, sizeof(long_text) - 1);
    log_quote(&room, slice_cstr(long_text));
    assert_in_range(strlen(room.text), 200, sizeof(room.text) - 1);
    assert_string_equal(room.text + strlen(room.text) - 4, "...\"");
    log_quote(&room, (struct slice){"a\0b", 3});
    assert_string_equal(room.text, "\"a\\x00b\"");
    log_quote(&room, (struct slice){NULL, 0});
    assert_string_equal(room.text, "\"\"");
}

static void
test_limit(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    unsigned suppressed = 99;
    for (int i = 0; i < 3; i++) {
        assert_true(log_limit_ok(&limit, 3, 3600, &suppressed));
        assert_int_equal(suppressed, 0);
    }
    for (int i = 0; i < 5; i++)
        assert_false(log_limit_ok(&limit, 3, 3600, &suppressed));
    assert_int_equal(suppressed, 0);
    limit.window_start_ms -= 3600 * 1000;
    assert_true(log_limit_ok(&limit, 3, 3600, &suppressed));
    assert_int_equal(suppressed, 5);
    assert_true(log_limit_ok(&limit, 3, 3600, &suppressed));
    assert_int_equal(suppressed, 0);
}

static struct log_limit shared;
static unsigned passed;

static void *
hammer(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++) {
        if (log_limit_ok(&shared, 10, 3600, NULL)) {
            __atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED);
            log_event(LOG_LEVEL_ERROR, "threaded", "i=%d", i);
        }
    }
    return NULL;
}

static void
test_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    capture_start();
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    const char *text = capture_stop();
    assert_int_equal(passed, 10);
    unsigned lines = 0;
    for (const char *p = text; (p = strstr(p, "event=threaded i=")); p++)
        lines++;
    assert_int_equal(lines, 10);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),           cmocka_unit_test(test_levels),
        cmocka_unit_test(test_journal_prefix), cmocka_unit_test(test_no_forged_line),
        cmocka_unit_test(test_long),           cmocka_unit_test(test_limit),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
