/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_POLICY_H
#define ATTEST_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attest/error.h>

/*
 * What a server demands of a token: whom it trusts and how far, for which names of its own a token
 * must be meant, how old it may be, what it must hold.
 *
 *     struct attest_policy *policy = NULL;
 *     enum attest_rc rc = attest_policy_new(&policy, &err);
 *     if (rc == ATTEST_OK)
 *         rc = attest_policy_add_audience(policy, "https://mcp.example.com", &err);
 *     if (rc == ATTEST_OK)
 *         rc = attest_policy_add_issuer(policy, "https://ai.example.com",
 *                                       ATTEST_TRUST_PROVIDER, &err);
 *     if (rc == ATTEST_OK)
 *         rc = attest_policy_freeze(policy, &err);
 *
 * A policy is built by one thread, then frozen; a frozen one never changes and may be used from any
 * number of threads. Nothing verifies with a policy that is not frozen. Every function that builds
 * copies its strings, and returns ATTEST_OK, ATTEST_E_CONFIG (this value cannot be right; err says
 * why), ATTEST_E_LIMIT, ATTEST_E_NOMEM, or ATTEST_E_ARGUMENT (frozen already).
 */
struct attest_policy;

/* Greater is more trust. */
enum attest_trust {
    ATTEST_TRUST_NONE = 0,
    ATTEST_TRUST_ENTERPRISE = 1, /* vouched for by the enterprise that runs the agent */
    ATTEST_TRUST_PROVIDER = 2,   /* vouched for by the model's provider */
};

/* Greater is safer. */
enum attest_safety {
    ATTEST_SAFETY_MINIMAL = 0,
    ATTEST_SAFETY_STANDARD = 1,
    ATTEST_SAFETY_ENHANCED = 2,
};

/* What becomes of a caller whose token does not verify, or who shows none. */
enum attest_mode {
    ATTEST_MODE_REQUIRED = 0,  /* refused */
    ATTEST_MODE_PREFERRED = 1, /* allowed without trust, with a warning event */
    ATTEST_MODE_OPTIONAL = 2,  /* allowed without trust */
};

#define ATTEST_SKEW_DEFAULT_S 30
#define ATTEST_SKEW_MAX_S 300
#define ATTEST_LIFETIME_DEFAULT_S 900
#define ATTEST_LIFETIME_MAX_S 900
/* Levels of nesting. */
#define ATTEST_NESTED_DEPTH_DEFAULT 1
#define ATTEST_NESTED_DEPTH_MAX 3

