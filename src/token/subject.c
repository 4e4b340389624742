/* SPDX-License-Identifier: MIT */
#include "token/subject.h"

#include <ctype.h>
#include <string.h>

#include "base/iphost.h"

static const char spiffe[] = "spiffe://";

static bool
is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool
is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

bool
trust_domain_ok(struct slice trust_domain)
{
    if (trust_domain.len == 0 || trust_domain.len > TRUST_DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < trust_domain.len; i++) {
        char c = trust_domain.p[i];
        if (!is_lower_or_digit(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

bool
subject_segment_ok(struct slice segment)
{
    if (segment.len == 0 || slice_is(segment, ".") || slice_is(segment, ".."))
        return false;
    for (size_t i = 0; i < segment.len; i++) {
        char c = segment.p[i];
        if (!is_lower_or_digit(c) && !is_upper(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* Cuts prefix off *s. */
static bool
skip(struct slice *s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (s->len < n || memcmp(s->p, prefix, n) != 0)
        return false;
    s->p += n;
    s->len -= n;
    return true;
}

/* Cuts what stands before the first c off *s, c stays. */
static struct slice
take_until(struct slice *s, char c)
{
    const char *at = memchr(s->p, c, s->len);
    struct slice head = {s->p, at ? (size_t)(at - s->p) : s->len};
    s->p += head.len;
    s->len -= head.len;
    return head;
}

bool
subject_read(struct slice sub, struct subject *ret)
{
    struct subject subject = {.enterprise = false};
    struct slice rest = sub;
    if (sub.len > SUBJECT_MAX || !skip(&rest, spiffe))
        return false;
    subject.trust_domain = take_until(&rest, '/');
    if (!trust_domain_ok(subject.trust_domain))
        return false;
    if (skip(&rest, "/agent/"))
        subject.enterprise = true;
    else if (!skip(&rest, "/model/"))
        return false;
    if (!subject_segment_ok(rest))
        return false;
    subject.segment = rest;
    *ret = subject;
    return true;
}

static struct slice
segment_for(struct slice name, const struct subject_names *names)
{
    for (size_t i = 0; names && i < names->n; i++) {
        if (slice_eq(names->list[i].name, name))
            return names->list[i].segment;
    }
    return name;
}

bool
subject_names_it(const struct subject *subject, struct slice name,
                 const struct subject_names *names)
{
    return slice_eq(subject->segment, segment_for(name, names));
}

enum attest_rc
subject_write(struct slice trust_domain, bool enterprise, struct slice name,
              const struct subject_names *names, struct buf *out, struct attest_error *err)
{
    const char *member =
        enterprise ? "agent_identity.enterprise.workload_id" : "agent_identity.model_version";
    const char *kind = enterprise ? "/agent/" : "/model/";
    struct slice segment = segment_for(name, names);
    if (!trust_domain_ok(trust_domain))
        return error_set(err, ATTEST_E_CONFIG, "trust_domain: must be 1 to %d of [a-z0-9._-]",
                         TRUST_DOMAIN_MAX);
    if (!subject_segment_ok(segment)) {
        if (segment.p != name.p)
            return error_set(err, ATTEST_E_CONFIG,
                             "subject_names: '%.*s' is no path segment, [A-Za-z0-9._-]",
                             (int)(segment.len < 64 ? segment.len : 64), segment.p);
        return error_set(err, ATTEST_E_CLAIMS,
                         "%s: no path segment, [A-Za-z0-9._-], and subject_names has none for it",
                         member);
    }
    size_t len = strlen(spiffe) + trust_domain.len + strlen(kind) + segment.len;
    if (len > SUBJECT_MAX)
        return error_set(err, ATTEST_E_CLAIMS, "%s: too long for a subject", member);
    if (!buf_reserve(out, len))
        return error_set(err, buf_rc(out), "sub: %s", attest_strerror(buf_rc(out)));
    buf_str(out, spiffe);
    buf_slice(out, trust_domain);
    buf_str(out, kind);
    buf_slice(out, segment);
    return ATTEST_OK;
}

static const char *
cut_scheme(struct slice *url)
{
    static const char *const schemes[] = {"https://", "http://"};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (skip(url, schemes[i]))
            return schemes[i];
    }
    return NULL;
}

/* The host with the brackets of an IPv6 address; *url keeps the port and the path. */
static struct slice
take_host(struct slice *url)
{
    struct slice authority = *url;
    authority = take_until(&authority, '/');
    struct slice host = take_until(&authority, authority.len && *authority.p == '[' ? ']' : ':');
    if (authority.len && *authority.p == ']')
        host.len++;
    url->p += host.len;
    url->len -= host.len;
    return host;
}

static bool
host_ok(struct slice host)
{
    struct in6_addr v6;
    if (host.len && host.p[0] == '[') {
        for (size_t i = 0; i < host.len; i++) {
            if (is_upper(host.p[i]))
                return false;
        }
        return iphost_v6(host, &v6);
    }
    return trust_domain_ok(host) && host.p[0] != '.' && host.p[host.len - 1] != '.' &&
           !memmem(host.p, host.len, "..", 2);
}

/* ":1" to ":65535" without leading zeros, or nothing. */
static bool
skip_port(struct slice *url)
{
    if (url->len == 0 || url->p[0] != ':')
        return true;
    unsigned port = 0;
    size_t i = 1;
    for (; i < url->len && url->p[i] >= '0' && url->p[i] <= '9' && i <= 5; i++)
        port = port * 10 + (unsigned)(url->p[i] - '0');
    if (i == 1 || url->p[1] == '0' || port > 65535)
        return false;
    url->p += i;
    url->len -= i;
    return true;
}

static bool
path_char_ok(struct slice path, size_t i)
{
    char c = path.p[i];
    if (c == '%')
        return path.len - i > 2 && isxdigit((unsigned char)path.p[i + 1]) &&
               isxdigit((unsigned char)path.p[i + 2]);
    return is_lower_or_digit(c) || is_upper(c) || (c && strchr("-._~!$&'()*+,;=:@", c));
}

/* Segments behind slashes, the last one may be empty. */
static bool
path_ok(struct slice path)
{
    while (path.len) {
        if (!skip(&path, "/"))
            return false;
        struct slice segment = take_until(&path, '/');
        if ((segment.len == 0 && path.len) || slice_is(segment, ".") || slice_is(segment, ".."))
            return false;
        for (size_t i = 0; i < segment.len; i++) {
            if (!path_char_ok(segment, i))
                return false;
        }
    }
    return true;
}

enum attest_rc
issuer_check(struct slice issuer, bool http_loopback_allowed, struct attest_error *err)
{
    struct slice rest = issuer;
    const char *why = NULL;
    const char *scheme = cut_scheme(&rest);
    struct slice host = scheme ? take_host(&rest) : rest;
    if (issuer.len > ISSUER_MAX)
        why = "longer than 1024 bytes";
    else if (!scheme)
        why = "must start with https://";
    else if (!host_ok(host))
        why = "must be https://host[:port][/path], the host in lower case";
    else if (!skip_port(&rest) || !path_ok(rest))
        why = "must be https://host[:port][/path] and nothing more";
    else if (strcmp(scheme, "http://") == 0 && !iphost_is_loopback(host))
        why = "http is for loopback hosts only; use https";
    else if (strcmp(scheme, "http://") == 0 && !http_loopback_allowed)
        why = "http is not allowed here; use https";
    if (why)
        return error_set(err, ATTEST_E_CONFIG, "issuer '%.*s': %s",
                         (int)(issuer.len < 80 ? issuer.len : 80), issuer.p, why);
    return ATTEST_OK;
}

struct slice
issuer_base(struct slice issuer)
{
    if (issuer.len && issuer.p[issuer.len - 1] == '/')
        issuer.len--;
    return issuer;
}

bool
issuer_trust_domain(struct slice issuer, struct slice *ret)
{
    struct slice rest = issuer;
    if (!cut_scheme(&rest))
        return false;
    struct slice host = take_host(&rest);
    if (!trust_domain_ok(host))
        return false;
    *ret = host;
    return true;
}
