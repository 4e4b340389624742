/* SPDX-License-Identifier: MIT */
#include "support/fault_proxy.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 65536
#define PATIENCE_MS 5000

const char *
network_fault_name(enum network_fault fault)
{
    static const char *const names[NETWORK_FAULTS] = {
        "none", "latency", "bandwidth", "slow close", "timeout", "reset", "slicing", "truncation"};
    return names[fault];
}

static struct sockaddr_in
loopback(unsigned short port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return at;
}

/* Until the proxy is to stop, at most so long. */
static void
rest(const struct fault_proxy *proxy, int ms)
{
    for (; ms > 0 && !atomic_load(&proxy->stop); ms -= 20)
        poll(NULL, 0, ms < 20 ? ms : 20);
}

static bool
readable(const struct fault_proxy *proxy, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (int ms = 0; ms < PATIENCE_MS && !atomic_load(&proxy->stop); ms += 20) {
        if (poll(&p, 1, 20) > 0)
            return true;
    }
    return false;
}

static bool
send_all(int fd, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* The request goes on, and the whole answer, which ends with the connection, comes back. */
static size_t
ask(const struct fault_proxy *proxy, int client, char answer[ANSWER_MAX])
{
    char request[8192];
    size_t len = 0;
    ssize_t n;
    struct sockaddr_in at = loopback(proxy->server_port);
    while (len < sizeof(request) - 1 && readable(proxy, client) &&
           (n = recv(client, request + len, sizeof(request) - 1 - len, 0)) > 0) {
        len += (size_t)n;
        request[len] = '\0';
        if (strstr(request, "\r\n\r\n"))
            break;
    }
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t got = 0;
    if (server >= 0 && connect(server, (struct sockaddr *)&at, sizeof(at)) == 0 &&
        send_all(server, request, len)) {
        while (got < ANSWER_MAX && readable(proxy, server) &&
               (n = recv(server, answer + got, ANSWER_MAX - got, 0)) > 0)
            got += (size_t)n;
    }
    if (server >= 0)
        close(server);
    return got;
}

static void
in_pieces(const struct fault_proxy *proxy, int fd, const char *p, size_t len, size_t piece, int ms)
{
    for (size_t at = 0; at < len && !atomic_load(&proxy->stop); at += piece) {
        if (!send_all(fd, p + at, len - at < piece ? len - at : piece))
            return;
        rest(proxy, ms);
    }
}

static void
reset_at_close(int fd)
{
    const struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* In the middle of the body, wherever the head ends. */
static size_t
half_of(const char *answer, size_t len)
{
    const char *body = memmem(answer, len, "\r\n\r\n", 4);
    size_t head_len = body ? (size_t)(body + 4 - answer) : 0;
    return head_len + (len - head_len) / 2;
}

static void
serve(const struct fault_proxy *proxy, int fd, enum network_fault fault)
{
    const int one = 1;
    char answer[ANSWER_MAX];
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    size_t len = ask(proxy, fd, answer);
    switch (fault) {
    case FAULT_LATENCY:
        rest(proxy, LATENCY_MS);
        send_all(fd, answer, len);
        return;
    case FAULT_BANDWIDTH:
        in_pieces(proxy, fd, answer, len, BANDWIDTH_BYTES, BANDWIDTH_MS);
        return;
    case FAULT_SLOW_CLOSE:
        send_all(fd, answer, len);
        rest(proxy, SLOW_CLOSE_MS);
        return;
    case FAULT_TIMEOUT:
        readable(proxy, fd); /* until it is closed from there */
        return;
    case FAULT_RESET:
        send_all(fd, answer, half_of(answer, len));
        reset_at_close(fd);
        return;
    case FAULT_SLICING:
        in_pieces(proxy, fd, answer, len, 1, 0);
        return;
    case FAULT_TRUNCATION:
        send_all(fd, answer, half_of(answer, len));
        return;
    default:
        send_all(fd, answer, len);
    }
}

static void *
run(void *ctx)
{
    struct fault_proxy *proxy = ctx;
    for (;;) {
        int fd = accept4(proxy->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return NULL;
        atomic_fetch_add(&proxy->connections, 1);
        serve(proxy, fd, (enum network_fault)atomic_load(&proxy->fault));
        close(fd);
    }
}

bool
fault_proxy_start(struct fault_proxy *proxy, unsigned short server_port)
{
    struct sockaddr_in at = loopback(0);
    socklen_t len = sizeof(at);
    *proxy = (struct fault_proxy){.server_port = server_port};
    proxy->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (proxy->fd < 0 || bind(proxy->fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(proxy->fd, 64) != 0 || getsockname(proxy->fd, (struct sockaddr *)&at, &len) != 0)
        return false;
    proxy->port = ntohs(at.sin_port);
    return pthread_create(&proxy->thread, NULL, run, proxy) == 0;
}

void
fault_proxy_stop(struct fault_proxy *proxy)
{
    atomic_store(&proxy->stop, true);
    shutdown(proxy->fd, SHUT_RDWR);
    pthread_join(proxy->thread, NULL);
    close(proxy->fd);
}
