/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REDIS_WORD_H
#define REPLAY_REDIS_WORD_H

#include "base/error.h"

/*
 * What an error reply means to who asks whether a token was seen. No I/O.
 *
 * rc      ATTEST_E_IO: Redis serves nobody here and now, as if it were not there, and a memory
 *         beside it may decide. Any other: it answers and refuses, and nobody else may decide:
 *         ATTEST_E_DENIED (password, ACL) or ATTEST_E_CONFIG
 * means   for a person; no word of the reply's, into which a server may put what it was sent
 */
struct redis_word {
    const char *prefix; /* whole words of the reply's */
    enum attest_rc rc;
    const char *means;
};

/* Never NULL: a reply that is not known here refuses, with the prefix "". */
const struct redis_word *redis_word_find(const char *reply);

#endif
