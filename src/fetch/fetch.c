/* SPDX-License-Identifier: MIT */
#include "fetch/exchange.h"

#define JWKS_MAX 65536
#define JWKS_TIMEOUT_MS 10000

enum attest_rc
fetch_init(struct attest_error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, ATTEST_E_INTERNAL, "libcurl could not be initialised");
    return ATTEST_OK;
}

enum attest_rc
fetch_once(const struct fetch_request *request, struct fetch_answer *ret, struct attest_error *err)
{
    AUTO(exchange) struct exchange *e = NULL;
    enum attest_rc rc = exchange_new(request, &e, err);
    if (rc == ATTEST_OK)
        rc = exchange_end(e, curl_easy_perform(e->curl), err);
    if (rc != ATTEST_OK)
        return rc;
    *ret = e->answer;
    e->answer = (struct fetch_answer){0};
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
