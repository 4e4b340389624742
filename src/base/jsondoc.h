/* SPDX-License-Identifier: MIT */
#ifndef BASE_JSONDOC_H
#define BASE_JSONDOC_H

#include <jansson.h>

#include "base/bytes.h"

/*
 * jansson for documents that are not on the path of every token, with its open doors closed: the
 * size is capped, the nesting is counted before jansson recurses, duplicates are refused.
 */

/* Seeds jansson's hash; call once before threads start. */
void jsondoc_init(void);

/* A new reference, or NULL with err (ATTEST_E_MALFORMED, ATTEST_E_LIMIT, ATTEST_E_NOMEM). */
json_t *jsondoc_read(const char *text, size_t len, size_t len_max, size_t depth_max,
                     struct attest_error *err);

DEFINE_AUTO(json_t, json_t *, json_decref);

#endif
