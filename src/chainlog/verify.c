/* SPDX-License-Identifier: MIT */
#include "chainlog/verify.h"

#include <errno.h>
#include <string.h>

#include "chainlog/segment.h"

enum { REMEMBERED = 65536 };

struct verifier {
    const char *dir;
    const struct chainlog_checks *checks;
    struct chainlog_report *report;
    uint32_t *numbers;
    size_t n;
    /* For each segment, the seq behind which its records are void: the least last_seq that a
     * `recovered` record at the head of a later segment names. */
    uint64_t *void_after;
    uint8_t (*hashes)[SHA256_LEN]; /* of the last REMEMBERED records, at seq % REMEMBERED */
    struct chainlog_head head;     /* of the chain without what is void */
};

static enum attest_rc
corrupt(struct verifier *v, struct attest_error *err, const char *what)
{
    return error_set(err, ATTEST_E_CORRUPT, "log segment %u line %llu: %s", v->report->segment,
                     (unsigned long long)v->report->line, what);
}

/* ---- which records are void ---- */

static enum attest_rc
first_record(const char *dir, uint32_t number, struct json *j, struct segment_reader *reader,
             struct chainlog_record *ret, struct attest_error *err)
{
    char *line;
    size_t len, offset;
    switch (segment_next(reader, &line, &len, &offset)) {
    case SEGMENT_LINE:
        return chainlog_record_read(j, line, len, ret, err) ? ATTEST_E_NOT_FOUND : ATTEST_OK;
    case SEGMENT_FAILED:
        return error_errno(err, ATTEST_E_IO, errno, "%s: segment %u", dir, number);
    case SEGMENT_TORN:
    case SEGMENT_END:
        break;
    }
    return ATTEST_E_NOT_FOUND;
}

static bool
recovered_from(const struct chainlog_record *record, uint64_t *last_seq)
{
    int64_t seq;
    if (!slice_is(record->op, "recovered") ||
        !json_int64(json_member(record->json, record->root, "last_seq"), &seq) || seq < 0)
        return false;
    *last_seq = (uint64_t)seq;
    return true;
}

/* The last durable seq that the segment's first record names, UINT64_MAX when it names none. */
static enum attest_rc
segment_recovers(const char *dir, uint32_t number, uint64_t *ret, struct attest_error *err)
{
    AUTO(fd) int fd = -1;
    size_t size;
    enum attest_rc rc = segment_open(dir, number, &fd, &size, err);
    if (rc)
        return rc;
    AUTO(segment_reader) struct segment_reader reader;
    segment_reader_init(&reader, fd, 0);
    JSON_NODES(j, CHAINLOG_NODES);
    struct chainlog_record record;
    *ret = UINT64_MAX;
    rc = first_record(dir, number, &j, &reader, &record, err);
    if (rc == ATTEST_OK)
        (void)recovered_from(&record, ret);
    return rc == ATTEST_E_NOT_FOUND ? ATTEST_OK : rc;
}

static enum attest_rc
find_void(struct verifier *v, struct attest_error *err)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = v->n; i > 0; i--) {
        v->void_after[i - 1] = least;
        uint64_t last_seq;
        enum attest_rc rc = segment_recovers(v->dir, v->numbers[i - 1], &last_seq, err);
        if (rc)
            return rc;
        least = last_seq < least ? last_seq : least;
    }
    return ATTEST_OK;
}

/* ---- record by record ---- */

static enum attest_rc
judge_checkpoint(struct verifier *v, const struct chainlog_record *record, struct attest_error *err)
{
    const struct json_node *jws = json_member(record->json, record->root, "checkpoint");
    if (!jws || jws->type != JSON_STRING)
        return corrupt(v, err, "a checkpoint record without its checkpoint");
    v->report->checkpoints++;
    if (!v->checks->checkpoint)
        return ATTEST_OK;
    struct chainlog_head vouched = {0};
    enum attest_rc rc = v->checks->checkpoint(v->checks->ctx, jws->text, &vouched, err);
    if (rc)
        return rc;
    if (vouched.seq == 0 || vouched.seq >= record->head.seq ||
        record->head.seq - vouched.seq >= REMEMBERED ||
        memcmp(v->hashes[vouched.seq % REMEMBERED], vouched.hash, SHA256_LEN) != 0)
        return corrupt(v, err, "the checkpoint vouches for another chain");
    v->report->checkpoint_seq = vouched.seq;
    return ATTEST_OK;
}

static enum attest_rc
judge(struct verifier *v, size_t segment, const struct chainlog_record *record,
      struct chainlog_head *at, struct attest_error *err)
{
    if (!chainlog_record_follows(record, at))
        return corrupt(v, err, "the chain is broken here");
    *at = record->head;
    bool is_void = record->head.seq > v->void_after[segment];
    if (is_void) {
        v->report->voided++;
    } else {
        v->head = record->head;
        memcpy(v->hashes[record->head.seq % REMEMBERED], record->head.hash, SHA256_LEN);
        v->report->records++;
    }
    /* A void one too: what it vouches for was durable, or someone wants to make that forgotten. */
    if (slice_is(record->op, "checkpoint")) {
        enum attest_rc rc = judge_checkpoint(v, record, err);
        if (rc)
            return rc;
    }
    return v->checks->visit ? v->checks->visit(v->checks->ctx, record, is_void, err) : ATTEST_OK;
}

