/* SPDX-License-Identifier: MIT */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/bytes.h"

/*
 * One structured line an event on standard error, for daemons only; libraries never log.
 *
 *     log_event(LOG_LEVEL_WARNING, "keystore_lost", "token=%s retry_in_ms=%d", LOG_QUOTED(label),
 * ms); → ts=2026-01-31T12:00:00Z level=warning program=attest-signer event=keystore_lost token="my
 * token" retry_in_ms=500
 *
 * Strings that come from outside go through LOG_QUOTED(), which escapes and cuts them, so that no
 * one can write a line of ours. Under systemd (JOURNAL_STREAM) a "<4>" prefix carries the level.
 * Thread-safe; a line is one write(2). Never hand it a token, a PIN or a seed.
 */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* The names above as configuration choices: "error", "warning", "info", "debug", NULL. */
extern const char *const log_level_names[];

void log_init(const char *program, enum log_level most);
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A quoted, escaped copy of at most 200 bytes of s for use in the same log_event() call only. */
struct log_quoted {
    char text[256];
};
const char *log_quote(struct log_quoted *room, struct slice s);
#define LOG_QUOTED(s) (log_quote(&(struct log_quoted){{0}}, (s)))

/*
 * At most `burst` events a `per_s` seconds; false says "drop this one". The next event let through
 * may report *suppressed. Zero-initialised; thread-safe.
 */
struct log_limit {
    int64_t window_start_ms;
    unsigned used, dropped;
};
bool log_limit_ok(struct log_limit *limit, unsigned burst, unsigned per_s, unsigned *suppressed);

#endif
