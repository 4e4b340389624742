/* SPDX-License-Identifier: MIT */
#include "base/b64u.h"

#include <endian.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/*
 * What a character is worth in each of the four places of a group, and VALID, which is 0 for
 * whatever is not in the alphabet. The sum of a group is its three bytes, and in the bits above
 * them how many of its characters are valid. One table a place is what makes that four loads and
 * three additions; the key set, the header and the claims of every token go through here.
 */
#define VALID (UINT32_C(1) << 24)
#define ALL_VALID (4 * VALID)
#define V(value, s) VALID | (uint32_t)(value) << (s)
#define PLACE(s)                                                                                   \
    {                                                                                              \
        ['A'] = V(0, s), ['B'] = V(1, s), ['C'] = V(2, s), ['D'] = V(3, s), ['E'] = V(4, s),       \
        ['F'] = V(5, s), ['G'] = V(6, s), ['H'] = V(7, s), ['I'] = V(8, s), ['J'] = V(9, s),       \
        ['K'] = V(10, s), ['L'] = V(11, s), ['M'] = V(12, s), ['N'] = V(13, s), ['O'] = V(14, s),  \
        ['P'] = V(15, s), ['Q'] = V(16, s), ['R'] = V(17, s), ['S'] = V(18, s), ['T'] = V(19, s),  \
        ['U'] = V(20, s), ['V'] = V(21, s), ['W'] = V(22, s), ['X'] = V(23, s), ['Y'] = V(24, s),  \
        ['Z'] = V(25, s), ['a'] = V(26, s), ['b'] = V(27, s), ['c'] = V(28, s), ['d'] = V(29, s),  \
        ['e'] = V(30, s), ['f'] = V(31, s), ['g'] = V(32, s), ['h'] = V(33, s), ['i'] = V(34, s),  \
        ['j'] = V(35, s), ['k'] = V(36, s), ['l'] = V(37, s), ['m'] = V(38, s), ['n'] = V(39, s),  \
        ['o'] = V(40, s), ['p'] = V(41, s), ['q'] = V(42, s), ['r'] = V(43, s), ['s'] = V(44, s),  \
        ['t'] = V(45, s), ['u'] = V(46, s), ['v'] = V(47, s), ['w'] = V(48, s), ['x'] = V(49, s),  \
        ['y'] = V(50, s), ['z'] = V(51, s), ['0'] = V(52, s), ['1'] = V(53, s), ['2'] = V(54, s),  \
        ['3'] = V(55, s), ['4'] = V(56, s), ['5'] = V(57, s), ['6'] = V(58, s), ['7'] = V(59, s),  \
        ['8'] = V(60, s), ['9'] = V(61, s), ['-'] = V(62, s), ['_'] = V(63, s),                    \
    }

static const uint32_t place[4][256] = {PLACE(18), PLACE(12), PLACE(6), PLACE(0)};

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

static void
put3(uint8_t *o, uint32_t v)
{
    o[0] = (uint8_t)(v >> 16);
    o[1] = (uint8_t)(v >> 8);
    o[2] = (uint8_t)v;
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

    uint32_t bad = 0;
    const uint8_t *end = in + (text.len - tail);
    const uint8_t *o_end = (const uint8_t *)out + out_size;
    for (; in < end; in += 4, o += 3) {
        uint32_t v = place[0][in[0]] + place[1][in[1]] + place[2][in[2]] + place[3][in[3]];
        bad |= v ^ ALL_VALID;
        if (o_end - o >= 4) {
            /* The fourth byte is overwritten by the next group, or is room not asked for. */
            uint32_t four = htobe32(v << 8);
            memcpy(o, &four, sizeof(four));
        } else {
            put3(o, v);
        }
    }
    if (tail) {
        uint32_t v = place[0][in[0]] + place[1][in[1]] + VALID;
        v += tail == 3 ? place[2][in[2]] : VALID;
        bad |= v ^ ALL_VALID;
        o[0] = (uint8_t)(v >> 16);
        if (tail == 3)
            o[1] = (uint8_t)(v >> 8);
        if (tail == 2 ? (v & 0xffff) != 0 : (v & 0xff) != 0)
            return false;
    }
    if (bad >> 24)
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
