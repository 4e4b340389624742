/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_JSON_ORACLE_H
#define TESTS_FUZZ_JSON_ORACLE_H

#include "base/bytes.h"

/*
 * What jansson makes of a text, in a file of its own because its names and base/json.h's collide.
 * Both sides write the value in one form, in the order of the text:
 *
 *     n t f   i<integer>;   r   s<length>:<bytes>   [ … ]   { <key as s…> <value> … }
 */
enum oracle {
    ORACLE_ACCEPTS,
    ORACLE_REFUSES,
    ORACLE_OVERFLOWS, /* the grammar is right, but a number does not fit its types */
};

enum oracle json_oracle(const char *text, size_t len, struct buf *out);

#endif
