/* SPDX-License-Identifier: MIT */
#include "verify/resolver_impl.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

#define WAIT_SLICE_MS 20
#define WAITING_MAX 64

/* ---- life ---- */

static enum attest_rc
watch(struct resolver *r, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? ATTEST_OK : ATTEST_E_NOMEM;
}

static enum attest_rc
add_sources(struct resolver *r, const struct attest_policy *policy)
{
    for (size_t i = 0; i < policy_issuer_count(policy) && i < KEYS_ISSUERS_MAX; i++) {
        struct slice name = policy_issuer_at(policy, i)->issuer;
        struct source *s = &r->sources[r->n];
        s->resolver = r;
        s->issuer = strndup(name.p, name.len);
        if (!s->issuer)
            return ATTEST_E_NOMEM;
        r->n++;
    }
    return ATTEST_OK;
}

void
source_end_brought(struct source *s)
{
    const struct schedule_limits *limits = &s->resolver->options->limits;
    keys_end_brought(s->resolver->keys, s->issuer,
                     clock_boot_ms() + limits->ttl_default_ms + limits->stale_max_ms);
}

/* Each is of an issuer of the policy; http is for loopback, where the policy takes such issuers. */
static enum attest_rc
check_urls(const struct attest_policy *policy, const struct attest_fetch *options,
           struct attest_error *err)
{
    for (size_t i = 0; options && i < options->n_urls; i++) {
        if (!policy_issuer(policy, slice_cstr(options->urls[i].issuer)))
            return error_set(err, ATTEST_E_CONFIG,
                             "fetch: a URL is set for %.70s, which is no issuer of the policy: "
                             "make the names the same",
                             options->urls[i].issuer);
        if (strncmp(options->urls[i].url, "https:", 6) != 0 && !policy_loopback_http(policy))
            return error_set(err, ATTEST_E_CONFIG,
                             "fetch: %.100s is not https, and the policy does not allow that",
                             options->urls[i].url);
    }
    return ATTEST_OK;
}

enum attest_rc
resolver_new(const struct attest_policy *policy, struct attest_keys *keys,
             const struct attest_fetch *options, struct resolver **ret, struct attest_error *err)
{
    enum attest_rc rc = check_urls(policy, options, err);
    if (rc != ATTEST_OK)
        return rc;
    struct resolver *r = calloc(1, sizeof(*r));
    if (!r)
        return error_set(err, ATTEST_E_NOMEM, "resolver: out of memory");
    pthread_mutex_init(&r->stepping, NULL);
    pthread_mutex_init(&r->lock, NULL);
    random_bytes(r->salt, sizeof(r->salt));
    r->keys = keys_hold(keys);
    r->options = fetch_options_copy(options);
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = fetch_engine_new(&r->engine, err);
    if (rc == ATTEST_OK && atomic_exchange(&keys->fetched, true))
        rc = error_set(err, ATTEST_E_ARGUMENT, "resolver: another verifier fetches these keys");
    else if (rc == ATTEST_OK)
        r->fetches = true;
    if (rc == ATTEST_OK &&
        (!r->options || r->epoll_fd < 0 || r->wake_fd < 0 || add_sources(r, policy) ||
         watch(r, r->wake_fd) || watch(r, fetch_engine_fd(r->engine))))
        rc = error_set(err, ATTEST_E_NOMEM, "resolver: no memory or no file descriptor left");
    if (rc != ATTEST_OK) {
        resolver_free(r);
        return rc;
    }
    for (size_t i = 0; i < r->n; i++)
        source_end_brought(&r->sources[i]);
    *ret = r;
    return ATTEST_OK;
}

void
resolver_free(struct resolver *r)
{
    if (!r)
        return;
    fetch_engine_free(r->engine);
    for (size_t i = 0; i < r->n; i++) {
        free(r->sources[i].issuer);
        free(r->sources[i].discovered);
    }
    if (r->epoll_fd >= 0)
        close(r->epoll_fd);
    if (r->wake_fd >= 0)
        close(r->wake_fd);
    if (r->fetches)
        atomic_store(&r->keys->fetched, false);
    attest_fetch_free(r->options);
    attest_keys_free(r->keys);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->stepping);
    free(r);
}

static struct source *
source_of(struct resolver *r, struct slice issuer)
{
    for (size_t i = 0; i < r->n; i++) {
        if (slice_is(issuer, r->sources[i].issuer))
            return &r->sources[i];
    }
    return NULL;
}

static void
wake(const struct resolver *r)
{
    const uint64_t one = 1;
    ssize_t n = write(r->wake_fd, &one, sizeof(one));
    (void)n; /* full: it is readable already */
}

/* ---- telling ---- */

void
resolver_tell(struct resolver *r, resolver_told_fn *told, void *ctx)
{
    r->told = told;
    r->told_ctx = ctx;
}

/* Whether the circuit is another than was last told. */
static bool
circuit_changed(struct source *s)
{
    enum schedule_circuit was = s->circuit;
    s->circuit = schedule_circuit(&s->schedule, &s->resolver->options->limits, clock_boot_ms());
    return s->circuit != was;
}

