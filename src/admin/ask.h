/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_ASK_H
#define ADMIN_ASK_H

#include "admin/command.h"

/*
 * One question to attest-signer over its admin socket. members is JSON text without braces, or
 * empty; the answer's JSON object is appended to answer. Anything but EXIT_DONE has been said to
 * the user already. (Apart from answer.h because the wire's JSON reader and jansson share names.)
 */
enum exit_status ask_signer(const struct options *o, const char *op, struct slice members,
                            struct buf *answer);

#endif
