/* SPDX-License-Identifier: MIT */
#ifndef FETCH_EXCHANGE_H
#define FETCH_EXCHANGE_H

#include <curl/curl.h>

#include "fetch/fetch.h"

/* One HTTP exchange by libcurl, from request to answer; who performs it is another matter. */

struct exchange {
    CURL *curl;
    struct curl_slist *headers;
    struct fetch_answer answer;
    char why[CURL_ERROR_SIZE];
    char *where, *type;
    bool local; /* over a UNIX socket */
    size_t answer_max;
};

/* Nothing of the request is needed any more. ATTEST_E_CONFIG (its URL), _NOMEM. */
enum attest_rc exchange_new(const struct fetch_request *request, struct exchange **ret,
                            struct attest_error *err);

/* After libcurl is done with it: what fetch_once() returns; e->answer then. */
enum attest_rc exchange_end(struct exchange *e, CURLcode code, struct attest_error *err);

void exchange_free(struct exchange *e);
DEFINE_AUTO(exchange, struct exchange *, exchange_free);

#endif
