/* SPDX-License-Identifier: MIT */
#include "chainlog/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "chainlog/record.h"

enum { READ_LEN = 64 * 1024 };

DEFINE_AUTO(dir, DIR *, closedir);

void
segment_name(char out[SEGMENT_NAME_SIZE], uint32_t number)
{
    snprintf(out, SEGMENT_NAME_SIZE, "%08u.jsonl", number);
}

static bool
number_of(const char *name, uint32_t *ret)
{
    if (strlen(name) != 14 || strcmp(name + 8, ".jsonl") != 0)
        return false;
    uint32_t n = 0;
    for (int i = 0; i < 8; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        n = n * 10 + (uint32_t)(name[i] - '0');
    }
    *ret = n;
    return n > 0;
}

static int
compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

enum attest_rc
segment_list(const char *dir, uint32_t **ret, size_t *n, struct attest_error *err)
{
    AUTO(dir) DIR *d = opendir(dir);
    if (!d)
        return error_errno(err, ATTEST_E_IO, errno, "%s", dir);
    AUTO(buf) struct buf found;
    buf_init(&found, (size_t)SEGMENT_NUMBER_MAX * sizeof(uint32_t));
    errno = 0;
    for (struct dirent *e; (e = readdir(d)); errno = 0) {
        uint32_t number;
        if (number_of(e->d_name, &number))
            buf_append(&found, &number, sizeof(number));
    }
    if (errno)
        return error_errno(err, ATTEST_E_IO, errno, "%s", dir);
    if (buf_rc(&found))
        return error_set(err, buf_rc(&found), "%s: too many files", dir);
    *n = found.len / sizeof(uint32_t);
    if (*n)
        qsort(found.p, *n, sizeof(uint32_t), compare_numbers);
    *ret = (uint32_t *)(void *)STEAL(found.p);
    return ATTEST_OK;
}

enum attest_rc
segment_open(const char *dir, uint32_t number, int *ret, size_t *size, struct attest_error *err)
{
    char name[SEGMENT_NAME_SIZE], path[PATH_MAX];
    segment_name(name, number);
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
        return error_set(err, ATTEST_E_ARGUMENT, "log directory: name too long");
    AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ATTEST_E_IO, "%s: not a file", path);
    *size = (size_t)st.st_size;
    *ret = fd;
    fd = -1;
    return ATTEST_OK;
}

void
segment_reader_init(struct segment_reader *r, int fd, size_t offset)
{
    *r = (struct segment_reader){.fd = fd, .offset = offset};
    buf_init(&r->buf, CHAINLOG_LINE_MAX + 2 * READ_LEN);
}

void
segment_reader_done(struct segment_reader *r)
{
    buf_done(&r->buf);
}

static bool
fill(struct segment_reader *r)
{
    r->offset += r->at;
    buf_consume(&r->buf, r->at);
    r->at = 0;
    char *room = buf_reserve(&r->buf, READ_LEN);
    if (!room) {
        errno = ENOMEM;
        return false;
    }
    ssize_t n;
    do {
        n = pread(r->fd, room, READ_LEN, (off_t)(r->offset + r->buf.len));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return false;
    r->buf.len += (size_t)n;
    r->eof = n == 0;
    return true;
}

enum segment_line
segment_next(struct segment_reader *r, char **line, size_t *len, size_t *offset)
{
    for (size_t looked = 0;;) {
        size_t left = r->buf.len - r->at;
        char *end = left > looked ? memchr(r->buf.p + r->at + looked, '\n', left - looked) : NULL;
        *offset = r->offset + r->at;
        if (end && end - (r->buf.p + r->at) <= CHAINLOG_LINE_MAX) {
            *line = r->buf.p + r->at;
            *len = (size_t)(end - *line);
            r->at += *len + 1;
            return SEGMENT_LINE;
        }
        if (end || left > CHAINLOG_LINE_MAX)
            return SEGMENT_TORN;
        if (r->eof)
            return left ? SEGMENT_TORN : SEGMENT_END;
        looked = left;
        if (!fill(r))
            return SEGMENT_FAILED;
    }
}
