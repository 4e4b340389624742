/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "chainlog/chainlog.h"
#include "chainlog/segment.h"
#include "chainlog/verify.h"
#include "tests/support/tempdir.h"

/* The program's own fdatasync() comes before the C library's: a disk that fails when told to. */
static bool disk_fails;

int fdatasync(int fd);
int
fdatasync(int fd)
{
    if (disk_fails) {
        errno = EIO;
        return -1;
    }
    return fsync(fd);
}

static char dir[TEMPDIR_SIZE];

static int
set_up(void **state)
{
    (void)state;
    disk_fails = false;
    return tempdir_make(dir);
}

static int
tear_down(void **state)
{
    (void)state;
    tempdir_remove(dir);
    return 0;
}

static struct chainlog *
open_with(size_t segment_bytes, const struct chainlog_head *known, bool accept, enum attest_rc want)
{
    struct chainlog_config config = {
        .dir = dir, .segment_bytes = segment_bytes, .accept_cut_off = accept};
    if (known)
        config.known = *known;
    struct chainlog *log = NULL;
    struct attest_error err = {0};
    enum attest_rc rc = chainlog_open(&config, &log, &err);
    if (rc != want)
        print_message("open: %s\n", err.text);
    assert_int_equal(rc, want);
    return log;
}

static struct chainlog *
open_log(void)
{
    return open_with(1 << 20, NULL, false, ATTEST_OK);
}

static void
append(struct chainlog *log, const char *op)
{
    char body[64];
    snprintf(body, sizeof(body), "\"op\":\"%s\"", op);
    assert_int_equal(chainlog_add(log, 1700000000, slice_cstr(body), NULL), ATTEST_OK);
}

static void
append_now(struct chainlog *log, const char *op)
{
    append(log, op);
    assert_int_equal(chainlog_commit(log, NULL), ATTEST_OK);
}

/* Every op in order, void ones in brackets, in one string. */
static enum attest_rc
note_op(void *ctx, const struct chainlog_record *record, bool is_void, struct attest_error *err)
{
    (void)err;
    buf_printf(ctx, is_void ? "[%.*s] " : "%.*s ", SLICE_ARG(record->op));
    return ATTEST_OK;
}

static char said[4096];

static enum attest_rc
verify(struct chainlog_report *report)
{
    AUTO(buf) struct buf ops;
    buf_init(&ops, sizeof(said) - 1);
    struct chainlog_checks checks = {.visit = note_op, .ctx = &ops};
    struct attest_error err = {0};
    enum attest_rc rc = chainlog_verify(dir, &checks, report, &err);
    assert_int_equal(buf_rc(&ops), ATTEST_OK);
    snprintf(said, sizeof(said), "%.*s", SLICE_ARG(buf_view(&ops)));
    return rc;
}

static void
path_of(char out[512], uint32_t number)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, number);
    snprintf(out, 512, "%s/%s", dir, name);
}

static size_t
size_of(uint32_t number)
{
    char path[512];
    struct stat st;
    path_of(path, number);
    return stat(path, &st) < 0 ? 0 : (size_t)st.st_size;
}

static void
read_segment(uint32_t number, struct buf *out)
{
    char path[512];
    path_of(path, number);
    buf_init(out, 1 << 20);
    assert_int_equal(file_read(path, 1 << 20, out, NULL), ATTEST_OK);
}

