/* SPDX-License-Identifier: MIT */
#include "cli/attack.h"

#include <stdio.h>

const char *
attack_outcome_name(enum attack_outcome outcome)
{
    static const char *const names[ATTACK_OUTCOMES] = {
        [ATTACK_REFUSED] = "refused",     [ATTACK_WRONG] = "wrong_code",
        [ATTACK_THROUGH] = "through",     [ATTACK_VOID] = "void",
        [ATTACK_NOT_BUILT] = "not_built",
    };
    return names[outcome];
}

void
attack_tried(struct attack_run *run, const char *name, enum attest_rc expected, enum attest_rc got)
{
    if (run->n == ATTACK_TRIES_MAX) {
        attack_ready(run, "room for another try", ATTEST_E_LIMIT, NULL);
        return;
    }
    struct attack_try *one = &run->tries[run->n++];
    snprintf(one->name, sizeof(one->name), "%s", name);
    one->expected = (int)expected;
    one->got = (int)got;
}

void
attack_held(struct attack_run *run, const char *name, enum attest_rc expected, bool held)
{
    attack_tried(run, name, expected, held ? expected : ATTEST_OK);
}

bool
attack_ready(struct attack_run *run, const char *what, enum attest_rc rc,
             const struct attest_error *err)
{
    if (rc == ATTEST_OK || run->broken != ATTEST_OK)
        return rc == ATTEST_OK;
    run->broken = rc;
    snprintf(run->text, sizeof(run->text), "%s: %s", what,
             err && *err->text ? err->text : attest_strerror(rc));
    return false;
}

enum attack_outcome
attack_outcome(const struct attack_run *run)
{
    enum attack_outcome outcome = ATTACK_REFUSED;
    for (size_t i = 0; i < run->n; i++) {
        if (run->tries[i].got == ATTEST_OK)
            return ATTACK_THROUGH;
        if (run->tries[i].got != run->tries[i].expected)
            outcome = ATTACK_WRONG;
    }
    if (run->broken == ATTEST_E_UNSUPPORTED)
        return ATTACK_NOT_BUILT;
    return run->broken != ATTEST_OK || run->n == 0 ? ATTACK_VOID : outcome;
}
