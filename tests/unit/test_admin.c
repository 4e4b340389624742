/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "admin/command.h"
#include "admin/table.h"
#include "chainlog/chainlog.h"

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
    expect_usage(RUN("key", "revoke", "abcdef"), "--reason TEXT");
    expect_usage(RUN("key", "revoke", "abcdef", "--reason", "a \"quoted\" one"), "no quotes");
    expect_usage(RUN("key", "activate", "abcdef", "--force"), "--reason TEXT");
    expect_usage(RUN("key", "activate", "abcdef", "--force=yes"), "--force takes no value");
    expect_usage(RUN("key", "publish"), "an argument is missing");
    expect_usage(RUN("key", "publish", "abcde"), "at least the first 6");
    expect_usage(RUN("key", "publish", "-abcde"), "goes behind --");
    expect_usage(RUN("key", "rotate", "--purpose", "root"), "root-rotate");
    expect_usage(RUN("key", "rotate", "--purpose", "tokens"), "token or log");
    expect_usage(RUN("key", "public", "--format", "der"), "jwk, jwks or pem");
    expect_usage(RUN("key", "public", "abcdef", "--purpose", "log"), "not both");
    expect_usage(RUN("key", "timeline", "out.svg"), "--svg");
    expect_usage(RUN("key", "timeline", "--svg="), "--svg wants a value: --svg[=FILE]");
    expect_usage(RUN("key", "timeline", "--svg", "--json"), "not both");
    expect_usage(RUN("key", "timeline", "--svg=a", "b"), "named twice");
    expect_usage(RUN("key", "timeline", "--days", "3", "--to", "2026-01-31"), "--days, or");
    expect_usage(RUN("key", "import-records"), "an argument is missing");
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

#define KID "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

/* A whole kid is a word, whatever it begins with: what fails then is that nobody answers. */
static void
kid_may_begin_like_an_option(void **state)
{
    (void)state;
    static const char *const kids[] = {"-" KID, "--" KID};
    for (size_t i = 0; i < ARRAY_LEN(kids); i++) {
        char kid[44];
        snprintf(kid, sizeof(kid), "%.43s", kids[i]);
        assert_int_equal(RUN("key", "publish", kid, "--socket", "/nonexistent/s"), EXIT_FAILED);
        assert_non_null(strstr(err, "/nonexistent/s"));
    }
}

/* A file of records is read before anyone is asked. */
static void
wrong_records_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } files[] = {
        {"", "no key records"},
        {"{}", "the format is ''"},
        {"{\"format\":\"attestd-key-records/2\"}", "the format is 'attestd-key-records/2'"},
        {"{\"format\":\"attestd-key-records/1\",\"issuer\":\"https://a.example\","
         "\"total\":2,\"keys\":[{}]}",
         "cut off or changed: 1 records, and 2"},
        {"{\"format\":\"attestd-key-records/1\",\"issuer\":\"https://a.example\","
         "\"total\":1,\"keys\":[{\"kid\":\"a\",\"purpose\":\"token\",\"x\":\"b\"}]}",
         "record 1 is not one"},
        {"{\"format\":\"attestd-key-records/1\",\"format\":\"attestd-key-records/1\"}",
         "no key records"},
    };
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[] = "/tmp/test_admin.XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, files[i].text, strlen(files[i].text)), strlen(files[i].text));
        close(fd);
        assert_int_equal(RUN("key", "import-records", path, "--socket", "/nonexistent/s"),
                         EXIT_REFUSED);
        if (!strstr(out, files[i].why))
            fail_msg("no '%s' in: %s", files[i].why, out);
        unlink(path);
    }
    assert_int_equal(RUN("key", "import-records", "/nonexistent/records"), EXIT_FAILED);
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

