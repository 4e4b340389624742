/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/frame.h"

static void
finds_frames_only_when_whole(void **state)
{
    (void)state;
    char bytes[] = "\0\0\0\2{}\0\0\0\1[";
    struct frame f = {0};
    for (size_t len = 0; len < 6; len++)
        assert_int_equal(frame_find(bytes, len, &f), FRAME_NONE);
    assert_int_equal(frame_find(bytes, 6, &f), FRAME_WHOLE);
    assert_ptr_equal(f.body, bytes + 4);
    assert_int_equal(f.body_len, 2);
    assert_int_equal(f.taken_len, 6);
    assert_int_equal(frame_find(bytes + 6, 5, &f), FRAME_WHOLE);
    assert_int_equal(f.body_len, 1);
}

static void
refuses_lengths_before_the_body_is_there(void **state)
{
    (void)state;
    struct frame f;
    char empty[] = "\0\0\0\0", most[] = "\0\1\0\0", over[] = "\0\1\0\1",
         huge[] = "\xff\xff\xff\xff";
    assert_int_equal(frame_find(empty, 4, &f), FRAME_BAD);
    assert_int_equal(frame_find(most, 4, &f), FRAME_NONE);
    assert_int_equal(frame_find(over, 4, &f), FRAME_BAD);
    assert_int_equal(frame_find(huge, 4, &f), FRAME_BAD);
}

static void
takes_back_what_does_not_fit(void **state)
{
    (void)state;
    AUTO(buf) struct buf out;
    buf_init(&out, 4 << 20);
    assert_true(frame_put_request(&out, 1, "ping", slice_cstr("")));
    size_t len = out.len;
    AUTO(mem) char *big = calloc(1, FRAME_BODY_MAX + 1);
    memset(big, ' ', FRAME_BODY_MAX);
    assert_false(frame_put_request(&out, 2, "x", (struct slice){big, FRAME_BODY_MAX}));
    assert_int_equal(out.len, len);
    assert_int_equal(buf_rc(&out), ATTEST_OK);

    AUTO(buf) struct buf tight;
    buf_init(&tight, 20);
    assert_false(frame_put_request(&tight, 1, "a-long-name-of-an-op", slice_cstr("")));
    assert_int_equal(tight.len, 0);
    assert_int_equal(buf_rc(&tight), ATTEST_E_LIMIT);
}

static enum attest_rc
read_request(const char *text, struct frame_request *r)
{
    static char copy[512];
    static struct json_node nodes[64];
    static struct json j;
    j = (struct json){nodes, 64, 0};
    assert_true(strlen(text) < sizeof(copy));
    memcpy(copy, text, strlen(text));
    return frame_read_request(&j, copy, strlen(text), r, NULL);
}

