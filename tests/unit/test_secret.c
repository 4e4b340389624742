/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ed25519.h"
#include "base/secret.h"

static char dir[64];
static char path[80];

static int
setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/test_secret.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/pin", dir);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void
write_file(const char *text, size_t len, mode_t mode)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void
test_life(void **state)
{
    (void)state;
    AUTO(secret) struct secret s = secret_copy("1234", 4);
    assert_int_equal(s.len, 4);
    assert_memory_equal(s.p, "1234", 4);
    assert_true(secret_eq(s.p, s.len, "1234", 4));
    assert_false(secret_eq(s.p, s.len, "1235", 4));
    assert_false(secret_eq(s.p, s.len, "123", 3));
    secret_free(&s);
    assert_null(s.p);
    assert_int_equal(s.len, 0);
    secret_free(&s);
    secret_free(NULL);
    char ordinary[8] = "1234567";
    secret_wipe(ordinary, sizeof(ordinary));
    assert_memory_equal(ordinary, "\0\0\0\0\0\0\0\0", 8);
}

/* Reading one byte behind a secret kills the process instead of telling what lies there. */
static void
test_guard(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(STDERR_FILENO); /* a sanitizer's report is not news here */
        struct secret s = secret_new(16);
        volatile uint8_t *end = s.p + s.len;
        _exit(*end ? 0 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
test_read(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        size_t len;
        enum attest_rc rc;
        const char *secret;
    } cases[] = {
        {"1234", 4, ATTEST_OK, "1234"},
        {"1234\n", 5, ATTEST_OK, "1234"},
        {"1234\n\n", 6, ATTEST_OK, "1234\n"},
        {"12345678", 8, ATTEST_OK, "12345678"},
        {"12345678\n", 9, ATTEST_OK, "12345678"},
        {"", 0, ATTEST_E_CONFIG, NULL},
        {"\n", 1, ATTEST_E_CONFIG, NULL},
        {"1234567890", 10, ATTEST_E_LIMIT, NULL},
        {"12345678901234567890", 20, ATTEST_E_LIMIT, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(secret) struct secret s = {0};
        struct attest_error err = {0};
        write_file(cases[i].content, cases[i].len, 0600);
        assert_int_equal(secret_read_file(path, 8, &s, &err), cases[i].rc);
        if (!cases[i].secret) {
            assert_null(s.p);
            continue;
        }
        assert_int_equal(s.len, strlen(cases[i].secret));
        assert_memory_equal(s.p, cases[i].secret, s.len);
    }
}

/* What is longer than allowed by one byte, that byte no newline. */
static void
test_one_too_long(void **state)
{
    (void)state;
    AUTO(secret) struct secret s = {0};
    write_file("123456789", 9, 0600);
    assert_int_equal(secret_read_file(path, 8, &s, NULL), ATTEST_E_LIMIT);
    assert_null(s.p);
}

static void
test_read_refused(void **state)
{
    (void)state;
    AUTO(secret) struct secret s = {0};
    struct attest_error err = {0};
    assert_int_equal(secret_read_file(path, 8, &s, &err), ATTEST_E_NOT_FOUND);
    static const mode_t open_to_all[] = {0604, 0602, 0601, 0666};
    for (size_t i = 0; i < ARRAY_LEN(open_to_all); i++) {
        write_file("1234", 4, open_to_all[i]);
        assert_int_equal(secret_read_file(path, 8, &s, &err), ATTEST_E_CONFIG);
        assert_non_null(strstr(err.text, "chmod o= "));
        assert_null(strstr(err.text, "1234"));
    }
    write_file("1234", 4, 0440);
    assert_int_equal(secret_read_file(path, 8, &s, &err), ATTEST_OK);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(secret_read_file(path, 8, &s, &err), ATTEST_E_CONFIG);
    assert_int_equal(secret_read_file(dir, 8, &s, &err), ATTEST_E_CONFIG);
}

static int
start(void **state)
{
    (void)state;
    return (int)crypto_init(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_guard),
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
