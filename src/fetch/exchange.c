/* SPDX-License-Identifier: MIT */
#include "fetch/exchange.h"

#include <string.h>
#include <strings.h>

#include "base/iphost.h"

DEFINE_AUTO(CURLU, CURLU *, curl_url_cleanup);
DEFINE_AUTO(curl_str, char *, curl_free);

static enum attest_rc
url_check(const char *url, bool any_host, bool *https, struct attest_error *err)
{
    AUTO(CURLU) CURLU *parts = curl_url();
    AUTO(curl_str) char *scheme = NULL;
    AUTO(curl_str) char *host = NULL;
    AUTO(curl_str) char *user = NULL;
    if (!parts)
        return error_set(err, ATTEST_E_NOMEM, "fetch: out of memory");
    if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        return error_set(err, ATTEST_E_CONFIG, "%.100s is not a URL; write https://host/path", url);
    if (curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK)
        return error_set(err, ATTEST_E_CONFIG, "a URL with a user in it is refused");
    *https = strcmp(scheme, "https") == 0;
    if (*https ||
        (strcmp(scheme, "http") == 0 && (any_host || iphost_is_loopback(slice_cstr(host)))))
        return ATTEST_OK;
    return error_set(err, ATTEST_E_CONFIG,
                     "%.100s: only https, or http to this machine, is allowed", url);
}

enum attest_rc
fetch_url_check(const char *url, struct attest_error *err)
{
    bool https;
    return url_check(url, false, &https, err);
}

static size_t
take(char *p, size_t size, size_t n, void *ctx)
{
    struct buf *body = ctx;
    buf_append(body, p, size * n);
    return buf_rc(body) == ATTEST_OK ? size * n : 0;
}

static CURLcode
set_up(struct exchange *e, const struct fetch_request *r, bool https)
{
    const char *scheme = https ? "https" : "http";
    CURLcode rc = curl_easy_setopt(e->curl, CURLOPT_URL, r->url);
#define SET(option, value) rc = rc ? rc : curl_easy_setopt(e->curl, option, value)
    SET(CURLOPT_PROTOCOLS_STR, scheme);
    SET(CURLOPT_NOSIGNAL, 1L);
    /* Or the end of a transfer would wait for a name server that hangs. */
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_TIMEOUT_MS, r->timeout_ms);
    SET(CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
    SET(CURLOPT_HTTPHEADER, e->headers);
    SET(CURLOPT_ERRORBUFFER, e->why);
    SET(CURLOPT_WRITEFUNCTION, take);
    SET(CURLOPT_WRITEDATA, &e->answer.body);
    SET(CURLOPT_PRIVATE, e);
    if (!https || r->unix_socket)
        SET(CURLOPT_NOPROXY, "*");
    if (r->unix_socket)
        SET(CURLOPT_UNIX_SOCKET_PATH, r->unix_socket);
    if (r->ca_file)
        SET(CURLOPT_CAINFO, r->ca_file);
    if (r->body) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE, (long)r->body_len);
        SET(CURLOPT_COPYPOSTFIELDS, r->body);
    }
#undef SET
    return rc;
}

/*
 * libcurl looks into the system's directory beside a file that it is given, keeps what it has read
 * of that for a day, and may resume a session from before. A backend without such an option, which
 * is no error then, does nothing of the kind.
 */