void
source_ended(struct source *s, enum attest_rc rc, const char *why)
{
    struct resolver_news *news = &s->news;
    news->ended = true;
    news->rc = rc;
    news->dropped = false;
    snprintf(news->text, sizeof(news->text), "%s", why);
    news->duration_us = clock_mono_us() - s->started_us;
    news->circuit_changed = circuit_changed(s);
    news->circuit = s->circuit;
}

const char *
resolver_circuit(struct resolver *r, size_t i, enum schedule_circuit *ret)
{
    if (i >= r->n)
        return NULL;
    pthread_mutex_lock(&r->lock);
    *ret = schedule_circuit(&r->sources[i].schedule, &r->options->limits, clock_boot_ms());
    pthread_mutex_unlock(&r->lock);
    return r->sources[i].issuer;
}

static bool
next_news(struct resolver *r, struct resolver_news *ret)
{
    for (size_t i = 0; i < r->n; i++) {
        struct source *s = &r->sources[i];
        if (!s->news.tried && !s->news.ended)
            continue;
        *ret = s->news;
        pthread_mutex_lock(&r->lock);
        s->news.tried = s->news.ended = false;
        pthread_mutex_unlock(&r->lock);
        ret->issuer = s->issuer;
        return true;
    }
    return false;
}

/*
 * Ends a step and tells of it, and of what other steps leave here meanwhile. When the next fetch is
 * due may be another moment now: whoever has the loop looks again.
 */
static void
unlock_and_tell(struct resolver *r)
{
    struct resolver_news news;
    bool told = false;
    while (!r->telling && next_news(r, &news)) {
        r->telling = told = true;
        pthread_mutex_unlock(&r->stepping);
        if (r->told)
            r->told(r->told_ctx, &news);
        pthread_mutex_lock(&r->stepping);
        r->telling = false;
    }
    pthread_mutex_unlock(&r->stepping);
    if (told)
        wake(r);
}

/* ---- stepping ---- */

/* Under r->lock. */
static int64_t
due_ms(const struct source *s)
{
    return s->news.ended ? INT64_MAX : schedule_due_ms(&s->schedule);
}

static bool
start_if_due(struct source *s)
{
    struct resolver *r = s->resolver;
    pthread_mutex_lock(&r->lock);
    bool due = due_ms(s) <= clock_boot_ms();
    if (due) {
        schedule_started(&s->schedule);
        s->started_us = clock_mono_us();
        s->news.tried = circuit_changed(s);
    }
    pthread_mutex_unlock(&r->lock);
    if (due)
        source_ask(s);
    return due;
}

int
resolver_fd(const struct resolver *r)
{
    return r->epoll_fd;
}

static int64_t
next_due_ms(struct resolver *r)
{
    int64_t next_ms = INT64_MAX;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++) {
        int64_t this_ms = due_ms(&r->sources[i]);
        next_ms = this_ms < next_ms ? this_ms : next_ms;
    }
    pthread_mutex_unlock(&r->lock);
    return next_ms;
}

int
resolver_timeout_ms(struct resolver *r)
{
    int64_t next_ms = next_due_ms(r), now_ms = clock_boot_ms();
    pthread_mutex_lock(&r->stepping);
    int engine_ms = fetch_engine_timeout_ms(r->engine);
    pthread_mutex_unlock(&r->stepping);
    if (next_ms <= now_ms)
        return 0;
    if (next_ms == INT64_MAX)
        return engine_ms;
    int64_t left_ms = next_ms - now_ms;
    int due_in_ms = left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
    return engine_ms >= 0 && engine_ms < due_in_ms ? engine_ms : due_in_ms;
}

/* Whether anything was started. */
static bool
step(struct resolver *r)
{
    bool started = false;
    pthread_mutex_lock(&r->stepping);
    for (size_t i = 0; i < r->n; i++)
        started |= start_if_due(&r->sources[i]);
    fetch_engine_step(r->engine);
    unlock_and_tell(r);
    return started;
}

void
resolver_step(struct resolver *r)
{
    uint64_t count;
    ssize_t n = read(r->wake_fd, &count, sizeof(count));
    (void)n; /* nothing there is fine */
    atomic_store(&r->stepped, true);
    step(r);
}

/* ---- who misses a key ---- */

static void
digest_of(const struct resolver *r, struct slice kid, uint8_t digest[16])
{
    uint8_t text[16 + 64], whole[SHA256_LEN];
    uint8_t inner[SHA256_LEN];
    sha256(inner, kid.p, kid.len);
    memcpy(text, r->salt, sizeof(r->salt));
    memcpy(text + sizeof(r->salt), inner, sizeof(inner));
    sha256(whole, text, sizeof(r->salt) + sizeof(inner));
    memcpy(digest, whole, 16);
}

