/* SPDX-License-Identifier: MIT */
#include "base/b64u.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The value of each character plus one; 0 is not in the alphabet. */
static const uint8_t value_plus_1[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

void
b64u_encode(char *out, const void *p, size_t len)
{
    const uint8_t *in = p;
    for (; len >= 3; len -= 3, in += 3) {
        uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *out++ = alphabet[v >> 18];
        *out++ = alphabet[v >> 12 & 63];
        *out++ = alphabet[v >> 6 & 63];
        *out++ = alphabet[v & 63];
    }
    if (len == 0)
        return;
    uint32_t v = (uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0);
    *out++ = alphabet[v >> 18];
    *out++ = alphabet[v >> 12 & 63];
    if (len == 2)
        *out = alphabet[v >> 6 & 63];
}

void
b64u_append(struct buf *b, const void *p, size_t len)
{
    size_t n = b64u_encoded_len(len);
    char *at = buf_reserve(b, n);
    if (!at)
        return;
    b64u_encode(at, p, len);
    b->len += n;
}

bool
b64u_decode(void *out, size_t out_size, size_t *out_len, struct slice text)
{
    const uint8_t *in = (const uint8_t *)text.p;
    uint8_t *o = out;
    size_t tail = text.len % 4;
    size_t n = b64u_decoded_len(text.len);
    if (tail == 1 || n > out_size)
        return false;

    /* Minus one turns "not in the alphabet" into bits above the low six; `bad` collects those. */
    uint32_t bad = 0;
    const uint8_t *end = in + (text.len - tail);
    for (; in < end; in += 4, o += 3) {
        uint32_t a = (uint32_t)value_plus_1[in[0]] - 1, b = (uint32_t)value_plus_1[in[1]] - 1;
        uint32_t c = (uint32_t)value_plus_1[in[2]] - 1, d = (uint32_t)value_plus_1[in[3]] - 1;
        bad |= a | b | c | d;
        uint32_t v = a << 18 | b << 12 | c << 6 | d;
        o[0] = (uint8_t)(v >> 16);
        o[1] = (uint8_t)(v >> 8);
        o[2] = (uint8_t)v;
    }
    if (tail) {
        uint32_t a = (uint32_t)value_plus_1[in[0]] - 1, b = (uint32_t)value_plus_1[in[1]] - 1;
        uint32_t c = tail == 3 ? (uint32_t)value_plus_1[in[2]] - 1 : 0;
        bad |= a | b | c;
        uint32_t v = a << 18 | b << 12 | c << 6;
        o[0] = (uint8_t)(v >> 16);
        if (tail == 3)
            o[1] = (uint8_t)(v >> 8);
        if (tail == 2 ? (v & 0xffff) != 0 : (v & 0xff) != 0)
            return false;
    }
    if (bad & ~(uint32_t)63)
        return false;
    *out_len = n;
    return true;
}

bool
b64u_decode_exact(void *out, size_t len, struct slice text)
{
    size_t n;
    if (text.len != b64u_encoded_len(len))
        return false;
    return b64u_decode(out, len, &n, text) && n == len;
}
