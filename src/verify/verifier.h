/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_VERIFIER_H
#define VERIFY_VERIFIER_H

#include <attest/verifier.h>

#include "base/bytes.h"

/* The inside of <attest/verifier.h>. */

struct attest_result {
    enum attest_rc rc;
    bool allowed;
    struct attest_claims *claims; /* when rc is ATTEST_OK */
    struct attest_error error;
};

/* Another clock than clock_wall_s(), for tests; before the verifier is shared. */
void verifier_set_clock(struct attest_verifier *verifier, int64_t (*now_s)(void *ctx), void *ctx);

/* The JSON-RPC column of the verdict table, 0 for ATTEST_OK and for what is no verdict. */
int verdict_rpc_code(enum attest_rc rc);
/* Whether the verdict says nothing about the token. */
bool verdict_retry(enum attest_rc rc);
/* 1001 to 1016. */
bool verdict_is(enum attest_rc rc);

DEFINE_AUTO(attest_verifier, struct attest_verifier *, attest_verifier_free);
DEFINE_AUTO(attest_result, struct attest_result *, attest_result_free);
DEFINE_AUTO(attest_replay, struct attest_replay *, attest_replay_free);

#endif
