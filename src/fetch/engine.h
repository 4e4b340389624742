/* SPDX-License-Identifier: MIT */
#ifndef FETCH_ENGINE_H
#define FETCH_ENGINE_H

#include "fetch/fetch.h"

/*
 * Exchanges that nobody waits for: what fetch_once() does, several at once and in steps, without a
 * thread of ours. (libcurl looks names up in one of its own, so that a name server that hangs holds
 * up nobody.) Each has a connection at once: it is for the caller to bound them, and not for those
 * that hang. Used by one thread at a time; the answers come from fetch_engine_step().
 */
struct fetch_engine;

enum attest_rc fetch_engine_new(struct fetch_engine **ret, struct attest_error *err);
/* What has not ended is dropped without an answer. NULL is fine. */
void fetch_engine_free(struct fetch_engine *engine);
DEFINE_AUTO(fetch_engine, struct fetch_engine *, fetch_engine_free);

/* answer is NULL unless rc is ATTEST_OK; both belong to the engine. May start another. */
typedef void fetch_done(void *ctx, enum attest_rc rc, const struct fetch_answer *answer,
                        const struct attest_error *err);

/* After ATTEST_OK, and only then, done is called once, never from within this call. */
enum attest_rc fetch_engine_start(struct fetch_engine *engine, const struct fetch_request *request,
                                  fetch_done *done, void *ctx, struct attest_error *err);

/* Readable (POLLIN) when a step has something to do. */
int fetch_engine_fd(const struct fetch_engine *engine);
/* And at the latest in so many milliseconds; -1: no need. */
int fetch_engine_timeout_ms(const struct fetch_engine *engine);
/* Does what can be done now; never blocks. */
void fetch_engine_step(struct fetch_engine *engine);

#endif
