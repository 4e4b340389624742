/* SPDX-License-Identifier: MIT */
#ifndef BENCH_TOKEN_CHECK_H
#define BENCH_TOKEN_CHECK_H

#include "base/bytes.h"
#include "base/pubkey.h"

/*
 * Checks that what a mint answered holds a token signed by one of the published keys. It shares
 * only base with the daemons, so that it does not repeat a mistake of theirs.
 */
#define TOKEN_CHECK_KEYS_MAX 16

struct token_check {
    struct {
        char kid[128];
        struct pubkey key;
    } keys[TOKEN_CHECK_KEYS_MAX];
    size_t n;
};

/* Takes the Ed25519 and P-256 keys of a key set. text is changed. */
enum attest_rc token_check_keys(struct token_check *c, char *text, size_t len,
                                struct attest_error *err);

/* The body of a 201. text is changed. ATTEST_OK, or why not. Thread-safe once the keys are there.
 */
enum attest_rc token_check_answer(const struct token_check *c, char *text, size_t len,
                                  struct attest_error *err);

#endif