static bool
known_absent(const struct source *s, const uint8_t digest[16], int64_t now_ms)
{
    for (size_t i = 0; i < MISSING_MAX && i < s->n_absent; i++) {
        if (s->absent[i].until_ms > now_ms && memcmp(s->absent[i].digest, digest, 16) == 0)
            return true;
    }
    return false;
}

/* It has been a reason for a fetch: for two cool-downs it is none for another. */
static void
note_absent(struct source *s, const uint8_t digest[16], int64_t now_ms)
{
    struct absent *at = &s->absent[s->n_absent++ % MISSING_MAX];
    memcpy(at->digest, digest, 16);
    at->until_ms = now_ms + 2 * s->resolver->options->limits.cooldown_ms;
}

/*
 * Whether a fetch may bring it: one that is coming, or, when the issuer does not answer, whichever
 * ends that. A set of before says nothing of keys that were made since.
 */
static bool
ask_for_kid(struct resolver *r, struct source *s, struct slice kid)
{
    uint8_t digest[16];
    int64_t now_ms = clock_boot_ms();
    digest_of(r, kid, digest);
    pthread_mutex_lock(&r->lock);
    bool coming = s->schedule.in_flight || s->schedule.wanted, asked = false;
    if (!coming && !known_absent(s, digest, now_ms)) {
        coming = asked = schedule_unknown_kid(&s->schedule, &r->options->limits, now_ms);
        if (asked)
            note_absent(s, digest, now_ms);
    }
    bool failing = s->schedule.failures > 0;
    pthread_mutex_unlock(&r->lock);
    if (asked)
        wake(r);
    return coming || failing;
}

enum first_set { SET_THERE, SET_COMING, SET_REFUSED };

static enum first_set
first_set(struct resolver *r, struct source *s)
{
    pthread_mutex_lock(&r->lock);
    enum first_set is = s->schedule.fetched    ? SET_THERE
                        : s->schedule.failures ? SET_REFUSED
                                               : SET_COMING;
    pthread_mutex_unlock(&r->lock);
    return is;
}

/*
 * Steps, or looks on while others do, until the first set is there, or was not to be had, or the
 * time is over. Whoever has the loop is told of what was started here: he would not know its
 * timers. A few may wait; more would be all threads of a server.
 */
static bool
wait_for_set(struct resolver *r, struct source *s)
{
    int64_t until_ms = clock_mono_ms() + r->options->wait_ms, left_ms;
    if (atomic_fetch_add(&r->waiting, 1) < WAITING_MAX) {
        while (first_set(r, s) == SET_COMING && (left_ms = until_ms - clock_mono_ms()) > 0) {
            if (step(r))
                wake(r);
            struct pollfd fd = {.fd = fetch_engine_fd(r->engine), .events = POLLIN};
            int slice_ms = left_ms < WAIT_SLICE_MS ? (int)left_ms : WAIT_SLICE_MS;
            if (first_set(r, s) == SET_COMING)
                poll(&fd, 1, slice_ms);
        }
    }
    atomic_fetch_sub(&r->waiting, 1);
    return first_set(r, s) == SET_THERE;
}

/* What strangers are told. Why, with hosts and files in it, is for the events. */
static enum attest_rc
not_yet(struct resolver *r, struct source *s, struct attest_error *err)
{
    pthread_mutex_lock(&r->lock);
    bool failing = s->schedule.failures > 0;
    pthread_mutex_unlock(&r->lock);
    return error_set(err, ATTEST_E_KEY_FETCH, "the issuer's keys are %s",
                     failing ? "not to be had"
                     : atomic_load(&r->stepped)
                         ? "being fetched"
                         : "not fetched: the verifier has no thread, and nobody steps it");
}

enum attest_rc
resolver_missing(struct resolver *r, struct slice issuer, struct slice kid, enum attest_rc rc,
                 struct attest_error *err)
{
    struct source *s = source_of(r, issuer);
    if (!s)
        return rc;
    enum first_set first = first_set(r, s);
    if (first != SET_THERE) {
        bool wait = first == SET_COMING && r->options->wait_ms > 0;
        return wait && wait_for_set(r, s) ? ATTEST_OK : not_yet(r, s, err);
    }
    /* The set may have ended before its time, too, and that is as good a reason to ask. */
    if (!ask_for_kid(r, s, kid) && rc == ATTEST_E_KEY_UNKNOWN)
        return rc;
    return not_yet(r, s, err);
}

enum attest_rc
resolver_invalidate(struct resolver *r, const char *issuer, bool clear, struct attest_error *err)
{
    struct source *s = source_of(r, slice_cstr(issuer));
    if (!s)
        return error_set(err, ATTEST_E_ISSUER, "%.100s is not one of this verifier's issuers",
                         issuer);
    pthread_mutex_lock(&r->lock);
    if (clear) {
        schedule_clear(&s->schedule);
        keys_set_usable_until(r->keys, s->issuer, INT64_MIN);
    } else {
        schedule_invalidate(&s->schedule);
    }
    s->n_absent = 0;
    pthread_mutex_unlock(&r->lock);
    wake(r);
    return ATTEST_OK;
}
