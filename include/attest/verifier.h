/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_VERIFIER_H
#define ATTEST_VERIFIER_H

#include <attest/events.h>
#include <attest/fetch.h>
#include <attest/replay.h>
#include <attest/trace.h>
#include <attest/verify.h>

/*
 * The verifier of a server: keys, a policy, a clock that does not run backwards, and a memory of
 * the tokens that were seen. Thread-safe. It does not survive fork(), because parent and child
 * would each accept the same token once: in a child every call that returns an enum attest_rc
 * returns ATTEST_E_FORKED, attest_verifier_fd() and _timeout_ms() are -1, attest_verifier_metrics()
 * is NULL, and attest_verifier_free() is allowed. It raises no signal: a connection that breaks is
 * an error and never SIGPIPE, whatever the program does with that.
 */
struct attest_verifier;
/* The verdict on one token, immutable. */
struct attest_result;

/* Bound tokens whose claims are kept, without another number; typically 2 KiB each, at most 10 KiB.
 */
#define ATTEST_TOKEN_CACHE_DEFAULT 4096

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes a verifier. It holds policy, keys and replay for itself: the caller may free them at once.
 * replay NULL is a memory store of the default size of its own: two verifiers would each accept the
 * same token once, also when one takes the other's place. Who makes more than one, for a new policy
 * too, makes one store at the start and gives it to each. keys may be added to at any time:
 * attest_keys_add_jwks() and attest_keys_add_signed() refresh what the verifier judges by.
 * ATTEST_E_ARGUMENT when policy is not frozen; ATTEST_E_CONFIG when a trusted issuer has neither a
 * key nor a pinned root, or when a root is pinned under a name that policy does not trust while one
 * of those that it does has none: a root that was meant for that one would protect nothing;
 * ATTEST_E_FORKED when replay was made in another process, or keys that a verifier fetches into:
 * each child makes its own.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2, 4) enum attest_rc
    attest_verifier_new(struct attest_policy *policy, struct attest_keys *keys,
                        struct attest_replay *replay, struct attest_verifier **ret,
                        struct attest_error *err);

/*
 * The same, and it fetches the keys of the policy's issuers by itself (<attest/fetch.h>; fetch NULL
 * is the defaults, and it is copied). keys NULL is a collection of its own; give one to pin roots
 * in it first. A set that is in it, or added to it, serves until one is fetched; when none is to be
 * had it ends as one would that was fetched then. Nothing is fetched yet when this returns: start
 * the thread, or step it.
 *
 *     struct attest_verifier *verifier = NULL;
 *     enum attest_rc rc =
 *         attest_verifier_new_fetching(policy, NULL, NULL, NULL, &verifier, &err);
 *     if (rc == ATTEST_OK)
 *         rc = attest_verifier_start_thread(verifier, &err);
 *
 * Also ATTEST_E_UNSUPPORTED: built without libcurl; ATTEST_E_ARGUMENT: another verifier fetches
 * into these keys; ATTEST_E_CONFIG: a URL that is not https, and a policy that does not allow that,
 * or one of an issuer that the policy does not trust.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 5) enum attest_rc
    attest_verifier_new_fetching(struct attest_policy *policy, struct attest_keys *keys,
                                 struct attest_replay *replay, const struct attest_fetch *fetch,
                                 struct attest_verifier **ret, struct attest_error *err);

/*
 * Another clock than the system's, for tests of what a server does as time goes by: now_s returns
 * seconds since the Unix epoch, from any thread. As with the system's clock, the verifier's time
 * then goes back by no more than the skew. Unlike with that, its time stands still while now_s
 * does. Signed key sets that are fetched are judged by the system's clock all the same: a test of
 * next month brings its sets by attest_keys_add_signed(). ATTEST_E_ARGUMENT, and nothing changes,
 * once the verifier has made a check or a step or started its thread; ATTEST_E_FORKED.
 */
typedef int64_t attest_clock_fn(void *ctx);
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_verifier_set_clock(struct attest_verifier *verifier, attest_clock_fn *now_s, void *ctx,
                              struct attest_error *err);

/*
 * Ends its thread; no other call of it may run or follow. NULL is fine. In a child that was forked
 * since it does nothing: memory and descriptors that were inherited stay until the child ends or
 * calls execve(), because a thread of the parent, which is not there, may have left them half
 * changed. Nothing of the parent's is touched, and nothing is waited for.
 */
ATTEST_EXPORT void attest_verifier_free(struct attest_verifier *verifier);

/*
 * A thread of its own that fetches until the verifier is freed. It blocks all signals.
 * ATTEST_E_ARGUMENT: there is one already, or nothing to fetch; ATTEST_E_NOMEM, _FORKED.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_verifier_start_thread(struct attest_verifier *verifier, struct attest_error *err);

/*
 * Without that thread, for a program with a loop of its own: wait for _fd() to be readable (poll(),
 * epoll), at most _timeout_ms() milliseconds (-1: as long as you like), then _step(). A step never
 * waits for the network. -1 as descriptor: nothing to fetch. Ask for the time before each wait.
 */
