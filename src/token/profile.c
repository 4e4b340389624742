/* SPDX-License-Identifier: MIT */
#include "token/profile.h"

static const char *const claim_names[CLAIM_COUNT] = {
    [CLAIM_ISS] = "iss",
    [CLAIM_SUB] = "sub",
    [CLAIM_AUD] = "aud",
    [CLAIM_IAT] = "iat",
    [CLAIM_NBF] = "nbf",
    [CLAIM_EXP] = "exp",
    [CLAIM_JTI] = "jti",
    [CLAIM_AGENT_IDENTITY] = "agent_identity",
    [CLAIM_AGENT_INTEGRITY] = "agent_integrity",
    [CLAIM_ATTESTATION_METADATA] = "attestation_metadata",
    [CLAIM_CNF] = "cnf",
    [CLAIM_KEYS] = "keys",
    [CLAIM_LOG_KEYS] = "log_keys",
    [CLAIM_REVOKED] = "revoked",
    [CLAIM_NEXT_ROOT] = "next_root",
};

#define REGISTERED                                                                                 \
    (CLAIM_BIT(CLAIM_ISS) | CLAIM_BIT(CLAIM_SUB) | CLAIM_BIT(CLAIM_AUD) | CLAIM_BIT(CLAIM_IAT) |   \
     CLAIM_BIT(CLAIM_NBF) | CLAIM_BIT(CLAIM_EXP) | CLAIM_BIT(CLAIM_JTI))

static const struct profile profiles[PROFILE_COUNT] = {
    [PROFILE_ATTESTATION] =
        {
            .name = "attestation",
            .typ = {"JWT", "agent-attestation+jwt"},
            .kid = true,
            .required = REGISTERED | CLAIM_BIT(CLAIM_AGENT_IDENTITY) |
                        CLAIM_BIT(CLAIM_ATTESTATION_METADATA),
            .allowed = CLAIM_BIT(CLAIM_AGENT_INTEGRITY) | CLAIM_BIT(CLAIM_CNF),
            .lifetime_default_s = 300,
            .lifetime_max_s = 900,
        },
    [PROFILE_SIGNED_KEYSET] =
        {
            .name = "signed key set",
            .typ = {"jwk-set+jwt"},
            .kid = true,
            .required = CLAIM_BIT(CLAIM_ISS) | CLAIM_BIT(CLAIM_SUB) | CLAIM_BIT(CLAIM_IAT) |
                        CLAIM_BIT(CLAIM_EXP) | CLAIM_BIT(CLAIM_KEYS),
            .allowed =
                CLAIM_BIT(CLAIM_LOG_KEYS) | CLAIM_BIT(CLAIM_REVOKED) | CLAIM_BIT(CLAIM_NEXT_ROOT),
            .lifetime_default_s = 3600,
            .lifetime_max_s = 3600,
            .token_max = 65536,
        },
};

const char *
claim_name(enum claim claim)
{
    return claim_names[claim];
}

const struct profile *
profile_get(enum profile_id id)
{
    return &profiles[id];
}

bool
profile_has_typ(const struct profile *p, struct slice typ)
{
    for (size_t i = 0; i < PROFILE_TYPS_MAX && p->typ[i]; i++) {
        if (slice_is(typ, p->typ[i]))
            return true;
    }
    return false;
}
