/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_ROLLOVER_POLICY_H
#define SIGNER_ROLLOVER_POLICY_H

#include "jwks/rollover.h"
#include "signer/signer_config.h"

/* The configuration as the rollover arithmetic wants it. */
void rollover_policy_from(const struct signer_config *config, struct rollover_policy *ret);

/* {"active_period_s":…} with each member by its configuration name, for answers. */
struct buf;
void rollover_policy_write(const struct rollover_policy *policy, struct buf *out);

#endif
