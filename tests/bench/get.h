/* SPDX-License-Identifier: MIT */
#ifndef BENCH_GET_H
#define BENCH_GET_H

#include "tests/bench/response.h"
#include "tests/bench/target.h"

/*
 * One blocking GET on a connection of its own. The answer lies in in[0..in_size): head, then
 * ret->body, which borrows from it. False when there was none, or its status was not 200.
 */
bool http_get(const struct target *target, const char *path, char *in, size_t in_size,
              struct response *ret);

#endif
