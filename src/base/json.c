/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <endian.h>
#include <string.h>

struct reader {
    struct json *j;
    const struct json_limits *limits;
    char *start;
    char *p;
    char *end;
    size_t depth;
    const char *why;
};

static bool read_value(struct reader *r);

static bool
fail(struct reader *r, const char *why)
{
    if (!r->why)
        r->why = why;
    return false;
}

static void
skip_space(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

static struct json_node *
new_node(struct reader *r, enum json_type type)
{
    if (r->j->n == r->j->nodes_max) {
        fail(r, "too many values");
        return NULL;
    }
    struct json_node *node = &r->j->nodes[r->j->n++];
    *node = (struct json_node){.type = type, .next = (uint32_t)r->j->n};
    return node;
}

/* The length of the valid UTF-8 sequence at p, 0 when there is none (RFC 3629). */
static size_t
utf8_len(const uint8_t *p, size_t left)
{
    uint8_t a = p[0];
    size_t n;
    if (a < 0x80)
        return 1;
    if (a >= 0xc2 && a <= 0xdf)
        n = 2;
    else if (a >= 0xe0 && a <= 0xef)
        n = 3;
    else if (a >= 0xf0 && a <= 0xf4)
        n = 4;
    else
        return 0;
    if (left < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((a == 0xe0 && p[1] < 0xa0) || (a == 0xed && p[1] > 0x9f) || (a == 0xf0 && p[1] < 0x90) ||
        (a == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

static bool
read_hex4(struct reader *r, uint32_t *ret)
{
    if (r->end - r->p < 4)
        return fail(r, "cut-off escape");
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        char c = *r->p++;
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A') + 10;
        else
            return fail(r, "escape is not hexadecimal");
        v = v << 4 | digit;
    }
    *ret = v;
    return true;
}

static char *
put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 63));
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    }
    return out;
}

/* Behind "\u". Every escape is longer than what it stands for, so out never passes the input. */
static bool
read_unicode_escape(struct reader *r, char **out)
{
    uint32_t c;
    if (!read_hex4(r, &c))
        return false;
    if (c >= 0xd800 && c <= 0xdbff) {
        uint32_t low;
        if (r->end - r->p < 2 || r->p[0] != '\\' || r->p[1] != 'u')
            return fail(r, "lone surrogate");
        r->p += 2;
        if (!read_hex4(r, &low))
            return false;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(r, "lone surrogate");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    } else if (c >= 0xdc00 && c <= 0xdfff) {
        return fail(r, "lone surrogate");
    } else if (c == 0) {
        return fail(r, "U+0000 in a string");
    }
    *out = put_utf8(*out, c);
    return true;
}

static bool
read_escape(struct reader *r, char **out)
{
    if (r->p == r->end)
        return fail(r, "cut-off escape");
    char c = *r->p++;
    switch (c) {
    case '"':
    case '\\':
    case '/':
        break;
    case 'b':
        c = '\b';
        break;
    case 'f':
        c = '\f';
        break;
    case 'n':
        c = '\n';
        break;
    case 'r':
        c = '\r';
        break;
    case 't':
        c = '\t';
        break;
    case 'u':
        return read_unicode_escape(r, out);
    default:
        return fail(r, "unknown escape");
    }
    *(*out)++ = c;
    return true;
}

/*
 * How many bytes from p on stand for themselves: ASCII, no quote, no backslash, no control. Eight
 * at a time: subtracting borrows into a byte's top bit when it was smaller than what is taken away.
 * A borrow can only spoil bytes above the first that is found, and the first is what counts.
 */
static size_t
plain_len(const char *p, const char *end)
{
    const uint64_t each = UINT64_C(0x0101010101010101), top = each * 0x80;
    size_t n = 0;
    for (; (size_t)(end - p) - n >= 8; n += 8) {
        uint64_t w;
        memcpy(&w, p + n, sizeof(w));
        w = le64toh(w);
        uint64_t quote = w ^ each * '"', backslash = w ^ each * '\\';
        uint64_t stop = (w | ((w - each * 0x20) & ~w) | ((quote - each) & ~quote) |
                         ((backslash - each) & ~backslash)) &
                        top;
        if (stop)
            return n + (size_t)__builtin_ctzll(stop) / 8;
    }
    return n;
}

