/* SPDX-License-Identifier: MIT */
#include "verify/discovery.h"

#include <string.h>

#include "base/json.h"

#define NODES_MAX 1024

/* scheme://authority of an issuer URL, which has been checked. */
static size_t
origin_len(const char *url)
{
    const char *authority = strstr(url, "://");
    return authority ? (size_t)(authority + 3 - url) + strcspn(authority + 3, "/?#") : 0;
}

static bool
same_origin(const char *issuer, struct slice url)
{
    size_t n = origin_len(issuer);
    return n > 0 && url.len > n && memcmp(issuer, url.p, n) == 0 && url.p[n] == '/';
}

enum attest_rc
discovery_read(struct slice document, size_t document_max, const char *issuer, const char *member,
               char **ret, struct attest_error *err)
{
    const struct json_limits limits = {document_max, 2048, 8, 128};
    AUTO(mem) char *text = malloc(document.len + 1);
    /* Not on the stack: who waits in a check may have a small one. */
    AUTO(mem) struct json_node *nodes = malloc(NODES_MAX * sizeof(*nodes));
    struct json j = {nodes, NODES_MAX, 0};
    if (!text || !nodes)
        return error_set(err, ATTEST_E_NOMEM, "discovery: out of memory");
    memcpy(text, document.p, document.len);
    enum attest_rc rc = json_read(&j, text, document.len, &limits, err);
    if (rc != ATTEST_OK)
        return rc;
    const struct json_node *of = json_member(&j, json_root(&j), "issuer");
    const struct json_node *url = json_member(&j, json_root(&j), member);
    if (!of || of->type != JSON_STRING || !slice_is(of->text, issuer))
        return error_set(err, ATTEST_E_ISSUER, "discovery: the document is of another issuer");
    if (!url || url->type != JSON_STRING || !same_origin(issuer, url->text))
        return error_set(err, ATTEST_E_MALFORMED, "discovery: no key set on the issuer's own host");
    char *copy = strndup(url->text.p, url->text.len);
    if (!copy)
        return error_set(err, ATTEST_E_NOMEM, "discovery: out of memory");
    *ret = copy;
    return ATTEST_OK;
}
