/* SPDX-License-Identifier: MIT */
#ifndef TOKEN_CLAIMS_H
#define TOKEN_CLAIMS_H

#include "token/jws.h"
#include "token/mint_request.h"
#include "token/profile.h"
#include "token/subject.h"

/*
 * The claim set of docs/protocol.md section 1. Pure, without allocation, thread-safe on distinct
 * arguments.
 *
 * Reading goes in steps, because a verifier owes its answers in an order: issuer, key, signature,
 * time, audience, claims. Each step judges its own claims alone:
 *
 *     jws_read → claims_read_issuer → (find the key) → jws_verify → claims_read_times →
 *     (compare with the clock) → claims_read_audience → (compare) → claims_read_rest
 *
 * Nothing but iss may be looked at before jws_verify() has returned ATTEST_OK.
 */

#define CLAIMS_AUDIENCES_MAX 8
#define CLAIMS_ATTESTATION_VERSION "0.1.0"
#define CLAIMS_TIME_MAX INT64_C(253402300799) /* the last second of the year 9999 */

enum attestation_type {
    ATTESTATION_PROVIDER,
    ATTESTATION_ENTERPRISE,
};

enum safety_level {
    SAFETY_MINIMAL, /* in this order: a greater value is safer */
    SAFETY_STANDARD,
    SAFETY_ENHANCED,
};

const char *attestation_type_name(enum attestation_type type);
const char *safety_level_name(enum safety_level level);
bool safety_level_from(struct slice name, enum safety_level *ret);

/* Slices borrow from the struct jws that was read; what is absent has p NULL. */
struct claims {
    const struct profile *profile;
    const struct json *json;
    const struct json_node *at[CLAIM_COUNT]; /* values of the profile's claims, or NULL */

    struct slice iss; /* claims_read_issuer() */

    int64_t iat, nbf, exp; /* claims_read_times(): seconds since the epoch, 0 to CLAIMS_TIME_MAX */

    struct slice aud[CLAIMS_AUDIENCES_MAX]; /* claims_read_audience() */
    size_t n_aud;

    struct slice sub; /* from here on: claims_read_rest() */
    struct subject subject;
    struct slice jti;
    struct slice model_family, model_version, provider, deployment_id;
    bool enterprise;
    struct slice org_id, workload_id, deployment_env;
    struct slice config_hash, system_prompt_hash;
    enum attestation_type type;
    enum safety_level safety;
    const struct json_node *capabilities; /* an array of strings: json_each(json, capabilities…) */
    struct slice nested_attestation; /* has the shape of a compact JWS; nothing more is known */
    bool bound;                      /* cnf is there */
    uint8_t cnf_key[ED25519_PUBLIC_LEN];
};

/* Finds the profile's claims. ATTEST_E_MALFORMED when iss is missing or no string. */
enum attest_rc claims_read_issuer(struct claims *claims, const struct profile *profile,
                                  const struct json *payload, struct attest_error *err);
/* ATTEST_E_CLAIMS when iat, nbf or exp is missing, no integer, out of range. */
enum attest_rc claims_read_times(struct claims *claims, struct attest_error *err);
/* ATTEST_E_CLAIMS when aud is neither a string nor an array of 1 to 8 strings. */
enum attest_rc claims_read_audience(struct claims *claims, struct attest_error *err);
/*
 * Everything else, and what the claims say about each other. names: the segments that this issuer's
 * entry maps model versions and workloads to; may be NULL. ATTEST_E_CLAIMS; err names the claim.
 * The trust domain and the provider are not judged here: who may speak for which is policy, and so
 * is the lifetime.
 */
enum attest_rc claims_read_rest(struct claims *claims, const struct subject_names *names,
                                struct attest_error *err);

/* What the signer adds to a request. */
struct claims_stamp {
    struct slice iss;
    struct slice sub; /* subject_write() */
    struct slice jti; /* random_uuid() */
    int64_t iat, nbf, exp;
};

/*
 * Appends the payload: the request's claims under the stamp. The request came out of
 * mint_request_read(); MINT_CNF_ABSENT is written as an unbound token. ATTEST_E_CLAIMS when the
 * claims are at odds (several audiences without cnf, `minimal` without enterprise), ATTEST_E_LIMIT
 * when out is full, ATTEST_E_NOMEM.
 */
enum attest_rc claims_write(const struct mint_request *request, const struct claims_stamp *stamp,
                            struct buf *out, struct attest_error *err);

#endif
