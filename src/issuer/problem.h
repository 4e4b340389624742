/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_PROBLEM_H
#define ISSUER_PROBLEM_H

#include "base/bytes.h"

/*
 * What a client is told when it cannot have what it asked for: RFC 9457, application/problem+json,
 * with `request_id`, which the log has too, and `member` where one member of the request is at
 * fault. Thread-safe.
 */

#define REQUEST_ID_SIZE 32

/* Unique to this run of the process and guessable by nobody outside: prefix and counter. */
void request_id_next(char out[REQUEST_ID_SIZE]);

/* detail is a sentence for a person; member may be NULL or empty. */
void problem_write(struct buf *out, unsigned status, const char *detail, const char *member,
                   const char *request_id);

#endif
