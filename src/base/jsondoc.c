/* SPDX-License-Identifier: MIT */
#include "base/jsondoc.h"

#include <string.h>

void
jsondoc_init(void)
{
    json_object_seed(0);
}

/* The deepest nesting in text, counted outside strings; right for every valid document. */
static size_t
depth_of(const char *text, size_t len)
{
    size_t depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest)
                deepest = depth;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

json_t *
jsondoc_read(const char *text, size_t len, size_t len_max, size_t depth_max,
             struct attest_error *err)
{
    if (len > len_max) {
        error_set(err, ATTEST_E_LIMIT, "JSON: %zu bytes, at most %zu", len, len_max);
        return NULL;
    }
    /* jansson reads over a NUL behind a number or a word, as if it were not there. */
    if (len && memchr(text, '\0', len)) {
        error_set(err, ATTEST_E_MALFORMED, "JSON: a NUL byte");
        return NULL;
    }
    if (depth_of(text, len) > depth_max) {
        error_set(err, ATTEST_E_MALFORMED, "JSON: nested deeper than %zu", depth_max);
        return NULL;
    }
    json_error_t why = {0};
    json_t *doc = json_loadb(len ? text : "", len, JSON_REJECT_DUPLICATES, &why);
    /* Out of memory, jansson mostly says nothing, and sometimes blames the text. */
    if (!doc && (!*why.text || json_error_code(&why) == json_error_out_of_memory))
        error_set(err, ATTEST_E_NOMEM, "JSON: out of memory");
    else if (!doc)
        error_set(err, ATTEST_E_MALFORMED, "JSON: %s at line %d", why.text, why.line);
    return doc;
}
