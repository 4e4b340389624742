/* SPDX-License-Identifier: MIT */
#include "issuer/problem.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/ed25519.h"
#include "base/json.h"

/* type is urn:attestd:problem: and the name. */
static const struct kind {
    unsigned status;
    const char *name, *title;
} kinds[] = {
    {500, "internal", "Something went wrong here"}, /* also for what is not below */
    {400, "malformed", "The request cannot be read"},
    {401, "caller-unknown", "The caller is not known"},
    {403, "not-permitted", "The caller may not have this"},
    {404, "not-found", "Nothing is here"},
    {405, "method", "The method is not for this resource"},
    {411, "length-required", "A body with a Content-Length is needed"},
    {413, "too-large", "The request is too large"},
    {415, "media-type", "The body is of another type than expected"},
    {417, "expectation", "The expectation cannot be met"},
    {429, "too-many", "Too many requests"},
    {431, "header-too-large", "The head of the request is too large"},
    {501, "not-implemented", "Not implemented"},
    {503, "unavailable", "Not available now"},
    {505, "http-version", "Another version of HTTP is spoken here"},
};

static uint8_t id_prefix[6];

static void
make_prefix(void)
{
    random_bytes(id_prefix, sizeof(id_prefix));
}

void
request_id_next(char out[REQUEST_ID_SIZE])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static _Atomic uint64_t counter;
    pthread_once(&once, make_prefix);
    char hex[2 * sizeof(id_prefix) + 1];
    hex_encode(hex, id_prefix, sizeof(id_prefix));
    snprintf(out, REQUEST_ID_SIZE, "%s-%llx", hex,
             (unsigned long long)atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed));
}

void
problem_write(struct buf *out, unsigned status, const char *detail, const char *member,
              const char *request_id)
{
    const struct kind *kind = &kinds[0];
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].status == status)
            kind = &kinds[i];
    buf_printf(out,
               "{\"type\":\"urn:attestd:problem:%s\",\"title\":\"%s\",\"status\":%u,\"detail\":",
               kind->name, kind->title, status);
    json_put_string(out, slice_cstr(detail));
    if (member && member[0]) {
        buf_str(out, ",\"member\":");
        json_put_string(out, slice_cstr(member));
    }
    buf_str(out, ",\"request_id\":");
    json_put_string(out, slice_cstr(request_id));
    buf_char(out, '}');
}
