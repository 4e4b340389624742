/* SPDX-License-Identifier: MIT */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/bytes.h"

/*
 * The strict, allocation-free JSON reader of the token path (RFC 8259, and no more than that).
 *
 * It reads in place: the text is changed, because escaped strings are decoded where they stand.
 * Refused beyond the grammar: duplicate members however spelled, invalid UTF-8, lone surrogates,
 * U+0000, bytes behind the value, and whatever exceeds the limits. Documents that are not on the
 * path of every token are read with jansson (base/jsondoc.h).
 */

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/*
 * One value. An object is followed by key, value, key, value…; an array by its elements; `next` is
 * the index behind the whole value, keys included.
 */
struct json_node {
    enum json_type type;
    uint32_t next;
    uint32_t count;    /* members of an object, elements of an array */
    struct slice text; /* a string decoded, a number as written; points into the text read */
};

struct json_limits {
    size_t text_max;    /* bytes of the whole text */
    size_t string_max;  /* bytes of one string, decoded */
    size_t depth_max;   /* an object in an object is depth 2 */
    size_t members_max; /* of one object */
};

struct json {
    struct json_node *nodes; /* the caller's array; nodes[0] is the whole document */
    size_t nodes_max;
    size_t n;
};

#define JSON_NODES(name, max)                                                                      \
    struct json_node name##_nodes[max];                                                            \
    struct json name = {name##_nodes, (max), 0}

/*
 * Reads text[0..len), changing it. ATTEST_OK or ATTEST_E_MALFORMED with the byte offset in err.
 * The nodes borrow from text. Thread-safe on distinct arguments.
 */
enum attest_rc json_read(struct json *j, char *text, size_t len, const struct json_limits *limits,
                         struct attest_error *err);

/* The document's top value. */
const struct json_node *json_root(const struct json *j);
/* The value of an object's member; NULL when absent or when object is NULL or no object. */
const struct json_node *json_member(const struct json *j, const struct json_node *object,
                                    const char *name);

/*
 * Walks an object or array: start with *at = NULL; false at the end. key is empty in an array.
 *     for (const struct json_node *v = NULL; json_each(j, object, &key, &v);)
 */
bool json_each(const struct json *j, const struct json_node *container, struct slice *key,
               const struct json_node **at);

/* True for a number written as an integer (no fraction, no exponent, not -0) that fits. */
bool json_int64(const struct json_node *node, int64_t *ret);

/*
 * Writing. Strings are escaped as RFC 8259 asks and nothing more; the caller vouches for UTF-8.
 * Commas and colons are the caller's: the formats here are fixed, and read like what they write.
 */
void json_put_string(struct buf *b, struct slice s);

#endif