static bool
read_string(struct reader *r)
{
    struct json_node *node = new_node(r, JSON_STRING);
    if (!node)
        return false;
    r->p++;
    char *begin = r->p;
    r->p += plain_len(r->p, r->end);
    char *out = r->p;
    while (r->p < r->end) {
        uint8_t c = (uint8_t)*r->p;
        if (c == '"') {
            r->p++;
            node->text = (struct slice){begin, (size_t)(out - begin)};
            if (node->text.len > r->limits->string_max)
                return fail(r, "string too long");
            return true;
        }
        if (c == '\\') {
            r->p++;
            if (!read_escape(r, &out))
                return false;
        } else if (c < 0x20) {
            return fail(r, "control character in a string");
        } else if (c < 0x80) {
            *out++ = *r->p++;
        } else {
            size_t n = utf8_len((const uint8_t *)r->p, (size_t)(r->end - r->p));
            if (n == 0)
                return fail(r, "not UTF-8");
            memmove(out, r->p, n);
            out += n;
            r->p += n;
        }
    }
    return fail(r, "string does not end");
}

static bool
read_digits(struct reader *r)
{
    char *begin = r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
        r->p++;
    return r->p > begin;
}

static bool
read_number(struct reader *r)
{
    struct json_node *node = new_node(r, JSON_NUMBER);
    if (!node)
        return false;
    char *begin = r->p;
    if (*r->p == '-')
        r->p++;
    char *digits = r->p;
    if (!read_digits(r) || (*digits == '0' && r->p - digits > 1))
        return fail(r, "not a number");
    if (r->p < r->end && *r->p == '.') {
        r->p++;
        if (!read_digits(r))
            return fail(r, "not a number");
    }
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        r->p++;
        if (r->p < r->end && (*r->p == '+' || *r->p == '-'))
            r->p++;
        if (!read_digits(r))
            return fail(r, "not a number");
    }
    node->text = (struct slice){begin, (size_t)(r->p - begin)};
    return true;
}

static bool
read_word(struct reader *r, const char *word, enum json_type type)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return fail(r, "not a JSON value");
    r->p += n;
    return new_node(r, type) != NULL;
}

/* Whether the member whose key is nodes[key] repeats an earlier one of the object at nodes[object].
 */
static bool
key_repeats(const struct json *j, size_t object, size_t key)
{
    for (size_t i = object + 1; i < key; i = j->nodes[i + 1].next) {
        if (slice_eq(j->nodes[i].text, j->nodes[key].text))
            return true;
    }
    return false;
}

static bool
read_member(struct reader *r, size_t object)
{
    size_t key = r->j->n;
    if (r->p == r->end || *r->p != '"')
        return fail(r, "member name expected");
    if (!read_string(r))
        return false;
    if (key_repeats(r->j, object, key))
        return fail(r, "duplicate member");
    skip_space(r);
    if (r->p == r->end || *r->p != ':')
        return fail(r, "':' expected");
    r->p++;
    return read_value(r);
}

static bool
read_container(struct reader *r, enum json_type type, char close)
{
    size_t self = r->j->n;
    if (!new_node(r, type))
        return false;
    if (++r->depth > r->limits->depth_max)
        return fail(r, "nested too deep");
    r->p++;
    skip_space(r);
    uint32_t count = 0;
    bool empty = r->p < r->end && *r->p == close;
    while (!empty) {
        if (type == JSON_OBJECT) {
            if (count == r->limits->members_max)
                return fail(r, "too many members");
            skip_space(r);
            if (!read_member(r, self))
                return false;
        } else if (!read_value(r)) {
            return false;
        }
        count++;
        skip_space(r);
        if (r->p == r->end)
            return fail(r, "cut off");
        if (*r->p == close)
            break;
        if (*r->p != ',')
            return fail(r, "',' expected");
        r->p++;
    }
    r->p++;
    r->depth--;
    r->j->nodes[self].count = count;
    r->j->nodes[self].next = (uint32_t)r->j->n;
    return true;
}