#ifdef __cplusplus
extern "C" {
#endif

/* "none", "enterprise", "provider"; "unknown" for any other number. Static. */
ATTEST_EXPORT const char *attest_trust_name(enum attest_trust trust);
/* "minimal", "standard", "enhanced"; "unknown". Static. */
ATTEST_EXPORT const char *attest_safety_name(enum attest_safety safety);
/* "required", "preferred", "optional"; "unknown". Static. */
ATTEST_EXPORT const char *attest_mode_name(enum attest_mode mode);

/* An empty policy: nobody trusted, no audience, mode required. Free with attest_policy_free(). */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_policy_new(struct attest_policy **ret, struct attest_error *err);

/*
 * A policy from YAML, as attest-policy.yaml(5) describes it: text_len bytes, or a file of at most
 * 1 MiB. It is open still: a program may add what it knows itself, its own name above all, and then
 * freezes it. ret is set only on ATTEST_OK. Nothing is passed over: ATTEST_E_CONFIG names the line
 * for a key or item that is unknown, there twice or of the wrong kind, and the value when no policy
 * could have it, and the file when it is no regular one; ATTEST_E_LIMIT (more than 64 of a kind),
 * _ARGUMENT (NULL that is said to be longer than 0), _NOMEM; of a file also _NOT_FOUND, _DENIED,
 * _IO. Neither the environment nor another file is read, nor is
 * standard input: "-" is a name like any other.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(3) enum attest_rc
    attest_policy_load_yaml(const char *text, size_t text_len, struct attest_policy **ret,
                            struct attest_error *err);
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_policy_load_file(const char *path, struct attest_policy **ret, struct attest_error *err);

/*
 * A name of this server, compared with the token's `aud` byte for byte: a URL of at most 1024
 * bytes, as an issuer mints for no other. There is no wildcard. At least one is needed; several
 * names of one server are several calls (at most 64).
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_policy_add_audience(struct attest_policy *policy, const char *audience,
                               struct attest_error *err);

/*
 * This name of the server alone, for one that answers by one of those in its policy's file. Where
 * there are names already it must be one of them, or ATTEST_E_CONFIG; the others are forgotten.
 * One that is added afterwards counts beside it.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_policy_only_audience(struct attest_policy *policy, const char *audience,
                                struct attest_error *err);

/*
 * Trusts an issuer, at most this far: https://…, or http:// for a loopback host after
 * attest_policy_allow_loopback_http(). At least one is needed, at most 64.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_policy_add_issuer(struct attest_policy *policy, const char *issuer,
                             enum attest_trust greatest, struct attest_error *err);

/*
 * What this issuer may speak for: the trust domain of `sub` and agent_identity.provider. Each call
 * adds one (at most 64). With a single trusted issuer none means any; as soon as two are trusted,
 * each needs at least one of both, or attest_policy_freeze() refuses.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2, 3) enum attest_rc
    attest_policy_issuer_trust_domain(struct attest_policy *policy, const char *issuer,
                                      const char *trust_domain, struct attest_error *err);
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2, 3) enum attest_rc
    attest_policy_issuer_provider(struct attest_policy *policy, const char *issuer,
                                  const char *provider, struct attest_error *err);

/*
 * Restricts this issuer's tokens to the algorithms so named, of which each call adds one: "EdDSA"
 * and "Ed25519", which is both of them when none is named, or "ES256" (RFC 7518), which is accepted
 * only when it is: for an issuer whose keys live in a TPM, which knows no Ed25519. One who changes
 * over needs both kinds for a while. A token's alg is that of its key in the issuer's key set, or
 * the token is refused.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2, 3) enum attest_rc
    attest_policy_issuer_alg(struct attest_policy *policy, const char *issuer, const char *alg,
                             struct attest_error *err);

/*
 * Maps a model version or workload to the last segment of `sub` that this issuer uses for it. Each
 * call adds one (at most 64); a name that is there already is ATTEST_E_CONFIG.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2, 3, 4) enum attest_rc
    attest_policy_issuer_subject_name(struct attest_policy *policy, const char *issuer,
                                      const char *name, const char *segment,
                                      struct attest_error *err);

/*
 * Tokens of this one alone are accepted (another's: 1004); the word of the others counts within its
 * tokens, as a nested attestation. The last call counts. ATTEST_E_CONFIG: it is not trusted yet.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_policy_only_issuer(struct attest_policy *policy, const char *issuer,
                              struct attest_error *err);

/* Lets issuers on loopback hosts be named by http://, for development. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_policy_allow_loopback_http(struct attest_policy *policy, struct attest_error *err);

/* required without this call. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_policy_set_mode(struct attest_policy *policy, enum attest_mode mode,
                           struct attest_error *err);

/* How far clocks may differ: 0 to 300 s, 30 without this call. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_policy_set_skew_s(struct attest_policy *policy, int64_t skew_s,
                             struct attest_error *err);

/* The longest exp - iat accepted: 1 to 900 s, 900 without this call. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_policy_set_lifetime_max_s(struct attest_policy *policy, int64_t lifetime_max_s,
                                     struct attest_error *err);

/* The longest now - iat accepted, skew aside: 1 to 900 s; without this call the lifetime decides.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_policy_set_age_max_s(struct attest_policy *policy, int64_t age_max_s,
                                struct attest_error *err);

/*
 * Adds a claim that must be there although the format leaves it open: "cnf", "agent_integrity",
 * "agent_integrity.config_hash", "agent_integrity.system_prompt_hash",
 * "agent_identity.deployment_id", "agent_identity.enterprise",
 * "attestation_metadata.nested_attestation" (verified, and of another trusted issuer than the
 * token's own). Claims that every token holds may be named too.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_policy_require_claim(struct attest_policy *policy, const char *claim,
                                struct attest_error *err);

/* Refuse what is below: minimal (so, nothing) and none without these calls. */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_policy_set_safety_min(struct attest_policy *policy, enum attest_safety safety,
                                 struct attest_error *err);
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_policy_set_trust_min(struct attest_policy *policy, enum attest_trust trust,
                                struct attest_error *err);

/*
 * Only these are accepted, of agent_identity: providers, model families, model versions. Each call
 * adds one (at most 64 of a kind); any, of a kind without a call. Another one: 1013.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_policy_add_provider(struct attest_policy *policy, const char *provider,
                               struct attest_error *err);
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_policy_add_model_family(struct attest_policy *policy, const char *model_family,
                                   struct attest_error *err);
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1, 2) enum attest_rc
    attest_policy_add_model_version(struct attest_policy *policy, const char *model_version,
                                    struct attest_error *err);

/* Whether tokens of enterprises (agent_identity.enterprise) are accepted: yes, without this call.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_policy_set_enterprise(struct attest_policy *policy, bool accepted,
                                 struct attest_error *err);

/*
 * How many levels of nested attestations are followed: 0 to ATTEST_NESTED_DEPTH_MAX, 1 without this
 * call. What is followed is verified against keys of its own issuer, if the policy trusts that one,
 * and when it is wrong the token is (1007); what lies deeper is left aside, as if it were not
 * there. Each level takes some 50 KiB of stack while it is verified: with 3 of them some 200 KiB,
 * which is more than a thread has everywhere without being asked (128 KiB with musl).
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_policy_set_nested_depth(struct attest_policy *policy, unsigned depth,
                                   struct attest_error *err);

/*
 * Checks the whole and closes it. ATTEST_E_CONFIG: no audience, no issuer, two issuers of which one
 * may speak for anyone, or a demand that no token could meet: a required claim that another setting
 * refuses or ignores, or that takes an issuer who is not trusted, or a trust_min above that of
 * every issuer whose tokens are accepted.
 */
ATTEST_EXPORT ATTEST_MUST_USE ATTEST_NONNULL(1) enum attest_rc
    attest_policy_freeze(struct attest_policy *policy, struct attest_error *err);

/* Gives up the caller's hold; a verifier made with this policy keeps its own. NULL is fine. */
ATTEST_EXPORT void attest_policy_free(struct attest_policy *policy);

#ifdef __cplusplus
}
#endif
#endif
