/* SPDX-License-Identifier: MIT */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <sys/types.h>

#include "base/bytes.h"

/* The whole of a file of at most len_max bytes into out (initialised; appended to). "-" is stdin.
 */
enum attest_rc file_read(const char *path, size_t len_max, struct buf *out,
                         struct attest_error *err);

/* The same of a regular file alone, ATTEST_E_CONFIG for all else; never waits. "-" is a name. */
enum attest_rc file_read_regular(const char *path, size_t len_max, struct buf *out,
                                 struct attest_error *err);

/*
 * Replaces path with these bytes so that a reader sees the old or the new file, and a power cut
 * leaves one of them: temporary file beside it, fsync, rename, fsync of the directory.
 */
enum attest_rc file_replace(const char *path, mode_t mode, struct slice content,
                            struct attest_error *err);

/*
 * Creates a new file with these bytes, ATTEST_E_EXISTS when there is one; durable like the above.
 * What it could not make durable is not left behind.
 */
enum attest_rc file_create(const char *path, mode_t mode, struct slice content,
                           struct attest_error *err);

/* Makes a directory and what is missing above it. An existing one is left as it is. */
enum attest_rc file_mkdirs(const char *path, mode_t mode, struct attest_error *err);

/* fsync of the directory that holds path. */
enum attest_rc file_sync_dir_of(const char *path, struct attest_error *err);

/* Writes all of it, going on after EINTR and short writes. */
enum attest_rc file_write_all(int fd, struct slice content, struct attest_error *err);

#endif
