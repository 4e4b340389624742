/* SPDX-License-Identifier: MIT */
/*
 * Sends each tests/vectors/http/<name>/input to a running issuer and compares what reached a
 * handler with what may. Each goes three ways: at once, cut in the middle, byte by byte. Behind it
 * comes a sentinel request: it must be heard when the connection is to stay open, and must not be
 * otherwise.
 *
 * expect: `call METHOD PATH` each must happen, in this order; `may METHOD PATH` may stand between;
 * `status N` the answers in order (`N head` has no body; `N|M` one of them, `N|none` perhaps none:
 * the library's versions differ in what they refuse themselves), or `status any`; `end open`, `end
 * closed`, or `end waiting` when the input is an incomplete request.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/ed25519.h"
#include "base/file.h"
#include "base/log.h"
#include "issuer/issuer.h"

enum { CALLS_MAX = 16, LINES_MAX = 16, LINE_MAX_LEN = 128 };

#define SENTINEL_PATH "/sentinel"
static const char sentinel[] =
    "GET " SENTINEL_PATH " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
static const char sentinel_call[] = "GET " SENTINEL_PATH;

struct lines {
    char at[LINES_MAX][LINE_MAX_LEN];
    bool optional[LINES_MAX];
    size_t n;
};

struct vector {
    const char *name;
    struct buf input;
    struct lines calls, statuses;
    bool any_status;
    char end[16];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t called;
    struct lines calls;
    uint16_t port;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER};

static void
lines_add(struct lines *l, const char *text, bool optional)
{
    assert_in_range(l->n, 0, LINES_MAX - 1);
    snprintf(l->at[l->n], LINE_MAX_LEN, "%s", text);
    l->optional[l->n++] = optional;
}

static void
observe(void *ctx, const char *method, struct slice path)
{
    (void)ctx;
    char line[LINE_MAX_LEN];
    snprintf(line, sizeof(line), "%s %.*s", method, SLICE_ARG(path));
    pthread_mutex_lock(&server.lock);
    if (server.calls.n < LINES_MAX)
        snprintf(server.calls.at[server.calls.n++], LINE_MAX_LEN, "%s", line);
    pthread_cond_broadcast(&server.called);
    pthread_mutex_unlock(&server.lock);
}

static void
vector_read(struct vector *v, const char *dir, const char *name)
{
    char path[512];
    AUTO(buf) struct buf text;
    buf_init(&text, 65536);
    buf_init(&v->input, 1 << 20);
    v->name = name;
    snprintf(path, sizeof(path), "%s/%s/input", dir, name);
    assert_int_equal(file_read(path, 1 << 20, &v->input, NULL), ATTEST_OK);
    snprintf(path, sizeof(path), "%s/%s/expect", dir, name);
    assert_int_equal(file_read(path, 65536, &text, NULL), ATTEST_OK);
    assert_true(buf_terminate(&text));
    char *rest = text.p;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (strncmp(line, "call ", 5) == 0)
            lines_add(&v->calls, line + 5, false);
        else if (strncmp(line, "may ", 4) == 0)
            lines_add(&v->calls, line + 4, true);
        else if (strcmp(line, "status any") == 0)
            v->any_status = true;
        else if (strncmp(line, "status ", 7) == 0)
            lines_add(&v->statuses, line + 7, false);
        else if (strncmp(line, "end ", 4) == 0)
            snprintf(v->end, sizeof(v->end), "%s", line + 4);
        else if (line[0] && line[0] != '#')
            fail_msg("%s: '%s' is not understood", name, line);
    }
    assert_true(v->end[0]);
}

static int
connect_to_server(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(server.port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct timeval patience = {.tv_sec = 60}; /* a hang is a failure, not a wait for ever */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