/* What a vouched-for record is can no longer be void. */
static enum attest_rc
judge_recovered(struct verifier *v, const struct chainlog_record *record, struct attest_error *err)
{
    uint64_t last_seq;
    if (recovered_from(record, &last_seq) &&
        (last_seq != v->head.seq || last_seq < v->report->checkpoint_seq))
        return corrupt(v, err, "recovered from a record that is not the last durable one");
    return ATTEST_OK;
}

/* Bytes that are no record may stand where a crash or a failure left them, and nowhere else. */
static bool
may_be_torn(const struct verifier *v, size_t segment, const struct chainlog_head *at)
{
    return segment + 1 == v->n || at->seq >= v->void_after[segment];
}

static enum attest_rc
verify_segment(struct verifier *v, size_t i, struct attest_error *err)
{
    AUTO(fd) int fd = -1;
    size_t size, len, offset;
    v->report->segment = v->numbers[i];
    v->report->line = 0;
    enum attest_rc rc = segment_open(v->dir, v->numbers[i], &fd, &size, err);
    if (rc)
        return rc;
    AUTO(segment_reader) struct segment_reader reader;
    segment_reader_init(&reader, fd, 0);
    JSON_NODES(j, CHAINLOG_NODES);
    struct chainlog_head at = v->head;
    char *line;
    enum segment_line got;
    while ((got = segment_next(&reader, &line, &len, &offset)) == SEGMENT_LINE) {
        struct chainlog_record record;
        v->report->line++;
        if (chainlog_record_read(&j, line, len, &record, NULL)) {
            if (at.seq >= v->void_after[i])
                return ATTEST_OK;
            return corrupt(v, err, "not a record");
        }
        if (v->report->line == 1 && (rc = judge_recovered(v, &record, err)))
            return rc;
        if ((rc = judge(v, i, &record, &at, err)))
            return rc;
    }
    if (got == SEGMENT_FAILED)
        return error_errno(err, ATTEST_E_IO, errno, "%s: segment %u", v->dir, v->numbers[i]);
    if (got == SEGMENT_TORN && !may_be_torn(v, i, &at))
        return corrupt(v, err, "cut off in the middle of a record");
    if (i + 1 == v->n)
        v->report->torn_len = size > offset ? size - offset : 0;
    return ATTEST_OK;
}

enum attest_rc
chainlog_verify(const char *dir, const struct chainlog_checks *checks,
                struct chainlog_report *report, struct attest_error *err)
{
    AUTO(mem) uint32_t *numbers = NULL;
    AUTO(mem) uint64_t *void_after = NULL;
    AUTO(mem) uint8_t(*hashes)[SHA256_LEN] = calloc(REMEMBERED, SHA256_LEN);
    struct verifier v = {.dir = dir, .checks = checks, .report = report};
    *report = (struct chainlog_report){0};
    enum attest_rc rc = segment_list(dir, &numbers, &v.n, err);
    if (rc)
        return rc;
    void_after = calloc(v.n + 1, sizeof(*void_after));
    if (!hashes || !void_after)
        return error_set(err, ATTEST_E_NOMEM, "no memory to verify the log");
    v.numbers = numbers;
    v.void_after = void_after;
    v.hashes = hashes;
    if ((rc = find_void(&v, err)))
        return rc;
    for (size_t i = 0; i < v.n; i++) {
        if ((rc = verify_segment(&v, i, err)))
            return rc;
        report->segments++;
        report->head = v.head;
    }
    return ATTEST_OK;
}

/* ---- one record ---- */

static enum attest_rc
find_in(const char *dir, uint32_t number, const struct chainlog_head *known,
        struct attest_error *err)
{
    AUTO(fd) int fd = -1;
    size_t size, len, offset;
    enum attest_rc rc = segment_open(dir, number, &fd, &size, err);
    if (rc)
        return rc;
    AUTO(segment_reader) struct segment_reader reader;
    segment_reader_init(&reader, fd, 0);
    JSON_NODES(j, CHAINLOG_NODES);
    char *line;
    enum segment_line got;
    while ((got = segment_next(&reader, &line, &len, &offset)) == SEGMENT_LINE) {
        struct chainlog_record record;
        if (chainlog_record_read(&j, line, len, &record, NULL) || record.head.seq > known->seq)
            return ATTEST_E_NOT_FOUND;
        if (chainlog_head_eq(&record.head, known))
            return ATTEST_OK;
    }
    if (got == SEGMENT_FAILED)
        return error_errno(err, ATTEST_E_IO, errno, "%s: segment %u", dir, number);
    return ATTEST_E_NOT_FOUND;
}

enum attest_rc
chainlog_find(const char *dir, const struct chainlog_head *known, struct attest_error *err)
{
    AUTO(mem) uint32_t *numbers = NULL;
    size_t n = 0;
    enum attest_rc rc = segment_list(dir, &numbers, &n, err);
    if (rc)
        return rc;
    for (size_t i = n; i > 0; i--) {
        rc = find_in(dir, numbers[i - 1], known, err);
        if (rc != ATTEST_E_NOT_FOUND)
            return rc;
    }
    return error_set(err, ATTEST_E_NOT_FOUND, "record %llu is not in the log",
                     (unsigned long long)known->seq);
}
