/* SPDX-License-Identifier: MIT */
#ifndef TOKEN_PROFILE_H
#define TOKEN_PROFILE_H

#include "base/bytes.h"

/*
 * What kinds of signed token there are. A profile is one row of a table: the header's typ values,
 * whether a kid is there, which claims it must and may hold, how long it may live. Adding a kind is
 * adding a row.
 */

enum claim {
    CLAIM_ISS,
    CLAIM_SUB,
    CLAIM_AUD,
    CLAIM_IAT,
    CLAIM_NBF,
    CLAIM_EXP,
    CLAIM_JTI,
    CLAIM_AGENT_IDENTITY,
    CLAIM_AGENT_INTEGRITY,
    CLAIM_ATTESTATION_METADATA,
    CLAIM_CNF,
    CLAIM_KEYS,
    CLAIM_LOG_KEYS,
    CLAIM_REVOKED,
    CLAIM_NEXT_ROOT,
    CLAIM_COUNT,
};

#define CLAIM_BIT(claim) (UINT32_C(1) << (claim))

/* "iss", "sub"… */
const char *claim_name(enum claim claim);

enum profile_id {
    PROFILE_ATTESTATION,
    PROFILE_SIGNED_KEYSET,
    PROFILE_COUNT,
};

#define PROFILE_TYPS_MAX 2

struct profile {
    const char *name;                  /* for people */
    const char *typ[PROFILE_TYPS_MAX]; /* compared byte for byte; the first is issued by default */
    bool kid;                          /* the header has a kid; otherwise it must not */
    uint32_t required;                 /* CLAIM_BIT()s that must be there */
    uint32_t allowed;                  /* these too; any other claim is ignored, never reported */
    int64_t lifetime_default_s;
    int64_t lifetime_max_s; /* exp - iat */
    size_t token_max;       /* bytes of the whole token; 0: JWS_TOKEN_MAX */
};

const struct profile *profile_get(enum profile_id id);
/* Whether tokens of this profile may carry this typ. */
bool profile_has_typ(const struct profile *p, struct slice typ);

#endif
