/* SPDX-License-Identifier: MIT */
#include "issuer/audit.h"

#include <string.h>
#include <strings.h>

/* RFC 9110 section 5.6.2 */
static bool
is_token(struct slice s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              (c != '\0' && strchr(others, c))))
            return false;
    }
    return s.len > 0;
}

static bool
is_field_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool
name_is(struct slice s, const char *name)
{
    return strlen(name) == s.len && strncasecmp(s.p, name, s.len) == 0;
}

static struct slice
trim_end(struct slice s)
{
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* All digits and small enough to add to; -1 else. */
static int64_t
digits(struct slice s)
{
    if (s.len == 0 || s.len > 15)
        return -1;
    int64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -1;
        n = n * 10 + (s.p[i] - '0');
    }
    return n;
}

/* host[:port] as browsers and proxies write it: no user, no list, no escapes (RFC 9110, 7.2). */
static bool
is_authority(struct slice s)
{
    struct slice host = s, port = {NULL, 0};
    const char *end = s.p + s.len;
    const char *colon = NULL;
    if (s.len && s.p[0] == '[') {
        const char *close = memchr(s.p, ']', s.len);
        if (!close || close - s.p < 3)
            return false;
        host = (struct slice){s.p + 1, (size_t)(close - s.p - 1)};
        if (strspn(host.p, "0123456789abcdefABCDEF:.") < host.len)
            return false;
        if (close + 1 == end)
            return true;
        if (close[1] != ':')
            return false;
        colon = close + 1;
    } else {
        colon = memchr(s.p, ':', s.len);
        if (colon)
            host.len = (size_t)(colon - s.p);
        for (size_t i = 0; i < host.len; i++) {
            char c = host.p[i];
            if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  c == '-' || c == '.' || c == '_'))
                return false;
        }
    }
    if (colon) {
        port = (struct slice){colon + 1, (size_t)(end - colon - 1)};
        if (port.len > 5 || (port.len && digits(port) < 0))
            return false;
    }
    return host.len > 0 && host.len <= 255;
}

static unsigned
refuse(struct audit_result *ret, unsigned status, const char *detail)
{
    ret->detail = detail;
    return ret->status = status;
}

/* Every line of the head must be where CRLF and single spaces put it. */
static bool
is_laid_out(const struct audit_request *r)
{
    const struct slice *target = &r->target.whole;
    if (target->p != r->method.p + r->method.len + 1 || r->version.p != target->p + target->len + 1)
        return false;
    const char *at = r->version.p + r->version.len + 2;
    for (size_t i = 0; i < r->n_headers; i++) {
        const struct audit_header *h = &r->headers[i];
        const char *value = h->name.p + h->name.len + 1; /* behind the colon */
        if (h->name.p != at || h->value.p < value || h->value.p > r->head_end)
            return false;
        for (; value < h->value.p; value++)
            if (*value != ' ' && *value != '\t')
                return false;
        at = h->value.p + h->value.len + 2;
    }
    return at + 2 == r->head_end;
}

static unsigned
check_line(const struct audit_request *r, struct audit_result *ret)
{
    if (!is_token(r->method) || r->method.len > 32)
        return refuse(ret, 400, "the method is not one word of letters");
    if (!slice_is(r->version, "HTTP/1.1") && !slice_is(r->version, "HTTP/1.0"))
        return refuse(ret, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    ret->http10 = slice_is(r->version, "HTTP/1.0");
    if (!r->target.ok)
        return refuse(ret, 400, "the request target is no URL");
    return 0;
}

static unsigned
check_content_length(const struct audit_header *h, struct audit_result *ret)
{
    if (ret->content_length >= 0)
        return refuse(ret, 400, "Content-Length: more than one");
    ret->content_length = digits(trim_end(h->value));
    if (ret->content_length < 0)
        return refuse(ret, 400, "Content-Length: not a plain number of bytes");
    return 0;
}

static unsigned
check_expect(struct slice value, struct audit_result *ret)
{
    if (!name_is(value, "100-continue"))
        return refuse(ret, 417, "Expect: only 100-continue is known");
    ret->expect_continue = true;
    return 0;
}

/* What may stand in a request once; a second one lets two readers choose two. */
static const struct singleton {
    const char *name;
    size_t keep; /* offset of a slice in struct audit_result */
} singletons[] = {
    {"Host", offsetof(struct audit_result, host)},
    {"Content-Type", offsetof(struct audit_result, content_type)},
    {"Origin", offsetof(struct audit_result, origin)},
    {"Authorization", 0},
    {"Expect", 0},
    {"If-Modified-Since", 0},
    {"Max-Forwards", 0},
    {"Proxy-Authorization", 0},
};

static unsigned
check_singleton(const struct audit_header *h, unsigned *seen, struct audit_result *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(singletons); i++) {
        if (!name_is(h->name, singletons[i].name))
            continue;
        if (*seen & (1u << i))
            return refuse(ret, 400, "a header that may stand once stands twice");
        *seen |= 1u << i;
        if (singletons[i].keep)
            *(struct slice *)((char *)ret + singletons[i].keep) = trim_end(h->value);
    }
    return 0;
}