static bool
read_value(struct reader *r)
{
    skip_space(r);
    if (r->p == r->end)
        return fail(r, "cut off");
    switch (*r->p) {
    case '{':
        return read_container(r, JSON_OBJECT, '}');
    case '[':
        return read_container(r, JSON_ARRAY, ']');
    case '"':
        return read_string(r);
    case 't':
        return read_word(r, "true", JSON_TRUE);
    case 'f':
        return read_word(r, "false", JSON_FALSE);
    case 'n':
        return read_word(r, "null", JSON_NULL);
    default:
        if (*r->p == '-' || (*r->p >= '0' && *r->p <= '9'))
            return read_number(r);
        return fail(r, "not a JSON value");
    }
}

enum attest_rc
json_read(struct json *j, char *text, size_t len, const struct json_limits *limits,
          struct attest_error *err)
{
    struct reader r = {.j = j, .limits = limits, .start = text, .p = text, .end = text + len};
    j->n = 0;
    if (len > limits->text_max)
        return error_set(err, ATTEST_E_MALFORMED, "JSON: %zu bytes, at most %zu", len,
                         limits->text_max);
    bool ok = read_value(&r);
    if (ok) {
        skip_space(&r);
        if (r.p != r.end)
            ok = fail(&r, "bytes behind the value");
    }
    if (!ok)
        return error_set(err, ATTEST_E_MALFORMED, "JSON: %s at byte %zu", r.why,
                         (size_t)(r.p - r.start));
    return ATTEST_OK;
}

const struct json_node *
json_root(const struct json *j)
{
    return j->n ? &j->nodes[0] : NULL;
}

bool
json_each(const struct json *j, const struct json_node *container, struct slice *key,
          const struct json_node **at)
{
    if (!container || (container->type != JSON_OBJECT && container->type != JSON_ARRAY))
        return false;
    const struct json_node *item = *at ? &j->nodes[(*at)->next] : container + 1;
    if (item >= &j->nodes[container->next])
        return false;
    if (key)
        *key = (struct slice){"", 0};
    if (container->type == JSON_OBJECT) {
        if (key)
            *key = item->text;
        item++;
    }
    *at = item;
    return true;
}

const struct json_node *
json_member(const struct json *j, const struct json_node *object, const char *name)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    struct slice key;
    for (const struct json_node *v = NULL; json_each(j, object, &key, &v);) {
        if (slice_is(key, name))
            return v;
    }
    return NULL;
}

bool
json_int64(const struct json_node *node, int64_t *ret)
{
    if (!node || node->type != JSON_NUMBER || node->text.len > 20)
        return false;
    const char *p = node->text.p, *end = p + node->text.len;
    bool negative = *p == '-';
    if (negative)
        p++;
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t v = 0;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        uint64_t digit = (uint64_t)(*p - '0');
        if (v > (limit - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (negative && v == 0)
        return false;
    *ret = negative ? (int64_t)(~v + 1) : (int64_t)v;
    return true;
}

void
json_put_string(struct buf *b, struct slice s)
{
    static const char hex[] = "0123456789abcdef";
    buf_char(b, '"');
    size_t done = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_append(b, s.p + done, i - done);
        done = i + 1;
        char escape[6] = {'\\', (char)c, '0', '0', hex[c >> 4], hex[c & 15]};
        if (c < 0x20) {
            escape[1] = 'u';
            buf_str(b, "\\u");
            buf_append(b, escape + 2, 4);
        } else {
            buf_append(b, escape, 2);
        }
    }
    buf_append(b, s.p + done, s.len - done);
    buf_char(b, '"');
}
