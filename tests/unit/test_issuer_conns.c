/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/ed25519.h"
#include "issuer/conns.h"

enum { MAX = 32, PER_ADDRESS = 3, REQUEST_MS = 1000, IDLE_MS = 5000 };

static struct conn_address proxy;

/* A connection: our end, and the client's that notices a shutdown. */
struct pair {
    struct conn *conn;
    int client;
};

static struct conns *
fresh(void)
{
    assert_int_equal(crypto_init(NULL), ATTEST_OK);
    assert_true(conn_address_read("192.0.2.9", &proxy));
    struct conns_config config = {.connections_max = MAX,
                                  .per_address_max = PER_ADDRESS,
                                  .request_timeout_ms = REQUEST_MS,
                                  .idle_timeout_ms = IDLE_MS,
                                  .proxies = &proxy,
                                  .n_proxies = 1};
    struct conns *c = NULL;
    assert_int_equal(conns_new(&config, &c, NULL), ATTEST_OK);
    return c;
}

static enum conns_answer
let_in(struct conns *c, const char *address, int64_t now_ms, struct pair *ret)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct conn like = {.is_unix = address == NULL};
    if (address)
        assert_true(conn_address_read(address, &like.address));
    ret->client = fds[1];
    enum conns_answer answer = conns_open(c, fds[0], &like, now_ms, &ret->conn);
    if (answer == CONNS_OPEN)
        conns_started(c, ret->conn);
    else {
        close(fds[0]);
        close(fds[1]);
    }
    return answer;
}

static bool
was_shut(const struct pair *p)
{
    char byte;
    return recvfrom(p->client, &byte, 1, MSG_DONTWAIT, NULL, NULL) == 0;
}

static void
leave(struct conns *c, struct pair *p)
{
    int fd = p->conn->fd;
    conns_closed(c, p->conn);
    close(fd);
    close(p->client);
}

static void
test_per_address(void **state)
{
    (void)state;
    AUTO(conns) struct conns *c = fresh();
    struct pair p[16], extra;
    size_t n = 0;
    for (; n < PER_ADDRESS; n++)
        assert_int_equal(let_in(c, "127.0.0.1", 1, &p[n]), CONNS_OPEN);
    assert_int_equal(let_in(c, "127.0.0.1", 1, &extra), CONNS_PER_ADDRESS);
    assert_int_equal(let_in(c, "127.0.0.2", 1, &p[n++]), CONNS_OPEN);
    /* one /64 is one host, another is another */
    for (int i = 0; i < PER_ADDRESS; i++) {
        char text[64];
        snprintf(text, sizeof(text), "2001:db8::%x:1", i);
        assert_int_equal(let_in(c, text, 1, &p[n++]), CONNS_OPEN);
    }
    assert_int_equal(let_in(c, "2001:db8::ffff", 1, &extra), CONNS_PER_ADDRESS);
    assert_int_equal(let_in(c, "2001:db8:0:1::1", 1, &p[n++]), CONNS_OPEN);
    /* a place given back is free again */
    leave(c, &p[0]);
    assert_int_equal(let_in(c, "127.0.0.1", 1, &p[0]), CONNS_OPEN);
    for (size_t i = 0; i < n; i++)
        leave(c, &p[i]);
}

static void
test_proxies_and_unix_are_not_counted(void **state)
{
    (void)state;
    AUTO(conns) struct conns *c = fresh();
    struct pair p[2 * PER_ADDRESS + 2];
    size_t n = 0;
    for (int i = 0; i < PER_ADDRESS + 1; i++) {
        assert_int_equal(let_in(c, "192.0.2.9", 1, &p[n++]), CONNS_OPEN);
        assert_int_equal(let_in(c, NULL, 1, &p[n++]), CONNS_OPEN);
    }
    for (size_t i = 0; i < n; i++)
        leave(c, &p[i]);
}