static unsigned
check_headers(const struct audit_request *r, struct audit_result *ret)
{
    unsigned seen = 0;
    bool transfer_encoding = false;
    for (size_t i = 0; i < r->n_headers; i++) {
        const struct audit_header *h = &r->headers[i];
        if (!is_token(h->name))
            return refuse(ret, 400, "a header's name is not one word");
        if (!is_field_value(h->value))
            return refuse(ret, 400, "a header's value holds control characters");
        if (check_singleton(h, &seen, ret))
            return ret->status;
        if (name_is(h->name, "Transfer-Encoding"))
            transfer_encoding = true;
        else if (name_is(h->name, "Content-Length") && check_content_length(h, ret))
            return ret->status;
        else if (name_is(h->name, "Expect") && check_expect(trim_end(h->value), ret))
            return ret->status;
        else if (name_is(h->name, "If-None-Match") && !ret->if_none_match.p)
            ret->if_none_match = trim_end(h->value);
    }
    if (transfer_encoding)
        return refuse(ret, 501, "Transfer-Encoding: not spoken here; send a Content-Length");
    return 0;
}

void
audit_target(struct slice whole, struct audit_target *ret)
{
    *ret = (struct audit_target){.whole = whole, .path = whole, .ok = whole.len > 0};
    for (size_t i = 0; i < whole.len; i++)
        if (whole.p[i] <= 0x20 || whole.p[i] > 0x7e || whole.p[i] == '#')
            ret->ok = false;
    if (!ret->ok)
        return;
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        size_t len = strlen(schemes[i]);
        if (whole.len <= len || strncasecmp(whole.p, schemes[i], len) != 0)
            continue;
        size_t end = len;
        while (end < whole.len && whole.p[end] != '/' && whole.p[end] != '?')
            end++;
        ret->authority = (struct slice){whole.p + len, end - len};
        ret->ok = is_authority(ret->authority);
        ret->path = end < whole.len && whole.p[end] == '/'
                        ? (struct slice){whole.p + end, whole.len - end}
                        : slice_cstr("/");
    }
    const char *query = memchr(ret->path.p, '?', ret->path.len);
    if (query)
        ret->path.len = (size_t)(query - ret->path.p);
}

void
audit_request(const struct audit_request *r, struct audit_result *ret)
{
    *ret = (struct audit_result){.content_length = -1};
    if (r->n_headers > AUDIT_HEADERS_MAX) {
        refuse(ret, 431, "too many headers");
        return;
    }
    if (r->saw_nul) {
        refuse(ret, 400, "a NUL byte was sent");
        return;
    }
    if (check_line(r, ret) || check_headers(r, ret))
        return;
    if (r->head_end && !is_laid_out(r)) {
        refuse(ret, 400, "lines must end in CRLF, unfolded, with single spaces in the first");
        return;
    }
    bool get = slice_is(r->method, "GET") || slice_is(r->method, "HEAD");
    if (!ret->host.p && !ret->http10)
        refuse(ret, 400, "Host: missing");
    else if (ret->host.p && !is_authority(ret->host))
        refuse(ret, 400, "Host: not a host with an optional port");
    else if (get && ret->content_length >= 0)
        refuse(ret, 400, "Content-Length: GET and HEAD have no body");
    else if (get && ret->expect_continue)
        refuse(ret, 400, "Expect: GET and HEAD have no body");
    else if (r->target.authority.p && ret->host.p &&
             (r->target.authority.len != ret->host.len ||
              strncasecmp(r->target.authority.p, ret->host.p, ret->host.len) != 0))
        refuse(ret, 400, "Host: another host than the request target names");
}
