/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_TLS_SERVER_H
#define TESTS_SUPPORT_TLS_SERVER_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A TLS server on 127.0.0.1, openssl's own: GET /x is answered with the bytes of the file DIR/x,
 * status line and headers included. One connection, one answer.
 */
struct tls_server {
    pid_t pid;
    int out; /* what it prints; open, or it would die of that */
    unsigned port;
};

static inline void
tls_server_run(const char *dir, const char *name, int out)
{
    char cert[80], cert_key[80];
    snprintf(cert, sizeof(cert), "%s.pem", name);
    snprintf(cert_key, sizeof(cert_key), "%s.key", name);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    if (chdir(dir) == 0)
        execlp("openssl", "openssl", "s_server", "-HTTP", "-accept", "127.0.0.1:0", "-cert", cert,
               "-key", cert_key, (char *)NULL);
    _exit(127);
}

static inline void
tls_server_stop(struct tls_server *s)
{
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    close(s->out);
}

/* With the certificate and key that certificate_make() put there. False: it does not come up. */
static inline bool
tls_server_start(struct tls_server *s, const char *dir, const char *name)
{
    int ends[2];
    char said[512] = "";
    size_t len = 0;
    ssize_t n = 1;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    *s = (struct tls_server){.pid = fork(), .out = ends[0]};
    if (s->pid == 0)
        tls_server_run(dir, name, ends[1]);
    close(ends[1]);
    struct pollfd fd = {.fd = s->out, .events = POLLIN};
    while (len < sizeof(said) - 1 && n > 0 && poll(&fd, 1, 60000) == 1) {
        n = read(s->out, said + len, sizeof(said) - 1 - len);
        len += n > 0 ? (size_t)n : 0;
        said[len] = '\0';
        const char *at = strstr(said, "ACCEPT 127.0.0.1:");
        if (at && strchr(at, '\n') && sscanf(at, "ACCEPT 127.0.0.1:%u", &s->port) == 1)
            return true;
    }
    tls_server_stop(s);
    return false;
}

#endif
