/* SPDX-License-Identifier: MIT */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static enum attest_rc
open_failed(int errno_value, const char *path, struct attest_error *err)
{
    enum attest_rc rc = errno_value == ENOENT                           ? ATTEST_E_NOT_FOUND
                        : errno_value == EACCES || errno_value == EPERM ? ATTEST_E_DENIED
                                                                        : ATTEST_E_IO;
    return error_errno(err, rc, errno_value, "%s", path);
}

static enum attest_rc
read_fd(int fd, const char *path, size_t len_max, struct buf *out, struct attest_error *err)
{
    char chunk[16384];
    size_t total = 0;
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ATTEST_E_IO, errno, "%s", path);
        if (n == 0)
            break;
        total += (size_t)n;
        if (total > len_max)
            return error_set(err, ATTEST_E_LIMIT, "%s: longer than %zu bytes", path, len_max);
        buf_append(out, chunk, (size_t)n);
    }
    if (buf_rc(out))
        return error_set(err, buf_rc(out), "%s: %s", path, attest_strerror(buf_rc(out)));
    return ATTEST_OK;
}

enum attest_rc
file_read(const char *path, size_t len_max, struct buf *out, struct attest_error *err)
{
    if (strcmp(path, "-") == 0)
        return read_fd(STDIN_FILENO, "standard input", len_max, out, err);
    AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return open_failed(errno, path, err);
    return read_fd(fd, path, len_max, out, err);
}

enum attest_rc
file_read_regular(const char *path, size_t len_max, struct buf *out, struct attest_error *err)
{
    struct stat st;
    /* Not blocking: to open a FIFO waits for its writer. */
    AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno != ENXIO) /* a socket */
        return open_failed(errno, path, err);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, ATTEST_E_CONFIG, "%s: not a regular file", path);
    return read_fd(fd, path, len_max, out, err);
}

enum attest_rc
file_write_all(int fd, struct slice content, struct attest_error *err)
{
    while (content.len > 0) {
        ssize_t n = write(fd, content.p, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ATTEST_E_IO, errno, "write");
        content.p += n;
        content.len -= (size_t)n;
    }
    return ATTEST_OK;
}

/* The directory of path, as something that open(2) takes. False when it does not fit. */
static bool
dir_of(const char *path, char dir[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash) {
        strcpy(dir, ".");
        return true;
    }
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    if (len >= PATH_MAX)
        return false;
    memcpy(dir, path, len);
    dir[len] = '\0';
    return true;
}

enum attest_rc
file_sync_dir_of(const char *path, struct attest_error *err)
{
    char dir[PATH_MAX];
    if (!dir_of(path, dir))
        return error_set(err, ATTEST_E_ARGUMENT, "path too long");
    AUTO(fd) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return open_failed(errno, dir, err);
    if (fsync(fd) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "fsync %s", dir);
    return ATTEST_OK;
}

/* A complete, synced file beside path. temp gets its name, or is left empty on failure. */
static enum attest_rc
write_temp(const char *path, mode_t mode, struct slice content, char temp[PATH_MAX],
           struct attest_error *err)
{
    int n = snprintf(temp, PATH_MAX, "%s.XXXXXX", path);
    if (n < 0 || n >= PATH_MAX) {
        *temp = '\0';
        return error_set(err, ATTEST_E_ARGUMENT, "path too long");
    }
    AUTO(fd) int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0) {
        *temp = '\0';
        return open_failed(errno, path, err);
    }
    struct attest_error why = {0};
    enum attest_rc rc = file_write_all(fd, content, &why);
    if (rc)
        error_set(err, rc, "%s: %s", path, why.text);
    if (!rc && fchmod(fd, mode) < 0)
        rc = error_errno(err, ATTEST_E_IO, errno, "chmod %s", path);
    if (!rc && fsync(fd) < 0)
        rc = error_errno(err, ATTEST_E_IO, errno, "fsync %s", path);
    if (rc) {
        unlink(temp);
        *temp = '\0';
    }
    return rc;
}

enum attest_rc
file_replace(const char *path, mode_t mode, struct slice content, struct attest_error *err)
{
    char temp[PATH_MAX];
    enum attest_rc rc = write_temp(path, mode, content, temp, err);
    if (rc)
        return rc;
    if (rename(temp, path) < 0) {
        rc = error_errno(err, ATTEST_E_IO, errno, "rename to %s", path);
        unlink(temp);
        return rc;
    }
    return file_sync_dir_of(path, err);
}

/* Some file systems know no RENAME_NOREPLACE, some know no hard links; few know neither. */
static int
rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (link(from, to) < 0)
        return -1;
    unlink(from);
    return 0;
}

enum attest_rc
file_create(const char *path, mode_t mode, struct slice content, struct attest_error *err)
{
    char temp[PATH_MAX];
    struct stat st;
    if (lstat(path, &st) == 0)
        return error_set(err, ATTEST_E_EXISTS, "%s: already there", path);
    enum attest_rc rc = write_temp(path, mode, content, temp, err);
    if (rc)
        return rc;
    if (rename_new(temp, path) < 0) {
        rc = error_errno(err, errno == EEXIST ? ATTEST_E_EXISTS : ATTEST_E_IO, errno, "%s", path);
        unlink(temp);
        return rc;
    }
    if ((rc = file_sync_dir_of(path, err))) {
        unlink(path);
        (void)file_sync_dir_of(path, NULL);
    }
    return rc;
}

static enum attest_rc
make_dir(const char *path, mode_t mode, struct attest_error *err)
{
    struct stat st;
    if (mkdir(path, mode) == 0)
        return ATTEST_OK;
    int mkdir_errno = errno;
    /* Above a mount point mkdir may say EROFS or EACCES for a directory that is there. */
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return ATTEST_OK;
        return error_set(err, ATTEST_E_EXISTS, "%s: there, but not a directory", path);
    }
    return open_failed(mkdir_errno, path, err);
}

enum attest_rc
file_mkdirs(const char *path, mode_t mode, struct attest_error *err)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(part))
        return error_set(err, ATTEST_E_ARGUMENT, "a directory's name is empty or too long");
    for (size_t i = 1; i <= len; i++) {
        if (i < len && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        enum attest_rc rc = make_dir(part, mode, err);
        if (rc)
            return rc;
    }
    return ATTEST_OK;
}
