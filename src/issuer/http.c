/* SPDX-License-Identifier: MIT */
#include "issuer/http.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "issuer/issuer.h"
#include "issuer/routes.h"
#include "issuer/tls.h"

enum {
    STACK_SIZE = 256 * 1024,
    CONNECTION_MEMORY = 16 * 1024, /* the head of a request must fit into less */
    BODY_SWALLOW_MAX = 1 << 20,    /* a longer body is not read to the end to be refused */
};

struct http {
    struct http_config config;
    struct exchange *exchanges; /* by descriptor, like the places of conns */
    struct MHD_Daemon *plain, *tls;
};

/* ---- answers ---- */

struct MHD_Response *
http_response(struct slice body, const char *type, const char *cache)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)body.p, MHD_RESPMEM_MUST_COPY);
    if (!r)
        return NULL;
    if ((type && MHD_add_response_header(r, "Content-Type", type) == MHD_NO) ||
        (cache && MHD_add_response_header(r, "Cache-Control", cache) == MHD_NO) ||
        MHD_add_response_header(r, "X-Content-Type-Options", "nosniff") == MHD_NO) {
        MHD_destroy_response(r);
        return NULL;
    }
    return r;
}

struct MHD_Response *
http_problem_response(unsigned status, const char *detail, const char *member,
                      const char *request_id, const char *header, const char *header_value)
{
    AUTO(buf) struct buf text;
    buf_init(&text, 4096);
    problem_write(&text, status, detail, member, request_id);
    if (buf_rc(&text))
        return NULL;
    struct MHD_Response *r = http_response(buf_view(&text), "application/problem+json", "no-store");
    if (r && header && MHD_add_response_header(r, header, header_value) == MHD_NO) {
        MHD_destroy_response(r);
        return NULL;
    }
    return r;
}

enum MHD_Result
http_answer(struct exchange *x, unsigned status, struct MHD_Response *response)
{
    int64_t now_us = clock_mono_us();
    size_t route = x->route ? (size_t)(x->route - routes) : n_routes;
    metrics_request(x->issuer->metrics, route, status, now_us - x->started_us);
    x->phase = EXCHANGE_ANSWERED;
    conn_mark(x->conn, CONN_WRITING, now_us / 1000);
    return MHD_queue_response(x->mhd, status, response);
}

/* The same, giving the response away; NULL is what a failed allocation left. */
static enum MHD_Result
answer_once(struct exchange *x, unsigned status, struct MHD_Response *response)
{
    if (!response)
        return MHD_NO;
    enum MHD_Result ret = http_answer(x, status, response);
    MHD_destroy_response(response);
    return ret;
}

enum MHD_Result
http_answer_bytes(struct exchange *x, unsigned status, const char *type, const char *cache,
                  struct slice body)
{
    return answer_once(x, status, http_response(body, type, cache));
}

enum MHD_Result
http_problem(struct exchange *x, unsigned status, const char *detail, const char *member,
             const char *header, const char *header_value)
{
    char request_id[REQUEST_ID_SIZE];
    request_id_next(request_id);
    log_event(LOG_LEVEL_DEBUG, "problem", "status=%u request_id=%s detail=%s", status, request_id,
              LOG_QUOTED(slice_cstr(detail)));
    return answer_once(
        x, status, http_problem_response(status, detail, member, request_id, header, header_value));
}

void
http_sleep(struct exchange *x)
{
    x->phase = EXCHANGE_WAITING;
    MHD_suspend_connection(x->mhd);
}

void
http_wake(struct exchange *x, unsigned status, struct MHD_Response *response)
{
    x->answer = response;
    x->answer_status = status;
    MHD_resume_connection(x->mhd);
}

/* ---- one request ---- */

struct header_list {
    struct audit_header at[AUDIT_HEADERS_MAX + 1];
    size_t n;
};

static enum MHD_Result
collect_header(void *ctx, enum MHD_ValueKind kind, const char *key, size_t key_len,
               const char *value, size_t value_len)
{
    (void)kind;
    struct header_list *list = ctx;
    if (list->n == ARRAY_LEN(list->at))
        return MHD_NO; /* one more than the audit allows is enough */
    list->at[list->n++] = (struct audit_header){{key, key_len}, {value ? value : "", value_len}};
    return MHD_YES;
}

/*
 * 0.9.75 takes bare LF, folded lines and NUL for granted, but leaves everything where it lay, so
 * the audit can tell. Later ones, told to be strict, refuse those themselves.
 */
static bool parses_in_place;

static void
audit_head(struct exchange *x, const char *method, const char *version)
{
    struct header_list list;
    list.n = 0;
    MHD_get_connection_values_n(x->mhd, MHD_HEADER_KIND, collect_header, &list);
    struct audit_request request = {
        .method = slice_cstr(method),
        .version = slice_cstr(version),
        .target = x->target,
        .headers = list.at,
        .n_headers = list.n,
        .saw_nul = atomic_load_explicit(&x->conn->saw_nul, memory_order_relaxed),
    };
    if (parses_in_place) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(x->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
        request.head_end = info ? method + info->header_size : method;
    }
    audit_request(&request, &x->head);
}

