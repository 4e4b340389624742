/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_CLAIMS_H
#define ATTEST_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attest/policy.h>

/*
 * What a verified token says. There is no way to get one from a token that did not verify.
 *
 * Strings are UTF-8 with NUL at the end, belong to the claims and live as long; a claim that is not
 * there is NULL. What is in them is the agent's choice: no control characters of ASCII, but any
 * others, so they are not fit for a log or a terminal as they are; attest_event_text() is.
 * Immutable, so safe from any thread. Claims that the format does not know are not here: nobody
 * checked them.
 */
struct attest_claims;

/* Bytes of an Ed25519 public key. */
#define ATTEST_KEY_LEN 32

#ifdef __cplusplus
extern "C" {
#endif

ATTEST_EXPORT void attest_claims_free(struct attest_claims *claims);

/* iss, sub, jti and the header's kid: always there. */
ATTEST_EXPORT ATTEST_NONNULL(1) const
    char *attest_claims_issuer(const struct attest_claims *claims);
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_claims_subject(const struct attest_claims *claims);
ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_claims_id(const struct attest_claims *claims);
ATTEST_EXPORT ATTEST_NONNULL(1) const char *attest_claims_kid(const struct attest_claims *claims);

/* aud: at least one; NULL after the last. */
ATTEST_EXPORT ATTEST_NONNULL(1) size_t
    attest_claims_audience_count(const struct attest_claims *claims);
ATTEST_EXPORT ATTEST_NONNULL(1) const
    char *attest_claims_audience(const struct attest_claims *claims, size_t i);
/* The one that is a name of this server. */
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_claims_audience_matched(const struct attest_claims *claims);

/* Seconds since the Unix epoch. */
ATTEST_EXPORT ATTEST_NONNULL(1) int64_t
    attest_claims_issued_at_s(const struct attest_claims *claims);
ATTEST_EXPORT ATTEST_NONNULL(1) int64_t
    attest_claims_not_before_s(const struct attest_claims *claims);
ATTEST_EXPORT ATTEST_NONNULL(1) int64_t
    attest_claims_expires_at_s(const struct attest_claims *claims);

/* agent_identity: the first three are always there, the others may be NULL. */
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_claims_model_family(const struct attest_claims *claims);
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_claims_model_version(const struct attest_claims *claims);
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_claims_provider(const struct attest_claims *claims);
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_claims_deployment_id(const struct attest_claims *claims);

/* agent_identity.enterprise: all NULL in a provider's token. */
ATTEST_EXPORT ATTEST_NONNULL(1) const
    char *attest_claims_org_id(const struct attest_claims *claims);
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_claims_workload_id(const struct attest_claims *claims);
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_claims_deployment_env(const struct attest_claims *claims);

/* agent_integrity: "sha256:" and 64 hex digits, or NULL. */
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_claims_config_hash(const struct attest_claims *claims);
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_claims_system_prompt_hash(const struct attest_claims *claims);

/* attestation_metadata. attestation_type: "provider" or "enterprise". */
ATTEST_EXPORT
ATTEST_NONNULL(1) const char *attest_claims_attestation_type(const struct attest_claims *claims);
ATTEST_EXPORT ATTEST_NONNULL(1) enum attest_safety
    attest_claims_safety(const struct attest_claims *claims);
/* capabilities_declared: NULL after the last. */
ATTEST_EXPORT ATTEST_NONNULL(1) size_t
    attest_claims_capability_count(const struct attest_claims *claims);
ATTEST_EXPORT ATTEST_NONNULL(1) const
    char *attest_claims_capability(const struct attest_claims *claims, size_t i);

/*
 * Whether a nested attestation came along, is at one with this token, and verified against keys in
 * hand of an issuer that the policy trusts. A nested one of an issuer that is not trusted is left
 * aside: false, as if it were not there.
 */
ATTEST_EXPORT
ATTEST_NONNULL(1) bool attest_claims_nested_verified(const struct attest_claims *claims);

/*
 * cnf: the agent's own key, ATTEST_KEY_LEN bytes, or NULL. With it the token is *bound*: whoever
 * shows the token has yet to prove that it holds that key. attest_verifier_check() asks for it;
 * after attest_verify() it is the caller's part.
 */
ATTEST_EXPORT
ATTEST_NONNULL(1) const unsigned char *attest_claims_key(const struct attest_claims *claims);

/* The lower of the trust that the policy gives the issuer and the token's attestation_type. */
ATTEST_EXPORT ATTEST_NONNULL(1) enum attest_trust
    attest_claims_trust(const struct attest_claims *claims);

/* The verified claims as one JSON object, nested as in the token. free() it; NULL: no memory. */
ATTEST_EXPORT ATTEST_MUST_USE
    ATTEST_NONNULL(1) char *attest_claims_to_json(const struct attest_claims *claims);

#ifdef __cplusplus
}
#endif
#endif
