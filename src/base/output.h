/* SPDX-License-Identifier: MIT */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

/*
 * What the exit status of every program here says. A refusal is an answer and goes to standard
 * output; the last two are one line on standard error that names what to do next.
 */
enum exit_status {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1,
    EXIT_USAGE = 2,
    EXIT_FAILED = 3,
};

/*
 * What a program exits with once all is printed: status; or EXIT_FAILED, with a line on standard
 * error, when status says that there was an answer and standard output did not take it. An answer
 * that could not be written was not given.
 */
enum exit_status output_end(const char *program, enum exit_status status);

#endif
