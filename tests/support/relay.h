/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_RELAY_H
#define TESTS_SUPPORT_RELAY_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * A socket that passes bytes on to one of two others, and keeps its client's connection when it
 * turns to the other one: what a moved address or a TCP balancer can be. A client at a time.
 */
struct relay {
    const char *path, *backs[2];
    atomic_int to;
    int fd;
    pthread_t thread;
};

static inline int
relay_socket(const char *path, bool listens)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    bool good = fd >= 0 &&
                (listens ? bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 4) == 0
                         : connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
    if (!good && fd >= 0)
        close(fd);
    return good ? fd : -1;
}

static inline bool
relay_pass(int from, int to)
{
    char bytes[4096];
    ssize_t n = recv(from, bytes, sizeof(bytes), 0);
    return n > 0 && send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

static inline void *
relay_main(void *arg)
{
    struct relay *r = arg;
    for (int client; (client = accept(r->fd, NULL, NULL)) >= 0; close(client)) {
        int backs[2] = {relay_socket(r->backs[0], false), relay_socket(r->backs[1], false)};
        bool good = true;
        while (good) {
            struct pollfd fds[] = {{.fd = client, .events = POLLIN},
                                   {.fd = backs[0], .events = POLLIN},
                                   {.fd = backs[1], .events = POLLIN}};
            good = poll(fds, 3, -1) > 0;
            if (good && fds[0].revents)
                good = relay_pass(client, backs[atomic_load(&r->to)]);
            for (int i = 0; i < 2; i++) {
                if (good && fds[1 + i].revents)
                    good = relay_pass(backs[i], client);
            }
        }
        for (int i = 0; i < 2; i++) {
            if (backs[i] >= 0)
                close(backs[i]);
        }
    }
    return NULL;
}

static inline bool
relay_start(struct relay *r)
{
    r->fd = relay_socket(r->path, true);
    return r->fd >= 0 && pthread_create(&r->thread, NULL, relay_main, r) == 0;
}

/* Behind its client's end. */
static inline void
relay_stop(struct relay *r)
{
    shutdown(r->fd, SHUT_RDWR);
    pthread_join(r->thread, NULL);
    close(r->fd);
    unlink(r->path);
}

#endif
