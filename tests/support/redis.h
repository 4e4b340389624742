/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_REDIS_H
#define TESTS_SUPPORT_REDIS_H

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "support/need.h"

/* A real server, of Redis or Valkey, on a UNIX socket in a directory of its own, gone with the
 * test. */
struct redis_server_run {
    char dir[48], path[80], url[96];
    pid_t pid; /* 0: not running */
};

/* False: no directory. */
static inline bool
redis_prepare(struct redis_server_run *s)
{
    memset(s, 0, sizeof(*s));
    snprintf(s->dir, sizeof(s->dir), "/tmp/attest-redis-XXXXXX");
    if (!mkdtemp(s->dir))
        return false;
    snprintf(s->path, sizeof(s->path), "%s/redis.sock", s->dir);
    snprintf(s->url, sizeof(s->url), "unix://%s", s->path);
    return true;
}

static inline void
redis_quiet_child(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
}

/* Runs its -cli with one command, words separated by blanks; true when it exits with 0. */
static inline bool
redis_command(const struct redis_server_run *s, const char *format, ...)
{
    char text[512], cli[64], *words[32] = {cli, "-e", "-s", (char *)(uintptr_t)s->path};
    int n = 4;
    va_list ap;
    snprintf(cli, sizeof(cli), "%s-cli", redis_kind());
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word && n < 31; word = strtok_r(NULL, " ", &rest))
        words[n++] = word;
    words[n] = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        redis_quiet_child();
        execvp(words[0], words);
        _exit(127);
    }
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* More arguments of the server, NULL behind the last. False when it does not come up. */
static inline bool
redis_start(struct redis_server_run *s, const char *const *more)
{
    char server[64];
    const char *words[32] = {server, "--port", "0",    "--unixsocket", s->path, "--save",
                             "",     "--dir",  s->dir, "--daemonize",  "no"};
    size_t n = 11;
    for (; more && *more && n < ARRAY_LEN(words) - 1; more++)
        words[n++] = *more;
    snprintf(server, sizeof(server), "%s-server", redis_kind());
    unlink(s->path);
    s->pid = fork();
    if (s->pid == 0) {
        redis_quiet_child();
        execvp(words[0], (char *const *)(uintptr_t)words);
        _exit(127);
    }
    for (int i = 0; i < 400; i++) {
        usleep(25000);
        if (access(s->path, F_OK) == 0 && redis_command(s, "PING"))
            return true;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
            break;
    }
    return false;
}

/* Nothing was accepted yet: otherwise a new memory refuses what could be older than it. */
static inline bool
redis_declare_new(const struct redis_server_run *s)
{
    return redis_command(s, "SET attest:{seen}:epoch new");
}

static inline void
redis_stop(struct redis_server_run *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}

static inline void
redis_done(struct redis_server_run *s)
{
    static const char *const files[] = {"redis.sock", "dump.rdb", "nodes.conf",
                                        "password",   "cert.pem", "cert.key"};
    redis_stop(s);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[96];
        snprintf(path, sizeof(path), "%s/%s", s->dir, files[i]);
        unlink(path);
    }
    rmdir(s->dir);
}

#endif
