/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

static char dir[64];

static const char *
in_dir(const char *name)
{
    static char path[2][512];
    static int turn;
    turn ^= 1;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
    return path[turn];
}

static int
setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/test_file.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

static size_t
count_entries(void)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void
expect_content(const char *path, const char *text)
{
    AUTO(buf) struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(file_read(path, 4096, &b, NULL), ATTEST_OK);
    assert_true(slice_is(buf_view(&b), text));
}

static void
test_read(void **state)
{
    (void)state;
    AUTO(buf) struct buf b;
    struct attest_error err = {0};
    buf_init(&b, 100);
    assert_int_equal(file_create(in_dir("f"), 0600, slice_cstr("12345"), NULL), ATTEST_OK);
    assert_int_equal(file_read(in_dir("f"), 5, &b, &err), ATTEST_OK);
    assert_int_equal(file_read(in_dir("f"), 5, &b, &err), ATTEST_OK);
    assert_true(slice_is(buf_view(&b), "1234512345"));
    assert_int_equal(file_read(in_dir("f"), 4, &b, &err), ATTEST_E_LIMIT);
    assert_int_equal(file_read(in_dir("none"), 4, &b, &err), ATTEST_E_NOT_FOUND);
    assert_non_null(strstr(err.text, in_dir("none")));
    assert_int_equal(file_read(dir, 4, &b, &err), ATTEST_E_IO);
    AUTO(buf) struct buf small;
    buf_init(&small, 3);
    assert_int_equal(file_read(in_dir("f"), 5, &small, &err), ATTEST_E_LIMIT);
}

static void
test_read_stdin(void **state)
{
    (void)state;
    AUTO(buf) struct buf b;
    int fds[2];
    int saved = dup(STDIN_FILENO);
    buf_init(&b, 100);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(file_write_all(fds[1], slice_cstr("typed"), NULL), ATTEST_OK);
    close(fds[1]);
    dup2(fds[0], STDIN_FILENO);
    close(fds[0]);
    assert_int_equal(file_read("-", 100, &b, NULL), ATTEST_OK);
    if (saved >= 0) {
        dup2(saved, STDIN_FILENO);
        close(saved);
    }
    assert_true(slice_is(buf_view(&b), "typed"));
}

static void
test_replace(void **state)
{
    (void)state;
    struct stat st;
    assert_int_equal(file_replace(in_dir("r"), 0640, slice_cstr("one"), NULL), ATTEST_OK);
    expect_content(in_dir("r"), "one");
    assert_int_equal(file_replace(in_dir("r"), 0600, slice_cstr("two"), NULL), ATTEST_OK);
    expect_content(in_dir("r"), "two");
    assert_int_equal(stat(in_dir("r"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(file_replace(in_dir("no/r"), 0600, slice_cstr("x"), NULL), ATTEST_E_NOT_FOUND);
    assert_int_equal(file_replace(dir, 0600, slice_cstr("x"), NULL), ATTEST_E_IO);
    assert_int_equal(count_entries(), 1);
}

static void
test_create(void **state)
{
    (void)state;
    assert_int_equal(file_create(in_dir("c"), 0600, slice_cstr("one"), NULL), ATTEST_OK);
    assert_int_equal(file_create(in_dir("c"), 0600, slice_cstr("two"), NULL), ATTEST_E_EXISTS);
    expect_content(in_dir("c"), "one");
    /* A dangling link is something that is there. */
    assert_int_equal(symlink("nowhere", in_dir("link")), 0);
    assert_int_equal(file_create(in_dir("link"), 0600, slice_cstr("x"), NULL), ATTEST_E_EXISTS);
    assert_int_equal(count_entries(), 2);
}

/* Of many that create one file at once, one wins, and its content is whole. */
static void
test_create_race(void **state)
{
    (void)state;
    enum { RACERS = 8 };
    for (int i = 0; i < RACERS; i++) {
        if (fork() == 0) {
            char text[] = "0 was first";
            text[0] = (char)('0' + i);
            _exit(file_create(in_dir("race"), 0600, slice_cstr(text), NULL) ? 1 : 0);
        }
    }
    int winners = 0, status;
    for (int i = 0; i < RACERS; i++) {
        assert_true(wait(&status) > 0);
        assert_true(WIFEXITED(status));
        winners += WEXITSTATUS(status) == 0;
    }
    assert_int_equal(winners, 1);
    AUTO(buf) struct buf b;
    buf_init(&b, 64);
    assert_int_equal(file_read(in_dir("race"), 64, &b, NULL), ATTEST_OK);
    assert_int_equal(b.len, strlen("0 was first"));
    assert_int_equal(count_entries(), 1);
}

static void
test_mkdirs(void **state)
{
    (void)state;
    struct stat st;
    assert_int_equal(file_mkdirs(in_dir("a/b//c/"), 0700, NULL), ATTEST_OK);
    assert_int_equal(stat(in_dir("a/b/c"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(chmod(in_dir("a"), 0755), 0);
    assert_int_equal(file_mkdirs(in_dir("a/b/c"), 0750, NULL), ATTEST_OK);
    assert_int_equal(stat(in_dir("a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(file_create(in_dir("a/file"), 0600, slice_cstr(""), NULL), ATTEST_OK);
    assert_int_equal(file_mkdirs(in_dir("a/file"), 0700, NULL), ATTEST_E_EXISTS);
    assert_int_equal(file_mkdirs("", 0700, NULL), ATTEST_E_ARGUMENT);
}

static void
test_write_fails(void **state)
{
    (void)state;
    struct attest_error err = {0};
    int fd = open("/dev/full", O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, slice_cstr("x"), &err), ATTEST_E_IO);
    assert_string_equal(err.text, "write: No space left on device");
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
        cmocka_unit_test(test_read_stdin),
        cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_race, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mkdirs, setup, teardown),
        cmocka_unit_test(test_write_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
