/* SPDX-License-Identifier: MIT */
#include "tests/bench/get.h"

#include <stdio.h>
#include <sys/time.h>

bool
http_get(const struct target *target, const char *path, char *in, size_t in_size,
         struct response *ret)
{
    char request[512];
    int request_len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n",
                               path, target->host);
    AUTO(fd) int fd = target_connect(target, false);
    struct timeval patience = {.tv_sec = 60}; /* between any two bytes */
    size_t len = 0;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
        request_len >= (int)sizeof(request) ||
        send(fd, request, (size_t)request_len, MSG_NOSIGNAL) != request_len)
        return false;
    for (;;) {
        ssize_t n = recv(fd, in + len, in_size - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        enum response_state state = response_read((struct slice){in, len}, ret);
        if (state != RESPONSE_MORE)
            return state == RESPONSE_DONE && ret->status == 200;
    }
}
