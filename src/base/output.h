/* SPDX-License-Identifier: MIT */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

/*
 * What a program exits with once all is printed: status; or 3, with a line on standard error, when
 * status says that there was an answer (0 or 1) and standard output did not take it. An answer that
 * could not be written was not given.
 */
int output_end(const char *program, int status);

#endif
