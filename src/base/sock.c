/* SPDX-License-Identifier: MIT */
#include "base/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/clock.h"

#define BACKLOG 512

static enum attest_rc
make_address(const char *path, struct sockaddr_un *ret, struct attest_error *err)
{
    size_t len = strlen(path);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (len == 0 || len >= sizeof(ret->sun_path))
        return error_set(err, ATTEST_E_ARGUMENT,
                         "socket path has %zu bytes; choose one of 1 to %zu", len,
                         sizeof(ret->sun_path) - 1);
    memcpy(ret->sun_path, path, len);
    return ATTEST_OK;
}

static enum attest_rc
new_socket(int flags, int *ret, struct attest_error *err)
{
    *ret = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    return *ret < 0 ? error_errno(err, ATTEST_E_IO, errno, "socket") : ATTEST_OK;
}

/* Removes a socket that no one listens on any more; whatever else is there stays. */
static enum attest_rc
clear_path(const char *path, const struct sockaddr_un *address, struct attest_error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? ATTEST_OK : error_errno(err, ATTEST_E_IO, errno, "%s", path);
    if (!S_ISSOCK(st.st_mode))
        return error_set(err, ATTEST_E_EXISTS, "%s: there, and not a socket", path);
    AUTO(fd) int fd = -1;
    enum attest_rc rc = new_socket(SOCK_NONBLOCK, &fd, err);
    if (rc)
        return rc;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
        errno != ECONNREFUSED)
        return error_set(err, ATTEST_E_EXISTS, "%s: another process listens here", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_errno(err, ATTEST_E_IO, errno, "remove %s", path);
    return ATTEST_OK;
}

enum attest_rc
sock_listen_unix(const char *path, mode_t mode, gid_t gid, int *ret, struct attest_error *err)
{
    struct sockaddr_un address;
    AUTO(fd) int fd = -1;
    enum attest_rc rc = make_address(path, &address, err);
    if (!rc)
        rc = clear_path(path, &address, err);
    if (!rc)
        rc = new_socket(SOCK_NONBLOCK, &fd, err);
    if (rc)
        return rc;
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return error_errno(err, errno == EADDRINUSE ? ATTEST_E_EXISTS : ATTEST_E_IO, errno, "%s",
                           path);
    /* Until listen() every connection is refused: there is no moment with the wrong mode. */
    if ((gid != (gid_t)-1 && lchown(path, (uid_t)-1, gid) < 0) || chmod(path, mode) < 0 ||
        listen(fd, BACKLOG) < 0) {
        rc = error_errno(err, ATTEST_E_IO, errno, "%s", path);
        unlink(path);
        return rc;
    }
    *ret = fd;
    fd = -1;
    return ATTEST_OK;
}

static enum attest_rc
connect_failed(int errno_value, const char *path, struct attest_error *err)
{
    static const struct {
        int errno_value;
        enum attest_rc rc;
        const char *text;
    } causes[] = {
        {ENOENT, ATTEST_E_NOT_FOUND, "no such socket; is the daemon running?"},
        {ECONNREFUSED, ATTEST_E_IO, "no one listens; is the daemon running?"},
        {EACCES, ATTEST_E_DENIED, "not permitted; is this user in the socket's group?"},
        {EAGAIN, ATTEST_E_TIMEOUT, "the daemon does not accept connections in time"},
    };
    for (size_t i = 0; i < ARRAY_LEN(causes); i++) {
        if (causes[i].errno_value == errno_value)
            return error_set(err, causes[i].rc, "%s: %s", path, causes[i].text);
    }
    return error_errno(err, ATTEST_E_IO, errno_value, "%s", path);
}

/*
 * A non-blocking connect() to a UNIX socket fails at once when the backlog is full, so the socket
 * blocks, bounded by its send timeout, until it is connected.
 */
enum attest_rc
sock_connect_unix(const char *path, int timeout_ms, int *ret, struct attest_error *err)
{
    struct sockaddr_un address;
    AUTO(fd) int fd = -1;
    enum attest_rc rc = make_address(path, &address, err);
    if (!rc)
        rc = new_socket(0, &fd, err);
    if (rc)
        return rc;
    int64_t end_ms = clock_mono_ms() + timeout_ms;
    for (;;) {
        int64_t left_ms = end_ms - clock_mono_ms();
        if (left_ms < 1)
            left_ms = 1; /* zero would mean for ever */
        struct timeval left = {.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left)) < 0)
            return error_errno(err, ATTEST_E_IO, errno, "SO_SNDTIMEO");
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
            break;
        if (errno != EINTR)
            return connect_failed(errno, path, err);
        if (clock_mono_ms() >= end_ms)
            return connect_failed(EAGAIN, path, err);
    }
    const struct timeval none = {0};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", path);
    *ret = fd;
    fd = -1;
    return ATTEST_OK;
}

enum attest_rc
sock_peer(int fd, struct sock_peer *ret, struct attest_error *err)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    int domain;
    socklen_t domain_len = sizeof(domain);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "SO_DOMAIN");
    if (domain != AF_UNIX)
        return error_set(err, ATTEST_E_UNSUPPORTED, "only a UNIX socket tells who its peer is");
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "SO_PEERCRED");
    /* No process, no peer: a socket that is not connected. */
    if (len != sizeof(cred) || cred.uid == (uid_t)-1)
        return error_set(err, ATTEST_E_IO, "the socket has no peer");
    *ret = (struct sock_peer){cred.pid, cred.uid, cred.gid};
    return ATTEST_OK;
}

/* A number for a uid_t or gid_t; all ones means "no one" in many calls and is refused. */
static bool
read_id(const char *text, uint32_t *ret)
{
    uint64_t v = 0;
    if (*text == '\0')
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        v = v * 10 + (uint64_t)(*text - '0');
        if (v >= UINT32_MAX)
            return false;
    }
    *ret = (uint32_t)v;
    return true;
}

static enum attest_rc
no_such(const char *what, const char *name, int errno_value, struct attest_error *err)
{
    if (errno_value && errno_value != ENOENT && errno_value != ESRCH)
        return error_errno(err, ATTEST_E_CONFIG, errno_value, "%s '%.60s'", what, name);
    return error_set(err, ATTEST_E_CONFIG, "no such %s: '%.60s'", what, name);
}

enum attest_rc
sock_uid(const char *name, uid_t *ret, struct attest_error *err)
{
    char room[16384];
    struct passwd entry, *found = NULL;
    uint32_t id;
    if (read_id(name, &id)) {
        *ret = id;
        return ATTEST_OK;
    }
    int e = getpwnam_r(name, &entry, room, sizeof(room), &found);
    if (!found)
        return no_such("user", name, e, err);
    *ret = found->pw_uid;
    return ATTEST_OK;
}

enum attest_rc
sock_gid(const char *name, gid_t *ret, struct attest_error *err)
{
    char room[65536];
    struct group entry, *found = NULL;
    uint32_t id;
    if (read_id(name, &id)) {
        *ret = id;
        return ATTEST_OK;
    }
    int e = getgrnam_r(name, &entry, room, sizeof(room), &found);
    if (!found)
        return no_such("group", name, e, err);
    *ret = found->gr_gid;
    return ATTEST_OK;
}
