/* SPDX-License-Identifier: MIT */
#include "issuer/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/service.h"
#include "base/sock.h"

enum { BACKLOG = 4096 };

union any_address {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

/* What the socket is bound to; false for a family that we do not serve. */
static bool
describe(struct listener *l)
{
    union any_address a = {0};
    socklen_t len = sizeof(a);
    char host[INET6_ADDRSTRLEN];
    if (getsockname(l->fd, &a.sa, &len) < 0)
        return false;
    switch (a.sa.sa_family) {
    case AF_INET:
        l->loopback = ntohl(a.in.sin_addr.s_addr) >> 24 == 127;
        inet_ntop(AF_INET, &a.in.sin_addr, host, sizeof(host));
        snprintf(l->name, sizeof(l->name), "%s:%u", host, ntohs(a.in.sin_port));
        return true;
    case AF_INET6:
        l->loopback = IN6_IS_ADDR_LOOPBACK(&a.in6.sin6_addr);
        inet_ntop(AF_INET6, &a.in6.sin6_addr, host, sizeof(host));
        snprintf(l->name, sizeof(l->name), "[%s]:%u", host, ntohs(a.in6.sin6_port));
        return true;
    case AF_UNIX:
        l->is_unix = true;
        snprintf(l->name, sizeof(l->name), "unix:%.*s", (int)sizeof(a.un.sun_path), a.un.sun_path);
        return true;
    default:
        return false;
    }
}

static enum attest_rc
open_tcp(const char *where, int *ret, struct attest_error *err)
{
    char host[64];
    const char *colon = strrchr(where, ':');
    const char *whole = where;
    bool bracket = where[0] == '[';
    size_t len = colon ? (size_t)(colon - where) : 0;
    if (bracket && len >= 2 && where[len - 1] == ']') {
        where++;
        len -= 2;
    } else if (bracket || memchr(where, ':', len)) {
        len = 0;
    }
    if (len == 0 || len >= sizeof(host) || colon[1] == '\0')
        return error_set(err, ATTEST_E_CONFIG, "listen: '%s' is no ADDRESS:PORT", whole);
    snprintf(host, sizeof(host), "%.*s", (int)len, where);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM,
                             .ai_family = bracket ? AF_INET6 : AF_INET};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return error_set(err, ATTEST_E_CONFIG, "listen: '%s' is no numeric ADDRESS:PORT", whole);
    union any_address a = {0};
    socklen_t a_len = found->ai_addrlen;
    memcpy(&a, found->ai_addr, a_len);
    freeaddrinfo(found);
    AUTO(fd) int fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        (bracket && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
        bind(fd, &a.sa, a_len) < 0 || listen(fd, BACKLOG) < 0)
        return error_errno(err, errno == EADDRINUSE ? ATTEST_E_EXISTS : ATTEST_E_IO, errno,
                           "listen: %s", whole);
    *ret = fd;
    fd = -1;
    return ATTEST_OK;
}

static enum attest_rc
open_unix(const char *path, const char *group, int *ret, struct attest_error *err)
{
    gid_t gid = (gid_t)-1;
    if (group) {
        enum attest_rc rc = sock_gid(group, &gid, err);
        if (rc)
            return rc;
    }
    return sock_listen_unix(path, group ? 0660 : 0666, gid, ret, err);
}

enum attest_rc
listen_open(struct listeners *ls, const char *where, const char *group, bool admin,
            struct attest_error *err)
{
    if (ls->n == LISTENERS_MAX)
        return error_set(err, ATTEST_E_CONFIG, "listen: more than %d", LISTENERS_MAX);
    struct listener l = {.fd = -1, .admin = admin};
    bool is_unix = strncmp(where, "unix:", 5) == 0;
    enum attest_rc rc =
        is_unix ? open_unix(where + 5, group, &l.fd, err) : open_tcp(where, &l.fd, err);
    if (rc)
        return rc;
    if (is_unix && !(l.path = strdup(where + 5))) {
        close(l.fd);
        return error_set(err, ATTEST_E_NOMEM, "listen: no memory");
    }
    describe(&l);
    ls->at[ls->n++] = l;
    return ATTEST_OK;
}

bool
listen_inherit(struct listeners *ls, const char *fd_name, bool admin)
{
    bool any = false;
    int fd;
    while (ls->n < LISTENERS_MAX && (fd = service_listen_fd(fd_name)) >= 0) {
        struct listener l = {.fd = fd, .admin = admin};
        if (!describe(&l)) {
            close(fd);
            continue;
        }
        ls->at[ls->n++] = l;
        any = true;
    }
    return any;
}

void
listen_close(struct listeners *ls)
{
    for (size_t i = 0; i < ls->n; i++) {
        if (ls->at[i].fd >= 0)
            close(ls->at[i].fd);
        if (ls->at[i].path)
            unlink(ls->at[i].path);
        free(ls->at[i].path);
    }
    ls->n = 0;
}
