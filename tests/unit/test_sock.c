/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sock.h"

static char dir[64];
static char path[80];

static int
setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/test_sock.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/s", dir);
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
test_listen_connect(void **state)
{
    (void)state;
    AUTO(fd) int listener = -1;
    AUTO(fd) int client = -1;
    struct attest_error err = {0};
    struct stat st;
    struct sock_peer peer;
    assert_int_equal(sock_listen_unix(path, 0620, getgid(), &listener, &err), ATTEST_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0620);
    assert_int_equal(st.st_gid, getgid());
    assert_true(fcntl(listener, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(listener, F_GETFL) & O_NONBLOCK);

    assert_int_equal(sock_connect_unix(path, 1000, &client, &err), ATTEST_OK);
    assert_true(fcntl(client, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
    AUTO(fd) int accepted = accept(listener, NULL, NULL);
    assert_true(accepted >= 0);
    assert_int_equal(sock_peer(accepted, &peer, &err), ATTEST_OK);
    assert_int_equal(peer.pid, getpid());
    assert_int_equal(peer.uid, getuid());
    assert_int_equal(peer.gid, getgid());
    /* The client's side of the pair tells who called listen(). */
    assert_int_equal(sock_peer(client, &peer, &err), ATTEST_OK);
    assert_int_equal(peer.pid, getpid());
}

static void
test_live_and_dead(void **state)
{
    (void)state;
    int first = -1, second = -1;
    struct attest_error err = {0};
    struct stat before, after;
    assert_int_equal(sock_listen_unix(path, 0600, (gid_t)-1, &first, &err), ATTEST_OK);
    assert_int_equal(sock_listen_unix(path, 0600, (gid_t)-1, &second, &err), ATTEST_E_EXISTS);
    assert_int_equal(second, -1);
    close(first);
    assert_int_equal(sock_connect_unix(path, 100, &second, &err), ATTEST_E_IO);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(sock_listen_unix(path, 0600, (gid_t)-1, &second, &err), ATTEST_OK);
    assert_int_equal(stat(path, &after), 0);
    close(second);
}

static void
test_other_files_stay(void **state)
{
    (void)state;
    int fd = open(path, O_CREAT | O_WRONLY, 0600), listener = -1;
    struct attest_error err = {0};
    struct stat st;
    assert_int_equal(write(fd, "data", 4), 4);
    close(fd);
    assert_int_equal(sock_listen_unix(path, 0600, (gid_t)-1, &listener, &err), ATTEST_E_EXISTS);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 4);
    unlink(path);
    assert_int_equal(symlink("nowhere", path), 0);
    assert_int_equal(sock_listen_unix(path, 0600, (gid_t)-1, &listener, &err), ATTEST_E_EXISTS);
}

static void
test_connect_refused(void **state)
{
    (void)state;
    int fd = -1;
    char long_path[200];
    struct attest_error err = {0};
    assert_int_equal(sock_connect_unix(path, 100, &fd, &err), ATTEST_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "is the daemon running?"));
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(sock_connect_unix(long_path, 100, &fd, &err), ATTEST_E_ARGUMENT);
    assert_int_equal(sock_listen_unix("", 0600, (gid_t)-1, &fd, &err), ATTEST_E_ARGUMENT);
    assert_int_equal(sock_listen_unix("/no/such/dir/s", 0600, (gid_t)-1, &fd, &err), ATTEST_E_IO);
    assert_int_equal(fd, -1);
}

/* A daemon that hangs without accepting: the caller gets away. */
static void
test_connect_timeout(void **state)
{
    (void)state;
    int fds[8], n = 0, fd = -1;
    struct attest_error err = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    AUTO(fd) int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 0), 0);
    enum attest_rc rc = ATTEST_OK;
    int64_t start_ms = clock_mono_ms();
    while (n < 8 && (rc = sock_connect_unix(path, 50, &fd, &err)) == ATTEST_OK)
        fds[n++] = fd;
    assert_int_equal(rc, ATTEST_E_TIMEOUT);
    assert_true(clock_mono_ms() - start_ms >= 50);
    while (n > 0)
        close(fds[--n]);
}

static void
test_peer_on_tcp(void **state)
{
    (void)state;
    struct sock_peer peer = {1, 2, 3};
    struct attest_error err = {0};
    AUTO(fd) int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(sock_peer(fd, &peer, &err), ATTEST_E_UNSUPPORTED);
    AUTO(fd) int loose = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(sock_peer(loose, &peer, &err), ATTEST_E_IO);
    AUTO(fd) int file = open("/dev/null", O_RDONLY);
    assert_int_equal(sock_peer(file, &peer, NULL), ATTEST_E_IO);
    assert_int_equal(peer.uid, 2);
}

static void
test_ids(void **state)
{
    (void)state;
    uid_t uid = 7;
    gid_t gid = 7;
    struct attest_error err = {0};
    assert_int_equal(sock_uid("root", &uid, &err), ATTEST_OK);
    assert_int_equal(uid, 0);
    assert_int_equal(sock_gid("root", &gid, &err), ATTEST_OK);
    assert_int_equal(gid, 0);
    assert_int_equal(sock_uid("4294967294", &uid, &err), ATTEST_OK);
    assert_true(uid == 4294967294u);
    assert_int_equal(sock_gid("1000", &gid, &err), ATTEST_OK);
    assert_int_equal(gid, 1000);
    static const char *const bad[] = {
        "", "4294967295", "18446744073709551617", "-1", "no such user!", "0x10", "1000 "};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(sock_uid(bad[i], &uid, &err), ATTEST_E_CONFIG);
        assert_int_equal(sock_gid(bad[i], &gid, &err), ATTEST_E_CONFIG);
    }
    assert_string_equal(err.text, "no such group: '1000 '");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_listen_connect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_live_and_dead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_files_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connect_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connect_timeout, setup, teardown),
        cmocka_unit_test(test_peer_on_tcp),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
