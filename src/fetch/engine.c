/* SPDX-License-Identifier: MIT */
#include "fetch/engine.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "fetch/exchange.h"

#define CONNECTIONS_KEPT 4L /* open, for the next fetch */
#define EVENTS_MAX 16
#define BLIND_MS 50
#define GRACE_MS 500 /* behind its own time limit an exchange is ended by us */

/*
 * All times are of clock_boot_ms(): libcurl's own stand still while the machine sleeps, and what
 * came before would be taken for fresh after.
 */
struct job {
    struct exchange *exchange;
    fetch_done *done;
    void *ctx;
    int64_t end_ms; /* at the latest, and an answer that is read later is too old */
    struct job *next;
};

struct fetch_engine {
    CURLM *multi;
    int epoll_fd;
    int64_t timer_ms; /* -1: none */
    bool blind;       /* a socket could not be watched: look at all of them now and then */
    struct job *jobs;
};

static int
on_socket(CURL *curl, curl_socket_t fd, int what, void *ctx, void *known)
{
    (void)curl;
    struct fetch_engine *engine = ctx;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    struct epoll_event event = {.data.fd = fd};
    if (what & CURL_POLL_IN)
        event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        event.events |= EPOLLOUT;
    int op = known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, other = known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(engine->epoll_fd, op, fd, &event) != 0 &&
        epoll_ctl(engine->epoll_fd, other, fd, &event) != 0)
        engine->blind = true; /* an error from here would be the end of all exchanges, for good */
    curl_multi_assign(engine->multi, fd, engine); /* any pointer: it is known now */
    return 0;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    (void)multi;
    struct fetch_engine *engine = ctx;
    engine->timer_ms = timeout_ms < 0 ? -1 : clock_boot_ms() + timeout_ms;
    return 0;
}

enum attest_rc
fetch_engine_new(struct fetch_engine **ret, struct attest_error *err)
{
    enum attest_rc rc = fetch_init(err);
    if (rc != ATTEST_OK)
        return rc;
    AUTO(fetch_engine) struct fetch_engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return error_set(err, ATTEST_E_NOMEM, "fetch: out of memory");
    engine->timer_ms = -1;
    engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    engine->multi = curl_multi_init();
    if (engine->epoll_fd < 0 || !engine->multi)
        return error_set(err, ATTEST_E_NOMEM, "fetch: no memory or no file descriptor left");
    curl_multi_setopt(engine->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(engine->multi, CURLMOPT_SOCKETDATA, engine);
    curl_multi_setopt(engine->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(engine->multi, CURLMOPT_TIMERDATA, engine);
    curl_multi_setopt(engine->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
    *ret = STEAL(engine);
    return ATTEST_OK;
}

static void
job_free(struct fetch_engine *engine, struct job *job)
{
    curl_multi_remove_handle(engine->multi, job->exchange->curl);
    exchange_free(job->exchange);
    free(job);
}

void
fetch_engine_free(struct fetch_engine *engine)
{
    if (!engine)
        return;
    while (engine->jobs) {
        struct job *job = engine->jobs;
        engine->jobs = job->next;
        job_free(engine, job);
    }
    if (engine->multi)
        curl_multi_cleanup(engine->multi);
    if (engine->epoll_fd >= 0)
        close(engine->epoll_fd);
    free(engine);
}

enum attest_rc
fetch_engine_start(struct fetch_engine *engine, const struct fetch_request *request,
                   fetch_done *done, void *ctx, struct attest_error *err)
{
    struct exchange *exchange = NULL;
    enum attest_rc rc = exchange_new(request, &exchange, err);
    if (rc != ATTEST_OK)
        return rc;
    struct job *job = malloc(sizeof(*job));
    if (!job || curl_multi_add_handle(engine->multi, exchange->curl) != CURLM_OK) {
        free(job);
        exchange_free(exchange);
        return error_set(err, ATTEST_E_NOMEM, "fetch: out of memory");
    }
    *job = (struct job){exchange, done, ctx, clock_boot_ms() + request->timeout_ms + GRACE_MS,
                        engine->jobs};
    engine->jobs = job;
    return ATTEST_OK;
}

int
fetch_engine_fd(const struct fetch_engine *engine)
{
    return engine->epoll_fd;
}

int
fetch_engine_timeout_ms(const struct fetch_engine *engine)
{
    int64_t at_ms = engine->timer_ms < 0 ? INT64_MAX : engine->timer_ms, now_ms = clock_boot_ms();
    for (const struct job *job = engine->jobs; job; job = job->next)
        at_ms = job->end_ms < at_ms ? job->end_ms : at_ms;
    if (engine->blind && at_ms > now_ms + BLIND_MS)
        at_ms = now_ms + BLIND_MS;
    if (at_ms == INT64_MAX)
        return -1;
    int64_t left_ms = at_ms - now_ms;
    return left_ms < 0 ? 0 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
}

static struct job *
take_job(struct fetch_engine *engine, CURL *curl)
{
    for (struct job **at = &engine->jobs; *at; at = &(*at)->next) {
        if ((*at)->exchange->curl == curl) {
            struct job *job = *at;
            *at = job->next;
            return job;
        }
    }
    return NULL;
}

static void
finish(struct fetch_engine *engine, CURL *curl, CURLcode code)
{
    struct attest_error err = {0};
    struct job *job = take_job(engine, curl);
    if (!job)
        return;
    if (code == CURLE_OK && job->end_ms <= clock_boot_ms())
        code = CURLE_OPERATION_TIMEDOUT;
    enum attest_rc rc = exchange_end(job->exchange, code, &err);
    job->done(job->ctx, rc, rc == ATTEST_OK ? &job->exchange->answer : NULL, &err);
    job_free(engine, job);
}

/*
 * libcurl that has run out of memory may lose sight of a socket or of a timer, and would then never
 * tell of that exchange again.
 */
static void
act(struct fetch_engine *engine, curl_socket_t fd, int what)
{
    int running;
    if (curl_multi_socket_action(engine->multi, fd, what, &running) != CURLM_OK)
        engine->blind = true;
}

static void
end_overdue(struct fetch_engine *engine)
{
    int64_t now_ms = clock_boot_ms();
    struct job *job = engine->jobs;
    while (job) {
        if (job->end_ms > now_ms) {
            job = job->next;
            continue;
        }
        finish(engine, job->exchange->curl, CURLE_OPERATION_TIMEDOUT);
        job = engine->jobs; /* whoever was told may have begun another */
    }
}

void
fetch_engine_step(struct fetch_engine *engine)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(engine->epoll_fd, events, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++) {
        int what = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        act(engine, events[i].data.fd, what);
    }
    if (engine->timer_ms >= 0 && engine->timer_ms <= clock_boot_ms()) {
        engine->timer_ms = -1;
        act(engine, CURL_SOCKET_TIMEOUT, 0);
    }
    if (engine->blind) {
        int running;
        curl_multi_perform(engine->multi, &running);
        engine->blind = running > 0;
    }
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(engine->multi, &left))) {
        if (message->msg == CURLMSG_DONE)
            finish(engine, message->easy_handle, message->data.result);
    }
    end_overdue(engine);
}
