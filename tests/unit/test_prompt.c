/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ed25519.h"
#include "base/prompt.h"

/* What the child saw: its exit status, and all that the terminal showed. */
struct seen {
    int status;
    char screen[512];
};

/* The child compares the answer itself, so that no test has to send a secret back. */
static int
child(const char *expect)
{
    struct secret pin = {0};
    struct attest_error err = {0};
    enum attest_rc rc = prompt_secret("PIN: ", 8, &pin, &err);
    struct termios now;
    if (tcgetattr(STDIN_FILENO, &now) < 0 || !(now.c_lflag & ECHO) || !(now.c_lflag & ISIG))
        return 99; /* the terminal was not given back */
    if (rc)
        return (int)rc;
    bool same = secret_eq(pin.p, pin.len, expect, strlen(expect));
    secret_free(&pin);
    return same ? 0 : 98;
}

/* The same for what may be seen. */
static int
line_child(const char *expect)
{
    char room[9];
    struct attest_error err = {0};
    enum attest_rc rc = prompt_line("PIN: ", room, sizeof(room), &err);
    return rc ? (int)rc : strcmp(room, expect) == 0 ? 0 : 98;
}

static struct seen
type_to(int (*ask)(const char *expect), const char *keys, const char *expect)
{
    struct seen seen = {0};
    int terminal;
    pid_t pid = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(ask(expect));
    size_t len = 0;
    bool typed = false;
    ssize_t n;
    while (len < sizeof(seen.screen) - 1 &&
           (n = read(terminal, seen.screen + len, sizeof(seen.screen) - 1 - len)) > 0) {
        len += (size_t)n;
        /* Keys typed before the question are flushed, as they should be. */
        if (!typed && strstr(seen.screen, "PIN: ")) {
            assert_int_equal(write(terminal, keys, strlen(keys)), strlen(keys));
            typed = true;
        }
    }
    close(terminal);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    seen.status = WEXITSTATUS(status);
    return seen;
}

static struct seen
type(const char *keys, const char *expect)
{
    return type_to(child, keys, expect);
}

static void
line_is_read_and_shown(void **state)
{
    (void)state;
    struct seen seen = type_to(line_child, "kid-1234\n", "kid-1234");
    assert_int_equal(seen.status, 0);
    assert_non_null(strstr(seen.screen, "kid-1234"));
    assert_int_equal(type_to(line_child, "kid-12345\n", "").status, ATTEST_E_LIMIT);
    assert_int_equal(type_to(line_child, "\n", "").status, ATTEST_E_ARGUMENT);
    assert_int_equal(type_to(line_child, "\004", "").status, ATTEST_E_DENIED);
}

static void
answer_is_read_and_not_shown(void **state)
{
    (void)state;
    struct seen seen = type("1234abcd\n", "1234abcd");
    assert_int_equal(seen.status, 0);
    assert_non_null(strstr(seen.screen, "PIN: "));
    assert_null(strstr(seen.screen, "1234"));
}

static void
erase_and_kill_work(void **state)
{
    (void)state;
    assert_int_equal(type("12\177"
                          "3\n",
                          "13")
                         .status,
                     0);
    assert_int_equal(type("wrong\025right\n", "right").status, 0);
    assert_int_equal(type("\177\177"
                          "7\n",
                          "7")
                         .status,
                     0);
}

static void
interrupt_and_end_give_up(void **state)
{
    (void)state;
    assert_int_equal(type("12\003", "").status, ATTEST_E_DENIED);
    assert_int_equal(type("\004", "").status, ATTEST_E_DENIED);
}

static void
empty_and_long_are_refused(void **state)
{
    (void)state;
    assert_int_equal(type("\n", "").status, ATTEST_E_ARGUMENT);
    assert_int_equal(type("123456789\n", "").status, ATTEST_E_LIMIT);
}

static void
no_terminal_is_said(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setsid();
        struct secret pin = {0};
        char room[9];
        struct attest_error err = {0};
        if (prompt_line("kid: ", room, sizeof(room), &err) != ATTEST_E_IO || !*err.text)
            _exit(2);
        _exit(prompt_secret("PIN: ", 8, &pin, &err) == ATTEST_E_IO && strlen(err.text) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answer_is_read_and_not_shown), cmocka_unit_test(line_is_read_and_shown),
        cmocka_unit_test(erase_and_kill_work),          cmocka_unit_test(interrupt_and_end_give_up),
        cmocka_unit_test(empty_and_long_are_refused),   cmocka_unit_test(no_terminal_is_said),
    };
    if (crypto_init(NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
