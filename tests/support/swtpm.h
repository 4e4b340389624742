/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_SWTPM_H
#define TESTS_SUPPORT_SWTPM_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * A TPM of the test's own: swtpm on two neighbouring loopback ports, its state in a directory made
 * by mkdtemp(). There is no resource manager: what is not flushed stays. swtpm_off() and swtpm_on()
 * are an orderly power cycle, swtpm_cut() instead is a power cut. A TPM takes that for an attempt
 * to get around its counting: after a protected object was used, each cut counts as one wrong
 * value, and swtpm allows three.
 *
 * By `tcti` each byte to and from it is written down (tests/support/tcti_log.c), and swtpm_stop()
 * ends the test with 1 when a command could carry a secret and was not encrypted, or when one of
 * the secrets that swtpm_secret() was told stands in what was written. `plain` is for what the test
 * itself does to the TPM.
 */
struct swtpm {
    char dir[128], tcti[512], plain[64];
    pid_t pid;
    unsigned short port;
};

static inline int
swtpm_dial(unsigned short port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static inline bool
swtpm_listening(unsigned short port)
{
    int fd = swtpm_dial(port);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* False when it ended at once: no swtpm, or a port was taken. */
static inline bool
swtpm_on(struct swtpm *t)
{
    char server[96], ctrl[96], state[192];
    snprintf(server, sizeof(server), "type=tcp,port=%u,bindaddr=127.0.0.1", t->port);
    snprintf(ctrl, sizeof(ctrl), "type=tcp,port=%u,bindaddr=127.0.0.1", t->port + 1U);
    snprintf(state, sizeof(state), "dir=%s,mode=0600", t->dir);
    t->pid = fork();
    if (t->pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp("swtpm", "swtpm", "socket", "--tpm2", "--server", server, "--ctrl", ctrl,
               "--tpmstate", state, "--flags", "not-need-init,startup-clear", (char *)NULL);
        _exit(127);
    }
    while (t->pid > 0) {
        int status;
        if (waitpid(t->pid, &status, WNOHANG) == t->pid)
            t->pid = 0;
        else if (swtpm_listening(t->port)) /* the second one that it opens */
            return true;
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    return false;
}

static inline void
swtpm_cut(struct swtpm *t)
{
    if (t->pid > 0) {
        kill(t->pid, SIGKILL);
        waitpid(t->pid, NULL, 0);
    }
    t->pid = 0;
}

static inline void
swtpm_off(struct swtpm *t)
{
    static const unsigned char shutdown_clear[] = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x45, 0, 0};
    unsigned char answer[10];
    int fd = t->pid > 0 ? swtpm_dial(t->port) : -1;
    if (fd >= 0) {
        /* It serves one at a time, and a test that failed may still hold the other end. */
        struct timeval patience = {.tv_sec = 10};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        if (write(fd, shutdown_clear, sizeof(shutdown_clear)) != sizeof(shutdown_clear) ||
            read(fd, answer, sizeof(answer)) != sizeof(answer))
            fprintf(stderr, "swtpm: no orderly shutdown\n");
        close(fd);
    }
    swtpm_cut(t);
}

/* False when there is no swtpm here: exit 77. */
static inline bool
swtpm_start(struct swtpm *t)
{
    if (system("command -v swtpm >/dev/null") != 0)
        return false;
    signal(SIGPIPE, SIG_IGN);
    const char *tmp = getenv("TMPDIR");
    snprintf(t->dir, sizeof(t->dir), "%s/swtpm-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(t->dir))
        abort();
    srandom((unsigned)getpid() ^ (unsigned)time(NULL));
    for (int i = 0; i < 50; i++) {
        /* As tests/support/port.sh: what starts again finds its port free. */
        t->port = (unsigned short)(20000 + random() % 6000 * 2);
        if (!swtpm_listening(t->port) && !swtpm_listening((unsigned short)(t->port + 1)) &&
            swtpm_on(t)) {
            snprintf(t->plain, sizeof(t->plain), "swtpm:host=127.0.0.1,port=%u", t->port);
            snprintf(t->tcti, sizeof(t->tcti),
                     BUILD_DIR "/tests/support/.libs/tcti_log.so:%s/bus.log,%s", t->dir, t->plain);
            return true;
        }
    }
    abort();
}

static inline int
swtpm_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

/* These bytes, eight at least, must not cross the bus. */
static inline void
swtpm_secret(const struct swtpm *t, const char *name, const void *p, size_t len)
{
    char path[192];
    snprintf(path, sizeof(path), "%s/secrets", t->dir);
    FILE *out = fopen(path, "a");
    if (!out)
        abort();
    fprintf(out, "%s ", name);
    for (size_t i = 0; i < len; i++)
        fprintf(out, "%02x", ((const unsigned char *)p)[i]);
    if (fputc('\n', out) == EOF || fclose(out) != 0)
        abort();
}

/* What the logging TCTI is to do: tests/support/tcti_log.c. */
static inline void
swtpm_tell_log(const struct swtpm *t, const char *what, unsigned nth, pid_t pid)
{
    char path[192];
    snprintf(path, sizeof(path), "%s/bus.log.%s", t->dir, what);
    FILE *out = fopen(path, "w");
    if (!out)
        abort();
    fprintf(out, "%u %d\n", nth, (int)pid);
    fclose(out);
}

/* The nth answer from here on that the logging TCTI hands on is not what the TPM gave. */
static inline void
swtpm_alter(const struct swtpm *t, unsigned nth)
{
    swtpm_tell_log(t, "alter", nth, 0);
}

/* A power cut before the nth command from here on, by whatever thread. */
static inline void
swtpm_cut_at(const struct swtpm *t, unsigned nth)
{
    swtpm_tell_log(t, "cut", nth, t->pid);
}

/* Whether it came to that; it will not any more. */
static inline bool
swtpm_was_cut(struct swtpm *t)
{
    char path[192];
    snprintf(path, sizeof(path), "%s/bus.log.cut", t->dir);
    if (unlink(path) == 0)
        return false;
    swtpm_cut(t);
    return true;
}

/* Whether none of them did, and all that could carry one was encrypted; false without a record. */
static inline bool
swtpm_bus_clean(const struct swtpm *t)
{
    char command[1024];
    snprintf(command, sizeof(command),
             BUILD_DIR "/tests/support/find_secrets %s/secrets bus %s/bus.log >&2", t->dir, t->dir);
    return system(command) == 0;
}

static inline void
swtpm_stop(struct swtpm *t)
{
    swtpm_off(t);
    bool clean = swtpm_bus_clean(t);
    nftw(t->dir, swtpm_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (!clean) {
        fprintf(stderr, "swtpm: not shown that no secret crossed the bus\n");
        exit(1);
    }
}

#endif
