/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_ROUTES_H
#define ISSUER_ROUTES_H

#include <microhttpd.h>

#include "base/bytes.h"

struct exchange;

enum route_where { ROUTE_PUBLIC = 1, ROUTE_ADMIN = 2, ROUTE_BOTH = 3 };

/* One resource: a row in routes.c. GET stands for HEAD too. */
struct route {
    const char *path, *method;
    enum route_where where;
    enum MHD_Result (*handle)(struct exchange *x);
    size_t body_max;          /* bytes, 0: takes no body */
    const char *content_type; /* of the body */
    /* Who may: 0, or a status with its reason, before the body is read. NULL: everyone. */
    unsigned (*admit)(const struct exchange *x, const char **detail);
};

extern const struct route routes[];
extern const size_t n_routes;
/* The routes' paths in order, and "other" at n_routes, for metrics. */
extern const char *const route_names[];

/* 0 and *ret, or 404, or 405 with *allow, the value of that header. */
unsigned route_find(struct slice path, const char *method, bool admin, const struct route **ret,
                    const char **allow);

#endif
