/* SPDX-License-Identifier: MIT */
#include "issuer/routes.h"

#include <string.h>

#include "issuer/discovery.h"
#include "issuer/evidence.h"
#include "issuer/health.h"
#include "issuer/jwks.h"
#include "issuer/mint.h"

#define JWKS_PATH "/.well-known/jwks.json"
#define SIGNED_PATH "/.well-known/jwks.jwt"
#define EVIDENCE_PATH "/.well-known/attestation-evidence"
#define OPENID_PATH "/.well-known/openid-configuration"
#define OAUTH_PATH "/.well-known/oauth-authorization-server"

const struct route routes[] = {
    {"/v1/attestations", "POST", ROUTE_PUBLIC, mint_post, MINT_BODY_MAX, "application/json",
     mint_admit},
    {JWKS_PATH, "GET", ROUTE_PUBLIC, jwks_get},
    {SIGNED_PATH, "GET", ROUTE_PUBLIC, jwks_get_signed},
    {EVIDENCE_PATH, "GET", ROUTE_PUBLIC, evidence_get},
    {OPENID_PATH, "GET", ROUTE_PUBLIC, discovery_get},
    {OAUTH_PATH, "GET", ROUTE_PUBLIC, discovery_get},
    {"/healthz", "GET", ROUTE_BOTH, health_get},
    {"/readyz", "GET", ROUTE_BOTH, ready_get},
    {"/metrics", "GET", ROUTE_ADMIN, metrics_get},
};
const size_t n_routes = ARRAY_LEN(routes);

const char *const route_names[] = {"/v1/attestations", JWKS_PATH,  SIGNED_PATH, EVIDENCE_PATH,
                                   OPENID_PATH,        OAUTH_PATH, "/healthz",  "/readyz",
                                   "/metrics",         "other"};
_Static_assert(ARRAY_LEN(route_names) == ARRAY_LEN(routes) + 1, "a name for each route and other");

unsigned
route_find(struct slice path, const char *method, bool admin, const struct route **ret,
           const char **allow)
{
    for (size_t i = 0; i < n_routes; i++) {
        const struct route *r = &routes[i];
        if (!(r->where & (admin ? ROUTE_ADMIN : ROUTE_PUBLIC)) || !slice_is(path, r->path))
            continue;
        bool get = strcmp(r->method, "GET") == 0;
        if (strcmp(r->method, method) == 0 || (get && strcmp(method, "HEAD") == 0)) {
            *ret = r;
            return 0;
        }
        *allow = get ? "GET, HEAD" : r->method;
        return 405;
    }
    return 404;
}
