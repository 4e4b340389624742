/* SPDX-License-Identifier: MIT */
#include "base/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The first descriptor that a service manager passes, by its protocol. */
#define FIRST_FD 3
#define FDS_MAX 64

/* A whole decimal number, nothing around it. */
static bool
env_number(const char *name, unsigned long long *ret)
{
    const char *text = getenv(name);
    char *end;
    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* Variables with a process id beside them are for that process only, and are inherited by others.
 */
static bool
for_this_process(const char *pid_name)
{
    unsigned long long pid;
    return env_number(pid_name, &pid) && pid == (unsigned long long)getpid();
}

/* The name of the i-th descriptor in "one:two:three"; empty when there are not so many. */
static struct slice
nth_name(const char *names, size_t i)
{
    for (; names; i--) {
        size_t len = strcspn(names, ":");
        if (i == 0)
            return (struct slice){names, len};
        names = names[len] ? names + len + 1 : NULL;
    }
    return (struct slice){NULL, 0};
}

int
service_listen_fd(const char *name)
{
    static bool handed_out[FDS_MAX];
    unsigned long long n;
    if (!for_this_process("LISTEN_PID") || !env_number("LISTEN_FDS", &n))
        return -1;
    for (size_t i = 0; i < n && i < FDS_MAX; i++) {
        int fd = FIRST_FD + (int)i;
        if (handed_out[i] || !slice_is(nth_name(getenv("LISTEN_FDNAMES"), i), name))
            continue;
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
            fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            return -1;
        handed_out[i] = true;
        return fd;
    }
    return -1;
}

void
service_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    AUTO(fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* A service manager that does not listen is its own trouble, not the daemon's. */
    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

int64_t
service_watchdog_ms(void)
{
    unsigned long long us;
    if (!env_number("WATCHDOG_USEC", &us) || us > INT64_MAX ||
        (getenv("WATCHDOG_PID") && !for_this_process("WATCHDOG_PID")))
        return 0;
    return (int64_t)(us / 2000);
}

char *
service_credential_path(const char *name)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char *path = NULL;
    if (!dir || dir[0] != '/' || *name == '\0' || *name == '.' || strchr(name, '/'))
        return NULL;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return NULL;
    if (access(path, F_OK) < 0) {
        free(path);
        return NULL;
    }
    return path;
}

int
service_signal_fd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

enum attest_rc
service_harden(struct attest_error *err)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return error_errno(err, ATTEST_E_INTERNAL, errno, "RLIMIT_CORE");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_errno(err, ATTEST_E_INTERNAL, errno, "PR_SET_NO_NEW_PRIVS");
#ifndef __SANITIZE_ADDRESS__ /* whose leak check at exit traces the process */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_errno(err, ATTEST_E_INTERNAL, errno, "PR_SET_DUMPABLE");
#endif
    return ATTEST_OK;
}

size_t
service_raise_nofile(size_t n)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    if (limit.rlim_cur < n) {
        struct rlimit wanted = {.rlim_cur = n < limit.rlim_max ? n : limit.rlim_max,
                                .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
            limit = wanted;
    }
    return limit.rlim_cur;
}
