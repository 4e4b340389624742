/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_TRACEPARENT_H
#define VERIFY_TRACEPARENT_H

#include "base/bytes.h"

/* Where a span stands in a trace. */
struct trace {
    char trace_id[33];  /* "": none */
    char parent_id[17]; /* "": none */
    char span_id[17];   /* "": no span was begun */
    bool sampled;
};

/*
 * Reads the value of a traceparent field, W3C Trace Context level 1 section 3.2, to the letter:
 * lower-case hexadecimal, no id of zeros, version 00 of exactly 55 characters, later ones with
 * nothing or "-…" behind, never ff. Fills trace_id, parent_id and sampled, or leaves all as it was
 * and returns false. Pure.
 */
bool traceparent_read(struct slice text, struct trace *ret);

/* A span id, and a trace id where there is none yet, by chance. */
void trace_begin(struct trace *trace);

#endif
