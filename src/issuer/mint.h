/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_MINT_H
#define ISSUER_MINT_H

#include "issuer/http.h"

/* POST /v1/attestations: from the body to the signer's answer (docs/protocol.md, section 4). */

#define MINT_BODY_MAX 16384

/* Who may: users of mint_users over a UNIX socket; on loopback everyone, when so started. */
unsigned mint_admit(const struct exchange *x, const char **detail);
enum MHD_Result mint_post(struct exchange *x);

#endif