ATTEST_EXPORT ATTEST_NONNULL(1) int attest_verifier_fd(const struct attest_verifier *verifier);
ATTEST_EXPORT ATTEST_NONNULL(1) int attest_verifier_timeout_ms(struct attest_verifier *verifier);
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_verifier_step(struct attest_verifier *verifier);

/*
 * Fetches this issuer's keys anew at the next step: _invalidate() while those in hand serve on,
 * _clear() after forgetting them (1012 until the new ones are there). When _clear() has returned,
 * no key counts any more that was had, or asked for, before it: an answer on its way is dropped
 * when it comes, and the issuer asked again. _invalidate() takes such an answer and asks again all
 * the same. ATTEST_E_ISSUER: the policy does not trust it; ATTEST_E_ARGUMENT, _FORKED.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_verifier_invalidate(struct attest_verifier *verifier, const char *issuer,
                               struct attest_error *err);
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_verifier_clear(struct attest_verifier *verifier, const char *issuer,
                          struct attest_error *err);

/*
 * How many bound tokens are kept once they are verified, so that the next request of the same agent
 * costs one proof and no verification of its token: ATTEST_TOKEN_CACHE_DEFAULT without this call, 0
 * for none. Each request is judged all the same: the time, the keys that vouch for the token, its
 * audience, the policy, the proof and whether that was seen before; so a key that is revoked or
 * taken out of its set, or a set that is no longer fresh enough, ends what it vouched for at once.
 * ATTEST_E_ARGUMENT (more than 2^24, or the verifier has made a check or a step or started its
 * thread), ATTEST_E_NOMEM, _FORKED.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_verifier_set_token_cache(struct attest_verifier *verifier, size_t tokens_max,
                                    struct attest_error *err);

/*
 * Judges the token that a caller shows and consumes it.
 *
 * token      token_len bytes; NULL when the caller shows none. What is there and empty is bad
 * (1008) proof      proof_len bytes: proof that the caller holds the key of a bound token; NULL for
 * none. What is there and empty is bad (1016) ret        always written: the verdict, or NULL when
 * none could be reached; free with attest_result_free()
 *
 * Returns ATTEST_OK exactly when the caller is to be let through, which under the modes preferred
 * and optional does not mean verified: ask attest_result_verified() or _trust() before granting
 * anything on the strength of it. Else the code of the verdict (1001 to 1016), or ATTEST_E_FORKED,
 * _NOMEM, _ARGUMENT without a verdict.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 6) enum attest_rc
    attest_verifier_check(struct attest_verifier *verifier, const char *token, size_t token_len,
                          const char *proof, size_t proof_len, struct attest_result **ret);

ATTEST_EXPORT void attest_result_free(struct attest_result *result);

ATTEST_EXPORT ATTEST_NONNULL(1) bool attest_result_verified(const struct attest_result *result);
/* What the policy decides: true when verified, or when its mode lets others through. */
ATTEST_EXPORT ATTEST_NONNULL(1) bool attest_result_allowed(const struct attest_result *result);
/* ATTEST_TRUST_NONE unless verified. */
ATTEST_EXPORT ATTEST_NONNULL(1) enum attest_trust
    attest_result_trust(const struct attest_result *result);
/* NULL unless verified. They live as long as the result. */
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_result_issuer(const struct attest_result *result);
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_result_subject(const struct attest_result *result);
ATTEST_EXPORT ATTEST_NONNULL(1) const
    struct attest_claims *attest_result_claims(const struct attest_result *result);
/* The names of the claims that were verified ("iss", "agent_identity"…), NULL after the last. */
ATTEST_EXPORT ATTEST_NONNULL(1) const
    char *attest_result_verified_claim(const struct attest_result *result, size_t i);
/*
 * ATTEST_OK when verified; else why not, as a code of protocol and as a sentence for the log (""
 * for none), which may name hosts, files and settings of the server.
 */
ATTEST_EXPORT ATTEST_NONNULL(1) enum attest_rc
    attest_result_error_code(const struct attest_result *result);
ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_result_error(const struct attest_result *result);
/* The JSON-RPC code (-32001 to -32006) for MCP revisions up to 2025-11-25; 0 when verified. */
ATTEST_EXPORT ATTEST_NONNULL(1) int attest_result_rpc_code(const struct attest_result *result);
/* The verdict says nothing about the token: the caller may try again later (`data.retry`). */
ATTEST_EXPORT ATTEST_NONNULL(1) bool attest_result_retry(const struct attest_result *result);
/*
 * The verdict as one JSON object with the members verified, allowed, trust_level, issuer, subject,
 * claims, verified_claims, error, error_code, rpc_code; what does not apply is null. It may be
 * shown to the caller: for 1012 and 1014, whose reasons lie with the server, error is the code's
 * text and not the sentence of attest_result_error(). free() it; NULL: no memory.
 */
ATTEST_EXPORT ATTEST_MUST_USE
    ATTEST_NONNULL(1) char *attest_result_to_json(const struct attest_result *result);

#ifdef __cplusplus
}
#endif
#endif
