/* SPDX-License-Identifier: MIT */

/*
 * hold: opens connections to this machine, makes one request on each, and keeps them open until
 * standard input ends. For measuring what an open connection costs a server.
 *
 *     hold --connections 500 [--tls] ADDRESS PATH
 *
 * Prints "held N" when all stand. TLS takes any certificate: nothing is believed here.
 * Exit status 0, 2 wrong use, 3 not done.
 */
#include <errno.h>
#include <getopt.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/bench/response.h"
#include "tests/bench/target.h"

#define CONNECTIONS_MAX 8000
#define HOLD_MAX_MS 600000 /* whoever started us may be gone */

struct held {
    int fd;
    SSL *tls;
};

static ssize_t
held_read(struct held *h, char *p, size_t len)
{
    return h->tls ? SSL_read(h->tls, p, (int)len) : recv(h->fd, p, len, 0);
}

static bool
held_open(struct held *h, const struct target *t, SSL_CTX *tls)
{
    struct timeval limit = {.tv_sec = 10};
    h->fd = target_connect(t, false);
    if (h->fd < 0)
        return false;
    setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (!tls)
        return true;
    h->tls = SSL_new(tls);
    return h->tls && SSL_set_fd(h->tls, h->fd) == 1 && SSL_connect(h->tls) == 1;
}

static bool
held_request(struct held *h, struct slice request)
{
    char in[65536];
    size_t len = 0;
    struct response r;
    ssize_t n = h->tls ? SSL_write(h->tls, request.p, (int)request.len)
                       : send(h->fd, request.p, request.len, MSG_NOSIGNAL);
    if (n != (ssize_t)request.len)
        return false;
    enum response_state state;
    do {
        n = held_read(h, in + len, sizeof(in) - len);
        if (n <= 0)
            return false;
        len += (size_t)n;
        state = response_read((struct slice){in, len}, &r);
    } while (state == RESPONSE_MORE);
    return state == RESPONSE_DONE && !r.closes;
}

static void
held_close(struct held *h)
{
    SSL_free(h->tls);
    if (h->fd >= 0)
        close(h->fd);
}

static bool
hold_all(struct held *all, size_t n, const struct target *t, struct slice request, SSL_CTX *tls)
{
    for (size_t i = 0; i < n; i++) {
        if (held_open(&all[i], t, tls) && held_request(&all[i], request))
            continue;
        fprintf(stderr, "hold: connection %zu: %s\n", i + 1,
                errno ? strerror(errno) : "TLS or HTTP failed");
        ERR_print_errors_fp(stderr);
        return false;
    }
    return true;
}

static void
wait_for_end_of_input(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char drop[256];
    while (poll(&in, 1, HOLD_MAX_MS) > 0 && read(STDIN_FILENO, drop, sizeof(drop)) > 0)
        continue;
}

static int
wrong_use(const char *why)
{
    fprintf(stderr, "hold: %s\nusage: hold --connections N [--tls] ADDRESS PATH\n", why);
    return 2;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"connections", required_argument, NULL, 'c'},
                                            {"tls", no_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    unsigned long n = 0;
    bool use_tls = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == '?')
            return wrong_use("wrong option");
        if (o == 'c')
            n = strtoul(optarg, NULL, 10);
        else
            use_tls = true;
    }
    struct target target;
    struct attest_error err;
    if (n < 1 || n > CONNECTIONS_MAX || argc - optind != 2)
        return wrong_use("want a number of connections, an address and a path");
    if (target_parse(argv[optind], &target, &err) != ATTEST_OK)
        return wrong_use(err.text);
    struct rlimit files = {CONNECTIONS_MAX + 64, CONNECTIONS_MAX + 64};
    setrlimit(RLIMIT_NOFILE, &files);

    AUTO(buf) struct buf request;
    buf_init(&request, 8192);
    buf_printf(&request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", argv[optind + 1], target.host);
    AUTO(mem) struct held *all = calloc(n, sizeof(*all));
    SSL_CTX *tls = use_tls ? SSL_CTX_new(TLS_client_method()) : NULL;
    if (!all || buf_rc(&request) != ATTEST_OK || (use_tls && !tls))
        return 3;
    for (size_t i = 0; i < n; i++)
        all[i].fd = -1;
    bool held = hold_all(all, n, &target, buf_view(&request), tls);
    if (held) {
        printf("held %lu\n", n);
        fflush(stdout);
        wait_for_end_of_input();
    }
    for (size_t i = 0; i < n; i++)
        held_close(&all[i]);
    SSL_CTX_free(tls);
    return held ? 0 : 3;
}
