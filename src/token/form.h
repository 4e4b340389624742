/* SPDX-License-Identifier: MIT */
#ifndef TOKEN_FORM_H
#define TOKEN_FORM_H

#include "base/bytes.h"

/* The forms that single values must have, for those who read claims and those who write them. */

/* 1 to len_max bytes without control characters; the JSON reader has vouched for UTF-8. */
bool form_text(struct slice s, size_t len_max);
/* "sha256:" and 64 lower-case hex digits. */
bool form_sha256(struct slice s);
/* A UUID of version 4 and the RFC 9562 variant; 36 characters in lower case. */
bool form_uuid4(struct slice s);
/* An absolute URI (RFC 3986) by its characters: a scheme, a colon, and something behind it. */
bool form_uri(struct slice s, size_t len_max);

#endif
