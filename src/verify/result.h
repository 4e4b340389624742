/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_RESULT_H
#define VERIFY_RESULT_H

#include <attest/verifier.h>

#include "base/auto.h"

/* A verdict from inside. */

struct attest_result {
    enum attest_rc rc;
    bool allowed;
    struct attest_claims *claims; /* when rc is ATTEST_OK */
    struct attest_error error;
};

/* The JSON-RPC column of the verdict table, 0 for ATTEST_OK and for what is no verdict. */
int verdict_rpc_code(enum attest_rc rc);
/* Whether the verdict says nothing about the token. */
bool verdict_retry(enum attest_rc rc);
/* 1001 to 1016. */
bool verdict_is(enum attest_rc rc);

DEFINE_AUTO(attest_result, struct attest_result *, attest_result_free);

#endif