static void
reads_requests(void **state)
{
    (void)state;
    struct frame_request r;
    assert_int_equal(read_request("{\"id\":9007199254740991,\"op\":\"ping\",\"n\":[1]}", &r), 0);
    assert_true(r.id == FRAME_ID_MAX);
    assert_true(slice_is(r.op, "ping"));
    assert_non_null(json_member(r.json, r.root, "n"));
    static const char *const bad[] = {
        "[]",
        "{}",
        "{\"op\":\"ping\"}",
        "{\"id\":1}",
        "{\"id\":1,\"op\":1}",
        "{\"id\":0,\"op\":\"ping\"}",
        "{\"id\":-1,\"op\":\"ping\"}",
        "{\"id\":1.0,\"op\":\"ping\"}",
        "{\"id\":\"1\",\"op\":\"ping\"}",
        "{\"id\":9007199254740992,\"op\":\"ping\"}",
        "{\"id\":1,\"op\":\"ping\"} x",
        "{\"id\":1,\"op\":\"ping\",\"op\":\"sign\"}",
        "{\"id\":1,\"op\":\"ping\",\"\\u006fp\":\"sign\"}",
        "{\"id\":1,\"op\":\"ping\",\"a\":[[[[[[[[[[1]]]]]]]]]]}",
        "{'id':1}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(read_request(bad[i], &r), ATTEST_E_MALFORMED);
}

static void
bounds_the_values_of_a_request(void **state)
{
    (void)state;
    char text[] = "{\"id\":1,\"op\":\"x\",\"a\":[1,1,1,1]}";
    JSON_NODES(j, 8);
    struct frame_request r;
    assert_int_equal(frame_read_request(&j, text, strlen(text), &r, NULL), ATTEST_E_MALFORMED);
}

static enum attest_rc
read_answer(struct buf *b, struct frame_answer *a)
{
    static struct json_node nodes[64];
    static struct json j;
    j = (struct json){nodes, 64, 0};
    return frame_read_answer(&j, b->p, b->len, a, NULL);
}

static void
answers_survive_the_way(void **state)
{
    (void)state;
    AUTO(buf) struct buf b;
    buf_init(&b, 4096);
    struct frame_answer a;
    frame_put_ok(&b, 7);
    buf_str(&b, ",\"token\":\"t\",\"exp\":12}");
    assert_int_equal(read_answer(&b, &a), ATTEST_OK);
    assert_int_equal(a.rc, ATTEST_OK);
    assert_true(a.id == 7);
    struct slice token;
    int64_t exp_s;
    assert_true(frame_string(a.json, a.root, "token", &token) && slice_is(token, "t"));
    assert_true(frame_int64(a.json, a.root, "exp", &exp_s) && exp_s == 12);
    assert_false(frame_string(a.json, a.root, "exp", &token));
    assert_false(frame_int64(a.json, a.root, "nothing", &exp_s));

    buf_reset(&b);
    frame_put_error(&b, 8, ATTEST_E_CLAIMS, "audience: \"missing\"", "audience");
    assert_int_equal(read_answer(&b, &a), ATTEST_OK);
    assert_int_equal(a.rc, ATTEST_E_CLAIMS);
    assert_true(slice_is(a.text, "audience: \"missing\""));
    assert_true(slice_is(a.member, "audience"));

    buf_reset(&b);
    frame_put_error(&b, 9, ATTEST_E_BUSY, NULL, NULL);
    assert_int_equal(read_answer(&b, &a), ATTEST_OK);
    assert_int_equal(a.rc, ATTEST_E_BUSY);
    assert_true(slice_is(a.text, attest_strerror(ATTEST_E_BUSY)));
    assert_int_equal(a.member.len, 0);
}

static void
refuses_answers_that_say_neither(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{\"id\":1}",
        "{\"id\":1,\"ok\":1}",
        "{\"id\":1,\"ok\":false}",
        "{\"id\":1,\"ok\":true,\"error\":{\"code\":1,\"text\":\"\"}}",
        "{\"id\":1,\"ok\":false,\"error\":{\"code\":\"1\",\"text\":\"\"}}",
        "{\"id\":1,\"ok\":false,\"error\":{\"code\":1}}",
        "{\"ok\":true}",
    };
    AUTO(buf) struct buf b;
    buf_init(&b, 4096);
    struct frame_answer a;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        buf_reset(&b);
        buf_str(&b, bad[i]);
        assert_int_equal(read_answer(&b, &a), ATTEST_E_MALFORMED);
    }
    /* A newer signer's code, and "ok" as a code, are errors all the same. */
    static const char *const odd[] = {
        "{\"id\":1,\"ok\":false,\"error\":{\"code\":4711,\"text\":\"new\"}}",
        "{\"id\":1,\"ok\":false,\"error\":{\"code\":0,\"text\":\"odd\"}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        buf_reset(&b);
        buf_str(&b, odd[i]);
        assert_int_equal(read_answer(&b, &a), ATTEST_OK);
        assert_int_equal(a.rc, ATTEST_E_INTERNAL);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_frames_only_when_whole),
        cmocka_unit_test(refuses_lengths_before_the_body_is_there),
        cmocka_unit_test(takes_back_what_does_not_fit),
        cmocka_unit_test(reads_requests),
        cmocka_unit_test(bounds_the_values_of_a_request),
        cmocka_unit_test(answers_survive_the_way),
        cmocka_unit_test(refuses_answers_that_say_neither),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
