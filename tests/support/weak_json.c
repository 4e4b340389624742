/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "support/weak.h"

/* Apart from the others: jansson's names and those of base/json.h cannot meet in one file. */

bool
weak_json_last_wins(char *text, size_t *len)
{
    json_t *whole = json_loadb(text, *len, JSON_DECODE_ANY, NULL);
    char *plain = whole ? json_dumps(whole, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    bool fits = plain && strlen(plain) <= *len;
    if (fits) {
        *len = strlen(plain);
        memcpy(text, plain, *len);
    }
    free(plain);
    json_decref(whole);
    return fits;
}
