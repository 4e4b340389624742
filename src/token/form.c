/* SPDX-License-Identifier: MIT */
#include "token/form.h"

#include <string.h>

static bool
is_hex_lower(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool
form_text(struct slice s, size_t len_max)
{
    if (s.len == 0 || s.len > len_max)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

bool
form_sha256(struct slice s)
{
    static const char prefix[] = "sha256:";
    const size_t prefix_len = sizeof(prefix) - 1;
    if (s.len != prefix_len + 64 || memcmp(s.p, prefix, prefix_len) != 0)
        return false;
    for (size_t i = prefix_len; i < s.len; i++) {
        if (!is_hex_lower(s.p[i]))
            return false;
    }
    return true;
}

bool
form_uuid4(struct slice s)
{
    if (s.len != 36)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.p[i] != '-' : !is_hex_lower(s.p[i]))
            return false;
    }
    return s.p[14] == '4' && strchr("89ab", s.p[19]) != NULL;
}

static bool
is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_scheme(char c)
{
    return is_alpha(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
}

bool
form_uri(struct slice s, size_t len_max)
{
    if (s.len == 0 || s.len > len_max || !is_alpha(s.p[0]))
        return false;
    size_t i = 1;
    while (i < s.len && is_scheme(s.p[i]))
        i++;
    if (i + 1 >= s.len || s.p[i] != ':')
        return false;
    for (i++; i < s.len; i++) {
        char c = s.p[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^`{|}", c))
            return false;
    }
    return true;
}
