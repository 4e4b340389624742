/* SPDX-License-Identifier: MIT */
#include "fetch/exchange.h"

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