static void
refuse_after_body(struct exchange *x, unsigned status, const char *detail, const char *header,
                  const char *header_value)
{
    x->early_status = status;
    x->early_detail = detail;
    x->early_header = header;
    x->early_header_value = header_value;
}

/* application/json; charset=utf-8 is application/json */
static bool
type_is(struct slice value, const char *type)
{
    const char *semicolon = value.p ? memchr(value.p, ';', value.len) : NULL;
    size_t len = semicolon ? (size_t)(semicolon - value.p) : value.len;
    while (len && (value.p[len - 1] == ' ' || value.p[len - 1] == '\t'))
        len--;
    return len == strlen(type) && strncasecmp(value.p, type, len) == 0;
}

/* Finds who handles it, and whatever can be said against it before its body is read. */
static void
dispatch(struct exchange *x, const char *method)
{
    const char *allow = NULL;
    unsigned status = route_find(x->target.path, method, x->conn->admin, &x->route, &allow);
    if (status == 404)
        return refuse_after_body(x, 404, "no such resource", NULL, NULL);
    if (status == 405)
        return refuse_after_body(x, 405, "the method is not for this resource", "Allow", allow);
    const struct route *r = x->route;
    if (!r->body_max)
        return;
    const char *detail = NULL;
    if (r->admit && (status = r->admit(x, &detail)))
        refuse_after_body(x, status, detail, status == 401 ? "WWW-Authenticate" : NULL,
                          "Bearer realm=\"attestd\"");
    else if (x->head.content_length < 0)
        refuse_after_body(x, 411, "send a body with its Content-Length", NULL, NULL);
    else if ((uint64_t)x->head.content_length > r->body_max)
        refuse_after_body(x, 413, "the body is larger than 16384 bytes", NULL, NULL);
    else if (!type_is(x->head.content_type, r->content_type))
        refuse_after_body(x, 415, "Content-Type: must be application/json", NULL, NULL);
    else if (!(x->body = malloc((size_t)x->head.content_length + 1)))
        refuse_after_body(x, 503, "no memory for the body", "Retry-After", "1");
}

/*
 * Bytes behind the head could be read in two ways, or not at all: a method that we do not know may
 * have a body or none, a POST without length is one or the other, and a body too long, or announced
 * with Expect, is not waited for.
 */
static bool
must_answer_now(const struct exchange *x, const char *method)
{
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (get || !x->early_status)
        return false;
    return strcmp(method, "POST") != 0 || x->head.content_length < 0 || x->head.expect_continue ||
           x->head.content_length > BODY_SWALLOW_MAX;
}

static enum MHD_Result
answer_early(struct exchange *x)
{
    return http_problem(x, x->early_status, x->early_detail, NULL, x->early_header,
                        x->early_header_value);
}

static void
log_odd(const struct exchange *x)
{
    static struct log_limit limit;
    unsigned suppressed;
    if (log_limit_ok(&limit, 10, 10, &suppressed))
        log_event(LOG_LEVEL_WARNING, "odd_request", "status=%u why=%s suppressed=%u",
                  x->head.status, LOG_QUOTED(slice_cstr(x->head.detail)), suppressed);
}

static enum MHD_Result
on_head(struct http *http, struct exchange *x, const char *method, const char *version)
{
    audit_head(x, method, version);
    if (x->head.status) {
        metrics_refused(x->issuer->metrics, REFUSED_ODD);
        log_odd(x);
        return http_problem(x, x->head.status, x->head.detail, NULL, NULL, NULL);
    }
    if (http->config.observe)
        http->config.observe(http->config.observe_ctx, method, x->target.path);
    x->phase = EXCHANGE_BODY;
    dispatch(x, method);
    return must_answer_now(x, method) ? answer_early(x) : MHD_YES;
}

static enum MHD_Result
on_body(struct exchange *x, const char *data, size_t *len)
{
    if (x->body) {
        if (*len > (size_t)x->head.content_length - x->body_len)
            return MHD_NO;
        memcpy(x->body + x->body_len, data, *len);
        x->body_len += *len;
    }
    *len = 0;
    return MHD_YES;
}

static enum MHD_Result
on_complete(struct exchange *x)
{
    conn_mark(x->conn, CONN_WORKING, clock_mono_ms());
    if (x->early_status)
        return answer_early(x);
    return x->route->handle(x);
}

