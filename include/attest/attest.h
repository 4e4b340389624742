/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_ATTEST_H
#define ATTEST_ATTEST_H

/* The whole of libattest. */
#include <attest/claims.h>
#include <attest/counters.h>
#include <attest/error.h>
#include <attest/events.h>
#include <attest/fetch.h>
#include <attest/keys.h>
#include <attest/policy.h>
#include <attest/replay.h>
#include <attest/trace.h>
#include <attest/verifier.h>
#include <attest/verify.h>
#include <attest/version.h>

#endif
