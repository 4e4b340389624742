/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "verify/policy.h"
#include "verify/verifier.h"

/* What a verifier shows of itself when it is asked, and whom it tells. */

#define METRICS_MAX (256 * 1024) /* 64 issuers of the longest names fill four fifths */

enum attest_rc
attest_verifier_on_event(struct attest_verifier *verifier, attest_event_fn *fn, void *ctx,
                         struct attest_error *err)
{
    enum attest_rc rc = verifier_may_be_set(verifier, err);
    if (rc != ATTEST_OK)
        return rc;
    verifier->seeing.on_event = fn;
    verifier->seeing.event_ctx = ctx;
    return ATTEST_OK;
}

enum attest_rc
attest_verifier_on_span(struct attest_verifier *verifier, attest_span_fn *fn, void *ctx,
                        struct attest_error *err)
{
    enum attest_rc rc = verifier_may_be_set(verifier, err);
    if (rc != ATTEST_OK)
        return rc;
    verifier->seeing.on_span = fn;
    verifier->seeing.span_ctx = ctx;
    return ATTEST_OK;
}

static uint64_t
cached_keys(const struct attest_verifier *v)
{
    uint64_t n = 0;
    int64_t now_s = v->clock(v->clock_ctx), skew_s = policy_skew_s(v->policy);
    for (size_t i = 0; i < policy_issuer_count(v->policy); i++)
        n += keys_usable(v->keys, policy_issuer_at(v->policy, i)->issuer, now_s, skew_s);
    return n;
}

static void
read_replay(const struct attest_verifier *v, struct attest_counters *ret)
{
    struct replay_stats replay;
    replay_stats(v->replay->store, &replay);
    ret->replay_unavailable = replay.unavailable;
    ret->replay_fallback = replay.fallback;
    ret->replay_unremembered = replay.unremembered;
    ret->replay_losses = replay.losses;
    ret->replay_changes = replay.changes;
    ret->replay_entries = replay.entries;
}

static void
read_all(const struct attest_verifier *v, struct attest_counters *ret)
{
    struct token_cache_stats tokens = {0};
    counts_read(v->seeing.counts, ret);
    ret->cached_keys = cached_keys(v);
    read_replay(v, ret);
    if (v->tokens)
        token_cache_stats(v->tokens, &tokens);
    ret->token_cache_hits = tokens.hits;
    ret->token_cache_misses = tokens.misses;
    ret->token_cache_entries = tokens.entries;
}

enum attest_rc
attest_verifier_counters(const struct attest_verifier *verifier, struct attest_counters *ret,
                         size_t ret_len)
{
    struct attest_counters all;
    if (getpid() != verifier->pid)
        return ATTEST_E_FORKED;
    read_all(verifier, &all);
    memset(ret, 0, ret_len);
    memcpy(ret, &all, ret_len < sizeof(all) ? ret_len : sizeof(all));
    return ATTEST_OK;
}

static void
write_circuits(const struct attest_verifier *v, struct buf *out)
{
    static const char name[] = "attestation_circuit_breaker_state";
    const char *issuer;
    enum schedule_circuit is;
    if (!v->resolver)
        return;
    metric_head(out, name, "gauge", "1 for the state of each issuer's circuit.");
    for (size_t i = 0; (issuer = resolver_circuit(v->resolver, i, &is)); i++)
        for (int state = CIRCUIT_CLOSED; state <= CIRCUIT_HALF_OPEN; state++) {
            buf_printf(out, "%s{issuer=\"", name);
            metric_label(out, issuer);
            buf_printf(out, "\",state=\"%s\"} %d\n",
                       schedule_circuit_name((enum schedule_circuit)state), (int)is == state);
        }
}

static void
write_replay_state(const struct attest_verifier *v, struct buf *out)
{
    static const char name[] = "attestation_replay_state";
    enum replay_state is = replay_state(v->replay->store);
    metric_head(out, name, "gauge", "1 for the state of the replay store.");
    for (int state = REPLAY_HEALTHY; state <= REPLAY_UNHEALTHY; state++)
        buf_printf(out, "%s{state=\"%s\"} %d\n", name, replay_state_name((enum replay_state)state),
                   (int)is == state);
}

char *
attest_verifier_metrics(const struct attest_verifier *verifier)
{
    struct attest_counters all;
    AUTO(buf) struct buf out;
    buf_init(&out, METRICS_MAX);
    if (getpid() != verifier->pid)
        return NULL;
    read_all(verifier, &all);
    counts_write(verifier->seeing.counts, &all, &out);
    write_circuits(verifier, &out);
    write_replay_state(verifier, &out);
    return buf_terminate(&out) ? STEAL(out.p) : NULL;
}
