/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_WITHOUT_MEMORY_H
#define TESTS_SUPPORT_WITHOUT_MEMORY_H

#include <stdio.h>
#include <string.h>

#include <attest/attest.h>

#include "support/alloc_fault.h"
#include "support/mint.h"
#include "verify/verifier.h"

/* A scenario, once for each allocation that it asks for, with that one failing. */

#define ALLOCATIONS_MAX 20000 /* a path that asks for more has a loop in it */

static struct {
    size_t n;
    bool on;
} fault;
static size_t n_faults;

/* To be put around what is to do without memory. */
static inline void
begin(void)
{
    alloc_fault_arm(fault.n, fault.on);
}

static inline bool
end(void)
{
    bool was = alloc_fault_disarm();
    n_faults += was;
    return was;
}

/* Whether this may come where `due` would have come with memory. */
static inline void
may_come(enum attest_rc rc, enum attest_rc due, bool was)
{
    bool excused = was && (rc == ATTEST_E_NOMEM || alloc_fault_was_library());
    if (rc != due && (rc == ATTEST_OK || !excused))
        fail_msg("%d came, not %d, when allocation %zu failed", (int)rc, (int)due, fault.n);
}

/*
 * A scenario returns whether its fault was reached; it asserts for itself what came of it and gives
 * back all that it took; library_leaks: but for what libcurl or OpenSSL loses when it has no
 * memory. Without a fault it is run twice first: what libraries keep for ever, they have then.
 */
typedef bool scenario_fn(void *ctx);

static inline void
each_allocation(const char *name, bool library_leaks, scenario_fn *run, void *ctx)
{
    fault.n = 0;
    run(ctx);
    run(ctx);
    for (int on = 0; on < 2; on++) {
        bool was_reached = true;
        fault.on = on;
        for (fault.n = 1; was_reached; fault.n++) {
            assert_true(fault.n < ALLOCATIONS_MAX);
            long before = alloc_fault_live();
            was_reached = run(ctx);
            bool excused = library_leaks && alloc_fault_was_library();
            if (alloc_fault_counts() && !excused && alloc_fault_live() != before)
                fail_msg("%s: %ld allocations left behind after number %zu failed%s", name,
                         alloc_fault_live() - before, fault.n, on ? ", and all behind it" : "");
        }
    }
}

/* ---- what most of them do ---- */

static inline enum attest_rc
make_policy(const char *name, struct attest_policy **ret)
{
    AUTO(attest_policy) struct attest_policy *p = NULL;
    enum attest_rc rc = attest_policy_new(&p, NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_allow_loopback_http(p, NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_audience(p, MINT_AUDIENCE, NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_issuer(p, name, ATTEST_TRUST_PROVIDER, NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_issuer_provider(p, name, "anthropic", NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_model_family(p, "claude-4", NULL);
    if (rc == ATTEST_OK)
        rc = attest_policy_freeze(p, NULL);
    if (rc == ATTEST_OK)
        *ret = STEAL(p);
    return rc;
}

static inline enum attest_rc
show(struct attest_verifier *v, const char *token, const char *with)
{
    AUTO(attest_result) struct attest_result *result = NULL;
    enum attest_rc rc =
        attest_verifier_check(v, token, strlen(token), with, with ? strlen(with) : 0, &result);
    if (result)
        free(attest_result_to_json(result));
    return rc;
}

#endif
