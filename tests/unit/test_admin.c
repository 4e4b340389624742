/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "admin/command.h"
#include "admin/table.h"

/* What one run of the command wrote. */
static char out[16384], err[4096];

static void
slurp(FILE *from, char *to, size_t to_size)
{
    rewind(from);
    size_t n = fread(to, 1, to_size - 1, from);
    to[n] = '\0';
    fclose(from);
}

/* Runs attestctl with these words and returns its exit status. */
static int
run(const char *const *words)
{
    char *argv[16] = {(char *)"attestctl"};
    int argc = 1;
    for (; *words; words++)
        argv[argc++] = (char *)*words;
    fflush(stdout);
    fflush(stderr);
    int was_out = dup(STDOUT_FILENO), was_err = dup(STDERR_FILENO);
    FILE *to_out = tmpfile(), *to_err = tmpfile();
    assert_non_null(to_out);
    assert_non_null(to_err);
    dup2(fileno(to_out), STDOUT_FILENO);
    dup2(fileno(to_err), STDERR_FILENO);
    int status = admin_run(argc, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(was_out, STDOUT_FILENO);
    dup2(was_err, STDERR_FILENO);
    close(was_out);
    close(was_err);
    slurp(to_out, out, sizeof(out));
    slurp(to_err, err, sizeof(err));
    return status;
}
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

/* Wrong use: status 2, nothing on standard output, one line that says what to do. */
static void
expect_usage(int status, const char *hint)
{
    assert_int_equal(status, EXIT_USAGE);
    assert_string_equal(out, "");
    assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
    assert_memory_equal(err, "attestctl: ", 11);
    if (!strstr(err, hint))
        fail_msg("no '%s' in: %s", hint, err);
}

static void
help_lists_every_command(void **state)
{
    (void)state;
    assert_int_equal(RUN("--help"), EXIT_DONE);
    assert_string_equal(err, "");
    for (size_t i = 0; i < n_commands; i++) {
        char line[80];
        snprintf(line, sizeof(line), "\n  %s%s%s", commands[i].group, commands[i].name ? " " : "",
                 commands[i].name ? commands[i].name : "");
        assert_non_null(strstr(out, line));
        assert_non_null(strstr(out, commands[i].help));
    }
}

static void
help_of_a_command_names_its_options(void **state)
{
    (void)state;
    assert_int_equal(RUN("key", "generate", "--help"), EXIT_DONE);
    assert_non_null(strstr(out, "--purpose WHAT"));
    assert_non_null(strstr(out, "--socket PATH"));
    assert_null(strstr(out, "--module"));
    assert_int_equal(RUN("key", "--help"), EXIT_DONE);
    assert_non_null(strstr(out, "key generate"));
    assert_null(strstr(out, "status"));
}

static void
version_is_told(void **state)
{
    (void)state;
    assert_int_equal(RUN("--version"), EXIT_DONE);
    assert_string_equal(out, "attestctl " PACKAGE_VERSION "\n");
    assert_int_equal(RUN("key", "list", "-V"), EXIT_DONE);
}

static void
wrong_use_is_one_line(void **state)
{
    (void)state;
    assert_int_equal(run((const char *const[]){NULL}), EXIT_USAGE);
    expect_usage(EXIT_USAGE, "--help");
    expect_usage(RUN("frobnicate"), "unknown command 'frobnicate'");
    expect_usage(RUN("key"), "attestctl key --help");
    expect_usage(RUN("key", "frobnicate"), "unknown command 'key frobnicate'");
    expect_usage(RUN("key", "list", "extra"), "too many arguments");
    expect_usage(RUN("key", "list", "--frobnicate"), "unknown option '--frobnicate'");
    expect_usage(RUN("key", "list", "-x"), "unknown option '-x'");
    expect_usage(RUN("key", "list", "--purpose", "log"), "'key list' takes no --purpose");
    expect_usage(RUN("key", "generate"), "--purpose token, root or log");
    expect_usage(RUN("key", "generate", "--purpose"), "--purpose wants a value");
    expect_usage(RUN("key", "generate", "--purpose="), "--purpose wants a value");
    expect_usage(RUN("key", "generate", "--purpose=log", "--purpose=log"), "given twice");
    expect_usage(RUN("status", "--json=yes"), "--json takes no value");
    expect_usage(RUN("key", "generate", "--purpose", "log", "--label", "\xff"), "UTF-8");
    expect_usage(RUN("a", "b", "c", "d", "e", "f", "g", "h", "i"), "too many arguments");
}

/* Option names are not completed, and the value of a PIN option is not repeated. */
static void
pin_on_the_command_line_is_refused(void **state)
{
    (void)state;
    expect_usage(RUN("key", "list", "--pin", "123456"), "--pin-file");
    assert_null(strstr(err, "123456"));
    expect_usage(RUN("key", "list", "--so-pin=123456"), "--so-pin-file");
    assert_null(strstr(err, "123456"));
    expect_usage(RUN("key", "generate", "--purp", "log"), "unknown option '--purp'");
}

static void
absent_signer_is_named(void **state)
{
    (void)state;
    int status = RUN("status", "--socket", "/nonexistent/signer-admin.sock");
    assert_int_equal(status, EXIT_FAILED);
    assert_string_equal(out, "");
    assert_non_null(strstr(err, "start attest-signer"));
    assert_non_null(strstr(err, "--socket"));
    assert_non_null(strstr(err, "/nonexistent/signer-admin.sock"));
    assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
}

static void
status_follows_the_kind_of_error(void **state)
{
    (void)state;
    assert_int_equal(status_of(ATTEST_OK), EXIT_DONE);
    assert_int_equal(status_of(ATTEST_E_ARGUMENT), EXIT_USAGE);
    assert_int_equal(status_of(ATTEST_E_DENIED), EXIT_REFUSED);
    assert_int_equal(status_of(ATTEST_E_PIN), EXIT_REFUSED);
    assert_int_equal(status_of(ATTEST_E_CLAIMS), EXIT_REFUSED);
    assert_int_equal(status_of(ATTEST_E_IO), EXIT_FAILED);
    assert_int_equal(status_of(ATTEST_E_KEY_OUT_OF_REACH), EXIT_FAILED);
    assert_int_equal(status_of(ATTEST_E_LOG), EXIT_FAILED);
}

static void
table_aligns_and_makes_printable(void **state)
{
    (void)state;
    AUTO(table) struct table t;
    static const char *const heads[] = {"A", "LONGER", "C"};
    table_init(&t, heads, 3);
    table_cell(&t, "wide cell");
    table_cell(&t, "%d", 7);
    table_cell(&t, "\033[2J");
    table_cell(&t, "x");
    table_cell(&t, "%s", "");
    table_cell(&t, "z");
    table_cell(&t, "half a row");
    FILE *to = tmpfile();
    assert_non_null(to);
    assert_true(table_print(&t, to));
    char text[256];
    slurp(to, text, sizeof(text));
    assert_string_equal(text, "A          LONGER  C\n"
                              "wide cell  7       ?[2J\n"
                              "x          -       z\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_lists_every_command),
        cmocka_unit_test(help_of_a_command_names_its_options),
        cmocka_unit_test(version_is_told),
        cmocka_unit_test(wrong_use_is_one_line),
        cmocka_unit_test(pin_on_the_command_line_is_refused),
        cmocka_unit_test(absent_signer_is_named),
        cmocka_unit_test(status_follows_the_kind_of_error),
        cmocka_unit_test(table_aligns_and_makes_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
