/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/jsondoc.h"
#include "support/weak.h"

/* Apart from the others: jansson's names and those of base/json.h cannot meet in one file. */

bool
weak_json_last_wins(char *text, size_t *len)
{
    json_t *whole = json_loadb(text, *len, JSON_DECODE_ANY, NULL);
    char *plain = whole ? json_dumps(whole, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    bool fits = plain && strlen(plain) <= *len;
    if (fits) {
        *len = strlen(plain);
        memcpy(text, plain, *len);
    }
    free(plain);
    json_decref(whole);
    return fits;
}

/* ---- words ---- */

static bool
is_json_word(const char *p, size_t len)
{
    json_t *v = json_loadb(p, len, JSON_DECODE_ANY, NULL);
    json_decref(v);
    return v != NULL;
}

/* The length of the string that begins here, quotes included. */
static size_t
string_len(const char *p, size_t len)
{
    size_t i = 1;
    while (i < len && p[i] != '"')
        i += p[i] == '\\' ? 2 : 1;
    return i < len ? i + 1 : len;
}

static void
drop_nul(char *text, size_t *len)
{
    static const char escape[] = "\\u0000";
    const size_t n = sizeof(escape) - 1;
    for (char *at; (at = memmem(text, *len, escape, n)); *len -= n)
        memmove(at, at + n, (size_t)(text + *len - at) - n);
}

/* There is no room for quotes: they take the place of the word's ends. */
void
weak_json_lax(char *text, size_t *len)
{
    drop_nul(text, len);
    for (size_t i = 0, n; i < *len; i += n ? n : 1) {
        n = 0;
        if (text[i] == '"') {
            n = string_len(text + i, *len - i);
            continue;
        }
        while (i + n < *len && !strchr(" \t\r\n,:{}[]\"", text[i + n]))
            n++;
        if (n > 1 && !is_json_word(text + i, n))
            text[i] = text[i + n - 1] = '"';
    }
}

/* ---- key sets ---- */

/* The last of several documents, and of several members of one name. */
static json_t *
last_document(const char *text, size_t len)
{
    static const char bom[] = "\xef\xbb\xbf";
    json_t *last = NULL, *doc;
    json_error_t e;
    if (len > 3 && memcmp(text, bom, 3) == 0)
        text += 3, len -= 3;
    while ((doc = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, &e))) {
        json_decref(last);
        last = doc;
        text += e.position;
        len -= (size_t)e.position;
    }
    return last;
}

/* lax_set: of a key set is read what can be: of two keys under one kid the last. */
WEAK(jsondoc_read);
json_t *
__wrap_jsondoc_read(const char *text, size_t len, size_t len_max, size_t depth_max,
                    struct attest_error *err)
{
    if (!weak("lax_set"))
        return __real_jsondoc_read(text, len, len_max, depth_max, err);
    json_t *doc = last_document(text, len), *keys = json_object_get(doc, "keys");
    for (size_t i = json_array_size(keys); i-- > 0;) {
        json_t *key = json_array_get(keys, i), *kid = json_object_get(key, "kid");
        json_object_del(key, "d");
        for (size_t before = i; before-- > 0;) {
            if (json_equal(kid, json_object_get(json_array_get(keys, before), "kid"))) {
                json_array_remove(keys, before);
                i--;
            }
        }
    }
    return doc;
}
