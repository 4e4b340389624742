/* SPDX-License-Identifier: MIT */
#include "chainlog/chainlog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "chainlog/segment.h"
#include "chainlog/tail.h"
#include "chainlog/verify.h"

struct chainlog {
    char *dir;
    int dir_fd;
    size_t segment_bytes;
    struct chainlog_tail tail; /* what the start has still to do */
    bool begun;                /* it is done */
    struct chainlog_head
        missing; /* a known record that is not there, to be recorded; seq 0: none */

    uint32_t number;
    int fd; /* -1: no segment of ours yet */
    size_t size;
    bool has_durable; /* the segment holds a durable record */

    struct chainlog_head durable; /* the last durable record */
    struct chainlog_head last;    /* the last one gathered */
    struct buf pending;
    bool failed;
    char why[sizeof(((struct attest_error *)0)->text)];
};

/* ---- segments ---- */

static void
segment_end(struct chainlog *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

/* A segment in which nothing ever was durable tells nobody anything. */
static void
segment_drop_if_void(struct chainlog *log)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, log->number);
    if (log->fd >= 0 && !log->has_durable)
        unlinkat(log->dir_fd, name, 0);
    segment_end(log);
}

static enum attest_rc
segment_begin(struct chainlog *log, struct attest_error *err)
{
    segment_end(log);
    for (;;) {
        if (log->number >= SEGMENT_NUMBER_MAX)
            return error_set(err, ATTEST_E_LOG, "no segment numbers left");
        char name[SEGMENT_NAME_SIZE];
        segment_name(name, ++log->number);
        log->fd =
            openat(log->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
        if (log->fd >= 0)
            break;
        if (errno != EEXIST) {
            int e = errno;
            log->number--;
            return error_errno(err, ATTEST_E_LOG, e, "new log segment");
        }
    }
    log->size = 0;
    log->has_durable = false;
    return ATTEST_OK;
}

/* ---- gathering and writing ---- */

static enum attest_rc
gather(struct chainlog *log, int64_t time_s, struct slice body, struct attest_error *err)
{
    enum attest_rc rc = chainlog_record_write(&log->pending, &log->last, time_s, body);
    return rc ? error_set(err, rc, "log record: %s", attest_strerror(rc)) : ATTEST_OK;
}

static enum attest_rc
write_pending(struct chainlog *log, struct attest_error *err)
{
    struct attest_error why = {0};
    enum attest_rc rc = ATTEST_OK;
    if (log->fd < 0 || (log->size && log->size + log->pending.len > log->segment_bytes)) {
        if ((rc = segment_begin(log, err)))
            return rc;
    }
    if (file_write_all(log->fd, buf_view(&log->pending), &why))
        return error_set(err, ATTEST_E_LOG, "%s", why.text);
    if (fdatasync(log->fd) < 0)
        return error_errno(err, ATTEST_E_LOG, errno, "fdatasync of the log");
    /* The name must last as long as what stands under it. */
    if (!log->has_durable && fsync(log->dir_fd) < 0)
        return error_errno(err, ATTEST_E_LOG, errno, "fsync of the log directory");
    log->size += log->pending.len;
    log->has_durable = true;
    log->durable = log->last;
    buf_reset(&log->pending);
    return ATTEST_OK;
}

static enum attest_rc
fail(struct chainlog *log, const struct attest_error *why, struct attest_error *err)
{
    segment_drop_if_void(log);
    buf_reset(&log->pending);
    log->last = log->durable;
    log->failed = true;
    snprintf(log->why, sizeof(log->why), "%s", why->text);
    return error_set(err, ATTEST_E_LOG, "%s", why->text);
}

bool
chainlog_room(const struct chainlog *log)
{
    return log->pending.len + CHAINLOG_LINE_MAX + 1 <= CHAINLOG_BATCH_MAX;
}

enum attest_rc
chainlog_add(struct chainlog *log, int64_t time_s, struct slice body, struct attest_error *err)
{
    if (!chainlog_ok(log))
        return error_set(err, ATTEST_E_LOG, "%s", log->why);
    return gather(log, time_s, body, err);
}

enum attest_rc
chainlog_commit(struct chainlog *log, struct attest_error *err)
{
    if (!chainlog_ok(log))
        return error_set(err, ATTEST_E_LOG, "%s", log->why);
    if (log->pending.len == 0)
        return ATTEST_OK;
    struct attest_error why = {0};
    return write_pending(log, &why) ? fail(log, &why, err) : ATTEST_OK;
}

/* ---- the first segment of a process, and the one after a failure ---- */

static enum attest_rc
gather_cuts(struct chainlog *log, struct attest_error *err)
{
    for (size_t i = 0; i < log->tail.n_torn; i++) {
        const struct chainlog_torn *torn = &log->tail.torn[i];
        char name[SEGMENT_NAME_SIZE], hex[2 * SHA256_LEN + 1], body[256];
        if (torn->len == 0)
            continue;
        segment_name(name, torn->number);
        hex_encode(hex, torn->sha256, SHA256_LEN);
        snprintf(body, sizeof(body),
                 "\"op\":\"cut\",\"segment\":\"%s\",\"bytes\":%zu,\"sha256\":\"%s\"", name,
                 torn->len, hex);
        enum attest_rc rc = gather(log, clock_wall_s(), slice_cstr(body), err);
        if (rc)
            return rc;
    }
    return ATTEST_OK;
}

static enum attest_rc
gather_missing(struct chainlog *log, struct attest_error *err)
{
    if (log->missing.seq == 0)
        return ATTEST_OK;
    char known[2 * SHA256_LEN + 1], last[2 * SHA256_LEN + 1], body[320];
    hex_encode(known, log->missing.hash, SHA256_LEN);
    hex_encode(last, log->durable.hash, SHA256_LEN);
    snprintf(body, sizeof(body),
             "\"op\":\"cut_off\",\"known_seq\":%llu,\"known_head\":\"%s\",\"last_seq\":%llu,"
             "\"last_head\":\"%s\"",
             (unsigned long long)log->missing.seq, known, (unsigned long long)log->durable.seq,
             last);
    return gather(log, clock_wall_s(), slice_cstr(body), err);
}

static enum attest_rc
begin(struct chainlog *log, struct attest_error *err)
{
    enum attest_rc rc = chainlog_tail_settle(log->dir_fd, log->dir, &log->tail, err);
    if (rc || (rc = gather_cuts(log, err)) || (rc = gather_missing(log, err)))
        return rc;
    if (log->pending.len && (rc = write_pending(log, err)))
        return rc;
    log->begun = true;
    chainlog_tail_done(&log->tail);
    return ATTEST_OK;
}

static enum attest_rc
gather_recovered(struct chainlog *log, struct attest_error *err)
{
    char head[2 * SHA256_LEN + 1];
    hex_encode(head, log->durable.hash, SHA256_LEN);
    AUTO(buf) struct buf body;
    buf_init(&body, 1024);
    buf_printf(&body, "\"op\":\"recovered\",\"last_seq\":%llu,\"last_head\":\"%s\",\"reason\":",
               (unsigned long long)log->durable.seq, head);
    json_put_string(&body, slice_cstr(log->why));
    if (buf_rc(&body))
        return error_set(err, ATTEST_E_LOG, "no memory for a log record");
    return gather(log, clock_wall_s(), buf_view(&body), err);
}

enum attest_rc
chainlog_recover(struct chainlog *log, struct attest_error *err)
{
    if (chainlog_ok(log))
        return ATTEST_OK;
    struct attest_error why = {0};
    enum attest_rc rc;
    if (!log->begun) {
        rc = begin(log, &why);
    } else {
        segment_end(log);
        rc = gather_recovered(log, &why);
        if (!rc)
            rc = write_pending(log, &why);
    }
    if (rc)
        return fail(log, &why, err);
    log->failed = false;
    log->why[0] = '\0';
    return ATTEST_OK;
}

/* ---- opening ---- */

bool
chainlog_ok(const struct chainlog *log)
{
    return log->begun && !log->failed;
}

const char *
chainlog_why(const struct chainlog *log)
{
    return log->why;
}

struct chainlog_head
chainlog_head(const struct chainlog *log)
{
    return log->durable;
}

uint32_t
chainlog_segment(const struct chainlog *log)
{
    return log->number;
}

static enum attest_rc
check_known(struct chainlog *log, const struct chainlog_config *config, struct attest_error *err)
{
    if (config->known.seq == 0)
        return ATTEST_OK;
    enum attest_rc rc = ATTEST_E_NOT_FOUND;
    if (config->known.seq <= log->durable.seq)
        rc = chainlog_tail_holds(&log->tail, &config->known)
                 ? ATTEST_OK
                 : chainlog_find(config->dir, &config->known, err);
    if (rc != ATTEST_E_NOT_FOUND)
        return rc;
    if (config->accept_cut_off) {
        log->missing = config->known;
        return ATTEST_OK;
    }
    return error_set(err, ATTEST_E_CORRUPT,
                     "the log ends at record %llu and lacks record %llu that is known to have been "
                     "written",
                     (unsigned long long)log->durable.seq, (unsigned long long)config->known.seq);
}

enum attest_rc
chainlog_open(const struct chainlog_config *config, struct chainlog **ret, struct attest_error *err)
{
    AUTO(chainlog) struct chainlog *log = calloc(1, sizeof(*log));
    if (!log)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the log");
    log->fd = log->dir_fd = -1;
    log->segment_bytes = config->segment_bytes;
    buf_init(&log->pending, CHAINLOG_BATCH_MAX);
    log->dir = slice_dup(slice_cstr(config->dir));
    if (!log->dir)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the log");
    enum attest_rc rc = file_mkdirs(config->dir, 0700, err);
    if (rc)
        return rc;
    log->dir_fd = open(config->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log->dir_fd < 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", config->dir);
    rc = chainlog_tail_lock(log->dir_fd, config->dir, err);
    if (rc || (rc = chainlog_tail_find(config->dir, &log->tail, err)))
        return rc;
    log->durable = log->last = log->tail.head;
    log->number = log->tail.number_max;
    if ((rc = check_known(log, config, err)))
        return rc;
    log->failed = true;
    (void)chainlog_recover(log, NULL);
    *ret = STEAL(log);
    return ATTEST_OK;
}

void
chainlog_close(struct chainlog *log)
{
    if (!log)
        return;
    segment_drop_if_void(log);
    if (log->dir_fd >= 0)
        close(log->dir_fd);
    chainlog_tail_done(&log->tail);
    buf_done(&log->pending);
    free(log->dir);
    free(log);
}
