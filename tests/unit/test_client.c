/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/sock.h"
#include "tests/support/tempdir.h"
#include "wire/client.h"

/* A signer of the test's own: one connection at a time, answers as it is told. */
enum manner {
    ECHO,      /* {"id":…,"ok":true,"n":…} with the request's n */
    BACKWARDS, /* the same, each batch of ten the other way round */
    SILENT,    /* the key set only */
    LATE,      /* 300 ms after the request */
    REFUSE,    /* an error that names a member */
    GARBAGE,   /* what is no frame */
    HANG_UP,   /* closes on the first request */
    SLOW,      /* reads little at a time, then as ECHO */
};

static char dir[TEMPDIR_SIZE];
static char path[TEMPDIR_SIZE + 16];

static struct {
    pthread_t thread;
    int listen_fd;
    _Atomic enum manner manner;
    atomic_bool stop;
    atomic_int requests, connections;
} fake;

static void
pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static bool
send_all(int fd, const struct buf *b)
{
    for (size_t at = 0; at < b->len;) {
        ssize_t n = send(fd, b->p + at, b->len - at, MSG_NOSIGNAL);
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (n > 0)
            at += (size_t)n;
        else if (poll(&p, 1, 5000) <= 0)
            return false;
    }
    return true;
}

static void
put_answer(struct buf *out, int64_t id, int64_t n)
{
    size_t start = frame_open(out);
    frame_put_ok(out, id);
    buf_printf(out, ",\"n\":%lld}", (long long)n);
    frame_close(out, start);
}

/* Answers one request; false hangs up. */
static bool
fake_answer(int fd, const struct frame_request *r, struct buf *held, int *n_held)
{
    AUTO(buf) struct buf out;
    buf_init(&out, 1 << 20);
    int64_t n = -1;
    (void)frame_int64(r->json, r->root, "n", &n);
    if (slice_is(r->op, "keyset")) {
        put_answer(&out, r->id, 4711);
        return send_all(fd, &out);
    }
    atomic_fetch_add(&fake.requests, 1);
    size_t start;
    switch (atomic_load(&fake.manner)) {
    case SILENT:
        return true;
    case HANG_UP:
        return false;
    case GARBAGE:
        buf_append(&out, "\0\0\0\2no", 6);
        return send_all(fd, &out);
    case REFUSE:
        start = frame_open(&out);
        frame_put_error(&out, r->id, ATTEST_E_CLAIMS, "missing", "audience");
        frame_close(&out, start);
        return send_all(fd, &out);
    case BACKWARDS:
        put_answer(&out, r->id, n);
        buf_slice(&out, buf_view(held));
        buf_reset(held);
        buf_slice(held, buf_view(&out));
        if (++*n_held < 10)
            return true;
        *n_held = 0;
        bool sent = send_all(fd, held);
        buf_reset(held);
        return sent;
    case LATE:
        pause_ms(300);
        break;
    case ECHO:
    case SLOW:
        break;
    }
    put_answer(&out, r->id, n);
    return send_all(fd, &out);
}

static void
fake_serve(int fd)
{
    static struct json_node nodes[256];
    AUTO(buf) struct buf in, held;
    int n_held = 0;
    buf_init(&in, 1 << 20);
    buf_init(&held, 1 << 20);
    while (!atomic_load(&fake.stop)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 20) <= 0)
            continue;
        bool slow = atomic_load(&fake.manner) == SLOW;
        ssize_t n = recv(fd, buf_reserve(&in, 65536), slow ? 3000 : 65536, 0);
        if (n <= 0)
            return;
        in.len += (size_t)n;
        struct frame frame;
        while (frame_find(in.p, in.len, &frame) == FRAME_WHOLE) {
            struct json j = {nodes, ARRAY_LEN(nodes), 0};
            struct frame_request r;
            if (frame_read_request(&j, frame.body, frame.body_len, &r, NULL) ||
                !fake_answer(fd, &r, &held, &n_held))
                return;
            buf_consume(&in, frame.taken_len);
        }
    }
}

static void *
fake_main(void *arg)
{
    (void)arg;
    while (!atomic_load(&fake.stop)) {
        struct pollfd p = {.fd = fake.listen_fd, .events = POLLIN};
        if (poll(&p, 1, 20) <= 0)
            continue;
        AUTO(fd) int fd = accept(fake.listen_fd, NULL, NULL);
        if (fd < 0)
            continue;
        atomic_fetch_add(&fake.connections, 1);
        fake_serve(fd);
    }
    return NULL;
}

