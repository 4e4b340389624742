/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_SAMEJSON_H
#define SUPPORT_SAMEJSON_H

#include <stdbool.h>

/* Whether two texts are strict JSON of the same meaning, as another parser (jansson) reads them. */
bool same_json(const char *a, const char *b);

#endif
