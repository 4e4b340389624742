/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_HEALTH_H
#define ISSUER_HEALTH_H

#include "issuer/http.h"

/* /healthz: the process answers. */
enum MHD_Result health_get(struct exchange *x);
/* /readyz: a token could be minted now; else 503 and the reasons. */
enum MHD_Result ready_get(struct exchange *x);
/* /metrics, for the admin listener. */
enum MHD_Result metrics_get(struct exchange *x);

#endif
