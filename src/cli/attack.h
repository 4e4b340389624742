/* SPDX-License-Identifier: MIT */
#ifndef CLI_ATTACK_H
#define CLI_ATTACK_H

#include <attest/attest.h>

#include "base/bytes.h"

/*
 * The attacks of `attest attack`: a table, a row each. A row builds a real verifier, shows that it
 * takes what is honest, and then tries to get through. What came of each try is told here.
 */

#define ATTACK_TRIES_MAX 64
#define ATTACK_CODES_MAX 8

enum attack_outcome {
    ATTACK_REFUSED,   /* every try, each with the code that it must have */
    ATTACK_WRONG,     /* every try, but one with another code: something else held it up */
    ATTACK_THROUGH,   /* one at least was let through */
    ATTACK_VOID,      /* it says nothing: what is honest was refused, or something failed */
    ATTACK_NOT_BUILT, /* the library has no means to do what is attacked */
    ATTACK_OUTCOMES,
};

/* "refused", "wrong_code", "through", "void", "not_built". */
const char *attack_outcome_name(enum attack_outcome outcome);

struct attack_try {
    char name[72];
    int expected, got; /* codes of the verdict; got is 0 when it was let through */
};

struct attack_run {
    struct attack_try tries[ATTACK_TRIES_MAX];
    size_t n;
    enum attest_rc broken; /* ATTEST_OK, or why nothing can be said; text then says what failed */
    char text[200];
};

struct attack {
    const char *id;     /* "model_spoofing" */
    const char *proves; /* what it shows that it is refused; one line */
    void (*run)(struct attack_run *run);
};

/* Ended by an id of NULL. */
extern const struct attack attacks_on_claims[], attacks_on_identity[], attacks_on_jose[],
    attacks_on_crypto[], attacks_on_keys[], attacks_on_fetching[], attacks_on_memory[],
    attacks_on_time[];

/* A verdict was given: ATTEST_OK, and the attack is through. name is cut at its room. */
void attack_tried(struct attack_run *run, const char *name, enum attest_rc expected,
                  enum attest_rc got);
/* Something that is no verdict either held or did not; expected is how a verdict would call it. */
void attack_held(struct attack_run *run, const char *name, enum attest_rc expected, bool held);
/* The same question for what must go well before anything can be said. True when it did. */
bool attack_ready(struct attack_run *run, const char *what, enum attest_rc rc,
                  const struct attest_error *err);

enum attack_outcome attack_outcome(const struct attack_run *run);

#endif
