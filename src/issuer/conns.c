/* SPDX-License-Identifier: MIT */
#include "issuer/conns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/ed25519.h"

enum { STATE_BITS = 3, OTHER_DESCRIPTORS = 256, RESERVE_SHARE = 16 };

struct conns {
    struct conns_config config;
    uint64_t hash_key[2];
    size_t n_places, n_buckets;
    struct conn *places;   /* by descriptor */
    struct conn **buckets; /* by address */

    pthread_mutex_t lock; /* over the lists, the counts and the flags of a place */
    unsigned n_open, n_closing;
    int highest; /* descriptor ever used */
};

enum attest_rc
conns_new(const struct conns_config *config, struct conns **ret, struct attest_error *err)
{
    AUTO(conns) struct conns *c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the connections");
    c->config = *config;
    c->n_places = config->connections_max + OTHER_DESCRIPTORS;
    for (c->n_buckets = 64; c->n_buckets < config->connections_max;)
        c->n_buckets *= 2;
    pthread_mutex_init(&c->lock, NULL);
    random_bytes(c->hash_key, sizeof(c->hash_key));
    c->places = calloc(c->n_places, sizeof(*c->places));
    c->buckets = calloc(c->n_buckets, sizeof(struct conn *));
    if (!c->places || !c->buckets)
        return error_set(err, ATTEST_E_NOMEM, "no memory for %zu connections", c->n_places);
    c->highest = -1;
    *ret = STEAL(c);
    return ATTEST_OK;
}

void
conns_free(struct conns *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c->places);
    free(c->buckets);
    free(c);
}

size_t
conns_places(const struct conns *c)
{
    return c->n_places;
}

struct conn *
conns_at(struct conns *c, int fd)
{
    return fd >= 0 && (size_t)fd < c->n_places ? &c->places[fd] : NULL;
}

static void
map_ipv4(struct conn_address *ret, const void *four)
{
    static const uint8_t prefix[12] = {[10] = 0xff, 0xff};
    memcpy(ret->bytes, prefix, sizeof(prefix));
    memcpy(ret->bytes + sizeof(prefix), four, 4);
}

bool
conn_address_read(const char *text, struct conn_address *ret)
{
    struct in_addr four;
    if (inet_pton(AF_INET, text, &four) == 1) {
        map_ipv4(ret, &four);
        return true;
    }
    return inet_pton(AF_INET6, text, ret->bytes) == 1;
}

