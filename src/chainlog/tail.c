/* SPDX-License-Identifier: MIT */
#include "chainlog/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "chainlog/chainlog.h"
#include "chainlog/segment.h"

/* More than one crash tears, and more than what is written between two records of the head. */
enum { WINDOW_LEN = 2 << 20 };

void
chainlog_tail_done(struct chainlog_tail *tail)
{
    buf_done(&tail->hashes);
}

enum attest_rc
chainlog_tail_lock(int dir_fd, const char *dir, struct attest_error *err)
{
    if (flock(dir_fd, LOCK_EX | LOCK_NB) == 0)
        return ATTEST_OK;
    if (errno == EWOULDBLOCK)
        return error_set(err, ATTEST_E_BUSY, "%s: another process writes this log", dir);
    return error_errno(err, ATTEST_E_IO, errno, "%s", dir);
}

bool
chainlog_tail_holds(const struct chainlog_tail *tail, const struct chainlog_head *known)
{
    if (tail->number == 0 || known->seq < tail->first.seq || known->seq > tail->head.seq)
        return false;
    const char *hash = tail->hashes.p + (known->seq - tail->first.seq) * SHA256_LEN;
    return memcmp(hash, known->hash, SHA256_LEN) == 0;
}

/* Reads the good records of one segment from `from` on; *end is where they end. */
static enum attest_rc
read_records(int fd, size_t from, struct chainlog_tail *tail, size_t *end, struct attest_error *err)
{
    AUTO(segment_reader) struct segment_reader reader;
    segment_reader_init(&reader, fd, from);
    JSON_NODES(j, CHAINLOG_NODES);
    char *line;
    size_t len, offset;
    bool skip = from > 0; /* we came down in the middle of a line */
    enum segment_line got;
    *end = 0;
    while ((got = segment_next(&reader, &line, &len, &offset)) == SEGMENT_LINE) {
        struct chainlog_record record;
        if (skip) {
            skip = false;
            *end = offset + len + 1;
            continue;
        }
        if (chainlog_record_read(&j, line, len, &record, NULL))
            break;
        bool chained = tail->head.seq || record.head.seq == 1;
        if (chained && !chainlog_record_follows(&record, &tail->head))
            break;
        if (tail->head.seq == 0)
            tail->first = record.head;
        tail->head = record.head;
        buf_append(&tail->hashes, record.head.hash, SHA256_LEN);
        *end = offset + len + 1;
    }
    if (got == SEGMENT_FAILED)
        return error_errno(err, ATTEST_E_IO, errno, "reading the log");
    return buf_rc(&tail->hashes) ? error_set(err, buf_rc(&tail->hashes), "reading the log")
                                 : ATTEST_OK;
}

static enum attest_rc
hash_torn(int fd, struct chainlog_torn *torn, struct attest_error *err)
{
    AUTO(mem) char *bytes = malloc(torn->len + 1);
    if (!bytes)
        return error_set(err, ATTEST_E_NOMEM, "no memory to read the log");
    ssize_t n = pread(fd, bytes, torn->len, (off_t)torn->from);
    if (n < 0 || (size_t)n != torn->len)
        return error_errno(err, ATTEST_E_IO, n < 0 ? errno : EIO, "reading the log");
    sha256(torn->sha256, bytes, torn->len);
    return ATTEST_OK;
}

/* A crash tears what one batch had written, not more. */
static enum attest_rc
note_torn(int fd, uint32_t number, size_t from, size_t size, struct chainlog_tail *tail,
          struct attest_error *err)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, number);
    if (size - from > CHAINLOG_BATCH_MAX || tail->n_torn == CHAINLOG_TORN_MAX)
        return error_set(err, ATTEST_E_CORRUPT,
                         "log segment %s is unreadable from byte %zu on: no crash does that", name,
                         from);
    struct chainlog_torn torn = {.number = number, .from = from, .len = size - from};
    enum attest_rc rc = hash_torn(fd, &torn, err);
    if (rc)
        return rc;
    tail->torn[tail->n_torn++] = torn;
    return ATTEST_OK;
}

static enum attest_rc
look_at(const char *dir, uint32_t number, struct chainlog_tail *tail, struct attest_error *err)
{
    AUTO(fd) int fd = -1;
    size_t size, end;
    enum attest_rc rc = segment_open(dir, number, &fd, &size, err);
    if (rc)
        return rc;
    size_t from = size > WINDOW_LEN ? size - WINDOW_LEN : 0;
    tail->hashes.len = 0;
    if ((rc = read_records(fd, from, tail, &end, err)))
        return rc;
    if (from > 0 && tail->head.seq == 0)
        return error_set(err, ATTEST_E_CORRUPT, "log segment %u: no record in its last %d bytes",
                         number, WINDOW_LEN);
    if (tail->head.seq) {
        tail->number = number;
        tail->window = from;
        tail->end = end;
    }
    if (end < size || size == 0)
        return note_torn(fd, number, end, size, tail, err);
    return ATTEST_OK;
}

enum attest_rc
chainlog_tail_find(const char *dir, struct chainlog_tail *ret, struct attest_error *err)
{
    AUTO(mem) uint32_t *numbers = NULL;
    size_t n = 0;
    buf_init(&ret->hashes, (size_t)WINDOW_LEN);
    enum attest_rc rc = segment_list(dir, &numbers, &n, err);
    if (rc)
        return rc;
    ret->number_max = n ? numbers[n - 1] : 0;
    for (size_t i = n; i > 0 && ret->head.seq == 0; i--) {
        if ((rc = look_at(dir, numbers[i - 1], ret, err)))
            return rc;
    }
    return ATTEST_OK;
}

static enum attest_rc
cut(int dir_fd, const struct chainlog_torn *torn, struct attest_error *err)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, torn->number);
    if (torn->from == 0) {
        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
            return error_errno(err, ATTEST_E_LOG, errno, "removing the torn segment %s", name);
        return ATTEST_OK;
    }
    AUTO(fd) int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || ftruncate(fd, (off_t)torn->from) < 0 || fdatasync(fd) < 0)
        return error_errno(err, ATTEST_E_LOG, errno, "cutting the torn end of %s", name);
    return ATTEST_OK;
}

/* Writes the same bytes over themselves: that makes the pages dirty, and the sync a true one. */
static enum attest_rc
rewrite(int dir_fd, const struct chainlog_tail *tail, struct attest_error *err)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, tail->number);
    size_t len = tail->end - tail->window;
    AUTO(mem) char *bytes = malloc(len + 1);
    AUTO(fd) int fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (!bytes)
        return error_set(err, ATTEST_E_NOMEM, "no memory to settle the log");
    if (fd < 0 || pread(fd, bytes, len, (off_t)tail->window) != (ssize_t)len ||
        pwrite(fd, bytes, len, (off_t)tail->window) != (ssize_t)len || fdatasync(fd) < 0)
        return error_errno(err, ATTEST_E_LOG, errno ? errno : EIO, "settling the log's end");
    return ATTEST_OK;
}

enum attest_rc
chainlog_tail_settle(int dir_fd, const char *dir, const struct chainlog_tail *tail,
                     struct attest_error *err)
{
    errno = 0;
    for (size_t i = 0; i < tail->n_torn; i++) {
        enum attest_rc rc = cut(dir_fd, &tail->torn[i], err);
        if (rc)
            return rc;
    }
    if (tail->number) {
        enum attest_rc rc = rewrite(dir_fd, tail, err);
        if (rc)
            return rc;
    }
    if (fsync(dir_fd) < 0)
        return error_errno(err, ATTEST_E_LOG, errno, "%s", dir);
    return ATTEST_OK;
}
