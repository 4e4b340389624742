/* SPDX-License-Identifier: MIT */
/* base64url, side by side with libsodium's: the same texts are accepted, with the same bytes. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/b64u.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
    if (!holds)
        abort();
}

static void
decode(const char *text, size_t len)
{
    size_t room = b64u_decoded_len(len), n = 0, other_n = 0;
    AUTO(mem) uint8_t *out = malloc(room ? room : 1);
    AUTO(mem) uint8_t *other = malloc(room ? room : 1);
    must(out && other);
    bool ok = b64u_decode(out, room, &n, (struct slice){text, len});
    const char *end = NULL;
    /* libsodium takes characters as signed and misreads some above 0x7f: those we judge alone. */
    bool ascii = true;
    for (size_t i = 0; i < len; i++)
        ascii = ascii && !(text[i] & 0x80);
    must(ascii || !ok);
    if (!ascii)
        return;
    bool other_ok = sodium_base642bin(other, room, text, len, NULL, &other_n, &end,
                                      sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
                    end == text + len;
    must(ok == other_ok);
    if (!ok)
        return;
    must(n == other_n && n == room && memcmp(out, other, n) == 0);
    must(b64u_encoded_len(n) == len);
    AUTO(mem) char *again = malloc(len ? len : 1);
    must(again);
    b64u_encode(again, out, n);
    must(memcmp(again, text, len) == 0);
    must(n == 0 || !b64u_decode(out, room - 1, &n, (struct slice){text, len}));
    must(b64u_decode_exact(out, n, (struct slice){text, len}));
    must(!b64u_decode_exact(out, n + 1, (struct slice){text, len}));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode((const char *)data, size);

    size_t len = b64u_encoded_len(size), n = 0;
    AUTO(mem) char *text = malloc(len ? len : 1);
    AUTO(mem) uint8_t *back = malloc(size ? size : 1);
    must(text && back);
    b64u_encode(text, data, size);
    must(b64u_decode(back, size, &n, (struct slice){text, len}));
    must(n == size && memcmp(back, data, size) == 0);
    return 0;
}
