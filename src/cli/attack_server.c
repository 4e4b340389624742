/* SPDX-License-Identifier: MIT */
#include "cli/attack_server.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HEAD_MAX 8192
#define PATIENCE_S 5 /* with whoever does not read or write */

static const char not_found[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
                                "Connection: close\r\n\r\n";

static void
send_all(int fd, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        p += n;
        len -= (size_t)n;
    }
}

/* The request's path, or NULL when no whole head comes. */
static const char *
read_path(int fd, char head[HEAD_MAX])
{
    size_t len = 0;
    head[0] = '\0';
    while (!strstr(head, "\r\n\r\n")) {
        ssize_t n = len < HEAD_MAX - 1 ? recv(fd, head + len, HEAD_MAX - 1 - len, 0) : -1;
        if (n <= 0)
            return NULL;
        len += (size_t)n;
        head[len] = '\0';
    }
    char *path = strchr(head, ' ');
    if (!path)
        return NULL;
    path++;
    path[strcspn(path, " \r")] = '\0';
    return path;
}

/* The answer as a copy; *silent: there will never be one. */
static char *
answer_of(struct attack_server *server, const char *path, size_t *len, bool *silent)
{
    char *copy = NULL;
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < server->n; i++) {
        if (strcmp(server->route[i].path, path) != 0)
            continue;
        *silent = !server->route[i].says;
        *len = server->route[i].len;
        copy = *silent ? NULL : malloc(*len + 1);
        if (copy)
            memcpy(copy, server->route[i].says, *len);
        break;
    }
    pthread_mutex_unlock(&server->lock);
    return copy;
}

/* True when the connection is to stay open, silent. */
static bool
answer(struct attack_server *server, int fd)
{
    char head[HEAD_MAX];
    size_t len = 0;
    bool silent = false;
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    const char *path = read_path(fd, head);
    if (!path)
        return false;
    atomic_fetch_add(&server->asked, 1);
    AUTO(mem) char *says = answer_of(server, path, &len, &silent);
    if (says)
        send_all(fd, says, len);
    else if (!silent)
        send_all(fd, not_found, sizeof(not_found) - 1);
    return silent;
}

static bool
hold(struct attack_server *server, int fd)
{
    pthread_mutex_lock(&server->lock);
    bool room = server->n_held < ATTACK_SERVER_HELD;
    if (room)
        server->held[server->n_held++] = fd;
    pthread_mutex_unlock(&server->lock);
    return room;
}

static void *
serve(void *ctx)
{
    struct attack_server *server = ctx;
    for (;;) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return NULL;
        if (!answer(server, fd) || !hold(server, fd))
            close(fd);
    }
}

void
attack_server_release(struct attack_server *server, const char *path)
{
    size_t len = 0;
    bool silent = false;
    AUTO(mem) char *says = answer_of(server, path, &len, &silent);
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < server->n_held; i++) {
        if (says)
            send_all(server->held[i], says, len);
        close(server->held[i]);
    }
    server->n_held = 0;
    pthread_mutex_unlock(&server->lock);
}

enum attest_rc
attack_server_start(struct attack_server *server)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *server = (struct attack_server){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    AUTO(fd) int fd = server->fd;
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return ATTEST_E_IO;
    server->port = ntohs(at.sin_port);
    snprintf(server->origin, sizeof(server->origin), "http://127.0.0.1:%u", server->port);
    if (pthread_mutex_init(&server->lock, NULL) != 0)
        return ATTEST_E_NOMEM;
    if (pthread_create(&server->thread, NULL, serve, server) != 0) {
        pthread_mutex_destroy(&server->lock);
        return ATTEST_E_NOMEM;
    }
    fd = -1;
    return ATTEST_OK;
}

void
attack_server_forget(struct attack_server *server)
{
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < server->n; i++)
        free(server->route[i].says);
    server->n = 0;
    atomic_store(&server->asked, 0);
    pthread_mutex_unlock(&server->lock);
}

void
attack_server_stop(struct attack_server *server)
{
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
    for (size_t i = 0; i < server->n_held; i++)
        close(server->held[i]);
    attack_server_forget(server);
    pthread_mutex_destroy(&server->lock);
}

bool
attack_server_says(struct attack_server *server, const char *path, const char *says,
                   size_t says_len)
{
    AUTO(mem) char *copy = says ? malloc(says_len + 1) : NULL;
    size_t i = 0;
    if (says && !copy)
        return false;
    if (says)
        memcpy(copy, says, says_len);
    pthread_mutex_lock(&server->lock);
    while (i < server->n && strcmp(server->route[i].path, path) != 0)
        i++;
    bool room = i < ATTACK_SERVER_ROUTES;
    if (room) {
        if (i == server->n)
            server->route[server->n++].says = NULL;
        free(server->route[i].says);
        server->route[i].path = path;
        server->route[i].says = STEAL(copy);
        server->route[i].len = says_len;
    }
    pthread_mutex_unlock(&server->lock);
    return room;
}