static void
believe_only(struct exchange *e, const char *ca_file)
{
    if (ca_file)
        curl_easy_setopt(e->curl, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(e->curl, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    curl_easy_setopt(e->curl, CURLOPT_SSL_SESSIONID_CACHE, 0L);
}

enum attest_rc
exchange_new(const struct fetch_request *request, struct exchange **ret, struct attest_error *err)
{
    bool https = true;
    enum attest_rc rc = url_check(request->url, request->unix_socket != NULL, &https, err);
    if (rc != ATTEST_OK)
        return rc;
    AUTO(exchange) struct exchange *e = calloc(1, sizeof(*e));
    if (!e)
        return error_set(err, ATTEST_E_NOMEM, "fetch: out of memory");
    buf_init(&e->answer.body, request->answer_max);
    e->curl = curl_easy_init();
    e->headers =
        curl_slist_append(NULL, request->body ? "Content-Type: application/json" : "Accept: */*");
    /* To be told of, and a query may be what gives access. */
    e->where = request->unix_socket ? strdup(request->unix_socket)
                                    : strndup(request->url, strcspn(request->url, "?#"));
    e->local = request->unix_socket != NULL;
    e->type = strdup(request->type);
    e->answer_max = request->answer_max;
    if (!e->curl || !e->headers || !e->where || !e->type || set_up(e, request, https) != CURLE_OK)
        return error_set(err, ATTEST_E_NOMEM, "fetch: out of memory");
    believe_only(e, request->ca_file);
    *ret = STEAL(e);
    return ATTEST_OK;
}

void
exchange_free(struct exchange *e)
{
    if (!e)
        return;
    curl_easy_cleanup(e->curl);
    curl_slist_free_all(e->headers);
    fetch_answer_done(&e->answer);
    free(e->where);
    free(e->type);
    free(e);
}

/* ---- what the answer's head says ---- */

static void
media_type(struct exchange *e)
{
    char *type = NULL;
    if (curl_easy_getinfo(e->curl, CURLINFO_CONTENT_TYPE, &type) != CURLE_OK || !type)
        return;
    size_t n = strcspn(type, "; \t");
    if (n >= sizeof(e->answer.type))
        return;
    for (size_t i = 0; i < n; i++)
        e->answer.type[i] = (char)(type[i] >= 'A' && type[i] <= 'Z' ? type[i] | 0x20 : type[i]);
}

/* The i'th header of this name, NULL behind the last. */
static const char *
header(struct exchange *e, const char *name, size_t i)
{
    struct curl_header *h = NULL;
    return curl_easy_header(e->curl, name, i, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

/* Digits into seconds, -1 when there is anything else, or no digit. */
static int64_t
seconds(const char *text, size_t len)
{
    int64_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        if (n < FETCH_SECONDS_MAX)
            n = n * 10 + (text[i] - '0');
    }
    return len == 0 ? -1 : n < FETCH_SECONDS_MAX ? n : FETCH_SECONDS_MAX;
}

/* RFC 9111, section 5.2.2: a private cache, and the strictest of several words counts. */
static int64_t
max_age_of(const char *directives)
{
    int64_t found = -1;
    for (const char *p = directives; *p;) {
        p += strspn(p, " \t,");
        size_t n = strcspn(p, ",");
        size_t word = n;
        while (word > 0 && (p[word - 1] == ' ' || p[word - 1] == '\t'))
            word--;
        int64_t says = -1;
        if ((word == 8 && strncasecmp(p, "no-store", 8) == 0) ||
            (word >= 8 && strncasecmp(p, "no-cache", 8) == 0))
            says = 0;
        else if (word > 8 && strncasecmp(p, "max-age=", 8) == 0)
            says = seconds(p + 8, word - 8) < 0 ? 0 : seconds(p + 8, word - 8);
        if (says >= 0 && (found < 0 || says < found))
            found = says;
        p += n;
    }
    return found;
}

static void
read_head(struct exchange *e)
{
    const char *text;
    media_type(e);
    e->answer.max_age_s = -1;
    for (size_t i = 0; (text = header(e, "Cache-Control", i)); i++) {
        int64_t says = max_age_of(text);
        if (says >= 0 && (e->answer.max_age_s < 0 || says < e->answer.max_age_s))
            e->answer.max_age_s = says;
    }
    text = header(e, "Age", 0);
    int64_t age_s = text ? seconds(text, strlen(text)) : 0;
    if (e->answer.max_age_s >= 0 && age_s > 0)
        e->answer.max_age_s -= age_s < e->answer.max_age_s ? age_s : e->answer.max_age_s;
    text = header(e, "Retry-After", 0);
    e->answer.retry_after_s = text ? seconds(text, strlen(text)) : 0;
    if (e->answer.retry_after_s < 0)
        e->answer.retry_after_s = 0;
}

static enum attest_rc
failure(const struct exchange *e, CURLcode code, struct attest_error *err)
{
    const struct buf *body = &e->answer.body;
    if (buf_rc(body) == ATTEST_E_LIMIT)
        return error_set(err, ATTEST_E_LIMIT, "%.60s: the answer is longer than %zu bytes",
                         e->where, e->answer_max);
    enum attest_rc rc = code == CURLE_OUT_OF_MEMORY || buf_rc(body) == ATTEST_E_NOMEM
                            ? ATTEST_E_NOMEM
                        : code == CURLE_OPERATION_TIMEDOUT ? ATTEST_E_TIMEOUT
                                                           : ATTEST_E_IO;
    long why = 0; /* libcurl's own words are about a port of a host */
    if (e->local && code == CURLE_COULDNT_CONNECT &&
        curl_easy_getinfo(e->curl, CURLINFO_OS_ERRNO, &why) == CURLE_OK && why)
        return error_errno(err, rc, (int)why, "%.60s", e->where);
    return error_set(err, rc, "%.60s: %s", e->where, *e->why ? e->why : curl_easy_strerror(code));
}

enum attest_rc
exchange_end(struct exchange *e, CURLcode code, struct attest_error *err)
{
    if (code != CURLE_OK)
        return failure(e, code, err);
    curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, &e->answer.status);
    read_head(e);
    if (e->answer.status / 100 != 2)
        return ATTEST_OK;
    if (strcmp(e->answer.type, e->type) != 0)
        return error_set(err, ATTEST_E_MALFORMED, "%.60s: the answer is %s, not %s", e->where,
                         *e->answer.type ? e->answer.type : "of no type", e->type);
    /* None was asked for; a few bytes could become as many as they like. */
    const char *encoding = header(e, "Content-Encoding", 0);
    if (encoding && strcasecmp(encoding, "identity") != 0)
        return error_set(err, ATTEST_E_MALFORMED, "%.60s: the answer is compressed", e->where);
    return ATTEST_OK;
}