static int
set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    if (tempdir_make(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/s", dir);
    if (sock_listen_unix(path, 0600, (gid_t)-1, &fake.listen_fd, NULL))
        return -1;
    return pthread_create(&fake.thread, NULL, fake_main, NULL);
}

static int
tear_down(void **state)
{
    (void)state;
    atomic_store(&fake.stop, true);
    pthread_join(fake.thread, NULL);
    close(fake.listen_fd);
    tempdir_remove(dir);
    return 0;
}

/* ---- the client's side ---- */

enum { MOST = 1000 };

static struct {
    atomic_int keysets, ups, downs;
    atomic_int answers[MOST]; /* how often the request n was answered */
    atomic_int rc[MOST];
    atomic_int total;
} seen;

static void
on_keyset(void *ctx, const struct frame_answer *a)
{
    (void)ctx;
    int64_t n = 0;
    if (frame_int64(a->json, a->root, "n", &n) && n == 4711)
        atomic_fetch_add(&seen.keysets, 1);
}

static void
on_link(void *ctx, bool up, const char *why)
{
    (void)ctx, (void)why;
    atomic_fetch_add(up ? &seen.ups : &seen.downs, 1);
}

static void
answered(void *ctx, const struct frame_answer *a)
{
    size_t i = (size_t)(uintptr_t)ctx;
    int64_t n = -1;
    /* An answer is for the one who asked. */
    if (a->rc == ATTEST_OK && (!frame_int64(a->json, a->root, "n", &n) || n != (int64_t)i))
        abort();
    atomic_store(&seen.rc[i], (int)a->rc);
    atomic_fetch_add(&seen.answers[i], 1);
    atomic_fetch_add(&seen.total, 1);
}

static struct wire_client *
connect_client(unsigned in_flight_max)
{
    memset(&seen, 0, sizeof(seen));
    struct wire_client_config config = {.socket_path = path,
                                        .in_flight_max = in_flight_max,
                                        .on_keyset = on_keyset,
                                        .on_link = on_link};
    struct wire_client *c = NULL;
    assert_int_equal(wire_client_new(&config, &c, NULL), ATTEST_OK);
    return c;
}

static void
wait_for(atomic_int *what, int at_least)
{
    for (int i = 0; i < 4000 && atomic_load(what) < at_least; i++)
        pause_ms(5);
    assert_true(atomic_load(what) >= at_least);
}

static enum attest_rc
ask_sized(struct wire_client *c, size_t n, int64_t timeout_ms, size_t padding)
{
    AUTO(buf) struct buf b;
    buf_init(&b, 1 << 20);
    buf_printf(&b, "\"n\":%zu,\"pad\":\"", n);
    char *room = buf_reserve(&b, padding + 1);
    memset(room, 'x', padding);
    b.len += padding;
    buf_char(&b, '"');
    return wire_client_send(c, "sign", buf_view(&b), clock_mono_ms() + timeout_ms, answered,
                            (void *)(uintptr_t)n);
}

static enum attest_rc
ask(struct wire_client *c, size_t n, int64_t timeout_ms)
{
    return ask_sized(c, n, timeout_ms, 0);
}

static void
check_each_once(size_t n, enum attest_rc rc)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(atomic_load(&seen.answers[i]), 1);
        assert_int_equal(atomic_load(&seen.rc[i]), rc);
    }
}

struct asker {
    struct wire_client *c;
    size_t from;
};

static void *
ask_250(void *arg)
{
    struct asker *job = arg;
    for (size_t i = 0; i < 250; i++) {
        while (ask(job->c, job->from + i, 20000) != ATTEST_OK)
            pause_ms(1);
    }
    return NULL;
}

static void
answers_find_who_asked(void **state)
{
    (void)state;
    atomic_store(&fake.manner, BACKWARDS);
    AUTO(wire_client) struct wire_client *c = connect_client(64);
    wait_for(&seen.keysets, 1);
    pthread_t threads[4];
    struct asker jobs[4];
    for (size_t i = 0; i < 4; i++) {
        jobs[i].c = c;
        jobs[i].from = i * 250;
        assert_int_equal(pthread_create(&threads[i], NULL, ask_250, &jobs[i]), 0);
    }
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    wait_for(&seen.total, MOST);
    check_each_once(MOST, ATTEST_OK);
    struct wire_client_stats stats;
    wire_client_stats(c, &stats);
    assert_int_equal(stats.in_flight, 0);
    assert_int_equal(stats.connects, 1);
}

static void
large_requests_to_a_slow_reader_all_arrive(void **state)
{
    (void)state;
    atomic_store(&fake.manner, SLOW);
    AUTO(wire_client) struct wire_client *c = connect_client(64);
    wait_for(&seen.keysets, 1);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(ask_sized(c, i, 60000, 40000), ATTEST_OK);
    assert_int_equal(ask_sized(c, 40, 60000, FRAME_BODY_MAX), ATTEST_E_LIMIT);
    wait_for(&seen.total, 40);
    check_each_once(40, ATTEST_OK);
}

