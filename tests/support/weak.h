/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_WEAK_H
#define TESTS_SUPPORT_WEAK_H

#include "base/bytes.h"

/*
 * attest-weak: attest with a verifier whose defences can be taken away one by one, so that it shows
 * that each try of `attest attack` can get through. $ATTEST_WEAK names what is taken away, with
 * commas between; tests/support/weaknesses.txt lists them. The linker puts the functions here in
 * the place of those that they are named after (--wrap): nothing of this is in what is installed.
 *
 * A wrapper is declared with the type of what it replaces, so that it cannot fall behind it.
 */
#define WEAK(name) __typeof__(name) __real_##name, __wrap_##name

bool weak(const char *what);

/* What the last header of this thread asked for, where a weakness listens to headers. */
struct weak_header {
    bool none;                    /* alg none, in whatever spelling */
    const struct evp_md_st *hmac; /* of alg HS256 and its kin; NULL: it is another */
    bool any_key;                 /* the key is whichever fits */
    bool has_jwk;                 /* a key came along */
    uint8_t jwk[32];
};
extern _Thread_local struct weak_header weak_header;

/* What this thread's verifier was shown last. */
struct weak_shown {
    bool token, proof;
    bool may_fetch; /* it can ask the issuer, and has not looked for a key yet */
};
extern _Thread_local struct weak_shown weak_shown;

/* While this thread reads a signed key set: of which issuer it should be. */
extern _Thread_local struct slice weak_set_issuer;

/* Every key whose thumbprint was ever taken here: the world's keys, by their kid or the newest
 * first. */
bool weak_known_key(struct slice kid, uint8_t key[32]);
bool weak_known_key_at(size_t i, uint8_t key[32]);

/* A lenient reader's JSON: text becomes what is left when the last of each member counts. */
bool weak_json_last_wins(char *text, size_t *len);
/* Words that are neither numbers nor literals become strings, and U+0000 is passed over. */
void weak_json_lax(char *text, size_t *len);

#endif
