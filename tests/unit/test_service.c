/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/service.h"

/*
 * Descriptors, signal masks and limits belong to the process: each such check runs in a child,
 * which exits with the number of the check that failed.
 */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(STDERR_FILENO, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                 \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void
in_child(void (*body)(void))
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void
set_number(const char *name, long long v)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", v);
    setenv(name, text, 1);
}

/* Four sockets at descriptors 3 to 6, as a service manager passes them. */
static void
pass_descriptors(void)
{
    for (int i = 0; i < 4; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(fd >= 0);
        /* First out of the way, so that no dup2() closes one that is still to be moved. */
        int high = fcntl(fd, F_DUPFD, 100);
        close(fd);
        CHECK(high >= 100);
        CHECK(dup2(high, 3 + i) == 3 + i);
        close(high);
    }
    set_number("LISTEN_PID", getpid());
    setenv("LISTEN_FDS", "4", 1);
    setenv("LISTEN_FDNAMES", "http:admin:http:", 1);
}

static void
activation(void)
{
    pass_descriptors();
    CHECK(service_listen_fd("admin") == 4);
    CHECK(fcntl(4, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(4, F_GETFL) & O_NONBLOCK); /* who accepts until nothing is left must not wait */
    CHECK(service_listen_fd("admin") == -1);
    CHECK(service_listen_fd("http") == 3);
    CHECK(service_listen_fd("http") == 5);
    CHECK(service_listen_fd("http") == -1);
    CHECK(service_listen_fd("adm") == -1);
    CHECK(service_listen_fd("http:admin") == -1);
}

static void
activation_of_another(void)
{
    pass_descriptors();
    set_number("LISTEN_PID", getppid());
    CHECK(service_listen_fd("http") == -1);
    unsetenv("LISTEN_PID");
    CHECK(service_listen_fd("http") == -1);
}

static void
activation_malformed(void)
{
    pass_descriptors();
    static const char *const counts[] = {"", "-1", "4x", " 4", "99999999999999999999", "0"};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        setenv("LISTEN_FDS", counts[i], 1);
        CHECK(service_listen_fd("http") == -1);
    }
    setenv("LISTEN_FDS", "1", 1);
    CHECK(service_listen_fd("admin") == -1);
    unsetenv("LISTEN_FDNAMES");
    CHECK(service_listen_fd("http") == -1);
    /* A named descriptor that is not open. */
    setenv("LISTEN_FDNAMES", "http", 1);
    close(3);
    CHECK(service_listen_fd("http") == -1);
}

static void
test_activation(void **state)
{
    (void)state;
    in_child(activation);
    in_child(activation_of_another);
    in_child(activation_malformed);
}

static void
receive(int fd, const char *expected)
{
    char text[64] = "";
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    assert_int_equal(n, strlen(expected));
    assert_string_equal(text, expected);
}

static void
test_notify(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_service.XXXXXX", path[64], name[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/notify", dir);

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    service_notify("READY=1");
    service_notify("STATUS=key out of reach\nWATCHDOG=1");
    receive(fd, "READY=1");
    receive(fd, "STATUS=key out of reach\nWATCHDOG=1");
    close(fd);
    unlink(path);
    rmdir(dir);

    /* The abstract form, "@name". */
    int len = snprintf(name, sizeof(name), "@test_service.%d", (int)getpid());
    struct sockaddr_un abstract = {.sun_family = AF_UNIX};
    memcpy(abstract.sun_path + 1, name + 1, (size_t)len - 1);
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&abstract,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    service_notify("STOPPING=1");
    receive(fd, "STOPPING=1");
    close(fd);

    /* No one there, nonsense, or no manager: nothing happens, no signal either. */
    service_notify("READY=1");
    setenv("NOTIFY_SOCKET", "vsock:1:2", 1);
    service_notify("READY=1");
    unsetenv("NOTIFY_SOCKET");
    service_notify("READY=1");
}

static void
test_watchdog(void **state)
{
    (void)state;
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    assert_int_equal(service_watchdog_ms(), 0);
    setenv("WATCHDOG_USEC", "30000000", 1);
    assert_int_equal(service_watchdog_ms(), 15000);
    set_number("WATCHDOG_PID", getpid());
    assert_int_equal(service_watchdog_ms(), 15000);
    set_number("WATCHDOG_PID", getppid());
    assert_int_equal(service_watchdog_ms(), 0);
    unsetenv("WATCHDOG_PID");
    setenv("WATCHDOG_USEC", "often", 1);
    assert_int_equal(service_watchdog_ms(), 0);
    setenv("WATCHDOG_USEC", "18446744073709551615", 1);
    assert_int_equal(service_watchdog_ms(), 0);
    unsetenv("WATCHDOG_USEC");
}

static void
test_credentials(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_service.XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/pin", dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);

    unsetenv("CREDENTIALS_DIRECTORY");
    assert_null(service_credential_path("pin"));
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    AUTO(mem) char *found = service_credential_path("pin");
    assert_non_null(found);
    assert_string_equal(found, path);
    assert_null(service_credential_path("other"));
    assert_null(service_credential_path(""));
    assert_null(service_credential_path(".."));
    assert_null(service_credential_path("../tmp"));
    assert_null(service_credential_path("x/../pin"));
    setenv("CREDENTIALS_DIRECTORY", "tmp", 1);
    assert_null(service_credential_path("pin"));
    unsetenv("CREDENTIALS_DIRECTORY");
    unlink(path);
    rmdir(dir);
}

static void
signals(void)
{
    struct signalfd_siginfo info;
    int fd = service_signal_fd();
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(read(fd, &info, sizeof(info)) < 0 && errno == EAGAIN);
    static const int handled[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < ARRAY_LEN(handled); i++) {
        CHECK(kill(getpid(), handled[i]) == 0);
        CHECK(read(fd, &info, sizeof(info)) == sizeof(info));
        CHECK((int)info.ssi_signo == handled[i]);
    }
    int fds[2];
    CHECK(pipe(fds) == 0);
    close(fds[0]);
    CHECK(write(fds[1], "x", 1) < 0 && errno == EPIPE);
}

static void
hardened(void)
{
    struct rlimit core;
    CHECK(service_harden(NULL) == ATTEST_OK);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
#ifndef __SANITIZE_ADDRESS__
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
#endif
}

static void
descriptors(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max >= 128);
    size_t hard = limit.rlim_max;
    limit.rlim_cur = 64;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(service_raise_nofile(32) == 64);
    CHECK(service_raise_nofile(100) == 100);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 100);
    CHECK(service_raise_nofile(SIZE_MAX) == hard);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == hard);
}

static void
test_process(void **state)
{
    (void)state;
    in_child(signals);
    in_child(hardened);
    in_child(descriptors);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activation), cmocka_unit_test(test_notify),
        cmocka_unit_test(test_watchdog),   cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