static void
test_deadlines(void **state)
{
    (void)state;
    AUTO(conns) struct conns *c = fresh();
    struct pair silent, slow, at_work, idle, late_idle;
    assert_int_equal(let_in(c, "10.0.0.1", 100, &silent), CONNS_OPEN);
    assert_int_equal(let_in(c, "10.0.0.2", 100, &slow), CONNS_OPEN);
    assert_int_equal(let_in(c, "10.0.0.3", 100, &at_work), CONNS_OPEN);
    assert_int_equal(let_in(c, "10.0.0.4", 100, &idle), CONNS_OPEN);
    assert_int_equal(let_in(c, "10.0.0.5", 100, &late_idle), CONNS_OPEN);
    conn_mark(slow.conn, CONN_READING, 600);
    conn_mark(at_work.conn, CONN_WORKING, 100);
    conn_mark(idle.conn, CONN_IDLE, 200);
    conn_mark(late_idle.conn, CONN_IDLE, 900000);
    unsigned late, idlers;
    conns_expire(c, 100 + REQUEST_MS, &late, &idlers);
    assert_int_equal(late + idlers, 0);
    conns_expire(c, 101 + REQUEST_MS, &late, &idlers);
    assert_int_equal(late, 1);
    assert_int_equal(idlers, 0);
    assert_true(was_shut(&silent));
    assert_false(was_shut(&slow));
    conns_expire(c, 900000, &late, &idlers);
    assert_int_equal(late, 1);
    assert_int_equal(idlers, 1);
    assert_true(was_shut(&slow));
    assert_true(was_shut(&idle));
    assert_false(was_shut(&at_work));
    assert_false(was_shut(&late_idle));
    struct pair *all[] = {&silent, &slow, &at_work, &idle, &late_idle};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        leave(c, all[i]);
    struct conns_counts counts;
    conns_count(c, &counts);
    assert_int_equal(counts.open, 0);
}

static void
test_shedding(void **state)
{
    (void)state;
    AUTO(conns) struct conns *c = fresh();
    struct pair p[MAX], extra;
    for (int i = 0; i < MAX; i++) {
        if (i < 4)
            assert_false(conns_shed(c)); /* far from full */
        assert_int_equal(let_in(c, "192.0.2.9", 1000 + i, &p[i]), CONNS_OPEN);
    }
    conn_mark(p[0].conn, CONN_WORKING, 2000); /* the oldest are at work, or were just now */
    conn_mark(p[1].conn, CONN_WORKING, 2001);
    conn_mark(p[1].conn, CONN_IDLE, 2002);
    assert_int_equal(let_in(c, "192.0.2.9", 3000, &extra), CONNS_FULL);
    assert_true(conns_shed(c));
    assert_false(was_shut(&p[0]));
    assert_false(was_shut(&p[1]));
    assert_true(was_shut(&p[2]));
    assert_true(conns_shed(c));
    assert_true(was_shut(&p[3]));
    assert_true(conns_shed(c));
    assert_true(conns_shed(c));
    assert_false(conns_shed(c)); /* what is on its way out counts as gone */
    for (int i = 0; i < MAX; i++)
        leave(c, &p[i]);
}

static void
test_idlers_go_when_draining(void **state)
{
    (void)state;
    AUTO(conns) struct conns *c = fresh();
    struct pair fresh_one, reading, working;
    assert_int_equal(let_in(c, "10.0.0.1", 1, &fresh_one), CONNS_OPEN);
    assert_int_equal(let_in(c, "10.0.0.1", 1, &reading), CONNS_OPEN);
    assert_int_equal(let_in(c, "10.0.0.1", 1, &working), CONNS_OPEN);
    conn_mark(reading.conn, CONN_READING, 2);
    conn_mark(working.conn, CONN_WORKING, 2);
    conns_close_idle(c);
    assert_true(was_shut(&fresh_one));
    assert_false(was_shut(&reading));
    assert_false(was_shut(&working));
    leave(c, &fresh_one);
    leave(c, &reading);
    leave(c, &working);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_per_address),
        cmocka_unit_test(test_proxies_and_unix_are_not_counted),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_shedding),
        cmocka_unit_test(test_idlers_go_when_draining),
    };
    return cmocka_run_group_tests_name("connections", tests, NULL, NULL);
}
