/* SPDX-License-Identifier: MIT */

/*
 * ready: starts a daemon as a service manager would, waits for READY=1, says how long that took,
 * and stops it.
 *
 *     ready [--wait MS] -- PROGRAM ARGUMENT…
 *
 * Prints {"ready_ms":…,"cpu_ms":…}. cpu_ms is what the daemon itself used until then, which another
 * process on the machine cannot stretch. Exit status 0, 1 it did not get ready, 2 wrong use,
 * 3 not done.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"

static int
notify_socket(char *path, size_t path_size)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/ready.XXXXXX";
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, path_size, "%s/notify", dir);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    rmdir(dir);
    return -1;
}

static void
remove_socket(char *path)
{
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

static bool
says_ready(int fd)
{
    char text[1024];
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return false;
    text[n] = '\0';
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "READY=1", 7) == 0)
            return true;
    }
    return false;
}

/* Until it says so, ends, or the time is over. */
static bool
wait_ready(int fd, pid_t pid, int64_t until_ms)
{
    for (int64_t now_ms; (now_ms = clock_mono_ms()) < until_ms;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        siginfo_t ended = {0};
        if (poll(&p, 1, 20) > 0 && says_ready(fd))
            return true;
        if (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid)
            return false;
    }
    return false;
}

/* CPU of another process, all threads: its CPU clock is readable by anyone who may see it. */
static int64_t
process_cpu_us(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return -1;
    return t.tv_sec * (int64_t)1000000 + t.tv_nsec / 1000;
}

int
main(int argc, char **argv)
{
    int64_t wait_ms = 10000;
    int at = 1;
    if (argc > 3 && strcmp(argv[1], "--wait") == 0) {
        wait_ms = strtol(argv[2], NULL, 10);
        at = 3;
    }
    if (argc < at + 2 || strcmp(argv[at], "--") != 0 || wait_ms < 1 || wait_ms > 600000) {
        fputs("usage: ready [--wait MS] -- PROGRAM ARGUMENT…\n", stderr);
        return 2;
    }
    char path[64];
    int fd = notify_socket(path, sizeof(path));
    if (fd < 0 || setenv("NOTIFY_SOCKET", path, 1) < 0) {
        fprintf(stderr, "ready: %s\n", strerror(errno));
        return 3;
    }
    int64_t start_us = clock_mono_us();
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[at + 1], argv + at + 1);
        fprintf(stderr, "ready: %s: %s\n", argv[at + 1], strerror(errno));
        _exit(127);
    }
    bool ready = pid > 0 && wait_ready(fd, pid, clock_mono_ms() + wait_ms);
    int64_t took_us = clock_mono_us() - start_us;
    if (ready)
        printf("{\"ready_ms\":%.1f,\"cpu_ms\":%.1f}\n", (double)took_us / 1000,
               (double)process_cpu_us(pid) / 1000);
    if (pid > 0) {
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
    }
    close(fd);
    remove_socket(path);
    return ready ? 0 : 1;
}
