/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_RESOLVER_H
#define VERIFY_RESOLVER_H

#include "fetch/schedule.h"
#include "verify/fetch_options.h"
#include "verify/keys.h"
#include "verify/policy.h"

/*
 * Fetches the key sets of a policy's issuers into a collection, as <attest/fetch.h> says. It has no
 * thread: who waits on resolver_fd() steps it, and several may. Only who misses a key takes its
 * lock; who finds one never does.
 */
struct resolver;

/* Holds keys for itself; options are copied. */
enum attest_rc resolver_new(const struct attest_policy *policy, struct attest_keys *keys,
                            const struct attest_fetch *options, struct resolver **ret,
                            struct attest_error *err);
/* No call of it may run or follow. NULL is fine. */
void resolver_free(struct resolver *r);
DEFINE_AUTO(resolver, struct resolver *, resolver_free);

/* What happened to one issuer in a step. */
struct resolver_news {
    const char *issuer;
    bool tried;        /* the circuit is half-open: a fetch was started to try */
    bool ended;        /* a fetch came to an end, which is what the rest is about */
    enum attest_rc rc; /* ATTEST_OK: it brought a set */
    bool dropped;      /* which is not used: it was asked for before the last clear */
    char text[160];    /* why not */
    int64_t duration_us;
    bool circuit_changed; /* to this */
    enum schedule_circuit circuit;
};
typedef void resolver_told_fn(void *ctx, const struct resolver_news *news);

/*
 * Whom to tell, from a step and without a lock; before the first step. One thing at a time, an
 * issuer's in the order in which they happened: who finds somebody telling leaves it to him. An
 * issuer of which something is left like that is not asked again before it is told.
 */
void resolver_tell(struct resolver *r, resolver_told_fn *told, void *ctx);

/* The circuit of the i-th issuer, whose name lives as long as r; NULL behind the last. */
const char *resolver_circuit(struct resolver *r, size_t i, enum schedule_circuit *ret);

/* For poll(): readable when there is something to do, and a step is due in so many ms (-1: none).
 */
int resolver_fd(const struct resolver *r);
int resolver_timeout_ms(struct resolver *r);
/* Starts what is due and takes what came; never blocks for the network. Thread-safe. */
void resolver_step(struct resolver *r);

/*
 * This issuer's keys hold no such kid (rc ATTEST_E_KEY_UNKNOWN), or may not be used (_KEY_FETCH).
 * ATTEST_OK: look again. rc: that is what to say. ATTEST_E_KEY_FETCH with a text of its own: a
 * fetch may still bring it. Waits for a first set when the options say so.
 */
enum attest_rc resolver_missing(struct resolver *r, struct slice issuer, struct slice kid,
                                enum attest_rc rc, struct attest_error *err);

/* Fetches the set again, soon (invalidate), and until then uses none (clear). ATTEST_E_ISSUER. */
enum attest_rc resolver_invalidate(struct resolver *r, const char *issuer, bool clear,
                                   struct attest_error *err);

#endif
