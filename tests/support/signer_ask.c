/* SPDX-License-Identifier: MIT */
/*
 * Sends bytes to one of attest-signer's sockets and says what comes back.
 *
 *     signer_ask SOCKET call OP [MEMBERS]     one question in order; prints the answer's JSON
 *     signer_ask SOCKET raw [HEX]…            sends the bytes as they are; prints "closed" when the
 *                                             signer closes without an answer, "answer" when it
 *                                             answers, "open" when neither within three seconds
 *     signer_ask SOCKET flood N               N pings, none of whose answers is read; prints
 *                                             "closed" or "open"
 *     signer_ask SOCKET many N                N connections at once; prints how many of them are
 *                                             answered a ping
 *
 * Exit status 0, or 3 when it could not be done; call: the error's number modulo 200, or 0.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/sock.h"
#include "wire/client.h"

static int
call(int argc, char **argv)
{
    AUTO(buf) struct buf answer;
    struct attest_error err = {0};
    buf_init(&answer, FRAME_BODY_MAX);
    enum attest_rc rc =
        wire_call(argv[1], argv[3], slice_cstr(argc > 4 ? argv[4] : ""), 20000, &answer, &err);
    if (rc)
        printf("error %d: %s\n", (int)rc, err.text);
    else
        printf("%.*s\n", SLICE_ARG(buf_view(&answer)));
    return (int)rc % 200;
}

/* What the other side does within three seconds. */
static const char *
outcome(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char c;
    if (poll(&p, 1, 3000) <= 0)
        return "open";
    ssize_t n = recv(fd, &c, 1, 0);
    return n > 0 ? "answer" : "closed";
}

static int
raw(int argc, char **argv, int fd)
{
    for (int i = 3; i < argc; i++) {
        size_t len = strlen(argv[i]) / 2;
        AUTO(mem) uint8_t *bytes = malloc(len + 1);
        if (!bytes || !hex_decode(bytes, len, slice_cstr(argv[i])))
            return 3;
        if (len && send(fd, bytes, len, MSG_NOSIGNAL) < 0)
            break; /* closed meanwhile: the outcome says so */
    }
    puts(outcome(fd));
    return 0;
}

static int
flood(unsigned long n, int fd)
{
    AUTO(buf) struct buf frame;
    buf_init(&frame, 256);
    frame_put_request(&frame, 1, "ping", (struct slice){"", 0});
    for (unsigned long i = 0; i < n; i++) {
        for (size_t at = 0; at < frame.len;) {
            ssize_t sent = send(fd, frame.p + at, frame.len - at, MSG_NOSIGNAL);
            if (sent >= 0) {
                at += (size_t)sent;
                continue;
            }
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (errno != EAGAIN || poll(&p, 1, 5000) <= 0) {
                puts(errno == EAGAIN ? "open" : "closed");
                return 0;
            }
        }
    }
    puts("open");
    return 0;
}

static bool
pinged(int fd)
{
    AUTO(buf) struct buf frame;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char c;
    buf_init(&frame, 256);
    frame_put_request(&frame, 1, "ping", (struct slice){"", 0});
    return send(fd, frame.p, frame.len, MSG_NOSIGNAL) > 0 && poll(&p, 1, 20000) == 1 &&
           recv(fd, &c, 1, 0) == 1;
}

/* They stay open until all have been tried. */
static int
many(const char *socket, unsigned long n)
{
    unsigned long answered = 0;
    for (unsigned long i = 0; i < n; i++) {
        int fd;
        if (sock_connect_unix(socket, 5000, &fd, NULL))
            return 3;
        answered += pinged(fd);
    }
    printf("%lu\n", answered);
    return 0;
}

int
main(int argc, char **argv)
{
    AUTO(fd) int fd = -1;
    if (argc < 3)
        return 3;
    if (strcmp(argv[2], "call") == 0 && argc > 3)
        return call(argc, argv);
    if (strcmp(argv[2], "many") == 0 && argc == 4)
        return many(argv[1], strtoul(argv[3], NULL, 10));
    if (sock_connect_unix(argv[1], 5000, &fd, NULL))
        return 3;
    if (strcmp(argv[2], "raw") == 0)
        return raw(argc, argv, fd);
    if (strcmp(argv[2], "flood") == 0 && argc == 4)
        return flood(strtoul(argv[3], NULL, 10), fd);
    return 3;
}
