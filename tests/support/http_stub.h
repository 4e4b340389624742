/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_HTTP_STUB_H
#define TESTS_SUPPORT_HTTP_STUB_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/*
 * A server on loopback that says what a test wants to hear: for each path the bytes of a whole
 * answer, NULL for one that never comes. Paths that it does not know are 404. One connection, one
 * answer. The table may change while it runs, under lock.
 */
#define HTTP_STUB_ROUTES 8
#define HTTP_STUB_HELD 64
#define HTTP_STUB_ANSWER_MAX 8192

struct http_stub {
    int fd;
    unsigned short port;
    char origin[48]; /* http://127.0.0.1:PORT */
    pthread_mutex_t lock;
    struct {
        const char *path; /* NULL: any */
        bool silent;      /* nothing, ever */
        char says[HTTP_STUB_ANSWER_MAX];
        unsigned asked;
    } route[HTTP_STUB_ROUTES];
    size_t n;
    int held[HTTP_STUB_HELD];
    size_t n_held;
    pthread_t thread;
};

/* The answer for a path, copied; NULL: none ever comes. */
static inline void
http_stub_say(struct http_stub *s, const char *path, const char *says)
{
    pthread_mutex_lock(&s->lock);
    size_t i = 0;
    while (i < s->n && !(s->route[i].path && path && !strcmp(s->route[i].path, path)))
        i++;
    if (i < HTTP_STUB_ROUTES) {
        s->route[i].path = path;
        s->route[i].silent = !says;
        snprintf(s->route[i].says, sizeof(s->route[i].says), "%s", says ? says : "");
        if (i == s->n)
            s->n++;
    }
    pthread_mutex_unlock(&s->lock);
}

static inline unsigned
http_stub_asked(struct http_stub *s)
{
    unsigned n = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++)
        n += s->route[i].asked;
    pthread_mutex_unlock(&s->lock);
    return n;
}

static inline void
http_stub_answer(struct http_stub *s, int fd, const char *head)
{
    char says[HTTP_STUB_ANSWER_MAX] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    bool silent = false;
    const char *path = strchr(head, ' ');
    size_t len = path ? strcspn(path + 1, " ") : 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++) {
        if (s->route[i].path &&
            (strlen(s->route[i].path) != len || strncmp(s->route[i].path, path + 1, len) != 0))
            continue;
        s->route[i].asked++;
        silent = s->route[i].silent;
        memcpy(says, s->route[i].says, sizeof(says));
        break;
    }
    pthread_mutex_unlock(&s->lock);
    if (silent && s->n_held < HTTP_STUB_HELD) {
        s->held[s->n_held++] = fd;
        return;
    }
    if (!silent && write(fd, says, strlen(says)) < 0)
        perror("http stub");
    close(fd);
}

static inline void *
http_stub_run(void *ctx)
{
    struct http_stub *s = ctx;
    for (;;) {
        char head[4096];
        size_t len = 0;
        ssize_t n = 1;
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        struct timeval patience = {.tv_sec = 60}; /* who says nothing must not hold up the end */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        head[0] = '\0';
        while (len < sizeof(head) - 1 && !strstr(head, "\r\n\r\n") &&
               (n = read(fd, head + len, sizeof(head) - 1 - len)) > 0) {
            len += (size_t)n;
            head[len] = '\0';
        }
        http_stub_answer(s, fd, head);
    }
}

static inline bool
http_stub_start(struct http_stub *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(s, 0, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(s->fd, 64) != 0 || getsockname(s->fd, (struct sockaddr *)&at, &len) != 0)
        return false;
    s->port = ntohs(at.sin_port);
    snprintf(s->origin, sizeof(s->origin), "http://127.0.0.1:%u", s->port);
    return pthread_create(&s->thread, NULL, http_stub_run, s) == 0;
}

static inline void
http_stub_stop(struct http_stub *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    for (size_t i = 0; i < s->n_held; i++)
        close(s->held[i]);
    pthread_mutex_destroy(&s->lock);
}

#endif