/* False when the server has closed. */
static bool
send_pieces(int fd, const char *p, size_t len, size_t piece)
{
    while (len) {
        size_t want = len < piece ? len : piece;
        ssize_t n = send(fd, p, want, MSG_NOSIGNAL);
        if (n < 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static void
read_to_end(int fd, struct buf *out, const char *name)
{
    for (;;) {
        char *room = buf_reserve(out, 4096);
        assert_non_null(room);
        ssize_t n = recvfrom(fd, room, 4096, 0, NULL, NULL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            fail_msg("%s: neither an answer nor an end", name);
        if (n <= 0)
            return;
        out->len += (size_t)n;
    }
}

/*
 * The statuses of the answers, each as long as its Content-Length says, up to one that closes the
 * connection. want says which are answers to HEAD.
 */
static void
find_statuses(struct buf *answers, const struct lines *want, struct lines *ret)
{
    static const char mark[] = "HTTP/1.1 ", length[] = "\r\nContent-Length: ";
    assert_true(buf_terminate(answers));
    for (const char *p = answers->p; strncmp(p, mark, sizeof(mark) - 1) == 0;) {
        char *end = strstr(p, "\r\n\r\n");
        if (!end)
            return;
        bool head = ret->n < want->n && strstr(want->at[ret->n], " head");
        char text[16];
        snprintf(text, sizeof(text), "%.3s%s", p + sizeof(mark) - 1, head ? " head" : "");
        lines_add(ret, text, false);
        *end = '\0';
        const char *found = strstr(p, length);
        if (strstr(p, "\r\nConnection: close"))
            return;
        p = end + 4;
        if (found && !head)
            p += strtoul(found + sizeof(length) - 1, NULL, 10);
        assert_true(p <= answers->p + answers->len);
    }
}

/* Whether text is one of the words between the bars of want. */
static bool
is_one_of(const char *want, const char *text)
{
    size_t len = strlen(text);
    for (const char *p = want; p; p = strchr(p, '|')) {
        p += *p == '|';
        if (strncmp(p, text, len) == 0 && (p[len] == '|' || p[len] == '\0'))
            return true;
    }
    return false;
}

static void
compare(const char *name, const char *what, const struct lines *want, const struct lines *got)
{
    size_t g = 0;
    for (size_t w = 0; w < want->n; w++) {
        if (g < got->n && is_one_of(want->at[w], got->at[g]))
            g++;
        else if (!want->optional[w] && !is_one_of(want->at[w], "none"))
            fail_msg("%s: %s: '%s' expected, '%s' found", name, what, want->at[w],
                     g < got->n ? got->at[g] : "nothing");
    }
    if (g < got->n)
        fail_msg("%s: %s: '%s' beyond what may be", name, what, got->at[g]);
}

static void
wait_for_calls(size_t n)
{
    struct timespec until;
    int failed = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    pthread_mutex_lock(&server.lock);
    while (server.calls.n < n && !failed)
        failed = pthread_cond_timedwait(&server.called, &server.lock, &until);
    pthread_mutex_unlock(&server.lock);
    assert_int_equal(failed, 0);
}

static void
run_one(const struct vector *v, size_t piece)
{
    bool open = strcmp(v->end, "open") == 0, waiting = strcmp(v->end, "waiting") == 0;
    pthread_mutex_lock(&server.lock);
    server.calls.n = 0;
    pthread_mutex_unlock(&server.lock);
    AUTO(fd) int fd = connect_to_server();
    AUTO(buf) struct buf answers;
    buf_init(&answers, 1 << 20);
    if (send_pieces(fd, v->input.p, v->input.len, piece) && !waiting)
        send_pieces(fd, sentinel, sizeof(sentinel) - 1, sizeof(sentinel));
    if (waiting) {
        wait_for_calls(v->calls.n);
        shutdown(fd, SHUT_WR);
    }
    read_to_end(fd, &answers, v->name);

    struct lines calls = v->calls, statuses = v->statuses, found = {.n = 0};
    if (open) {
        lines_add(&calls, sentinel_call, false);
        lines_add(&statuses, "404", false);
    }
    find_statuses(&answers, &v->statuses, &found);
    if (!v->any_status)
        compare(v->name, "answers", &statuses, &found);
    pthread_mutex_lock(&server.lock);
    struct lines happened = server.calls;
    pthread_mutex_unlock(&server.lock);
    compare(v->name, "calls", &calls, &happened);
}

static void
test_vectors(void **state)
{
    (void)state;
    const char *dir = TESTS_DIR "/vectors/http";
    struct dirent **names;
    int n = scandir(dir, &names, NULL, alphasort), run = 0;
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.') {
            struct vector v = {0};
            vector_read(&v, dir, names[i]->d_name);
            run_one(&v, v.input.len);
            run_one(&v, v.input.len / 2 + 1);
            if (v.input.len < 4096)
                run_one(&v, 1);
            buf_done(&v.input);
            run++;
        }
        free(names[i]);
    }
    free(names);
    assert_true(run >= 60);
}

static int
start_server(void **state)
{
    static struct issuer_config config;
    static const char text[] = "issuer: http://127.0.0.1\n"
                               "listen: [\"127.0.0.1:0\"]\n"
                               "admin_listen: \"\"\n"
                               "signer_socket: /nonexistent/attest-signer.sock\n"
                               "log_level: error\n";
    struct attest_error err;
    log_init("test", LOG_LEVEL_ERROR);
    if (crypto_init(&err) ||
        config_parse(&issuer_config_schema, slice_cstr(text), NULL, &config, &err))
        return -1;
    struct issuer_options options = {.config = &config, .open_mint = true, .observe = observe};
    struct issuer *iss = NULL;
    if (issuer_start(&options, &iss, &err)) {
        print_error("%s\n", err.text);
        return -1;
    }
    server.port = (uint16_t)atoi(strrchr(iss->listeners.at[0].name, ':') + 1);
    *state = iss;
    return 0;
}

static int
stop_server(void **state)
{
    struct issuer *iss = *state;
    struct issuer_config *config = (struct issuer_config *)(uintptr_t)iss->config;
    issuer_stop(iss);
    config_done(&issuer_config_schema, config);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};
    return cmocka_run_group_tests_name("http vectors", tests, start_server, stop_server);
}
