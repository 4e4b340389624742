/* SPDX-License-Identifier: MIT */
/*
 * What a peer sends to either side of signer.sock: a stream of frames, read as requests and as
 * answers. Whatever is accepted keeps what the headers promise, and what we write of it reads back
 * as the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NODES 1024

static void
must(bool holds)
{
    if (!holds)
        abort();
}

/* An error answer made of what was read says the same when it is read again. */
static void
write_and_read(int64_t id, enum attest_rc rc, struct slice text)
{
    struct attest_error said; /* as every error's text is made: printable and short */
    error_set(&said, rc, "%.*s", SLICE_ARG(text));
    AUTO(buf) struct buf out;
    buf_init(&out, FRAME_HEAD_LEN + FRAME_BODY_MAX);
    size_t start = frame_open(&out);
    frame_put_error(&out, id, rc, said.text, NULL);
    must(frame_close(&out, start));
    struct frame frame;
    must(frame_find(out.p, out.len, &frame) == FRAME_WHOLE && frame.taken_len == out.len);
    JSON_NODES(json, 64);
    struct frame_answer answer;
    must(frame_read_answer(&json, frame.body, frame.body_len, &answer, NULL) == ATTEST_OK);
    must(answer.id == id && answer.rc == rc);
}

static void
read_as_request(struct json *json, const struct frame *frame)
{
    AUTO(mem) char *body = malloc(frame->body_len);
    must(body);
    memcpy(body, frame->body, frame->body_len);
    struct frame_request request;
    struct attest_error err = {0};
    enum attest_rc rc = frame_read_request(json, body, frame->body_len, &request, &err);
    if (rc) {
        must(rc == ATTEST_E_MALFORMED && err.rc == rc && *err.text);
        return;
    }
    must(request.id >= 1 && request.id <= FRAME_ID_MAX);
    must(request.op.len == 0 || (request.op.p >= body && request.op.p < body + frame->body_len));
    must(json_member(json, request.root, "id") && json_member(json, request.root, "op"));
    write_and_read(request.id, ATTEST_E_DENIED, request.op);
}

static void
read_as_answer(struct json *json, const struct frame *frame)
{
    AUTO(mem) char *body = malloc(frame->body_len);
    must(body);
    memcpy(body, frame->body, frame->body_len);
    struct frame_answer answer;
    struct attest_error err = {0};
    enum attest_rc rc = frame_read_answer(json, body, frame->body_len, &answer, &err);
    if (rc) {
        must(rc == ATTEST_E_MALFORMED && err.rc == rc && *err.text);
        return;
    }
    must(answer.id >= 1 && answer.id <= FRAME_ID_MAX && answer.root);
    if (answer.rc)
        write_and_read(answer.id, answer.rc, answer.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(mem) char *stream = malloc(size + 1);
    must(stream);
    memcpy(stream, data, size);
    static struct json_node nodes[NODES];
    struct json json = {nodes, NODES, 0};
    struct frame frame;
    for (size_t at = 0; at < size; at += frame.taken_len) {
        enum frame_found found = frame_find(stream + at, size - at, &frame);
        if (found != FRAME_WHOLE)
            break;
        must(frame.taken_len <= size - at && frame.body_len >= 1);
        must(frame.body + frame.body_len <= stream + size);
        read_as_request(&json, &frame);
        read_as_answer(&json, &frame);
    }
    return 0;
}
