/* SPDX-License-Identifier: MIT */
#ifndef BASE_PROMPT_H
#define BASE_PROMPT_H

#include "base/secret.h"

/*
 * Asks for a PIN at the controlling terminal, never at standard input: nothing is echoed and
 * nothing passes through a pipe, an argument or the environment. question is shown as it is
 * ("PIN of attestd: "). The answer has 1 to len_max bytes.
 *
 * ATTEST_E_IO when there is no terminal, ATTEST_E_DENIED when the person gave it up (interrupt or
 * end of input), ATTEST_E_ARGUMENT for an empty answer, ATTEST_E_LIMIT for one that is too long.
 * For programs in their start, with one thread.
 */
enum attest_rc prompt_secret(const char *question, size_t len_max, struct secret *ret,
                             struct attest_error *err);

/*
 * Asks at the terminal for something that may be seen, such as a key's id before it is destroyed.
 * One line of 1 to room_size - 1 bytes, without its end, into room. Needs a controlling terminal
 * and one at standard input too, so that a script never waits for an answer nobody will give.
 * Errors as above.
 */
enum attest_rc prompt_line(const char *question, char *room, size_t room_size,
                           struct attest_error *err);

#endif