bool
conn_address_of(const struct sockaddr *sa, struct conn_address *ret)
{
    if (sa->sa_family == AF_INET) {
        map_ipv4(ret, &((const struct sockaddr_in *)(const void *)sa)->sin_addr);
        return true;
    }
    if (sa->sa_family != AF_INET6)
        return false;
    memcpy(ret->bytes, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    return true;
}

static bool
is_proxy(const struct conns *c, const struct conn_address *a)
{
    for (size_t i = 0; i < c->config.n_proxies; i++)
        if (memcmp(a, &c->config.proxies[i], sizeof(*a)) == 0)
            return true;
    return false;
}

static bool
is_ipv4(const struct conn_address *a)
{
    struct conn_address mapped;
    map_ipv4(&mapped, a->bytes + 12);
    return memcmp(a, &mapped, sizeof(mapped)) == 0;
}

/* One host may take any address of its /64, so that is what is counted. */
static struct conn_address
counted_as(const struct conn_address *a)
{
    struct conn_address ret = *a;
    if (!is_ipv4(a))
        memset(ret.bytes + 8, 0, 8);
    return ret;
}

/* Keyed, so that nobody outside can choose addresses that meet in one list. */
static struct conn **
bucket_of(struct conns *c, const struct conn_address *a)
{
    uint64_t half[2];
    memcpy(half, a->bytes, sizeof(half));
    uint64_t h = c->hash_key[0];
    for (size_t i = 0; i < 2; i++) {
        h = (h ^ half[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h = ((h << 29) | (h >> 35)) ^ c->hash_key[1];
    }
    h ^= h >> 32;
    return &c->buckets[h & (c->n_buckets - 1)];
}

static unsigned
count_of(struct conn *const *bucket, const struct conn_address *a)
{
    unsigned n = 0;
    for (const struct conn *p = *bucket; p; p = p->next)
        if (memcmp(&p->address, a, sizeof(*a)) == 0)
            n++;
    return n;
}

static void
take_out(struct conns *c, struct conn *conn)
{
    if (conn->counted) {
        if (conn->prev)
            conn->prev->next = conn->next;
        else
            *bucket_of(c, &conn->address) = conn->next;
        if (conn->next)
            conn->next->prev = conn->prev;
    }
    if (conn->closing)
        c->n_closing--;
    c->n_open--;
    conn->taken = conn->counted = conn->started = conn->closing = false;
    atomic_store(&conn->watched, false);
    conn->next = conn->prev = NULL;
}

enum conns_answer
conns_open(struct conns *c, int fd, const struct conn *like, int64_t now_ms, struct conn **ret)
{
    struct conn *conn = conns_at(c, fd);
    if (!conn)
        return CONNS_FULL;
    enum conns_answer answer = CONNS_FULL;
    struct conn_address address = counted_as(&like->address);
    bool counted = !like->is_unix && !like->admin && !is_proxy(c, &like->address);
    pthread_mutex_lock(&c->lock);
    if (conn->taken) /* the library dropped it before it served it, without a word */
        take_out(c, conn);
    struct conn **bucket = bucket_of(c, &address);
    if (c->n_open >= c->config.connections_max)
        goto out;
    answer = CONNS_PER_ADDRESS;
    if (counted && count_of(bucket, &address) >= c->config.per_address_max)
        goto out;
    conn->admin = like->admin;
    conn->is_unix = like->is_unix;
    conn->loopback = like->loopback;
    conn->tls = like->tls;
    conn->uid = like->uid;
    conn->address = address;
    conn->counted = counted;
    conn->started = conn->closing = false;
    conn->prev = NULL;
    conn->next = counted ? *bucket : NULL;
    if (conn->next)
        conn->next->prev = conn;
    if (counted)
        *bucket = conn;
    atomic_store(&conn->saw_nul, false);
    atomic_store(&conn->request_ms, now_ms);
    conn_mark(conn, CONN_FRESH, now_ms);
    atomic_store(&conn->watched, true);
    conn->fd = fd;
    conn->taken = true;
    c->n_open++;
    c->highest = fd > c->highest ? fd : c->highest;
    *ret = conn;
    answer = CONNS_OPEN;
out:
    pthread_mutex_unlock(&c->lock);
    return answer;
}

void
conns_started(struct conns *c, struct conn *conn)
{
    pthread_mutex_lock(&c->lock);
    conn->started = true;
    pthread_mutex_unlock(&c->lock);
}

void
conns_closed(struct conns *c, struct conn *conn)
{
    pthread_mutex_lock(&c->lock);
    if (conn->taken)
        take_out(c, conn);
    pthread_mutex_unlock(&c->lock);
}

void
conn_mark(struct conn *conn, enum conn_state state, int64_t now_ms)
{
    if (state == CONN_WORKING)
        atomic_store_explicit(&conn->request_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&conn->mark, (uint64_t)now_ms << STATE_BITS | (uint64_t)state,
                          memory_order_relaxed);
}

enum conn_state
conn_state(const struct conn *conn)
{
    return (enum conn_state)(atomic_load_explicit(&conn->mark, memory_order_relaxed) &
                             ((1u << STATE_BITS) - 1));
}

/* The descriptor is ours until conns_closed(), which waits for the lock. */
static void
shut(struct conns *c, struct conn *conn)
{
    conn->closing = true;
    c->n_closing++;
    shutdown(conn->fd, SHUT_RDWR);
}

static bool
may_shut(const struct conn *conn)
{
    return conn->taken && conn->started && !conn->closing && conn_state(conn) != CONN_WORKING;
}

bool
conns_shed(struct conns *c)
{
    unsigned max = c->config.connections_max;
    unsigned reserve = max / RESERVE_SHARE + 1;
    struct conn *oldest = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->n_open - c->n_closing + reserve >= max)
        for (int fd = 0; fd <= c->highest; fd++) {
            struct conn *conn = &c->places[fd];
            if (may_shut(conn) &&
                (!oldest || atomic_load(&conn->request_ms) < atomic_load(&oldest->request_ms)))
                oldest = conn;
        }
    if (oldest)
        shut(c, oldest);
    pthread_mutex_unlock(&c->lock);
    return oldest != NULL;
}

enum conns_room
conns_room(struct conns *c)
{
    pthread_mutex_lock(&c->lock);
    bool full = c->n_open >= c->config.connections_max, leaving = c->n_closing > 0;
    pthread_mutex_unlock(&c->lock);
    return !full ? CONNS_ROOM : leaving ? CONNS_ROOM_SOON : CONNS_NO_ROOM;
}

void
conns_expire(struct conns *c, int64_t now_ms, unsigned *late, unsigned *idle)
{
    *late = *idle = 0;
    pthread_mutex_lock(&c->lock);
    for (int fd = 0; fd <= c->highest; fd++) {
        struct conn *conn = &c->places[fd];
        if (!may_shut(conn))
            continue;
        uint64_t mark = atomic_load_explicit(&conn->mark, memory_order_relaxed);
        int64_t age_ms = now_ms - (int64_t)(mark >> STATE_BITS);
        bool idling = (mark & ((1u << STATE_BITS) - 1)) == CONN_IDLE;
        if (age_ms <= (idling ? c->config.idle_timeout_ms : c->config.request_timeout_ms))
            continue;
        shut(c, conn);
        ++*(idling ? idle : late);
    }
    pthread_mutex_unlock(&c->lock);
}

void
conns_close_idle(struct conns *c)
{
    pthread_mutex_lock(&c->lock);
    for (int fd = 0; fd <= c->highest; fd++) {
        struct conn *conn = &c->places[fd];
        if (may_shut(conn) && (conn_state(conn) == CONN_IDLE || conn_state(conn) == CONN_FRESH))
            shut(c, conn);
    }
    pthread_mutex_unlock(&c->lock);
}

void
conns_count(struct conns *c, struct conns_counts *ret)
{
    *ret = (struct conns_counts){0};
    pthread_mutex_lock(&c->lock);
    ret->open = c->n_open;
    for (int fd = 0; fd <= c->highest; fd++) {
        if (!c->places[fd].taken)
            continue;
        enum conn_state state = conn_state(&c->places[fd]);
        ret->open_public += !c->places[fd].admin;
        ret->working += state == CONN_WORKING;
        ret->busy += state == CONN_READING || state == CONN_WORKING || state == CONN_WRITING;
    }
    pthread_mutex_unlock(&c->lock);
}
