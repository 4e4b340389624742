/* SPDX-License-Identifier: MIT */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "tests/bench/contest.h"

/*
 * A library of another language: a program that is spoken to in lines on its standard input and
 * answers each with one line.
 *
 *     open {"jwks":…,"issuer":…,"audience":…}   ready VERSION
 *     check TOKEN                               ok, or no and why
 *     tokens WARM TOKEN…                        ok: those are what it keeps
 *     lap                                       verifies them all; says the nanoseconds of CPU time
 * of its whole process that those behind the first WARM took, or no
 *
 * An answer that does not come within a minute is none.
 */
struct peer;
struct peer *peer_open(const char *command, const struct contest *c);
bool peer_check(struct peer *peer, const char *token);
bool peer_take(struct peer *peer, const struct contest *c);
int64_t peer_lap_ns(struct peer *peer); /* 0: it failed */
const char *peer_version(const struct peer *peer);
void peer_close(struct peer *peer);

#endif
