/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"

#include <stdarg.h>
#include <string.h>

struct slice
slice_cstr(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

char *
slice_dup(struct slice s)
{
    char *copy = malloc(s.len + 1);
    if (!copy)
        return NULL;
    if (s.len)
        memcpy(copy, s.p, s.len);
    copy[s.len] = '\0';
    return copy;
}

void
buf_init(struct buf *b, size_t limit)
{
    *b = (struct buf){.limit = limit};
}

void
buf_done(struct buf *b)
{
    if (!b)
        return;
    free(b->p);
    *b = (struct buf){.limit = b->limit};
}

void
buf_reset(struct buf *b)
{
    b->len = 0;
    b->rc = ATTEST_OK;
}

char *
buf_reserve(struct buf *b, size_t len)
{
    if (b->rc)
        return NULL;
    if (len > b->limit || b->len > b->limit - len) {
        b->rc = ATTEST_E_LIMIT;
        return NULL;
    }
    size_t need = b->len + len;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap : 256;
        while (cap < need)
            cap *= 2;
        if (cap > b->limit)
            cap = b->limit;
        char *p = realloc(b->p, cap);
        if (!p) {
            b->rc = ATTEST_E_NOMEM;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->len;
}

void
buf_append(struct buf *b, const void *p, size_t len)
{
    if (len == 0)
        return;
    char *at = buf_reserve(b, len);
    if (!at)
        return;
    memcpy(at, p, len);
    b->len += len;
}

void
buf_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.p, s.len);
}

void
buf_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void
buf_char(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

void
buf_printf(struct buf *b, const char *format, ...)
{
    char small[512];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(small, sizeof(small), format, ap);
    va_end(ap);
    if (n < 0) {
        b->rc = ATTEST_E_INTERNAL;
        return;
    }
    if ((size_t)n < sizeof(small)) {
        buf_append(b, small, (size_t)n);
        return;
    }
    char *at = buf_reserve(b, (size_t)n + 1);
    if (!at)
        return;
    va_start(ap, format);
    vsnprintf(at, (size_t)n + 1, format, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void
buf_consume(struct buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
}

bool
buf_terminate(struct buf *b)
{
    char *at = buf_reserve(b, 1);
    if (!at)
        return false;
    *at = '\0';
    return true;
}

enum attest_rc
buf_rc(const struct buf *b)
{
    return b->rc;
}

struct slice
buf_view(const struct buf *b)
{
    return (struct slice){b->p, b->len};
}

void
be32_put(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

uint32_t
be32_get(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static const char hex_digits[] = "0123456789abcdef";

void
hex_encode(char *out, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        *out++ = hex_digits[p[i] >> 4];
        *out++ = hex_digits[p[i] & 15];
    }
    *out = '\0';
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool
hex_decode(uint8_t *out, size_t len, struct slice hex)
{
    if (hex.len != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int high = hex_value(hex.p[2 * i]);
        int low = hex_value(hex.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
