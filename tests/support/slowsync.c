/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD: a disk that is slow, fails or is full, for tests and benches.
 *
 *   SLOWSYNC_MS=10           every fsync and fdatasync takes so much longer
 *   SLOWSYNC_CONTROL=FILE    read at each call: "ok", "fail" (fsync and fdatasync: EIO), "hang"
 *                            (they return when it says something else), "full"
 *                            (write to a regular file: ENOSPC) or "readonly" (opening a file for
 *                            writing, and writing to one: EROFS)
 *   SLOWSYNC_UNDER=DIR       only files under this directory are touched; without it, all
 *   SLOWSYNC_COUNT=FILE      gets a byte for each sync that was let through
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* Whether the control file says this word; the system calls themselves, so as not to come back. */
static bool
told(const char *word)
{
    const char *path = getenv("SLOWSYNC_CONTROL");
    char text[16] = "";
    if (!path)
        return false;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    return n > 0 && strncmp(text, word, strlen(word)) == 0;
}

static bool
path_concerned(const char *path)
{
    const char *under = getenv("SLOWSYNC_UNDER");
    return !under || strncmp(path, under, strlen(under)) == 0;
}

static bool
fd_concerned(int fd)
{
    char link[64], path[PATH_MAX];
    struct stat st;
    if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n < 0)
        return false;
    path[n] = '\0';
    return path_concerned(path);
}

static void
count_one(void)
{
    const char *path = getenv("SLOWSYNC_COUNT");
    if (!path)
        return;
    int fd =
        (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (syscall(SYS_write, fd, ".", 1) < 0)
        abort();
    close(fd);
}

static int
slow_sync(int fd, long number)
{
    if (!fd_concerned(fd))
        return (int)syscall(number, fd);
    if (told("fail")) {
        errno = EIO;
        return -1;
    }
    while (told("hang")) {
        struct timespec t = {0, 20 * 1000000};
        nanosleep(&t, NULL);
    }
    const char *ms = getenv("SLOWSYNC_MS");
    if (ms) {
        long n = atol(ms);
        struct timespec t = {n / 1000, n % 1000 * 1000000};
        nanosleep(&t, NULL);
    }
    count_one();
    return (int)syscall(number, fd);
}

EXPORT int
fsync(int fd)
{
    return slow_sync(fd, SYS_fsync);
}

EXPORT int
fdatasync(int fd)
{
    return slow_sync(fd, SYS_fdatasync);
}

/* 0, or why a regular file must not be written to now. */
static int
write_errno(int fd)
{
    struct stat st;
    if (!getenv("SLOWSYNC_CONTROL") || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        !fd_concerned(fd))
        return 0;
    return told("full") ? ENOSPC : told("readonly") ? EROFS : 0;
}

EXPORT ssize_t
write(int fd, const void *p, size_t len)
{
    int e = write_errno(fd);
    if (e) {
        errno = e;
        return -1;
    }
    return syscall(SYS_write, fd, p, len);
}

EXPORT ssize_t
pwrite64(int fd, const void *p, size_t len, off64_t offset)
{
    int e = write_errno(fd);
    if (e) {
        errno = e;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, p, len, offset);
}

EXPORT ssize_t
pwrite(int fd, const void *p, size_t len, off_t offset)
{
    return pwrite64(fd, p, len, offset);
}

/* The directory's descriptor and a name, as the log makes its segments. */
EXPORT int
openat(int dir_fd, const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    bool concerned = path[0] == '/' ? path_concerned(path) : fd_concerned(dir_fd);
    if (writes && concerned && told("readonly")) {
        errno = EROFS;
        return -1;
    }
    return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
}
