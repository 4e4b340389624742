/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_FETCH_H
#define ATTEST_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include <attest/error.h>

/*
 * How a verifier gets the keys of its issuers by itself: from https://issuer/.well-known/jwks.json,
 * or, when there is no such document, from where the issuer's discovery document says, on the same
 * host. An issuer whose root is pinned is asked for its signed key set instead (jwks.jwt). The
 * answer is a 200 of type application/json (application/jwk-set+jwt); no redirect is followed.
 * Proxies are those of the environment (https_proxy, all_proxy, no_proxy).
 *
 * A set is kept for as long as the answer's Cache-Control says, 10 s at least, and fetched anew
 * before that is over, off the path of those who verify. When the issuer does not answer, the set
 * serves on for a while (stale), is then used no more (1012), and the issuer is tried again with
 * pauses that grow. A key that is not in the set has the set fetched once in a while, whoever shows
 * such a kid and however often.
 *
 * Every value has a default that is right for most; NULL wherever this type is asked for means all
 * of them. Built by one thread; the verifier copies it.
 */
struct attest_fetch;

/* The greatest values that the two setters below take. */
#define ATTEST_FETCH_TTL_MAX_S 86400
#define ATTEST_FETCH_STALE_MAX_S 604800

#ifdef __cplusplus
extern "C" {
#endif

ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_fetch_new(struct attest_fetch **ret, struct attest_error *err);
ATTEST_EXPORT void attest_fetch_free(struct attest_fetch *fetch);

/*
 * Seconds that a set is fresh: `unsaid` when the answer does not say (3,600), and at most `max`
 * whatever it says (3,600). 10 to ATTEST_FETCH_TTL_MAX_S, unsaid no more than max. ATTEST_E_CONFIG.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_fetch_set_ttl_s(struct attest_fetch *fetch, int64_t unsaid, int64_t max,
                           struct attest_error *err);

/*
 * Seconds that a set serves on when no newer one is to be had: 0 to ATTEST_FETCH_STALE_MAX_S, 3,600
 * without this call. So long may a key that was taken out of the set still be accepted, more than
 * its issuer may have reckoned with.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_fetch_set_stale_s(struct attest_fetch *fetch, int64_t stale_s, struct attest_error *err);

/* Seconds between two fetches that an unknown kid may cause: 1 to 3,600, 30 without this call. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_fetch_set_cooldown_s(struct attest_fetch *fetch, int64_t cooldown_s,
                                struct attest_error *err);

/* Milliseconds for one whole exchange: 100 to 60,000, 10,000 without this call. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_fetch_set_timeout_ms(struct attest_fetch *fetch, int64_t timeout_ms,
                                struct attest_error *err);

/*
 * Milliseconds that attest_verifier_check() may wait for the first key set of an issuer: 0 to
 * 60,000. Without this call it never waits, and says 1012 until the set is there. Anyone can show a
 * token that names an issuer whose set is not there yet: at most 64 callers wait at once, and none
 * after a fetch that failed. A check that waits brings that first set and no other: the thread, or
 * steps, are needed all the same.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_fetch_set_wait_ms(struct attest_fetch *fetch, int64_t wait_ms, struct attest_error *err);

/* A file of PEM certificates to trust in the place of the system's; NULL: those. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_fetch_set_ca_file(struct attest_fetch *fetch, const char *path,
                             struct attest_error *err);

/*
 * Where this issuer's key set is: https, or http on a loopback host when the policy allows such
 * issuers. For sets that a CDN serves; the document is believed on the word of that host. No
 * discovery document is asked then. issuer is the policy's name, byte for byte: a verifier with a
 * policy that does not trust it is refused (ATTEST_E_CONFIG).
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2, 3) enum attest_rc
    attest_fetch_set_url(struct attest_fetch *fetch, const char *issuer, const char *url,
                         struct attest_error *err);

#ifdef __cplusplus
}
#endif
#endif