static enum MHD_Result
on_access(void *ctx, struct MHD_Connection *mhd, const char *url, const char *method,
          const char *version, const char *data, size_t *len, void **request)
{
    (void)url;
    (void)mhd;
    struct exchange *x = *request;
    if (!x)
        return MHD_NO;
    switch (x->phase) {
    case EXCHANGE_LINE:
        return on_head(ctx, x, method, version);
    case EXCHANGE_BODY:
        return *len ? on_body(x, data, len) : on_complete(x);
    case EXCHANGE_WAITING:
        return answer_once(x, x->answer_status, STEAL(x->answer));
    case EXCHANGE_ANSWERED:
        break;
    }
    return MHD_NO;
}

/* ---- the library's other calls ---- */

static struct conn *
conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* The first line is there, untouched yet. */
static void *
on_line(void *ctx, const char *target, struct MHD_Connection *mhd)
{
    struct http *http = ctx;
    struct conn *conn = conn_of(mhd);
    if (!conn)
        return NULL;
    struct exchange *x = &http->exchanges[conn->fd];
    int64_t now_us = clock_mono_us();
    *x = (struct exchange){.issuer = http->config.issuer,
                           .conn = conn,
                           .mhd = mhd,
                           .phase = EXCHANGE_LINE,
                           .started_us = now_us};
    audit_target(slice_cstr(target ? target : ""), &x->target);
    conn_mark(conn, CONN_READING, now_us / 1000);
    return x;
}

static void
on_completed(void *ctx, struct MHD_Connection *mhd, void **request,
             enum MHD_RequestTerminationCode why)
{
    (void)ctx;
    (void)mhd;
    (void)why;
    struct exchange *x = *request;
    if (!x)
        return;
    if (x->phase == EXCHANGE_LINE) /* the library refused the head, or it never came */
        metrics_refused(x->issuer->metrics, REFUSED_ODD);
    if (x->answer)
        MHD_destroy_response(x->answer);
    free(x->body);
    x->answer = NULL;
    x->body = NULL;
    conn_mark(x->conn, CONN_IDLE, clock_mono_ms());
    *request = NULL;
}

static void
on_connection(void *ctx, struct MHD_Connection *mhd, void **socket_context,
              enum MHD_ConnectionNotificationCode what)
{
    struct http *http = ctx;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*socket_context)
            conns_closed(http->config.conns, *socket_context);
        *socket_context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct conn *conn = info ? conns_at(http->config.conns, info->connect_fd) : NULL;
    if (conn)
        conns_started(http->config.conns, conn);
    *socket_context = conn;
}

/* Paths are compared as they came; nothing here is named with escapes. */
static size_t
leave_escaped(void *ctx, struct MHD_Connection *mhd, char *s)
{
    (void)ctx;
    (void)mhd;
    return strlen(s);
}

/* ---- start and stop ---- */

static struct MHD_Daemon *
start(struct http *http, unsigned threads, bool tls)
{
    const struct http_config *config = &http->config;
    struct MHD_OptionItem more[8];
    size_t n = 0;
    if (threads > 1) /* the library wants no pool of one */
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, threads, NULL};
    if (tls) {
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0,
                                            (void *)(uintptr_t)tls_cert_callback};
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
                                            (void *)(uintptr_t)tls_priorities};
    }
    more[n++] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC |
                     MHD_ALLOW_SUSPEND_RESUME | (tls ? MHD_USE_TLS : 0);
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, http, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_CONNECTION_LIMIT, 2 * config->connections_max + 64, /* ours comes first */
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, 0u, /* ours is absolute */
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_SIZE, MHD_OPTION_URI_LOG_CALLBACK, on_line,
        http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, http, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_ARRAY,
        more, MHD_OPTION_END);
}

enum attest_rc
http_new(const struct http_config *config, struct http **ret, struct attest_error *err)
{
    AUTO(http) struct http *http = calloc(1, sizeof(*http));
    if (!http)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the HTTP server");
    http->config = *config;
    const char *version = MHD_get_version();
    parses_in_place = strncmp(version, "0.9.75", 6) == 0 || strncmp(version, "0.9.76", 6) == 0;
    http->exchanges = calloc(conns_places(config->conns), sizeof(*http->exchanges));
    if (!http->exchanges)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the HTTP server");
    http->plain = start(http, config->plain_is_rare ? 1 : config->threads, false);
    if (config->tls)
        http->tls = start(http, config->threads, true);
    if (!http->plain || (config->tls && !http->tls))
        return error_set(err, ATTEST_E_IO, "the HTTP server did not start");
    *ret = STEAL(http);
    return ATTEST_OK;
}

void
http_free(struct http *http)
{
    if (!http)
        return;
    if (http->tls)
        MHD_stop_daemon(http->tls);
    if (http->plain)
        MHD_stop_daemon(http->plain);
    free(http->exchanges);
    free(http);
}

bool
http_serve(void *ctx, struct conn *conn, const struct sockaddr *sa, socklen_t sa_len)
{
    struct http *http = ctx;
    return MHD_add_connection(conn->tls ? http->tls : http->plain, conn->fd, sa, sa_len) == MHD_YES;
}
