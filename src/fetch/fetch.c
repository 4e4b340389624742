/* SPDX-License-Identifier: MIT */
#include "fetch/fetch.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#define JWKS_MAX 65536
#define JWKS_TIMEOUT_MS 10000

DEFINE_AUTO(CURL, CURL *, curl_easy_cleanup);
DEFINE_AUTO(CURLU, CURLU *, curl_url_cleanup);
DEFINE_AUTO(slist, struct curl_slist *, curl_slist_free_all);
DEFINE_AUTO(curl_str, char *, curl_free);

enum attest_rc
fetch_init(struct attest_error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, ATTEST_E_INTERNAL, "libcurl could not be initialised");
    return ATTEST_OK;
}

/* The names of this machine to itself; nothing is looked up to find out. */
static bool
loopback(const char *host)
{
    if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    unsigned part[4];
    int end = 0;
    return sscanf(host, "%3u.%3u.%3u.%3u%n", &part[0], &part[1], &part[2], &part[3], &end) == 4 &&
           host[end] == '\0' && part[0] == 127;
}

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
        return error_set(err, ATTEST_E_ARGUMENT, "%.100s is not a URL; write https://host/path",
                         url);
    if (curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK)
        return error_set(err, ATTEST_E_ARGUMENT, "a URL with a user in it is refused");
    *https = strcmp(scheme, "https") == 0;
    if (*https || (strcmp(scheme, "http") == 0 && (any_host || loopback(host))))
        return ATTEST_OK;
    return error_set(err, ATTEST_E_ARGUMENT,
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

static void
media_type(CURL *curl, struct fetch_answer *answer)
{
    char *type = NULL;
    answer->type[0] = '\0';
    if (curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type) != CURLE_OK || !type)
        return;
    size_t n = strcspn(type, "; \t");
    if (n >= sizeof(answer->type))
        return;
    for (size_t i = 0; i < n; i++)
        answer->type[i] = (char)(type[i] >= 'A' && type[i] <= 'Z' ? type[i] | 0x20 : type[i]);
    answer->type[n] = '\0';
}

static CURLcode
set_up(CURL *curl, const struct fetch_request *r, bool https, struct curl_slist *headers,
       struct fetch_answer *answer, char *why)
{
    const char *scheme = https ? "https" : "http";
    CURLcode rc = curl_easy_setopt(curl, CURLOPT_URL, r->url);
#define SET(option, value) rc = rc ? rc : curl_easy_setopt(curl, option, value)
    SET(CURLOPT_PROTOCOLS_STR, scheme);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_TIMEOUT_MS, r->timeout_ms);
    SET(CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_ERRORBUFFER, why);
    SET(CURLOPT_WRITEFUNCTION, take);
    SET(CURLOPT_WRITEDATA, &answer->body);
    if (!https || r->unix_socket)
        SET(CURLOPT_NOPROXY, "*");
    if (r->unix_socket)
        SET(CURLOPT_UNIX_SOCKET_PATH, r->unix_socket);
    if (r->body) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE, (long)r->body_len);
        SET(CURLOPT_POSTFIELDS, r->body);
    }
#undef SET
    return rc;
}

static enum attest_rc
failure(CURLcode code, const struct fetch_request *r, const struct buf *body, const char *why,
        struct attest_error *err)
{
    const char *where = r->unix_socket ? r->unix_socket : r->url;
    if (buf_rc(body) == ATTEST_E_LIMIT)
        return error_set(err, ATTEST_E_LIMIT, "%.60s: the answer is longer than %zu bytes", where,
                         r->answer_max);
    enum attest_rc rc = code == CURLE_OUT_OF_MEMORY || buf_rc(body) == ATTEST_E_NOMEM
                            ? ATTEST_E_NOMEM
                        : code == CURLE_OPERATION_TIMEDOUT ? ATTEST_E_TIMEOUT
                                                           : ATTEST_E_IO;
    return error_set(err, rc, "%.60s: %s", where, *why ? why : curl_easy_strerror(code));
}

static enum attest_rc
exchange(const struct fetch_request *r, bool https, struct fetch_answer *answer,
         struct attest_error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    AUTO(CURL) CURL *curl = curl_easy_init();
    AUTO(slist)
    struct curl_slist *headers =
        curl_slist_append(NULL, r->body ? "Content-Type: application/json" : "Accept: */*");
    if (!curl || !headers)
        return error_set(err, ATTEST_E_NOMEM, "fetch: out of memory");
    CURLcode code = set_up(curl, r, https, headers, answer, why);
    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        return failure(code, r, &answer->body, why, err);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    media_type(curl, answer);
    if (answer->status / 100 == 2 && strcmp(answer->type, r->type) != 0)
        return error_set(err, ATTEST_E_MALFORMED, "%.60s: the answer is %s, not %s", r->url,
                         *answer->type ? answer->type : "of no type", r->type);
    return ATTEST_OK;
}

enum attest_rc
fetch_once(const struct fetch_request *request, struct fetch_answer *ret, struct attest_error *err)
{
    bool https = true;
    enum attest_rc rc = url_check(request->url, request->unix_socket != NULL, &https, err);
    if (rc != ATTEST_OK)
        return rc;
    struct fetch_answer answer = {0};
    buf_init(&answer.body, request->answer_max);
    rc = exchange(request, https, &answer, err);
    if (rc != ATTEST_OK) {
        fetch_answer_done(&answer);
        return rc;
    }
    *ret = answer;
    return ATTEST_OK;
}

void
fetch_answer_done(struct fetch_answer *answer)
{
    buf_done(&answer->body);
}

enum attest_rc
fetch_jwks(const char *url, const char *unix_socket, const char *type, struct buf *out,
           struct attest_error *err)
{
    AUTO(fetch_answer) struct fetch_answer answer = {0};
    const struct fetch_request request = {.url = url,
                                          .unix_socket = unix_socket,
                                          .type = type,
                                          .answer_max = JWKS_MAX,
                                          .timeout_ms = JWKS_TIMEOUT_MS};
    enum attest_rc rc = fetch_once(&request, &answer, err);
    if (rc != ATTEST_OK)
        return rc;
    if (answer.status != 200)
        return error_set(err, answer.status == 404 ? ATTEST_E_NOT_FOUND : ATTEST_E_IO,
                         "%.100s: status %ld, not 200%s", url, answer.status,
                         answer.status / 100 == 3 ? " (redirects are not followed)" : "");
    buf_slice(out, buf_view(&answer.body));
    return buf_rc(out) ? error_set(err, buf_rc(out), "fetch: out of memory") : ATTEST_OK;
}
