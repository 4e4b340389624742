/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_FAULT_PROXY_H
#define TESTS_SUPPORT_FAULT_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * A TCP proxy on 127.0.0.1 in front of a server there, in a thread of its own, that does to answers
 * what networks do. One connection after another. Which fault it is may change at any time; a
 * connection has the one that there was when it came.
 */
enum network_fault {
    FAULT_NONE,
    FAULT_LATENCY,    /* each answer comes LATENCY_MS late */
    FAULT_BANDWIDTH,  /* BANDWIDTH_BYTES in each BANDWIDTH_MS */
    FAULT_SLOW_CLOSE, /* the whole answer, and then the connection stays open for SLOW_CLOSE_MS */
    FAULT_TIMEOUT,    /* not a byte */
    FAULT_RESET,      /* a reset in the middle of the answer */
    FAULT_SLICING,    /* each byte in a segment of its own */
    FAULT_TRUNCATION, /* an orderly end in the middle of the answer */
    NETWORK_FAULTS,
};

#define LATENCY_MS 150
#define BANDWIDTH_BYTES 64
#define BANDWIDTH_MS 20
#define SLOW_CLOSE_MS 800

/* "latency"… */
const char *network_fault_name(enum network_fault fault);

struct fault_proxy {
    int fd;
    unsigned short port, server_port;
    atomic_int fault;
    atomic_bool stop;
    atomic_uint connections;
    pthread_t thread;
};

bool fault_proxy_start(struct fault_proxy *proxy, unsigned short server_port);
void fault_proxy_stop(struct fault_proxy *proxy);

#endif