static void
write_segment(uint32_t number, const char *bytes, size_t len)
{
    char path[512];
    path_of(path, number);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static void
chains_over_restarts(void **state)
{
    (void)state;
    for (int start = 0; start < 3; start++) {
        AUTO(chainlog) struct chainlog *log = open_log();
        assert_true(chainlog_ok(log));
        append(log, "a");
        append(log, "b");
        append_now(log, "c");
        append(log, "never-committed");
    }
    struct chainlog_report report;
    assert_int_equal(verify(&report), ATTEST_OK);
    assert_string_equal(said, "a b c a b c a b c ");
    assert_int_equal(report.segments, 3);
    assert_int_equal(report.head.seq, 9);
    assert_int_equal(report.torn_len, 0);
}

static void
a_record_reads_as_documented(void **state)
{
    (void)state;
    struct chainlog *log = open_log();
    append_now(log, "a");
    append_now(log, "b");
    chainlog_close(log);
    AUTO(buf) struct buf text;
    read_segment(1, &text);
    const char *first = "{\"seq\":1,\"time\":\"2023-11-14T22:13:20Z\",\"op\":\"a\",\"prev\":"
                        "\"0000000000000000000000000000000000000000000000000000000000000000\"}\n";
    size_t first_len = strlen(first);
    assert_true(text.len > first_len);
    assert_memory_equal(text.p, first, first_len);
    uint8_t hash[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1], second[256];
    sha256(hash, first, first_len - 1);
    hex_encode(hex, hash, SHA256_LEN);
    snprintf(second, sizeof(second),
             "{\"seq\":2,\"time\":\"2023-11-14T22:13:20Z\",\"op\":\"b\",\"prev\":\"%s\"}\n", hex);
    assert_int_equal(text.len, first_len + strlen(second));
    assert_memory_equal(text.p + first_len, second, strlen(second));
}

/* Wherever a crash tears the last record, the whole ones stay and the cut is a record. */
static void
cuts_a_torn_tail_anywhere(void **state)
{
    (void)state;
    struct chainlog *log = open_log();
    append_now(log, "a");
    append_now(log, "b");
    chainlog_close(log);
    AUTO(buf) struct buf whole;
    read_segment(1, &whole);
    size_t first_len = (size_t)((char *)memchr(whole.p, '\n', whole.len) - whole.p) + 1;
    for (size_t len = 0; len < whole.len; len++) {
        tear_down(NULL);
        set_up(NULL);
        write_segment(1, whole.p, len);
        log = open_log();
        assert_true(chainlog_ok(log));
        append_now(log, "after");
        chainlog_close(log);
        struct chainlog_report report;
        assert_int_equal(verify(&report), ATTEST_OK);
        assert_int_equal(report.torn_len, 0);
        bool clean = len == 0 || len == first_len;
        const char *want = len < first_len ? (clean ? "after " : "cut after ")
                                           : (clean ? "a after " : "a cut after ");
        assert_string_equal(said, want);
        assert_int_equal(size_of(1), len < first_len ? 0 : first_len);
    }
}

static void
cuts_what_a_crash_made_of_unwritten_blocks(void **state)
{
    (void)state;
    struct chainlog *log = open_log();
    append_now(log, "a");
    chainlog_close(log);
    AUTO(buf) struct buf text;
    read_segment(1, &text);
    size_t good_len = text.len;
    for (int i = 0; i < 5000; i++)
        buf_char(&text, i % 700 == 699 ? '\n' : '\0');
    write_segment(1, text.p, text.len);
    log = open_log();
    append_now(log, "b");
    chainlog_close(log);
    struct chainlog_report report;
    assert_int_equal(verify(&report), ATTEST_OK);
    assert_string_equal(said, "a cut b ");
    assert_int_equal(size_of(1), good_len);
}

static void
refuses_more_damage_than_a_crash_makes(void **state)
{
    (void)state;
    struct chainlog *log = open_with(64 << 20, NULL, false, ATTEST_OK);
    append_now(log, "a");
    chainlog_close(log);
    char path[512];
    path_of(path, 1);
    assert_int_equal(truncate(path, (off_t)CHAINLOG_BATCH_MAX + 4096), 0);
    open_with(64 << 20, NULL, false, ATTEST_E_CORRUPT);
    assert_int_equal(size_of(1), CHAINLOG_BATCH_MAX + 4096);
}

static void
rotates_by_size(void **state)
{
    (void)state;
    struct chainlog *log = open_with(1000, NULL, false, ATTEST_OK);
    for (int i = 0; i < 40; i++)
        append_now(log, "x");
    assert_true(chainlog_segment(log) > 3);
    for (uint32_t n = 1; n <= chainlog_segment(log); n++)
        assert_true(size_of(n) <= 1000 && size_of(n) > 0);
    chainlog_close(log);
    struct chainlog_report report;
    assert_int_equal(verify(&report), ATTEST_OK);
    assert_int_equal(report.records, 40);

    char path[512];
    path_of(path, 3);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(verify(&report), ATTEST_E_CORRUPT);
    assert_int_equal(report.segment, 4);
    assert_int_equal(report.line, 1);
}

static void
notices_every_changed_byte(void **state)
{
    (void)state;
    struct chainlog *log = open_log();
    for (int i = 0; i < 3; i++)
        append_now(log, "x");
    chainlog_close(log);
    AUTO(buf) struct buf text;
    read_segment(1, &text);
    char *last = text.p + text.len - 1;
    while (last[-1] != '\n')
        last--;
    struct chainlog_report report;
    /* The last line has no successor that vouches for it: that is what checkpoints are for. */
    for (char *p = text.p; p < last; p++) {
        *p ^= 1;
        write_segment(1, text.p, text.len);
        enum attest_rc rc = verify(&report);
        if (rc != ATTEST_E_CORRUPT)
            print_message("byte %zu: %d\n", (size_t)(p - text.p), (int)rc);
        assert_int_equal(rc, ATTEST_E_CORRUPT);
        *p ^= 1;
    }
    write_segment(1, text.p, text.len);
    assert_int_equal(verify(&report), ATTEST_OK);
}

static void
a_failed_sync_ends_the_segment(void **state)
{
    (void)state;
    AUTO(chainlog) struct chainlog *log = open_log();
    append(log, "a");
    append_now(log, "b");
    struct chainlog_head durable = chainlog_head(log);
    append(log, "refused");
    append(log, "refused");
    disk_fails = true;
    assert_int_equal(chainlog_commit(log, NULL), ATTEST_E_LOG);
    assert_false(chainlog_ok(log));
    assert_string_not_equal(chainlog_why(log), "");
    struct chainlog_head now = chainlog_head(log);
    assert_true(chainlog_head_eq(&durable, &now));
    assert_int_equal(chainlog_add(log, 1, slice_cstr("\"op\":\"x\""), NULL), ATTEST_E_LOG);
    size_t size = size_of(1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(chainlog_recover(log, NULL), ATTEST_E_LOG);
    disk_fails = false;
    assert_int_equal(chainlog_recover(log, NULL), ATTEST_OK);
    assert_true(chainlog_ok(log));
    append_now(log, "c");
    assert_int_equal(size_of(1), size);
    struct chainlog_report report;
    assert_int_equal(verify(&report), ATTEST_OK);
    assert_string_equal(said, "a b [refused] [refused] recovered c ");
    assert_int_equal(report.segments, 2); /* the attempts in between left nothing behind */
    assert_int_equal(report.head.seq, 4);
}

static void
a_full_disk_tears_and_recovers(void **state)
{
    (void)state;
    struct rlimit old, tight;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    AUTO(chainlog) struct chainlog *log = open_log();
    append_now(log, "a");
    tight = old;
    tight.rlim_cur = size_of(1) + 150; /* one record and a piece of the next */
    append(log, "refused");
    append(log, "refused");
    setrlimit(RLIMIT_FSIZE, &tight);
    enum attest_rc rc = chainlog_commit(log, NULL);
    tight.rlim_cur = 10;
    setrlimit(RLIMIT_FSIZE, &tight);
    enum attest_rc again = chainlog_recover(log, NULL);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, ATTEST_E_LOG);
    assert_int_equal(again, ATTEST_E_LOG);
    assert_int_equal(chainlog_recover(log, NULL), ATTEST_OK);
    append_now(log, "b");
    struct chainlog_report report;
    assert_int_equal(verify(&report), ATTEST_OK);
    assert_string_equal(said, "a [refused] recovered b ");
}

/* Killed between the failure and the recovery: what is readable then counts, and is made durable.
 */
static void
a_crash_after_a_failed_sync_keeps_the_chain(void **state)
{
    (void)state;
    struct chainlog *log = open_log();
    append_now(log, "a");
    append(log, "refused");
    disk_fails = true;
    assert_int_equal(chainlog_commit(log, NULL), ATTEST_E_LOG);
    disk_fails = false;
    chainlog_close(log);
    log = open_log();
    append_now(log, "b");
    chainlog_close(log);
    struct chainlog_report report;
    assert_int_equal(verify(&report), ATTEST_OK);
    assert_string_equal(said, "a refused b ");
}

static void
starts_on_a_failing_disk_and_recovers(void **state)
{
    (void)state;
    struct chainlog *log = open_log();
    append_now(log, "a");
    chainlog_close(log);
    disk_fails = true;
    log = open_log();
    assert_false(chainlog_ok(log));
    assert_int_equal(chainlog_recover(log, NULL), ATTEST_E_LOG);
    disk_fails = false;
    assert_int_equal(chainlog_recover(log, NULL), ATTEST_OK);
    append_now(log, "b");
    chainlog_close(log);
    struct chainlog_report report;
    assert_int_equal(verify(&report), ATTEST_OK);
    assert_string_equal(said, "a b ");
}

static void
one_writer_at_a_time(void **state)
{
    (void)state;
    struct chainlog *log = open_log();
    open_with(1 << 20, NULL, false, ATTEST_E_BUSY);
    chainlog_close(log);
    chainlog_close(open_log());
}

static void
notices_a_log_that_was_cut_off(void **state)
{
    (void)state;
    struct chainlog *log = open_with(1000, NULL, false, ATTEST_OK);
    struct chainlog_head early = {0}, late;
    for (int i = 0; i < 20; i++) {
        append_now(log, "x");
        if (i == 2)
            early = chainlog_head(log);
    }
    late = chainlog_head(log);
    uint32_t last = chainlog_segment(log);
    chainlog_close(log);
    chainlog_close(open_with(1000, &late, false, ATTEST_OK));
    chainlog_close(open_with(1000, &early, false, ATTEST_OK));
    struct chainlog_head other = early;
    other.hash[0] ^= 1;
    open_with(1000, &other, false, ATTEST_E_CORRUPT);

    char path[512];
    path_of(path, last);
    assert_int_equal(unlink(path), 0);
    open_with(1000, &late, false, ATTEST_E_CORRUPT);
    log = open_with(1000, &late, true, ATTEST_OK);
    append_now(log, "on");
    chainlog_close(log);
    struct chainlog_report report;
    assert_int_equal(verify(&report), ATTEST_OK);
    assert_non_null(strstr(said, "x cut_off on "));
}

/* "SEQ:HEX" stands in for a signed checkpoint. */
static enum attest_rc
trust(void *ctx, struct slice jws, struct chainlog_head *ret, struct attest_error *err)
{
    (void)ctx, (void)err;
    const char *colon = memchr(jws.p, ':', jws.len);
    if (!colon)
        return ATTEST_E_SIGNATURE;
    ret->seq = strtoull(jws.p, NULL, 10);
    struct slice hex = {colon + 1, jws.len - (size_t)(colon + 1 - jws.p)};
    return hex_decode(ret->hash, SHA256_LEN, hex) ? ATTEST_OK : ATTEST_E_SIGNATURE;
}

static void
append_checkpoint(struct chainlog *log, const struct chainlog_head *head)
{
    char body[256], hex[2 * SHA256_LEN + 1];
    hex_encode(hex, head->hash, SHA256_LEN);
    snprintf(body, sizeof(body), "\"op\":\"checkpoint\",\"checkpoint\":\"%llu:%s\"",
             (unsigned long long)head->seq, hex);
    assert_int_equal(chainlog_add(log, 1, slice_cstr(body), NULL), ATTEST_OK);
    assert_int_equal(chainlog_commit(log, NULL), ATTEST_OK);
}

static enum attest_rc
verify_checkpoints(struct chainlog_report *report)
{
    struct chainlog_checks checks = {.checkpoint = trust};
    return chainlog_verify(dir, &checks, report, NULL);
}

static void
checkpoints_vouch_for_records(void **state)
{
    (void)state;
    struct chainlog_report report;
    struct chainlog *log = open_log();
    append_now(log, "a");
    struct chainlog_head head = chainlog_head(log);
    append_now(log, "b"); /* it may come late */
    append_checkpoint(log, &head);
    assert_int_equal(verify_checkpoints(&report), ATTEST_OK);
    assert_int_equal(report.checkpoint_seq, 1);
    head.hash[31] ^= 1;
    append_checkpoint(log, &head);
    assert_int_equal(verify_checkpoints(&report), ATTEST_E_CORRUPT);
    assert_int_equal(report.line, 4);
    chainlog_close(log);
}

/* A forged `recovered` must not make forgotten what a checkpoint vouches for. */
static void
what_was_vouched_for_cannot_be_made_void(void **state)
{
    (void)state;
    struct chainlog_report report;
    struct chainlog *log = open_log();
    append_now(log, "a");
    struct chainlog_head first = chainlog_head(log);
    append_now(log, "b");
    struct chainlog_head second = chainlog_head(log);
    append_checkpoint(log, &second);
    chainlog_close(log);
    assert_int_equal(verify_checkpoints(&report), ATTEST_OK);

    char body[256], hex[2 * SHA256_LEN + 1];
    hex_encode(hex, first.hash, SHA256_LEN);
    snprintf(body, sizeof(body), "\"op\":\"recovered\",\"last_seq\":1,\"last_head\":\"%s\"", hex);
    AUTO(buf) struct buf forged;
    buf_init(&forged, 4096);
    struct chainlog_head head = first;
    assert_int_equal(chainlog_record_write(&forged, &head, 1, slice_cstr(body)), ATTEST_OK);
    write_segment(2, forged.p, forged.len);
    assert_int_equal(verify_checkpoints(&report), ATTEST_E_CORRUPT);
    assert_int_equal(report.segment, 1);
}

static void
bounds_a_record(void **state)
{
    (void)state;
    AUTO(chainlog) struct chainlog *log = open_log();
    AUTO(mem) char *big = malloc(CHAINLOG_LINE_MAX);
    memset(big, ' ', CHAINLOG_LINE_MAX);
    assert_int_equal(chainlog_add(log, 1, (struct slice){big, CHAINLOG_LINE_MAX}, NULL),
                     ATTEST_E_LIMIT);
    append_now(log, "a");
    struct chainlog_report report;
    assert_int_equal(verify(&report), ATTEST_OK);
    assert_int_equal(report.records, 1);
    size_t n = 0;
    for (; chainlog_room(log); n++)
        append(log, "fill");
    assert_true(n > 1000);
    assert_int_equal(chainlog_commit(log, NULL), ATTEST_OK);
}

int
main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(chains_over_restarts),
        ONE(a_record_reads_as_documented),
        ONE(cuts_a_torn_tail_anywhere),
        ONE(cuts_what_a_crash_made_of_unwritten_blocks),
        ONE(refuses_more_damage_than_a_crash_makes),
        ONE(rotates_by_size),
        ONE(notices_every_changed_byte),
        ONE(a_failed_sync_ends_the_segment),
        ONE(a_full_disk_tears_and_recovers),
        ONE(a_crash_after_a_failed_sync_keeps_the_chain),
        ONE(starts_on_a_failing_disk_and_recovers),
        ONE(one_writer_at_a_time),
        ONE(notices_a_log_that_was_cut_off),
        ONE(checkpoints_vouch_for_records),
        ONE(what_was_vouched_for_cannot_be_made_void),
        ONE(bounds_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
