/* SPDX-License-Identifier: MIT */
#include "support/samejson.h"

#include <jansson.h>

bool
same_json(const char *a, const char *b)
{
    json_auto_t *x = json_loads(a, JSON_REJECT_DUPLICATES, NULL);
    json_auto_t *y = json_loads(b, JSON_REJECT_DUPLICATES, NULL);
    return x && y && json_equal(x, y);
}
