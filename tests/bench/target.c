/* SPDX-License-Identifier: MIT */
#include "tests/bench/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

static bool
read_port(const char *text, in_port_t *ret)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || port == 0 || port > 65535)
        return false;
    *ret = htons((uint16_t)port);
    return true;
}

static enum attest_rc
parse_unix(const char *path, struct target *ret, struct attest_error *err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&ret->addr;
    size_t len = strlen(path);
    if (path[0] != '/' || len >= sizeof(un->sun_path))
        return error_set(err, ATTEST_E_ARGUMENT,
                         "unix:%s: want an absolute path of at most %zu bytes", path,
                         sizeof(un->sun_path) - 1);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    ret->addr_len = sizeof(*un);
    strcpy(ret->host, "localhost");
    return ATTEST_OK;
}

static enum attest_rc
parse_v4(const char *host, const char *port, struct target *ret, struct attest_error *err)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&ret->addr;
    if (inet_pton(AF_INET, host, &in->sin_addr) != 1 || !read_port(port, &in->sin_port))
        return error_set(err, ATTEST_E_ARGUMENT, "%s:%s: want 127.0.0.1:PORT", host, port);
    if (ntohl(in->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
        return error_set(err, ATTEST_E_DENIED,
                         "%s is not this machine; load goes to 127.0.0.0/8, "
                         "[::1] and UNIX sockets only",
                         host);
    in->sin_family = AF_INET;
    ret->addr_len = sizeof(*in);
    return ATTEST_OK;
}

static enum attest_rc
parse_v6(const char *host, const char *port, struct target *ret, struct attest_error *err)
{
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)&ret->addr;
    if (inet_pton(AF_INET6, host, &in->sin6_addr) != 1 || !read_port(port, &in->sin6_port))
        return error_set(err, ATTEST_E_ARGUMENT, "[%s]:%s: want [::1]:PORT", host, port);
    if (!IN6_IS_ADDR_LOOPBACK(&in->sin6_addr))
        return error_set(err, ATTEST_E_DENIED,
                         "%s is not this machine; load goes to 127.0.0.0/8, "
                         "[::1] and UNIX sockets only",
                         host);
    in->sin6_family = AF_INET6;
    ret->addr_len = sizeof(*in);
    return ATTEST_OK;
}

enum attest_rc
target_parse(const char *text, struct target *ret, struct attest_error *err)
{
    memset(ret, 0, sizeof(*ret));
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, ret, err);
    const char *colon = strrchr(text, ':');
    size_t host_len = colon ? (size_t)(colon - text) : 0;
    char host[64];
    if (host_len == 0 || host_len >= sizeof(host))
        return error_set(err, ATTEST_E_ARGUMENT,
                         "%s: want 127.0.0.1:PORT, [::1]:PORT or unix:/path", text);
    snprintf(ret->host, sizeof(ret->host), "%s", text);
    memcpy(host, text, host_len);
    host[host_len] = '\0';
    if (host[0] != '[')
        return parse_v4(host, colon + 1, ret, err);
    if (host[host_len - 1] != ']')
        return error_set(err, ATTEST_E_ARGUMENT, "%s: want [::1]:PORT", text);
    host[host_len - 1] = '\0';
    return parse_v6(host + 1, colon + 1, ret, err);
}

int
target_connect(const struct target *t, bool nonblocking)
{
    int fd = socket(t->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    if (t->addr.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (const struct sockaddr *)&t->addr, t->addr_len) < 0 ||
        (nonblocking && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}
