/* SPDX-License-Identifier: MIT */
#include "issuer/watch.h"

#include <string.h>

static struct conns *_Atomic watched;

void
watch_begin(struct conns *conns)
{
    atomic_store(&watched, conns);
}

void
watch_end(void)
{
    atomic_store(&watched, NULL);
}

void
watch_bytes(int fd, const void *p, size_t len, bool decrypted)
{
    struct conns *conns = atomic_load_explicit(&watched, memory_order_acquire);
    struct conn *conn = conns ? conns_at(conns, fd) : NULL;
    if (!conn || !atomic_load_explicit(&conn->watched, memory_order_acquire) ||
        conn->tls != decrypted)
        return;
    if (memchr(p, '\0', len))
        atomic_store(&conn->saw_nul, true);
}

/* The library calls this one; recvfrom() without an address is the same system call. */
__attribute__((visibility("default"))) ssize_t
recv(int fd, void *buf, size_t len, int flags)
{
    ssize_t n = recvfrom(fd, buf, len, flags, NULL, NULL);
    if (n > 0)
        watch_bytes(fd, buf, (size_t)n, false);
    return n;
}
