/* SPDX-License-Identifier: MIT */
#include "tests/bench/response.h"

#include <string.h>
#include <strings.h>

static bool
header_is(struct slice line, const char *name, struct slice *value)
{
    size_t n = strlen(name);
    if (line.len <= n || line.p[n] != ':' || strncasecmp(line.p, name, n) != 0)
        return false;
    *value = (struct slice){line.p + n + 1, line.len - n - 1};
    while (value->len > 0 && (value->p[0] == ' ' || value->p[0] == '\t')) {
        value->p++;
        value->len--;
    }
    return true;
}

static bool
read_length(struct slice digits, size_t *ret)
{
    size_t v = 0;
    if (digits.len == 0 || digits.len > 9)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            return false;
        v = v * 10 + (size_t)(digits.p[i] - '0');
    }
    *ret = v;
    return true;
}

/* "HTTP/1.1 201 Created" */
static bool
read_status(struct slice line, int *ret)
{
    size_t code;
    if (line.len < 12 || memcmp(line.p, "HTTP/1.", 7) != 0 || line.p[8] != ' ' ||
        !read_length((struct slice){line.p + 9, 3}, &code))
        return false;
    *ret = (int)code;
    return code >= 200 && code < 600;
}

static bool
read_head(struct slice head, struct response *r, bool *has_length, size_t *body_len)
{
    bool first = true;
    while (head.len > 0) {
        const char *end = memmem(head.p, head.len, "\r\n", 2);
        struct slice line = {head.p, end ? (size_t)(end - head.p) : head.len};
        struct slice value;
        if (first && !read_status(line, &r->status))
            return false;
        first = false;
        if (header_is(line, "Content-Length", &value)) {
            if (*has_length || !read_length(value, body_len))
                return false;
            *has_length = true;
        } else if (header_is(line, "Transfer-Encoding", &value)) {
            return false;
        } else if (header_is(line, "Connection", &value)) {
            r->closes = value.len == 5 && strncasecmp(value.p, "close", 5) == 0;
        }
        size_t taken = end ? line.len + 2 : line.len;
        head.p += taken;
        head.len -= taken;
    }
    return !first;
}

enum response_state
response_read(struct slice data, struct response *ret)
{
    const char *end = data.len ? memmem(data.p, data.len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return RESPONSE_MORE;
    struct response r = {0};
    size_t head_len = (size_t)(end - data.p);
    size_t body_len = 0;
    bool has_length = false;
    if (!read_head((struct slice){data.p, head_len}, &r, &has_length, &body_len))
        return RESPONSE_BAD;
    if (r.status == 204 || r.status == 304)
        body_len = 0;
    else if (!has_length)
        return RESPONSE_BAD;
    r.total_len = head_len + 4 + body_len;
    if (data.len < r.total_len)
        return RESPONSE_MORE;
    r.body = (struct slice){end + 4, body_len};
    *ret = r;
    return RESPONSE_DONE;
}
