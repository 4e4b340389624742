/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_VECTOR_CASE_H
#define TESTS_SUPPORT_VECTOR_CASE_H

#include <attest/attest.h>

#include "base/bytes.h"

/*
 * What a folder of tests/vectors/valid or invalid says of the verifier that is to look at its
 * input (tests/vectors/README). Whatever is missing or wrong in it ends the test program.
 */

/*
 * A file of the case, or the set's default for it (NULL: none). A line, or bytes when len is asked
 * for; free() it. NULL: there is neither.
 */
char *vector_case_file(const char *set, const char *folder, const char *file, const char *fallback,
                       size_t *len);

struct vector_case {
    struct attest_policy *policy; /* frozen */
    struct attest_keys *keys;     /* of a token: the issuer's; of a signed key set: its root */
    char *issuer;
    int64_t now_s;
};

void vector_case_token(struct vector_case *c, const char *set, const char *folder);
void vector_case_signed_keyset(struct vector_case *c, const char *set, const char *folder);
void vector_case_done(struct vector_case *c);

static inline void
vector_case_auto(struct vector_case *c)
{
    vector_case_done(c);
}

#endif
