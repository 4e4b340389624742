/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <semaphore.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/sock.h"
#include "tests/support/tempdir.h"
#include "wire/client.h"

#define PATIENCE_MS 20000 /* only a client that forgot us makes a test wait so long */

struct seen {
    sem_t some;
    _Atomic int keysets, answers;
    _Atomic enum attest_rc rc;
};

static struct {
    char dir[TEMPDIR_SIZE];
    char path[TEMPDIR_SIZE + 16];
    int listen_fd;
} signer;

static void
on_keyset(void *ctx, const struct frame_answer *answer)
{
    struct seen *seen = ctx;
    seen->rc = answer->rc;
    seen->keysets++;
    sem_post(&seen->some);
}

static void
on_answer(void *ctx, const struct frame_answer *answer)
{
    struct seen *seen = ctx;
    seen->rc = answer->rc;
    seen->answers++;
    sem_post(&seen->some);
}

static void
wait_some(struct seen *seen)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    assert_int_equal(sem_timedwait(&seen->some, &until), 0);
}

static int
accept_client(void)
{
    struct pollfd p = {.fd = signer.listen_fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    int fd = accept(signer.listen_fd, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

/* The next frame's text, with NUL. */
static void
read_frame(int fd, char *text, size_t size)
{
    size_t len = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        /* A byte at a time, so that the frame behind is left alone. */
        assert_int_equal(recv(fd, text + len, 1, 0), 1);
        len++;
        assert_true(len < size);
        if (len >= 4 && len == 4 + be32_get((const uint8_t *)text))
            break;
    }
    memmove(text, text + 4, len - 4);
    text[len - 4] = '\0';
}

static void
write_frame(int fd, const char *text)
{
    uint8_t head[4];
    be32_put(head, (uint32_t)strlen(text));
    assert_int_equal(send(fd, head, 4, 0), 4);
    assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

static int64_t
id_of(const char *text)
{
    long long id = 0;
    assert_int_equal(sscanf(text, "{\"id\":%lld,", &id), 1);
    return id;
}

static void
answer_ok(int fd, int64_t id)
{
    char text[64];
    snprintf(text, sizeof(text), "{\"id\":%lld,\"ok\":true}", (long long)id);
    write_frame(fd, text);
}

static struct wire_client *
start_client(struct seen *seen)
{
    struct wire_client_config config = {
        .socket_path = signer.path, .in_flight_max = 4, .on_keyset = on_keyset, .ctx = seen};
    struct wire_client *client = NULL;
    sem_init(&seen->some, 0, 0);
    assert_int_equal(wire_client_new(&config, &client, NULL), ATTEST_OK);
    return client;
}

static void
subscribe(int fd, struct seen *seen)
{
    char text[256];
    read_frame(fd, text, sizeof(text));
    assert_non_null(strstr(text, "\"op\":\"keyset\""));
    answer_ok(fd, id_of(text));
    wait_some(seen);
}

/* Nobody asks for anything: the key set comes all the same, also after the connection was lost. */
static void
test_subscribes_unasked(void **state)
{
    (void)state;
    struct seen seen = {0};
    AUTO(wire_client) struct wire_client *client = start_client(&seen);
    for (int i = 1; i <= 2; i++) {
        AUTO(fd) int fd = accept_client();
        subscribe(fd, &seen);
        assert_int_equal(seen.keysets, i);
    }
}

static void
test_answers_in_any_order(void **state)
{
    (void)state;
    struct seen seen = {0};
    AUTO(wire_client) struct wire_client *client = start_client(&seen);
    AUTO(fd) int fd = accept_client();
    int64_t id[4];
    char text[256];
    subscribe(fd, &seen);
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            wire_client_send(client, "ping", slice_cstr("\"a\":1"), deadline_ms, on_answer, &seen),
            ATTEST_OK);
    assert_int_equal(
        wire_client_send(client, "ping", slice_cstr(""), deadline_ms, on_answer, &seen),
        ATTEST_E_BUSY);
    for (int i = 0; i < 4; i++) {
        read_frame(fd, text, sizeof(text));
        id[i] = id_of(text);
    }
    for (int i = 3; i >= 0; i--)
        answer_ok(fd, id[i]);
    answer_ok(fd, id[0]); /* once too often: dropped */
    for (int i = 0; i < 4; i++)
        wait_some(&seen);
    assert_int_equal(seen.answers, 4);
    assert_int_equal(seen.rc, ATTEST_OK);
}

static void
test_deadline_and_loss(void **state)
{
    (void)state;
    struct seen seen = {0};
    AUTO(wire_client) struct wire_client *client = start_client(&seen);
    int fd = accept_client();
    subscribe(fd, &seen);
    assert_int_equal(
        wire_client_send(client, "ping", slice_cstr(""), clock_mono_ms() + 1, on_answer, &seen),
        ATTEST_OK);
    wait_some(&seen);
    assert_int_equal(seen.rc, ATTEST_E_TIMEOUT);
    assert_int_equal(wire_client_send(client, "ping", slice_cstr(""), clock_mono_ms() + PATIENCE_MS,
                                      on_answer, &seen),
                     ATTEST_OK);
    close(fd);
    wait_some(&seen);
    assert_int_equal(seen.rc, ATTEST_E_IO);
    assert_int_equal(seen.answers, 2);
}

static int
set_up(void **state)
{
    (void)state;
    if (tempdir_make(signer.dir))
        return -1;
    snprintf(signer.path, sizeof(signer.path), "%s/signer.sock", signer.dir);
    return (int)sock_listen_unix(signer.path, 0600, (gid_t)-1, &signer.listen_fd, NULL);
}

static int
tear_down(void **state)
{
    (void)state;
    close(signer.listen_fd);
    tempdir_remove(signer.dir);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_subscribes_unasked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answers_in_any_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline_and_loss, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