static void
a_lost_connection_answers_everyone_and_comes_back(void **state)
{
    (void)state;
    atomic_store(&fake.manner, SILENT);
    AUTO(wire_client) struct wire_client *c = connect_client(64);
    wait_for(&seen.keysets, 1);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(ask(c, i, 60000), ATTEST_OK);
    wait_for(&fake.requests, 20);
    atomic_store(&fake.manner, HANG_UP);
    assert_int_equal(ask(c, 20, 60000), ATTEST_OK);
    wait_for(&seen.total, 21);
    check_each_once(21, ATTEST_E_IO);
    atomic_store(&fake.manner, ECHO);
    wait_for(&seen.keysets, 2); /* it subscribed again by itself */
    while (ask(c, 21, 20000) != ATTEST_OK)
        pause_ms(5);
    wait_for(&seen.total, 22);
    assert_int_equal(atomic_load(&seen.rc[21]), ATTEST_OK);
    assert_true(atomic_load(&seen.downs) >= 1);
}

static void
garbage_ends_the_connection(void **state)
{
    (void)state;
    atomic_store(&fake.manner, GARBAGE);
    AUTO(wire_client) struct wire_client *c = connect_client(4);
    wait_for(&seen.keysets, 1);
    assert_int_equal(ask(c, 0, 60000), ATTEST_OK);
    wait_for(&seen.total, 1);
    check_each_once(1, ATTEST_E_IO);
    wait_for(&seen.downs, 1);
}

static void
deadlines_are_kept_and_late_answers_dropped(void **state)
{
    (void)state;
    atomic_store(&fake.manner, LATE);
    AUTO(wire_client) struct wire_client *c = connect_client(4);
    wait_for(&seen.keysets, 1);
    assert_int_equal(ask(c, 0, 20), ATTEST_OK);
    wait_for(&seen.total, 1);
    check_each_once(1, ATTEST_E_TIMEOUT);
    assert_int_equal(ask(c, 1, 60000), ATTEST_OK);
    wait_for(&seen.total, 2);
    assert_int_equal(atomic_load(&seen.rc[1]), ATTEST_OK);
    check_each_once(1, ATTEST_E_TIMEOUT);
    struct wire_client_stats stats;
    wire_client_stats(c, &stats);
    assert_int_equal(stats.timeouts, 1);
    assert_int_equal(stats.late_answers, 1);
}

static void
what_is_under_way_is_bounded(void **state)
{
    (void)state;
    atomic_store(&fake.manner, SILENT);
    struct wire_client *c = connect_client(3);
    wait_for(&seen.keysets, 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(ask(c, i, 60000), ATTEST_OK);
    assert_int_equal(ask(c, 3, 60000), ATTEST_E_BUSY);
    wire_client_free(c); /* what was under way is answered all the same */
    check_each_once(3, ATTEST_E_IO);
    assert_int_equal(atomic_load(&seen.answers[3]), 0);
}

static void
without_a_signer_it_says_so_at_once(void **state)
{
    (void)state;
    char other[sizeof(path) + 8];
    snprintf(other, sizeof(other), "%s-none", path);
    struct wire_client_config config = {.socket_path = other, .in_flight_max = 4};
    struct wire_client *c = NULL;
    assert_int_equal(wire_client_new(&config, &c, NULL), ATTEST_OK);
    assert_int_equal(ask(c, 0, 60000), ATTEST_E_IO);
    wire_client_free(c);
    config.in_flight_max = 0;
    assert_int_equal(wire_client_new(&config, &c, NULL), ATTEST_E_ARGUMENT);
}

static void
one_call_one_answer(void **state)
{
    (void)state;
    AUTO(buf) struct buf answer;
    struct attest_error err;
    buf_init(&answer, FRAME_BODY_MAX);
    assert_int_equal(wire_call(path, "sign", slice_cstr("\"n\":7"), 20000, &answer, &err), 0);
    assert_true(slice_is(buf_view(&answer), "{\"id\":1,\"ok\":true,\"n\":7}"));

    atomic_store(&fake.manner, REFUSE);
    assert_int_equal(wire_call(path, "sign", slice_cstr(""), 20000, &answer, &err),
                     ATTEST_E_CLAIMS);
    assert_string_equal(err.text, "audience: missing");
    atomic_store(&fake.manner, HANG_UP);
    assert_int_equal(wire_call(path, "sign", slice_cstr(""), 20000, &answer, &err), ATTEST_E_IO);
    atomic_store(&fake.manner, SILENT);
    assert_int_equal(wire_call(path, "sign", slice_cstr(""), 50, &answer, &err), ATTEST_E_TIMEOUT);
    atomic_store(&fake.manner, GARBAGE);
    assert_int_equal(wire_call(path, "sign", slice_cstr(""), 20000, &answer, &err),
                     ATTEST_E_MALFORMED);
}

int
main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(answers_find_who_asked),
        ONE(large_requests_to_a_slow_reader_all_arrive),
        ONE(a_lost_connection_answers_everyone_and_comes_back),
        ONE(garbage_ends_the_connection),
        ONE(deadlines_are_kept_and_late_answers_dropped),
        ONE(what_is_under_way_is_bounded),
        ONE(without_a_signer_it_says_so_at_once),
        ONE(one_call_one_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
