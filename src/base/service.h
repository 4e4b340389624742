/* SPDX-License-Identifier: MIT */
#ifndef BASE_SERVICE_H
#define BASE_SERVICE_H

#include "base/bytes.h"

/*
 * What a daemon and its service manager say to each other: socket activation (LISTEN_FDS),
 * readiness and watchdog (NOTIFY_SOCKET, WATCHDOG_USEC), credentials (CREDENTIALS_DIRECTORY). All
 * of it is a few lines over environment variables and one datagram, so no library is linked for it.
 * Call from the main thread before others start, except service_notify().
 */

/*
 * The descriptor passed under this name (LISTEN_FDNAMES), or -1. Each is close-on-exec and handed
 * out once.
 */
int service_listen_fd(const char *name);

/* "READY=1", "STOPPING=1", "STATUS=…", "WATCHDOG=1"; nothing happens without a service manager. */
void service_notify(const char *state);

/* Half the watchdog's period in milliseconds, 0 when there is no watchdog. */
int64_t service_watchdog_ms(void);

/* The path of a credential, or NULL when there is no directory or no such file; free() it. */
char *service_credential_path(const char *name);

/*
 * Blocks SIGTERM, SIGINT and SIGHUP and ignores SIGPIPE, and returns a signalfd for them
 * (non-blocking, close-on-exec), or -1.
 */
int service_signal_fd(void);

/* No core dump, no ptrace by the same user (PR_SET_DUMPABLE 0, RLIMIT_CORE 0, no new privileges).
 */
enum attest_rc service_harden(struct attest_error *err);

/* Raises the soft descriptor limit to at least n, or as far as the hard limit goes; what it is now.
 */
size_t service_raise_nofile(size_t n);

#endif
