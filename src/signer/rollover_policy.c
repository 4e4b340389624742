/* SPDX-License-Identifier: MIT */
#include "signer/rollover_policy.h"

#include "base/bytes.h"

#define EACH_MEMBER(X)                                                                             \
    X(active_period_s)                                                                             \
    X(jitter_s)                                                                                    \
    X(publish_lead_s)                                                                              \
    X(retire_lag_s)                                                                                \
    X(destroy_grace_s)                                                                             \
    X(overdue_grace_s)                                                                             \
    X(verifier_cache_max_s)                                                                        \
    X(propagation_s)                                                                               \
    X(skew_s)                                                                                      \
    X(lifetime_max_s)                                                                              \
    X(jwks_max_age_s)

void
rollover_policy_from(const struct signer_config *config, struct rollover_policy *ret)
{
#define COPY(member) .member = config->member,
    *ret = (struct rollover_policy){EACH_MEMBER(COPY)};
#undef COPY
}

void
rollover_policy_write(const struct rollover_policy *policy, struct buf *out)
{
    char comma = '{';
#define WRITE(member)                                                                              \
    buf_printf(out, "%c\"" #member "\":%lld", comma, (long long)policy->member);                   \
    comma = ',';
    EACH_MEMBER(WRITE)
#undef WRITE
    buf_char(out, '}');
}
