/* SPDX-License-Identifier: MIT */
#include "chainlog/record.h"

#include <string.h>

#include "base/clock.h"

static const struct json_limits record_limits = {
    .text_max = CHAINLOG_LINE_MAX,
    .string_max = CHAINLOG_LINE_MAX,
    .depth_max = 8,
    .members_max = 64,
};

bool
chainlog_head_eq(const struct chainlog_head *a, const struct chainlog_head *b)
{
    return a->seq == b->seq && memcmp(a->hash, b->hash, SHA256_LEN) == 0;
}

enum attest_rc
chainlog_record_write(struct buf *out, struct chainlog_head *head, int64_t time_s,
                      struct slice body)
{
    char time[CLOCK_TEXT_SIZE], prev[2 * SHA256_LEN + 1];
    clock_format(time, time_s);
    hex_encode(prev, head->hash, SHA256_LEN);
    size_t start = out->len;
    buf_printf(out, "{\"seq\":%llu,\"time\":\"%s\",", (unsigned long long)head->seq + 1, time);
    buf_slice(out, body);
    buf_printf(out, ",\"prev\":\"%s\"}\n", prev);
    enum attest_rc rc = buf_rc(out);
    if (!rc && out->len - start > CHAINLOG_LINE_MAX + 1)
        rc = ATTEST_E_LIMIT;
    if (rc) {
        out->len = start;
        out->rc = ATTEST_OK; /* what stood there before still does */
        return rc;
    }
    head->seq++;
    sha256(head->hash, out->p + start, out->len - start - 1);
    return ATTEST_OK;
}

enum attest_rc
chainlog_record_read(struct json *j, char *line, size_t len, struct chainlog_record *ret,
                     struct attest_error *err)
{
    struct chainlog_record record = {.json = j};
    if (len > CHAINLOG_LINE_MAX)
        return error_set(err, ATTEST_E_MALFORMED, "record longer than %d bytes", CHAINLOG_LINE_MAX);
    sha256(record.head.hash, line, len); /* of the line as it stands; reading changes it */
    enum attest_rc rc = json_read(j, line, len, &record_limits, err);
    if (rc)
        return rc;
    record.root = json_root(j);
    int64_t seq;
    if (!json_int64(json_member(j, record.root, "seq"), &seq) || seq < 1)
        return error_set(err, ATTEST_E_MALFORMED, "seq: a positive integer expected");
    record.head.seq = (uint64_t)seq;
    const struct json_node *time = json_member(j, record.root, "time");
    const struct json_node *op = json_member(j, record.root, "op");
    const struct json_node *prev = json_member(j, record.root, "prev");
    if (!time || time->type != JSON_STRING || !op || op->type != JSON_STRING)
        return error_set(err, ATTEST_E_MALFORMED, "time, op: strings expected");
    if (!prev || prev->type != JSON_STRING || !hex_decode(record.prev, SHA256_LEN, prev->text))
        return error_set(err, ATTEST_E_MALFORMED, "prev: 64 lower-case hex digits expected");
    record.time = time->text;
    record.op = op->text;
    *ret = record;
    return ATTEST_OK;
}

bool
chainlog_record_follows(const struct chainlog_record *record, const struct chainlog_head *head)
{
    return record->head.seq == head->seq + 1 && memcmp(record->prev, head->hash, SHA256_LEN) == 0;
}
