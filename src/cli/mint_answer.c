/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/jsondoc.h"
#include "cli/mint.h"

#define ANSWER_LEN_MAX 65536
#define DEPTH_MAX 8

char *
mint_answer(const struct buf *body, bool whole, struct attest_error *err)
{
    AUTO(json_t)
    json_t *json = jsondoc_read(body->p ? body->p : "", body->len, ANSWER_LEN_MAX, DEPTH_MAX, err);
    if (!json)
        return NULL;
    const char *token = json_string_value(json_object_get(json, "token"));
    if (!token) {
        error_set(err, ATTEST_E_MALFORMED, "the answer holds no token");
        return NULL;
    }
    char *text = whole ? json_dumps(json, JSON_COMPACT) : strdup(token);
    if (!text)
        error_set(err, ATTEST_E_NOMEM, "out of memory");
    return text;
}

char *
mint_issuer(const struct buf *body, struct attest_error *err)
{
    AUTO(json_t)
    json_t *json = jsondoc_read(body->p ? body->p : "", body->len, ANSWER_LEN_MAX, DEPTH_MAX, err);
    const char *issuer = json_string_value(json_object_get(json, "issuer"));
    char *text = issuer ? strdup(issuer) : NULL;
    if (json && !text)
        error_set(err, issuer ? ATTEST_E_NOMEM : ATTEST_E_MALFORMED, "the answer names no issuer");
    return text;
}

/* Printable ASCII only: this goes to a terminal and came over the network. */
static void
copy(char *out, size_t out_size, const char *text)
{
    size_t n = 0;
    for (; text[n] && n + 1 < out_size; n++)
        out[n] = (char)(text[n] >= 0x20 && text[n] <= 0x7e ? text[n] : '?');
    out[n] = '\0';
}

void
mint_problem_read(const struct buf *body, const char *type, struct mint_problem *ret)
{
    *ret = (struct mint_problem){.detail = "no reason was given"};
    if (strcmp(type, "application/problem+json") != 0)
        return;
    AUTO(json_t)
    json_t *json = jsondoc_read(body->p ? body->p : "", body->len, ANSWER_LEN_MAX, DEPTH_MAX, NULL);
    const char *detail = json_string_value(json_object_get(json, "detail"));
    const char *title = json_string_value(json_object_get(json, "title"));
    const char *member = json_string_value(json_object_get(json, "member"));
    if (detail || title)
        copy(ret->detail, sizeof(ret->detail), detail ? detail : title);
    if (member)
        copy(ret->member, sizeof(ret->member), member);
    if (json)
        ret->json = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);
}

void
mint_problem_done(struct mint_problem *problem)
{
    free(problem->json);
}
