/* SPDX-License-Identifier: MIT */
#ifndef BASE_B64U_H
#define BASE_B64U_H

#include "base/bytes.h"

/*
 * base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strict: no padding, no white
 * space, no other alphabet, no length of 4n+1, no non-zero trailing bits. One byte string has one
 * encoding. Allocation-free.
 */

/* Characters for len bytes. */
static inline size_t
b64u_encoded_len(size_t len)
{
    return (len * 4 + 2) / 3;
}

/* An upper bound of the bytes in len characters; exact for valid input. */
static inline size_t
b64u_decoded_len(size_t len)
{
    return len * 3 / 4;
}

/* Writes b64u_encoded_len(len) characters, no NUL. */
void b64u_encode(char *out, const void *p, size_t len);
void b64u_append(struct buf *b, const void *p, size_t len);

/* Decodes into out, which holds out_size bytes. False when malformed or too large. */
bool b64u_decode(void *out, size_t out_size, size_t *out_len, struct slice text);
/* Exactly len bytes or false. */
bool b64u_decode_exact(void *out, size_t len, struct slice text);

#endif