/* A whole log is told of, and a changed byte in it is refused with its place. */
static void
log_is_verified(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_admin.XXXXXX", log_dir[64], path[128], byte;
    assert_non_null(mkdtemp(dir));
    snprintf(log_dir, sizeof(log_dir), "%s/log", dir);
    struct chainlog_config config = {.dir = log_dir, .segment_bytes = 1 << 20};
    struct chainlog *log;
    struct attest_error why = {0};
    assert_int_equal(chainlog_open(&config, &log, &why), ATTEST_OK);
    assert_int_equal(chainlog_recover(log, &why), ATTEST_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(chainlog_add(log, 1769860800, slice_cstr("\"op\":\"test\""), &why),
                         ATTEST_OK);
    assert_int_equal(chainlog_commit(log, &why), ATTEST_OK);
    unsigned long long seq = chainlog_head(log).seq;
    chainlog_close(log);

    char line[64];
    assert_int_equal(RUN("audit", "verify", log_dir), EXIT_DONE);
    snprintf(line, sizeof(line), "records      %llu\n", seq);
    assert_non_null(strstr(out, line));
    assert_int_equal(RUN("audit", "verify", "--json", log_dir), EXIT_DONE);
    snprintf(line, sizeof(line), "\"seq\":%llu,", seq);
    assert_non_null(strstr(out, line));

    glob_t found;
    snprintf(path, sizeof(path), "%s/[!.]*", log_dir);
    assert_int_equal(glob(path, 0, NULL, &found), 0);
    int fd = open(found.gl_pathv[0], O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, 20), 1);
    byte = byte == '1' ? '2' : '1';
    assert_int_equal(pwrite(fd, &byte, 1, 20), 1);
    close(fd);
    assert_int_equal(RUN("audit", "verify", log_dir), EXIT_REFUSED);
    assert_non_null(strstr(out, "line 2: the chain is broken"));

    for (size_t i = 0; i < found.gl_pathc; i++)
        unlink(found.gl_pathv[i]);
    globfree(&found);
    assert_int_equal(RUN("audit", "verify", "/nonexistent"), EXIT_FAILED);
    expect_usage(RUN("audit", "verify", "a", "b"), "too many arguments");
    assert_int_equal(rmdir(log_dir), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* A file of this name and content in a directory of its own. */
static void
write_config(const char *name, const char *text, char *path, size_t path_size)
{
    char dir[] = "/tmp/test_admin.XXXXXX";
    assert_non_null(mkdtemp(dir));
    snprintf(path, path_size, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void
remove_config(char *path)
{
    assert_int_equal(unlink(path), 0);
    *strrchr(path, '/') = '\0';
    assert_int_equal(rmdir(path), 0);
}

#define GOOD_SIGNER                                                                                \
    "issuer: https://ai.example.com\nkeystore: pkcs11:token=attestd\n"                             \
    "pin: {file: /nonexistent/pin}\n"

static void
config_is_checked_and_dumped(void **state)
{
    (void)state;
    char path[128];
    write_config("attest-signer.yaml", GOOD_SIGNER "workers: 3\n", path, sizeof(path));
    assert_int_equal(RUN("config", "check", path), EXIT_DONE);
    assert_string_equal(out, "good for attest-signer\n");
    assert_int_equal(RUN("config", "check", "--config", path, "--json"), EXIT_DONE);
    assert_string_equal(out, "{\"ok\":true,\"daemon\":\"attest-signer\"}\n");
    assert_int_equal(RUN("config", "dump", path), EXIT_DONE);
    assert_non_null(strstr(out, "workers: 3\n"));
    assert_non_null(strstr(out, "queue_max: 1024\n"));
    assert_int_equal(setenv("ATTEST_SIGNER_WORKERS", "5", 1), 0);
    assert_int_equal(RUN("config", "dump", path, "--json"), EXIT_DONE);
    assert_int_equal(unsetenv("ATTEST_SIGNER_WORKERS"), 0);
    assert_non_null(strstr(out, "\"workers\": 5"));
    remove_config(path);
}

static void
wrong_config_is_refused_with_its_line(void **state)
{
    (void)state;
    char path[128];
    write_config("attest-signer.yaml", GOOD_SIGNER "wrokers: 3\n", path, sizeof(path));
    assert_int_equal(RUN("config", "check", path), EXIT_REFUSED);
    assert_string_equal(err, "");
    assert_non_null(strstr(out, path));
    assert_non_null(strstr(out, "line 4"));
    assert_non_null(strstr(out, "wrokers"));
    assert_int_equal(RUN("config", "dump", "--json", path), EXIT_REFUSED);
    assert_non_null(strstr(out, "\"ok\":false"));
    assert_int_equal(RUN("status", "--config", path), EXIT_FAILED);
    assert_non_null(strstr(err, "wrokers"));
    remove_config(path);
}

static void
daemon_is_guessed_by_the_keys(void **state)
{
    (void)state;
    char path[128];
    write_config("my.yaml", "# mine\n" GOOD_SIGNER, path, sizeof(path));
    assert_int_equal(RUN("config", "check", path), EXIT_DONE);
    assert_string_equal(out, "good for attest-signer\n");
    remove_config(path);
    write_config("my.yaml", "issuer: https://ai.example.com\nlisten: [\"[::1]:8080\"]\n", path,
                 sizeof(path));
    assert_int_equal(RUN("config", "check", path), EXIT_DONE);
    assert_string_equal(out, "good for attestd\n");
    assert_int_equal(RUN("config", "check", path, "--daemon", "attest-signer"), EXIT_REFUSED);
    remove_config(path);
    write_config("my.yaml", "issuer: http://ai.example.com\nlisten: []\n", path, sizeof(path));
    assert_int_equal(RUN("config", "check", path), EXIT_REFUSED);
    assert_non_null(strstr(out, "issuer 'http://ai.example.com': "));
    remove_config(path);
    write_config("my.yaml", "nothing: known\n", path, sizeof(path));
    expect_usage(RUN("config", "check", path), "--daemon attestd");
    expect_usage(RUN("config", "check", path, "--daemon", "sshd"), "unknown daemon 'sshd'");
    expect_usage(RUN("config", "check", path, "--config", path), "named twice");
    remove_config(path);
    expect_usage(RUN("config", "check"), "--daemon");
    assert_int_equal(RUN("config", "check", "/nonexistent/attestd.yaml"), EXIT_FAILED);
    assert_non_null(strstr(err, "/nonexistent/attestd.yaml"));
}

static void
socket_comes_from_the_configuration(void **state)
{
    (void)state;
    char path[128];
    write_config("s.yaml", GOOD_SIGNER "admin_socket: /nonexistent/mine.sock\n", path,
                 sizeof(path));
    assert_int_equal(setenv("ATTEST_SOCKET", "/nonexistent/env.sock", 1), 0);
    assert_int_equal(RUN("status", "--config", path), EXIT_FAILED);
    assert_non_null(strstr(err, "/nonexistent/mine.sock"));
    assert_int_equal(RUN("status", "--config", path, "--socket", "/nonexistent/arg.sock"),
                     EXIT_FAILED);
    assert_non_null(strstr(err, "/nonexistent/arg.sock"));
    assert_int_equal(RUN("status"), EXIT_FAILED);
    assert_non_null(strstr(err, "/nonexistent/env.sock"));
    assert_non_null(strstr(err, "ATTEST_SOCKET may be attestd's"));
    assert_int_equal(unsetenv("ATTEST_SOCKET"), 0);
    remove_config(path);
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
        cmocka_unit_test(kid_may_begin_like_an_option),
        cmocka_unit_test(wrong_records_are_refused),
        cmocka_unit_test(absent_signer_is_named),
        cmocka_unit_test(config_is_checked_and_dumped),
        cmocka_unit_test(wrong_config_is_refused_with_its_line),
        cmocka_unit_test(daemon_is_guessed_by_the_keys),
        cmocka_unit_test(socket_comes_from_the_configuration),
        cmocka_unit_test(log_is_verified),
        cmocka_unit_test(status_follows_the_kind_of_error),
        cmocka_unit_test(table_aligns_and_makes_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
