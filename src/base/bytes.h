/* SPDX-License-Identifier: MIT */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/auto.h"
#include "base/error.h"

/* A borrowed run of bytes: not owned, need not end in NUL. */
struct slice {
    const char *p;
    size_t len;
};

/* printf("%.*s", SLICE_ARG(s)) */
#define SLICE_ARG(s) ((int)(s).len), ((s).p)

struct slice slice_cstr(const char *s);
/* A NUL-terminated copy on the heap, free() it; NULL when out of memory. */
char *slice_dup(struct slice s);

/*
 * These two find members by their names, a hundred times a token, and nearly always the answer is
 * no from the first byte on: they are here so that it costs no call.
 */
static inline bool
slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || (a.p[0] == b.p[0] && memcmp(a.p, b.p, a.len) == 0));
}

static inline bool
slice_is(struct slice s, const char *text)
{
    if (s.len == 0)
        return !text[0];
    return s.p[0] == text[0] && s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

/*
 * A growing buffer with a mandatory limit. Every append either succeeds whole or marks the buffer
 * failed and leaves it as it was; later appends then do nothing, so a writer may append freely and
 * ask once, at the end, with buf_rc(). Not thread-safe.
 */
struct buf {
    char *p;
    size_t len;
    size_t cap;
    size_t limit;
    enum attest_rc rc; /* ATTEST_OK, ATTEST_E_NOMEM or ATTEST_E_LIMIT */
};

void buf_init(struct buf *b, size_t limit);
void buf_done(struct buf *b);
/* Empties it and forgets a failure, keeping the memory. */
void buf_reset(struct buf *b);
/* Makes room for len more bytes and returns where they start, or NULL. The caller adds to b->len.
 */
char *buf_reserve(struct buf *b, size_t len);
void buf_append(struct buf *b, const void *p, size_t len);
void buf_slice(struct buf *b, struct slice s);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);
/* Adds a NUL behind the content without counting it; false when that failed or anything before. */
bool buf_terminate(struct buf *b);
enum attest_rc buf_rc(const struct buf *b);
struct slice buf_view(const struct buf *b);

static inline void
buf_auto(struct buf *b)
{
    buf_done(b);
}

/* Big-endian 32 bits at p. */
void be32_put(uint8_t *p, uint32_t v);
uint32_t be32_get(const uint8_t *p);

/* Lower-case hex; out gets 2 * len + 1 bytes. */
void hex_encode(char *out, const uint8_t *p, size_t len);
/* Lower-case hex of exactly 2 * len digits into len bytes; false on anything else. */
bool hex_decode(uint8_t *out, size_t len, struct slice hex);

#endif
