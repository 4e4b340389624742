/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_ASK_H
#define ADMIN_ASK_H

#include "admin/command.h"

/* What the signer's refusal of one kind means to whoever asked, and what to do then (or NULL). */
struct advice {
    enum attest_rc rc; /* ATTEST_OK ends the list */
    const char *text;
};

/*
 * One question to attest-signer over its admin socket. members is JSON text without braces, or
 * empty; the answer's JSON object is appended to answer. Anything but EXIT_DONE has been said to
 * the user already: an error of the signer's that is in advice (may be NULL) as a refusal.
 * (Apart from answer.h because the wire's JSON reader and jansson share names.)
 */
enum exit_status ask_signer(const struct options *o, const char *op, struct slice members,
                            const struct advice *advice, struct buf *answer);

#endif
